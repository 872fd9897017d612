"""Framed reference pictures: made beside the cache when a shot is captured or previewed; the original stays as it is.

``reference(scene, item, path)`` gives the file that is sent. Which models want it: those that take the reference as
the picture before the first frame (Animate, Animate 2, replacing). The draft cuts the person out and scales them by
itself, where a framed picture would only have fewer pixels; a talking shot begins from the picture as it is.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import bpy
import bpy.utils.previews
import numpy as np

from . import capture, cast, framefiles, motion, preferences, shots, state
from .capture import body as bodies
from .capture import framing as frames
from .capture.pictures import png_bytes, resize
from .capture.reference import HANDS, JOINTS_SUFFIX, read_joints
from .capture.upright import read_picture
from .problems import UserProblem
from .words import tr

logger = logging.getLogger(__name__)

SHOW_PX = 512  # the longer side of a preview
FACE_SHARE = 0.115  # of stature: a head, as capture.offsets has it
LIMBS = (("neck", "nose"), *((f"{a}.{s}", f"{b}.{s}") for s in "LR" for a, b in (
    ("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"))),
    *(("neck", f"{joint}.{s}") for s in "LR" for joint in ("shoulder", "hip")))  # fmt: skip
STICK = (255, 170, 0)


@dataclass(frozen=True)
class Framed:
    """``place`` is None when the picture is sent as it is, and ``said`` why, or what is worth knowing."""

    picture: Any
    place: frames.Placement | None
    said: tuple[str, ...]
    rig: bodies.Body | None = None


def is_wanted(scene: bpy.types.Scene, item: bpy.types.Object) -> bool:
    """Whether the model takes a framed picture, and the artist wants one."""
    return cast.drives_one(scene.wanstage) and item.wanstage.framing != "none"


def reference(scene: bpy.types.Scene, item: bpy.types.Object, path: Path) -> Path:
    """The file to send for a character: the framed picture with its joints beside it, else ``path`` itself.

    Raises UserProblem when it cannot be written, CaptureProblem when the picture or the shot cannot be read.
    """
    if not is_wanted(scene, item):
        return path
    found = look(scene, item, path)
    for sentence in found.said:
        logger.info("%s: %s", item.name, sentence)
    return path if found.place is None else _write(scene, path, found)


def look(scene: bpy.types.Scene, item: bpy.types.Object, path: Path) -> Framed:
    """Where the person of a picture goes. Raises CaptureProblem."""
    picture = read_picture(path)
    rig = first_body(scene, item)
    name = item.wanstage.name or item.name
    if rig is None:
        return Framed(picture, None, (tr("{name} is behind the camera in the first frame: sent as it is", name=name),))
    both, said = _stances(item, path, picture, rig)
    size = shots.size(scene.wanstage)
    place = frames.placement(*both) if both is not None else None
    if both is None or place is None:
        return Framed(picture, None, (said or tr("The sizes of rig and person cannot be told: sent as it is"),), rig)
    if not frames.overlaps(both[1], place, size):
        text = tr("{name} is outside the picture in the first frame: sent as it is", name=name)
        return Framed(picture, None, (text,), rig)
    return Framed(picture, place, _worth_knowing(both[0], place), rig)


def _worth_knowing(rig: frames.Stance, place: frames.Placement) -> tuple[str, ...]:
    face = rig.height * FACE_SHARE
    sized = tr("The person is scaled by {percent} %", percent=round(place.scale * 100))
    if face >= motion.FACE_PX:
        return (sized,)
    small = tr(
        "The face becomes {pixels} pixels high, likeness needs {least}: choose As It Is, or bring the camera nearer",
        pixels=round(face),
        least=round(motion.FACE_PX),
    )
    return (sized, small)


def _stances(
    item: bpy.types.Object, path: Path, picture: Any, rig: bodies.Body
) -> tuple[tuple[frames.Stance, frames.Stance] | None, str]:
    """Rig and person, by what the artist says, by joints, by outline; or why not."""
    own = item.wanstage
    upright = frames.standing(rig)
    if own.framing == "box":
        box = own_box(own, picture.shape[1], picture.shape[0])
        if box is None:
            return None, tr("The box has no size: set Soles below Crown, and Right beyond Left")
        return ((upright, frames.of_box(box)) if upright else None), ""
    joints = None if own.joints == "find" else read_joints(path)
    if joints is not None:
        return frames.stances(rig, bodies.of_picture(joints["body"])), ""
    box, why = frames.outline(picture)
    if box is None:
        cut = tr("The picture's border cuts the person, so their size cannot be told: choose Own Box, and set where "
                 "crown and soles would be; sent as it is")  # fmt: skip
        plain = tr("The person cannot be told from the background: choose Own Box, or a picture with transparent or "
                   "plain background; sent as it is")  # fmt: skip
        return None, cut if why == "cut" else plain
    return ((upright, frames.of_box(box)) if upright else None), ""


def own_box(own: Any, width: int, height: int) -> frames.Box | None:
    """The artist's box in pixels; None when it has no size."""
    box = own.box_left * width, own.box_top * height, own.box_right * width, own.box_bottom * height
    return box if box[2] - box[0] >= 1.0 and box[3] - box[1] >= 1.0 else None


# ---- the rig in the first frame ------------------------------------------------------------------------------


def first_body(scene: bpy.types.Scene, item: bpy.types.Object) -> bodies.Body | None:
    """The character in the shot's first frame; None when it is not before the camera. Raises CaptureProblem."""
    wanted = shots.parameters(scene)
    people = tuple(each for each in wanted.characters if each.armature == item.name)
    if not people:
        return None
    wanted = replace(wanted, characters=people, frames=1, occlusion=False)
    with _unnoticed():
        taken = capture.capture_pose(wanted)
    return bodies.of_rig(taken.characters[0].body[0], taken.intrinsics[0], orthographic=taken.orthographic)


@contextmanager
def _unnoticed() -> Iterator[None]:
    """What making and unmaking a copy of the scene tags is no edit of the user's."""
    before = state.now.capture
    state.now.capture = before or state.CaptureState("frame", 0, 1)
    try:
        yield
    finally:
        bpy.context.view_layer.update()
        state.now.capture = before


# ---- files ---------------------------------------------------------------------------------------------------


def _write(scene: bpy.types.Scene, path: Path, found: Framed) -> Path:
    """The framed picture and its joints, named by what they are made of, and made once."""
    size, place = shots.size(scene.wanstage), found.place
    joints = read_joints(path)
    digest = hashlib.blake2b(repr((found.picture.shape, place, size, joints)).encode(), digest_size=12)
    digest.update(np.ascontiguousarray(found.picture).data)
    target = preferences.settings().cache / "references" / f"framed-{digest.hexdigest()}.png"
    try:
        if target.is_file():
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        data = png_bytes(frames.frame(found.picture, place, size))
        if joints is not None:
            Path(f"{target}{JOINTS_SUFFIX}").write_text(json.dumps(_moved(joints, place, size)), encoding="utf-8")
        framefiles.write_whole(target, data)
    except OSError as error:
        problem = tr(
            "The framed reference cannot be written to {folder} ({reason}): free disk space",
            folder=target.parent,
            reason=error.strerror,
        )
        raise UserProblem(problem) from error
    return target


def _moved(joints: dict[str, Any], place: frames.Placement, size: tuple[int, int]) -> dict[str, Any]:
    """What the file beside the framed picture says."""
    said: dict[str, Any] = {"wanstage_reference": 1, "width": size[0], "height": size[1], "source": joints["source"]}
    for part in ("body", *HANDS):
        said[part] = None if joints[part] is None else place.moved(joints[part]).round(3).tolist()
    return said


# ---- preview -------------------------------------------------------------------------------------------------


@dataclass
class Shown:
    """What the panel shows of a character."""

    icon: int
    fresh: bool
    said: tuple[str, ...]


class _Loaded:
    """The collection of previews, and by armature: its name there, what was said and what it was made from."""

    previews: Any = None
    known: dict[str, tuple[str, tuple[str, ...], object]] = {}
    count: int = 0


now = _Loaded()


def key(scene: bpy.types.Scene, item: bpy.types.Object) -> object:
    """Equal as long as a preview would be the same. Cheap: for drawing."""
    own, camera = item.wanstage, shots.camera(scene)
    image = own.reference_image
    return (
        own.framing, own.joints, own.box_left, own.box_right, own.box_top, own.box_bottom, own.reference,
        image.name if image else "", shots.size(scene.wanstage), shots.frame_range(scene)[0],
        camera.name if camera else "", state.now.revision, scene.wanstage.engine,
    )  # fmt: skip


def shown(scene: bpy.types.Scene, item: bpy.types.Object) -> Shown | None:
    """The last preview of a character; None when there is none."""
    found = now.known.get(item.name_full)
    if found is None:
        return None
    name, said, made_from = found
    icon = now.previews[name].icon_id if now.previews is not None and name in now.previews else 0
    return Shown(icon, made_from == key(scene, item), said)


def preview(scene: bpy.types.Scene, item: bpy.types.Object) -> Framed:
    """Make the preview: the picture as it is sent, with the rig's skeleton over it. Raises UserProblem."""
    settings = preferences.settings()
    try:
        path = shots.reference_path(item, settings.cache)
        if path is None:
            raise UserProblem(tr("{name} has no reference picture: choose one", name=item.name))
        found = look(scene, item, path) if is_wanted(scene, item) else Framed(read_picture(path), None, ())
    except capture.CaptureProblem as problem:
        raise UserProblem(str(problem)) from problem
    size = shots.size(scene.wanstage)
    place = found.place or letterbox(found.picture, size)
    picture = drawn(frames.frame(found.picture, place, size), found.rig)
    _load(item, key(scene, item), picture, found.said)
    return found


def letterbox(picture: Any, size: tuple[int, int]) -> frames.Placement:
    """How the models place a picture that is sent as it is: fitted into the middle."""
    high, wide = picture.shape[:2]
    scale = min(size[0] / wide, size[1] / high)
    return frames.Placement(scale, (size[0] - scale * wide) / 2.0, (size[1] - scale * high) / 2.0)


def drawn(picture: Any, rig: bodies.Body | None) -> Any:
    """uint8 (h,w,3): the picture over grey, at most SHOW_PX, the rig's limbs as lines over it."""
    scale = min(1.0, SHOW_PX / max(picture.shape[:2]))
    small = resize(picture, max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    if small.shape[2] == 4:
        alpha = small[..., 3:] / 255.0
        small = np.rint(small[..., :3] * alpha + 90.0 * (1.0 - alpha)).astype(np.uint8)
    found = small.copy()
    for start, end in LIMBS if rig is not None else ():
        points = rig.seen(start, end)
        if len(points) == 2:
            _line(found, points[0] * scale, points[1] * scale)
    return found


def _line(picture: Any, start: Any, end: Any) -> None:
    """Two pixels wide, cut at the border."""
    steps = int(min(max(np.abs(end - start).max(), 1.0), 4096.0)) * 2
    way = start + (end - start) * np.linspace(0.0, 1.0, steps)[:, None]
    for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
        x, y = (way + np.array((dx, dy))).astype(int).T
        inside = (x >= 0) & (y >= 0) & (x < picture.shape[1]) & (y < picture.shape[0])
        picture[y[inside], x[inside]] = STICK


def _load(item: bpy.types.Object, made_from: object, picture: Any, said: tuple[str, ...]) -> None:
    """Into the collection of previews, under a name of its own: a loaded one is not read again."""
    now.count += 1
    name = f"{item.name_full} {now.count}"
    path = preferences.settings().cache / "references" / f"preview-{now.count}.png"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png_bytes(picture))
    except OSError as error:
        problem = tr("The preview cannot be written to {folder} ({reason})", folder=path.parent, reason=error.strerror)
        raise UserProblem(problem) from error
    if not bpy.app.background:
        now.previews = now.previews or bpy.utils.previews.new()
        loaded = now.previews.load(name, str(path), "IMAGE")
        logger.debug("preview of %s: %d x %d", item.name, *loaded.image_size)  # asking reads the file, not drawing
    now.known[item.name_full] = (name, said, made_from)


def forget() -> None:
    """As after a file load."""
    now.known.clear()


def register() -> None:
    """Nothing yet: the first preview begins it."""
    forget()


def unregister() -> None:
    """Give the pictures back."""
    forget()
    if now.previews is not None:
        bpy.utils.previews.remove(now.previews)
        now.previews = None
