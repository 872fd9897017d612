"""Job specs to engine requests: references to assets become arrays, big tracks lazily, one picture at a time."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from protocol import limits, specs
from protocol.assets import AssetFolder, Bytes
from protocol.errors import AssetError, InvalidJob
from protocol.refs import decode_array
from wan_models import requests

from .headers import another_size

# Read by OpenCV at its first picture: a header that promises more is refused before anything is allocated.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(limits.MAX_SIDE * limits.MAX_SIDE))

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


KEPT = 2  # samples of a track: the present one, and sample 0 for those who compare with it


class LazyMaps(Sequence["NDArray[Any]"]):
    """One array a sample time, decoded when asked for; the last KEPT ones are kept, no more.

    While the caller works on one, the next is decoded on another thread (decoding lets go of the interpreter), so a
    track that is read in order costs its reader little. What goes wrong there is raised when that sample is asked for.
    """

    def __init__(self, folder: AssetFolder, refs: tuple[specs.ArrayRef, ...], what: str) -> None:
        """``what`` names the track in errors."""
        self._folder = folder
        self._refs = refs
        self._what = what
        self._kept: dict[int, NDArray[Any]] = {}  # oldest first
        self._loaded = -1
        self._lock = threading.Lock()  # an engine may read from threads of its own
        self._ahead: tuple[int, Future[NDArray[Any]]] | None = None

    def __len__(self) -> int:
        """How many sample times there are."""
        return len(self._refs)

    @overload
    def __getitem__(self, index: int) -> NDArray[Any]: ...
    @overload
    def __getitem__(self, index: slice) -> LazyMaps: ...
    def __getitem__(self, index: int | slice) -> NDArray[Any] | LazyMaps:
        """Array ``index``, read-only. Raises InvalidJob when its asset is missing or damaged."""
        if isinstance(index, slice):
            return LazyMaps(self._folder, self._refs[index], self._what)
        index = range(len(self._refs))[index]
        with self._lock:
            found = self._kept.pop(index, None)
            if found is None:
                found = self._next(index)
            self._kept[index] = found
            if len(self._kept) > KEPT:
                del self._kept[next(iter(self._kept))]
        return found

    def _next(self, index: int) -> NDArray[Any]:
        """Take what was read ahead, or read; then begin the one after it, if the track is being read in order."""
        ahead, self._ahead = self._ahead, None
        in_order, self._loaded = index == self._loaded + 1, index
        if in_order and index + 1 < len(self._refs):
            self._ahead = (index + 1, _readers().submit(self._load, index + 1))
        return ahead[1].result() if ahead is not None and ahead[0] == index else self._load(index)

    def _load(self, index: int) -> NDArray[Any]:
        return load_array(self._folder, self._refs[index], f"{self._what} {index}")


class LazyFrames(Mapping[int, "NDArray[np.uint8]"]):
    """Pictures of a clip by their numbers, uint8 sRGB (h,w,3), decoded when asked for; the last KEPT are kept."""

    def __init__(self, folder: AssetFolder, refs: Sequence[specs.KeptFrame]) -> None:
        self._folder, self._refs = folder, {each.frame: each.image for each in refs}
        self._kept: dict[int, NDArray[np.uint8]] = {}  # oldest first

    def __len__(self) -> int:
        return len(self._refs)

    def __iter__(self) -> Iterator[int]:
        return iter(self._refs)

    def __getitem__(self, frame: int) -> NDArray[np.uint8]:
        """Frame ``frame`` of the clip. Raises InvalidJob when its asset is damaged."""
        found = self._kept.pop(frame, None)
        if found is None:
            found = load_image(self._folder, self._refs[frame], f"kept frame {frame}")
        self._kept[frame] = found
        if len(self._kept) > KEPT:
            del self._kept[next(iter(self._kept))]
        return found


@cache
def _readers() -> ThreadPoolExecutor:
    """All tracks of a frame together take less than the frame; two threads, as each is wanted at its beginning."""
    return ThreadPoolExecutor(2, "maps")


def load_array(folder: AssetFolder, ref: specs.ArrayRef, what: str) -> NDArray[Any]:
    """The array, read-only. Raises InvalidJob with ``what`` in the sentence when the asset is missing or damaged."""
    import numpy as np

    try:
        data = decode_array(ref, folder.read(ref.asset.id))
    except AssetError as error:
        problem = f"the {what} cannot be read: {error}"
        raise InvalidJob(problem) from error
    dtype = np.dtype("<" + ref.dtype)
    array = _summed(data, dtype, ref.shape) if ref.codec == "delta" else np.frombuffer(data, dtype).reshape(ref.shape)
    array.flags.writeable = False
    return array


def _summed(data: Bytes, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """The array whose differences are given: byte planes of unsigned differences along axis 1 (SPEC.md section 12)."""
    import cv2
    import numpy as np

    planes = np.frombuffer(data, np.uint8).reshape(dtype.itemsize, -1, 1)
    joined = np.asarray(cv2.merge(list(planes)), np.uint8)  # ten times as fast as numpy's strided copy
    whole = joined.reshape(-1).view(f"<u{dtype.itemsize}").reshape(shape)
    return np.cumsum(whole, axis=1, dtype=whole.dtype).view(dtype)


def load_image(folder: AssetFolder, ref: specs.ImageRef, what: str, alpha: bool = False) -> NDArray[np.uint8]:
    """uint8 sRGB (h,w,3), or (h,w,4) with straight alpha. Raises InvalidJob when it is no such picture.

    A photograph is turned as its EXIF says: the ref's size is of the pixels as they are stored.
    """
    import cv2
    import numpy as np

    data = np.frombuffer(folder.read(ref.asset.id), np.uint8)
    try:
        found = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    except cv2.error as error:
        problem = (
            f"the {what} cannot be decoded ({error.err}): send a PNG or JPEG up to {limits.MAX_SIDE} pixels a side"
        )
        raise InvalidJob(problem) from error
    if found is None:
        problem = f"the {what} cannot be decoded as {ref.media_type}: the file is damaged, save it again as PNG or JPEG"
        raise InvalidJob(problem)
    if found.shape[:2] != (ref.height, ref.width):
        height, width = found.shape[:2]
        raise another_size(what, ref, width, height)
    if data[:2].tobytes() == b"\xff\xd8":
        found = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))  # turned, which the other way of reading does not
    return _as_rgb(found, alpha)


def _as_rgb(found: NDArray[Any], alpha: bool) -> NDArray[np.uint8]:
    import cv2
    import numpy as np

    if found.dtype == np.uint16:
        found = (found >> 8).astype(np.uint8)
    if not alpha and found.ndim == 3 and found.shape[2] == 4:  # over black, as references are letterboxed
        found[..., :3] = cv2.multiply(found[..., :3], cv2.merge([found[..., 3]] * 3), scale=1 / 255)
    channels = 1 if found.ndim == 2 else found.shape[2]
    codes = {
        (1, False): cv2.COLOR_GRAY2RGB,
        (3, False): cv2.COLOR_BGR2RGB,
        (4, False): cv2.COLOR_BGRA2RGB,
        (1, True): cv2.COLOR_GRAY2RGBA,
        (3, True): cv2.COLOR_BGR2RGBA,
        (4, True): cv2.COLOR_BGRA2RGBA,
    }
    return np.asarray(cv2.cvtColor(found, codes[(channels, alpha)]), np.uint8)


def load_sound(folder: AssetFolder, ref: specs.SoundRef) -> requests.Sound:
    """The asset's own file. Raises InvalidJob when it is not there; what is in it is the engine's to check."""
    if not folder.has(ref.asset):
        problem = f"the sound cannot be read: asset {ref.asset.id[:12]} is not here, send the job again"
        raise InvalidJob(problem)
    return requests.Sound(folder.path(ref.asset.id), ref.start, " ".join(ref.name.split()) or "the sound")


def to_request(folder: AssetFolder, spec: specs.JobSpec, footage: str = "") -> requests.Request:
    """What the engine is asked. ``footage``: the folder of another job's frames, for the task pose.

    Raises InvalidJob when an asset is missing or damaged.
    """
    sampler, animate = spec.sampler, spec.animate
    return requests.Request(
        task=spec.task,
        model=spec.model,
        width=spec.width,
        height=spec.height,
        frames=spec.frames,
        fps=spec.fps,
        seed=spec.seed,
        prompt=spec.prompt,
        negative_prompt=spec.negative_prompt,
        image=load_image(folder, spec.image, "first image") if spec.image else None,
        last_image=load_image(folder, spec.last_image, "last image") if spec.last_image else None,
        pack=_pack(folder, spec.pack) if spec.pack else None,
        sound=load_sound(folder, spec.sound) if spec.sound else None,
        pose=_pose(folder, spec.pose, footage) if spec.pose else None,
        sampler=requests.SamplerSettings(
            sampler.steps, sampler.guidance, sampler.guidance_low, sampler.shift, sampler.preset
        ),
        loras=tuple(requests.Lora(each.name, each.weight, each.expert) for each in spec.loras),
        animate=requests.AnimateSettings(animate.overlap, animate.match_color, animate.relight),
        talk=requests.TalkSettings(spec.talk.start_from_reference, spec.talk.follow_pose),
        plan=spec.plan,
        previews=spec.output.previews,
        redo=_redo(folder, spec.redo) if spec.redo else None,
    )


def _redo(folder: AssetFolder, redo: specs.Redo) -> requests.Redo:
    return requests.Redo(
        first=redo.first,
        last=redo.last,
        kept=LazyFrames(folder, redo.kept),
        overlap=redo.overlap,
        character=redo.character,
        mask=LazyMaps(folder, redo.mask, "mask of the kept frames"),
        match_color=redo.match_color,
    )


def _pose(folder: AssetFolder, pose: specs.Pose, footage: str) -> requests.PoseRequest:
    video = pose.video
    if video is not None and not folder.has(video.asset):
        problem = f"the film cannot be read: asset {video.asset.id[:12]} is not here, send the job again"
        raise InvalidJob(problem)
    if video is None and not Path(footage).is_dir():
        problem = f"the frames of job {pose.of_job[:12]} are gone: make them again, or send a film"
        raise InvalidJob(problem)
    name = " ".join(video.name.split()) or "the film" if video else f"job {pose.of_job[:12]}"
    return requests.PoseRequest(
        footage=folder.path(video.asset.id) if video else Path(footage),
        name=name,
        person=pose.person,
        people=pose.people,
        height=pose.height,
        camera=_camera(folder, pose.camera) if pose.camera else None,
        field_of_view=pose.field_of_view,
        hands=pose.hands,
        face=pose.face,
        smooth=pose.smooth,
        gap_s=pose.gap_s,
        hold_feet=pose.hold_feet,
        joint_limits=pose.joint_limits,
    )


def _pack(folder: AssetFolder, pack: specs.DrivePack) -> requests.DrivePack:
    return requests.DrivePack(
        width=pack.width,
        height=pack.height,
        frames=pack.frames,
        fps=pack.fps,
        camera=_camera(folder, pack.camera) if pack.camera else None,
        characters=tuple(_character(folder, each) for each in pack.characters),
        clay=LazyMaps(folder, pack.clay, "clay render"),
        plate=LazyMaps(folder, pack.plate, "plate"),
        mask=LazyMaps(folder, pack.mask, "mask"),
        depth=LazyMaps(folder, pack.depth, "depth map"),
        origin=LazyMaps(folder, pack.origin, "origin map"),
        look=load_image(folder, pack.look, "look of the drive pack") if pack.look else None,
        look_plate=load_image(folder, pack.look_plate, "look plate of the drive pack") if pack.look_plate else None,
    )


def _camera(folder: AssetFolder, camera: specs.Camera) -> requests.CameraTrack:
    return requests.CameraTrack(
        world_from_camera=load_array(folder, camera.world_from_camera, "camera track"),
        intrinsics=load_array(folder, camera.intrinsics, "camera intrinsics"),
        orthographic=camera.kind == "orthographic",
    )


def _character(folder: AssetFolder, track: specs.CharacterTrack) -> requests.Character:
    pose = requests.PoseTrack(
        body=load_array(folder, track.body, f"body track of {track.name}"),
        left_hand=_optional(folder, track.left_hand, f"left hand track of {track.name}"),
        right_hand=_optional(folder, track.right_hand, f"right hand track of {track.name}"),
        face_box=_optional(folder, track.face_box, f"face boxes of {track.name}"),
    )
    reference = _reference(folder, track.reference, track.name) if track.reference else None
    face = LazyMaps(folder, track.face, f"face clip of {track.name}")
    return requests.Character(track.index, track.name, pose, reference, face)


def _reference(folder: AssetFolder, reference: specs.Reference, name: str) -> requests.Reference:
    return requests.Reference(
        image=load_image(folder, reference.image, f"reference image of {name}", alpha=True),
        body=_optional(folder, reference.body, f"reference joints of {name}"),
        left_hand=_optional(folder, reference.left_hand, f"reference left hand of {name}"),
        right_hand=_optional(folder, reference.right_hand, f"reference right hand of {name}"),
        source=reference.source,
    )


def _optional(folder: AssetFolder, ref: specs.ArrayRef | None, what: str) -> NDArray[Any] | None:
    return None if ref is None else load_array(folder, ref, what)
