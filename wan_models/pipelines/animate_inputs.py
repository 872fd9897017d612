"""What Wan2.2-Animate is shown of a shot: pose drawings, face clip, reference, the holed plate and its mask.

Everything is made when it is asked for, a frame at a time; a clip's maps are never held as a whole. No torch.
Source: ``wan/animate.py`` and ``wan/modules/animate/preprocess`` of Wan2.2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from wan_models.control.face import FACE_POINTS, FACE_SIDE, NoFace, crop_face, face_box
from wan_models.control.masks import augment_mask
from wan_models.control.skeleton import draw_pose
from wan_models.pose import PoseUnavailable, estimate_image, unavailable
from wan_models.requests import BEHIND, BODY_POINTS, MISSING, SCORE, STATE, Character, DrivePack, Reference

Frames: TypeAlias = NDArray[np.uint8]

GREY = 128
_NOSE, _EYES, _EARS = BODY_POINTS.index("nose"), (14, 15), (16, 17)
SURE = 0.3  # a head joint of a reference below this score is not relied on
EYES_TO_CENTRE, HALF_SIDE = 0.68, 1.07
"""The tight box of brows, chin and cheeks in distances of the pupils (63 mm; a face is 135 mm wide, its chin 112 mm
below the eyes): how far its centre lies below the eyes, and half its side."""


class LastValid:
    """Frames that lack something take it from the last one before them that has it, or the first one after."""

    def __init__(self, count: int, usable: Callable[[int], bool]) -> None:
        """``usable``: whether frame 0..``count`` - 1 has its own; asked once a frame at most."""
        self._count, self._usable = count, usable
        self._known: dict[int, bool] = {}
        self._told: set[int] = set()
        self._news: set[int] = set()

    def source(self, t: int) -> int | None:
        """The frame that ``t`` takes it from, None when no frame has it."""
        if not self._has(t):
            self._news.add(t)
        frames = chain(range(t, -1, -1), range(t + 1, self._count))
        return next((frame for frame in frames if self._has(frame)), None)

    def news(self) -> tuple[int, ...]:
        """The frames that were asked for since the last call and lack it, rising; each is told once."""
        found, self._news = self._news - self._told, set()
        self._told |= found
        return tuple(sorted(found))

    def _has(self, t: int) -> bool:
        if t not in self._known:
            self._known[t] = self._usable(t)
        return self._known[t]


class AnimateInputs:
    """One character of ``pack`` through its first ``frames`` samples; arrays are uint8 RGB of the pack's size.

    Frames are asked for by their numbers, in any order, the same one as often as the padding needs it.
    """

    def __init__(self, pack: DrivePack, character: Character, frames: int) -> None:
        self.pack, self.character = pack, character
        self._faces = LastValid(frames, self._has_face)
        self._masks = LastValid(frames, self._has_mask)
        self._still: Frames | None = None
        self._sentences: list[str] = []

    def poses(self, frames: Sequence[int]) -> Frames:
        """(n, h, w, 3): the official drawings."""
        return _gather(frames, self._pose)

    def faces(self, frames: Sequence[int], side: int = FACE_SIDE) -> Frames:
        """(n, side, side, 3): the face clip; a face that stays neutral where the character has none."""
        return _gather(frames, lambda t: _resized(self._face(t), side))

    def holed(self, frames: Sequence[int]) -> tuple[Frames, Frames]:
        """(n, h, w, 3), the plate, black in the character's widened mask, and that mask (n, h, w), 1 inside, else 0."""
        plates, masks = _gather(frames, self.plate), _gather(frames, self.mask)
        plates[masks != 0] = 0
        return plates, masks

    def plate(self, t: int) -> Frames:
        """(h, w, 3): the picture to keep."""
        return np.asarray(self.pack.plate[t], np.uint8)

    def reference(self) -> Frames:
        """(h, w, 3): the reference's picture, see :func:`letterbox`."""
        if self.character.reference is None:
            msg = f"{self.character.name} has no reference: choose a picture of the person to animate."
            raise ValueError(msg)
        return letterbox(on_black(self.character.reference.image), self.pack.width, self.pack.height)

    def has_masks(self) -> bool:
        """Whether any frame has a mask of the character; looks no further than the first one that has."""
        return self._masks.source(0) is not None

    def mask(self, t: int) -> Frames:
        """(h, w), 1 in the widened mask of frame ``t``, or of the nearest one that has a usable one."""
        source = self._masks.source(t)
        if source is None:
            return np.zeros((self.pack.height, self.pack.width), np.uint8)
        return np.asarray(augment_mask(self._own(source)[None])[0], np.uint8)

    def sentences(self) -> tuple[str, ...]:
        """What the user should know of the frames asked for since the last call."""
        name = self.character.name
        for what, track in (("face", self._faces), ("mask", self._masks)):
            if missing := track.news():
                self._sentences.append(
                    f"the {what} of {name} is missing in {spans(missing)}: the last valid one was used"
                )
        said, self._sentences = tuple(self._sentences), []
        return said

    def _pose(self, t: int) -> Frames:
        pose = self.character.pose
        left, right = (None if hand is None else seen(hand[t]) for hand in (pose.left_hand, pose.right_hand))
        return draw_pose(seen(pose.body[t]), left, right, height=self.pack.height, width=self.pack.width)

    def _has_face(self, t: int) -> bool:
        """A picture of one colour is no face."""
        if t >= len(self.character.face):
            return False
        picture = self.character.face[t]
        return picture.size > 0 and bool(picture.min() != picture.max())

    def _face(self, t: int) -> Frames:
        if self._still is not None:
            return self._still
        source = self._faces.source(t)
        if source is not None:
            return np.asarray(self.character.face[source], np.uint8)
        self._faces.news()  # it is said once, here, that there are none
        self._still, found = neutral_face(self.character.reference)
        shown = "the face of its reference is shown, still" if found else "no face is shown"
        self._sentences.append(f"{self.character.name} has no face clip, so its expression is not driven: {shown}")
        return self._still

    def _own(self, t: int) -> NDArray[np.bool_]:
        return np.asarray(self.pack.mask[t] == self.character.index)

    def _has_mask(self, t: int) -> bool:
        """A mask that the official widening can be laid on."""
        own = self._own(t)
        if not own.any():
            return False
        try:
            augment_mask(own[None])
        except ValueError:
            return False
        return True


def seen(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Points (n, 5) as (n, 3) with no score for those behind the camera or that the rig does not have."""
    drawn = np.array(points[:, : SCORE + 1])
    drawn[np.isin(points[:, STATE], (BEHIND, MISSING)), SCORE] = 0.0
    return drawn


def _gather(frames: Sequence[int], make: Callable[[int], Frames]) -> Frames:
    """One array a number; what is asked for twice is made once."""
    first: dict[int, int] = {}
    result: NDArray[Any] | None = None
    for place, t in enumerate(frames):
        if result is not None and t in first:
            result[place] = result[first[t]]
            continue
        one = make(t)
        if result is None:
            result = np.empty((len(frames), *one.shape), np.uint8)
        result[place] = one
        first[t] = place
    if result is None:
        msg = "No frames were asked for: name at least one."
        raise ValueError(msg)
    return result


def spans(numbers: Sequence[int]) -> str:
    """Rising numbers as words: frame 3; frames 3 to 5 and 9; frames 1, 3 to 5 and 9."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    parts = [str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs]
    listed = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    return f"frame {listed}" if len(numbers) == 1 else f"frames {listed}"


def on_black(image: Frames) -> Frames:
    """uint8 RGBA with straight alpha (h, w, 4) over black: RGB. RGB stays as it is."""
    if image.shape[2] == 3:
        return image
    alpha = image[..., 3:].astype(np.float32) / 255.0
    return np.asarray(np.rint(image[..., :3] * alpha), np.uint8)


def letterbox(image: Frames, width: int, height: int) -> Frames:
    """RGB scaled to fit ``width`` x ``height``, in the middle of black: bilinear, not anti-aliased, as officially.

    Source: ``padding_resize`` in ``wan/animate.py``, whole pixels rounded down as there.
    """
    rows, columns = image.shape[:2]
    result = np.zeros((height, width, 3), np.uint8)
    if rows / columns > height / width:
        fitted = max(int(height / rows * columns), 1), height
    else:
        fitted = width, max(int(width / columns * rows), 1)
    left, top = (width - fitted[0]) // 2, (height - fitted[1]) // 2
    small = np.asarray(cv2.resize(image, fitted, interpolation=cv2.INTER_LINEAR), np.uint8)
    result[top : top + fitted[1], left : left + fitted[0]] = small
    return result


def neutral_face(reference: Reference | None) -> tuple[Frames, bool]:
    """A face clip's one picture (512, 512, 3), and whether it is the reference's: else it is grey."""
    grey = np.full((FACE_SIDE, FACE_SIDE, 3), GREY, np.uint8)
    if reference is None:
        return grey, False
    picture = on_black(reference.image)
    body = reference.body if reference.body is not None else _estimated(picture)
    if body is None:
        return grey, False
    try:
        return crop_face(picture, head_box(body, picture.shape[1], picture.shape[0])), True
    except NoFace:
        return grey, False


def head_box(body: NDArray[np.float32], width: int, height: int) -> tuple[int, int, int, int]:
    """The official face box, from body points (20, 3) of a picture instead of 68 face points.

    Raises NoFace when nose and eyes are not known or lie outside the picture.
    """
    known = np.isfinite(body).all(axis=1) & (body[:, 2] >= SURE)
    if not known[[_NOSE, *_EYES]].all():
        msg = "Nose and eyes of the reference are not known, so there is no face to cut out."
        raise NoFace(msg)
    eyes = body[list(_EYES), :2].mean(axis=0)
    down = body[_NOSE, :2] - eyes
    length = float(np.hypot(*down))
    pupils = float(np.hypot(*(body[_EYES[0], :2] - body[_EYES[1], :2])))
    unit = max(pupils, length / 0.7)  # one of the two stays, however the head is turned
    if known[list(_EARS)].all():
        unit = max(unit, float(np.hypot(*(body[_EARS[0], :2] - body[_EARS[1], :2]))) / 2.3)
    centre = eyes + down / max(length, 1e-6) * EYES_TO_CENTRE * unit
    corners = centre + HALF_SIDE * unit * np.array([(-1, -1), (1, 1)])
    points = np.resize(corners, (FACE_POINTS, 2)).astype(np.float32)
    return face_box(points, width, height)


def _estimated(picture: Frames) -> NDArray[np.float32] | None:
    """Body points by the pose estimator, where it is installed."""
    if unavailable() is not None:
        return None
    try:
        found = estimate_image(picture)
    except PoseUnavailable:
        return None
    return None if found is None else found.body


def _resized(face: Frames, side: int) -> Frames:
    if face.shape[:2] == (side, side):
        return face
    return np.asarray(cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
