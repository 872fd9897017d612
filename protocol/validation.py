"""What types cannot say about a job spec: numbers are finite and the parts fit together.

Every refusal is an InvalidJob with one sentence that names the field, what was given and what is allowed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import msgspec

from . import limits
from .errors import AssetError, InvalidJob
from .redo import needed
from .refs import array_bytes, asset_refs
from .specs import ArrayRef, CharacterTrack, DrivePack, ImageRef, JobSpec, Redo, Reference

BODY_POINTS = 20
HAND_POINTS = 21
FACE_SIDE = 512  # pixels, of the face clip's square frames

_MAPS: dict[str, tuple[str, tuple[int, ...]]] = {
    "clay": ("u1", (3,)),
    "plate": ("u1", (3,)),
    "mask": ("u1", ()),
    "depth": ("f4", ()),
    "origin": ("u2", (2,)),
}
"""dtype and what follows (height, width) in the shape of each map."""


def parse_spec(data: bytes) -> JobSpec:
    """A job spec from JSON, checked. Raises InvalidJob."""
    try:
        spec = msgspec.json.decode(data, type=JobSpec)
    except msgspec.ValidationError as error:
        raise InvalidJob(explain(error, _loosely(data))) from error
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        problem = f"the job is not valid JSON: {error}"
        raise InvalidJob(problem) from error
    validate(spec)
    return spec


def validate(spec: JobSpec) -> None:
    """Raise InvalidJob for a spec that no backend could take, however it was made."""
    _check_types(spec)
    _check_finite(spec, "")
    _check_assets(spec)
    _check_images(spec)
    _check_sound(spec)
    if spec.redo:
        _check_redo(spec, spec.redo)
    _check_pose(spec)
    if spec.pack:
        _check_pack(spec, spec.pack)
    elif spec.task in {"animate", "replace"}:
        _refuse(f"the task {spec.task} needs a drive pack (pack): capture the scene first")


def explain(error: msgspec.ValidationError, given: object = None) -> str:
    """msgspec's complaint as a sentence that names the field; ``given`` is the spec it is about, to name the value."""
    found = re.fullmatch(r"(.*?)(?: - at `\$(?:\.spec)?\.?([^`]*)`)?", str(error), re.DOTALL)
    what, where = found.groups("") if found else (str(error), "")
    what = what.replace("`", "").replace("Expected ", "expected ", 1)
    what = re.sub(r"Object missing required field (\w+)", r"\1 is missing", what)
    what = re.sub(r"Invalid enum value (.*)", r"\1 is not one of the values allowed", what)
    what = what.replace("str matching regex '^[0-9a-f]{64}$'", "an asset id (64 hex digits)")
    value = _at(given, where)
    if isinstance(value, str | int | float) and where and "got" not in what and what.startswith("expected"):
        what += f", got {value!r}" if len(repr(value)) <= 80 else ", got something longer or larger"
    return f"the job's {where} is wrong: {what}" if where else f"the job is wrong: {what}"


def _loosely(data: bytes) -> object:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None  # then the sentence does without the value


def _at(value: object, where: str) -> object:
    for name, index in re.findall(r"(\w+)|\[(\d+)\]", where):
        if name:
            value = value.get(name) if isinstance(value, dict) else getattr(value, name, None)
        elif isinstance(value, tuple | list) and int(index) < len(value):
            value = value[int(index)]
    return value


def _check_types(spec: JobSpec) -> None:
    # Structs made in Python are not checked by msgspec; a round trip through the encoder is.
    try:
        body = msgspec.msgpack.encode(spec)
        msgspec.msgpack.decode(body, type=JobSpec)
    except msgspec.ValidationError as error:
        raise InvalidJob(explain(error, spec)) from error
    except (TypeError, OverflowError, UnicodeEncodeError) as error:
        problem = f"the job holds a value that cannot be sent: {error}"
        raise InvalidJob(problem) from error
    if len(body) > limits.MAX_BODY_BYTES - 1024:
        _refuse(
            f"the job takes {len(body)} bytes, at most {limits.MAX_BODY_BYTES - 1024} fit: use fewer frames or maps"
        )


def _check_finite(value: object, where: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        _refuse(f"the job's {where.lstrip('.')} is {value}: a finite number is needed")
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            _check_finite(getattr(value, name), f"{where}.{name}")
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            _check_finite(item, f"{where}[{index}]")


def _check_assets(spec: JobSpec) -> None:
    count = sum(1 for _ in asset_refs(spec))
    if count > limits.MAX_ASSETS_PER_JOB:
        _refuse(f"the job has {count} assets, at most {limits.MAX_ASSETS_PER_JOB} are allowed")


def _check_images(spec: JobSpec) -> None:
    first = spec.image or (spec.pack.look if spec.pack else None)
    goes_on = spec.redo is not None and spec.redo.first > 0  # from a frame of the clip
    if spec.task in {"i2v", "flf2v"} and first is None and not goes_on:
        _refuse(f"the task {spec.task} needs a first picture: give image, or a drive pack with a look")
    if spec.task == "s2v" and first is None and not any(each.reference for each in _characters(spec)):
        _refuse(
            "the task s2v needs the picture of the person: give image, or a drive pack with a look or with a "
            "character's reference"
        )
    if spec.task == "flf2v" and spec.last_image is None:
        _refuse("the task flf2v needs a last picture: give last_image")
    for where, image in _images(spec):
        if not 0 < image.asset.nbytes <= limits.MAX_IMAGE_BYTES:
            nbytes = image.asset.nbytes
            _refuse(f"the job's {where} has {nbytes} bytes, 1 to {limits.MAX_IMAGE_BYTES} are allowed for a picture")


def _characters(spec: JobSpec) -> tuple[CharacterTrack, ...]:
    return spec.pack.characters if spec.pack else ()


def _check_sound(spec: JobSpec) -> None:
    sound = spec.sound
    if spec.task != "s2v":
        if sound is not None:
            _refuse(f"the job has a sound, which the task {spec.task} does not hear: leave sound out, or ask for s2v")
        return
    if sound is None:
        _refuse("the task s2v needs the sound that drives it: give sound")
    elif not 0 < sound.asset.nbytes <= limits.MAX_SOUND_BYTES:
        nbytes = sound.asset.nbytes
        _refuse(
            f"the job's sound has {nbytes} bytes, 1 to {limits.MAX_SOUND_BYTES} are allowed: send the part that is "
            "heard"
        )
    if spec.talk.follow_pose and not _characters(spec):
        _refuse(
            "the job's talk.follow_pose needs a character in a drive pack (pack.characters): capture the scene, or "
            "leave it out"
        )


def _check_pose(spec: JobSpec) -> None:
    pose = spec.pose
    if spec.task != "pose":
        if pose is not None:
            _refuse(f"the job has a pose, which the task {spec.task} does not look at: leave pose out, or ask for pose")
        return
    if pose is None or (pose.video is None) == (not pose.of_job):
        _refuse("the task pose needs what to look at: give either pose.video or pose.of_job")
        return
    if pose.video is not None and not 0 < pose.video.asset.nbytes <= limits.MAX_VIDEO_BYTES:
        nbytes = pose.video.asset.nbytes
        _refuse(f"the job's film has {nbytes} bytes, 1 to {limits.MAX_VIDEO_BYTES} are allowed: send a shorter part")
    if pose.camera is not None:
        _check_array(pose.camera.world_from_camera, "pose.camera.world_from_camera", "f8", (spec.frames, 4, 4))
        _check_array(pose.camera.intrinsics, "pose.camera.intrinsics", "f8", (spec.frames, 4))


def _images(spec: JobSpec) -> Iterator[tuple[str, ImageRef]]:
    named: dict[str, ImageRef | None] = {"image": spec.image, "last_image": spec.last_image}
    if spec.pack:
        named |= {"pack.look": spec.pack.look, "pack.look_plate": spec.pack.look_plate}
        for index, each in enumerate(spec.pack.characters):
            named[f"pack.characters[{index}].reference.image"] = each.reference.image if each.reference else None
    if spec.redo:
        named |= {f"redo.kept[{index}].image": each.image for index, each in enumerate(spec.redo.kept)}
    return ((where, image) for where, image in named.items() if image)


def _check_redo(spec: JobSpec, redo: Redo) -> None:
    if not redo.first <= redo.last < spec.frames:
        _refuse(
            f"the job's redo is about the frames {redo.first} to {redo.last}, the clip has 0 to {spec.frames - 1}: "
            "choose a part of it"
        )
    for index, each in enumerate(redo.kept):
        where = f"redo.kept[{index}]"
        if each.frame >= spec.frames or (index and each.frame <= redo.kept[index - 1].frame):
            _refuse(f"the job's {where}.frame is {each.frame}: give frames of the clip in rising order, each once")
        if (each.image.width, each.image.height) != (spec.width, spec.height):
            size = f"{each.image.width}x{each.image.height}"
            _refuse(f"the job's {where}.image is {size}, the clip is {spec.width}x{spec.height}: send its own frames")
    wanted = needed(redo.first, redo.last, spec.frames, overlap=redo.overlap, character=redo.character)
    missing = set(wanted) - {each.frame for each in redo.kept}
    if missing:
        _refuse(
            f"the job's redo.kept lacks frame {min(missing)}: send {len(wanted)} frames of the clip as they are, "
            "those round about the part and those that are blended"
        )
    _check_redo_character(spec, redo)


def _check_redo_character(spec: JobSpec, redo: Redo) -> None:
    if not redo.character:
        return
    if redo.character not in {each.index for each in _characters(spec)}:
        _refuse(f"the job's redo.character is {redo.character}, which no character of the pack has: capture the scene")
    if spec.pack is None or not spec.pack.mask:
        _refuse("a redo of one character needs the masks of the drive pack (pack.mask): capture the scene with them")
    if redo.mask and len(redo.mask) != spec.made:
        _refuse(
            f"the job's redo.mask has {len(redo.mask)} maps, none or one a frame of the part ({spec.made}) are allowed"
        )
    for index, each in enumerate(redo.mask):
        _check_array(each, f"redo.mask[{index}]", "u1", (spec.height, spec.width))


def _check_pack(spec: JobSpec, pack: DrivePack) -> None:
    for name in ("width", "height", "frames", "fps"):
        wanted, given = getattr(spec, name), getattr(pack, name)
        if wanted != given:
            _refuse(f"the drive pack's {name} is {given} but the job's is {wanted}: capture the scene again")
    if spec.task in {"animate", "replace"} and not pack.characters:
        _refuse(f"the task {spec.task} needs a character in the drive pack (pack.characters): choose an armature")
    for name in ("plate", "mask") if spec.task == "replace" else ():
        if not getattr(pack, name):
            _refuse(f"the task replace needs a {name} in the drive pack (pack.{name}): capture the scene for replace")
    for name, (dtype, rest) in _MAPS.items():
        _check_maps(pack, name, dtype, rest)
    if pack.camera:
        _check_array(pack.camera.world_from_camera, "pack.camera.world_from_camera", "f8", (pack.frames, 4, 4))
        _check_array(pack.camera.intrinsics, "pack.camera.intrinsics", "f8", (pack.frames, 4))
    _check_characters(pack)


def _check_maps(pack: DrivePack, name: str, dtype: str, rest: tuple[int, ...]) -> None:
    track: tuple[ArrayRef, ...] = getattr(pack, name)
    _check_length(track, f"pack.{name}", pack.frames)
    for index, each in enumerate(track):
        _check_array(each, f"pack.{name}[{index}]", dtype, (pack.height, pack.width, *rest))


def _check_length(track: tuple[ArrayRef, ...], where: str, frames: int) -> None:
    if track and len(track) != frames:
        _refuse(f"the job's {where} has {len(track)} maps, none or one a frame ({frames}) are allowed")


def _check_characters(pack: DrivePack) -> None:
    seen: set[int] = set()
    for number, each in enumerate(pack.characters):
        where = f"pack.characters[{number}]"
        if each.index in seen:
            _refuse(f"the job's {where}.index is {each.index}, which another character has: give each its own")
        seen.add(each.index)
        _check_character(each, where, pack.frames)


def _check_character(track: CharacterTrack, where: str, frames: int) -> None:
    _check_array(track.body, f"{where}.body", "f4", (frames, BODY_POINTS, 5))
    _check_array(track.left_hand, f"{where}.left_hand", "f4", (frames, HAND_POINTS, 5))
    _check_array(track.right_hand, f"{where}.right_hand", "f4", (frames, HAND_POINTS, 5))
    _check_array(track.face_box, f"{where}.face_box", "f4", (frames, 4))
    _check_length(track.face, f"{where}.face", frames)
    for index, each in enumerate(track.face):
        _check_array(each, f"{where}.face[{index}]", "u1", (FACE_SIDE, FACE_SIDE, 3))
    if track.reference:
        _check_reference(track.reference, f"{where}.reference")


def _check_reference(reference: Reference, where: str) -> None:
    _check_array(reference.body, f"{where}.body", "f4", (BODY_POINTS, 3))
    _check_array(reference.left_hand, f"{where}.left_hand", "f4", (HAND_POINTS, 3))
    _check_array(reference.right_hand, f"{where}.right_hand", "f4", (HAND_POINTS, 3))
    if reference.source != "none" and reference.body is None:
        _refuse(f"the job's {where}.source is {reference.source} but its body is missing: give the joints, or say none")


def _check_array(ref: ArrayRef | None, where: str, dtype: str, shape: tuple[int, ...]) -> None:
    if ref is None:
        return
    if (ref.dtype, ref.shape) != (dtype, shape):
        _refuse(f"the job's {where} is {ref.dtype} {ref.shape}, {dtype} {shape} is needed")
    if ref.codec == "delta" and len(shape) < 2:
        _refuse(
            f"the job's {where} has the codec delta, which is for arrays of two or more dimensions: send it as zlib"
        )
    try:
        expected = array_bytes(dtype, shape)
    except AssetError as error:
        problem = f"the job's {where} is too large: {error}"
        raise InvalidJob(problem) from error
    # zlib makes incompressible data a little longer, never by more than this.
    fits = ref.asset.nbytes == expected if ref.codec == "raw" else ref.asset.nbytes <= expected + expected // 1000 + 64
    if not fits:
        _refuse(f"the job's {where} has an asset of {ref.asset.nbytes} bytes, {dtype} {shape} takes {expected}")


def _refuse(problem: str) -> None:
    raise InvalidJob(problem)
