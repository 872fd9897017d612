"""The face clip that drives expression: the rig's own head with its materials, or the user's own film of a face.

The region is that of Wan2.2's ``get_face_bboxes`` (``wan/modules/animate/preprocess/utils.py``), which cuts it out of
the driving video; here it is rendered for the purpose, so its borders need not be whole pixels.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ..words import tr
from .camera import CameraSample
from .evaluate import bare_copy, character_objects, scratch, set_frame
from .eye import aim, cropped, make_eye
from .film import Film
from .look import can_denoise, raw_output, read_raw, rendered, set_render
from .maps import array_ref
from .params import CaptureProgress, CharacterParams, ShotParams
from .pictures import cover, resize
from .pose import CharacterPose, PoseCapture
from .work import Work

Array = NDArray[Any]

SIDE = 512  # of the official face video
AREA_FACTOR = 1.3  # the tight box grows to so many times its area
BEHIND = 127  # grey where the head is not
LEAST_HEAD = 0.05  # of the region: less than that in every sample is no head
ROUGH = 4  # times the samples where Blender has no denoiser


def region(box: Array, width: int, height: int) -> tuple[float, float, float, float] | None:
    """The official region (left, top, right, bottom px, inside the picture) round a tight face box (4,).

    It has 1.3 times the area at the same aspect: evenly to the sides, three quarters of the new height above and one
    below. None where the face is not in the picture.
    """
    if not np.isfinite(box).all():
        return None
    left, top, right, bottom = (float(value) for value in box)
    grow = np.sqrt(AREA_FACTOR) - 1.0
    wide, high = (right - left) * grow, (bottom - top) * grow
    left, right = max(left - wide / 2, 0.0), min(right + wide / 2, float(width))
    top, bottom = max(top - 0.75 * high, 0.0), min(bottom + 0.25 * high, float(height))
    return (left, top, right, bottom) if right - left >= 1.0 and bottom - top >= 1.0 else None


Clip = tuple[Any, ...]
Steps = Generator[CaptureProgress, None, tuple[Clip, list[str]]]


def capture_face(work: Work, pose: CharacterPose, poses: PoseCapture) -> Steps:
    """A character's clip, one ArrayRef u1 (512,512,3) a sample or none at all, and sentences for the artist."""
    character = pose.params
    if character.face == "none":
        return (), []
    if character.face == "film":
        return (yield from _from_film(work, character, len(poses.frames)))
    return (yield from _from_rig(work, pose, poses))


def _from_rig(work: Work, pose: CharacterPose, poses: PoseCapture) -> Steps:
    params, scene, character = work.params, work.scene, pose.params
    armature = scene.objects[character.armature]
    head = pose.bone_map.bones.get("head")
    if head is None or pose.face_box is None or not has_head(scene, armature, head):
        return (), [tr("{name} has no head that could be rendered: expression is not driven.", name=character.name)]
    regions = [region(box, params.width, params.height) for box in pose.face_box]
    found: list[Any] = []
    most = 0.0
    with scratch() as made:
        inside = set(character_objects(scene, armature))
        kept = [item for item in rendered(scene) if item in inside or item.type in {"LIGHT", "LIGHT_PROBE"}]
        copy = bare_copy(made, scene, kept, [armature])
        eye = make_eye(made, copy)
        path = work.folder / "face.tga"
        _set_up(copy, params, path)
        for step, box in enumerate(regions):
            found.append(None)
            if box is not None:
                set_frame(copy, poses.frames[step])
                camera = CameraSample(poses.world_from_camera[step], poses.intrinsics[step], poses.orthographic)
                size = (params.face_side, params.face_side)
                aim(copy, eye, size, cropped(camera, box, size), (0.001, 1.0e4))
                made.render(copy)
                picture, share = _over_grey(read_raw(path))
                most = max(most, share)
                found[-1] = array_ref(resize(picture, SIDE, SIDE), work.sink, "delta")
            yield CaptureProgress("face", step + 1, len(regions))
    if most < LEAST_HEAD:
        return (), [tr("{name} shows no face to the camera: expression is not driven.", name=character.name)]
    return tuple(filled(found)), []


def _set_up(copy: bpy.types.Scene, params: ShotParams, path: Path) -> None:
    """Small and quick: the face as it would be filmed, without the camera's own blur."""
    samples = params.face_samples if can_denoise() else params.face_samples * ROUGH
    set_render(copy, (params.face_side, params.face_side), samples, path, alpha=True)
    raw_output(copy, path, alpha=True)
    copy.render.use_motion_blur = False
    copy.render.use_persistent_data = True


def _over_grey(picture: Array) -> tuple[Array, float]:
    """RGB of an RGBA picture over grey, and the share that is not grey."""
    alpha = picture[..., 3:].astype(np.float32) / 255.0
    mixed = picture[..., :3] * alpha + np.float32(BEHIND) * (1.0 - alpha)
    return np.rint(mixed).astype(np.uint8), float(alpha.mean())


def filled(found: list[Any]) -> list[Any]:
    """Samples without a face take the last that had one, those before it the first."""
    last = next((each for each in found if each is not None), None)
    whole = []
    for each in found:
        last = last if each is None else each
        whole.append(last)
    return whole


def has_head(scene: bpy.types.Scene, armature: bpy.types.Object, head: str) -> bool:
    """Whether some mesh of the character hangs on its head bone or on what that carries. Looks at names only."""
    bone = armature.data.bones.get(head)
    if bone is None:
        return False
    names = {bone.name, *(child.name for child in bone.children_recursive)}
    names |= {f"{prefix}{name.split('-', 1)[-1]}" for name in tuple(names) for prefix in ("DEF-", "ORG-")}  # Rigify's
    return any(
        item.type == "MESH" and not item.hide_render and _hangs_on(item, names)
        for item in character_objects(scene, armature)
    )


def _hangs_on(item: bpy.types.Object, names: set[str]) -> bool:
    """A mesh that is parented to one of these bones, weighted to it, or bound by the bones' envelopes."""
    if item.parent_type == "BONE" and item.parent_bone in names:
        return True
    if any(group.name in names for group in item.vertex_groups):
        return True
    return any(modifier.type == "ARMATURE" and modifier.use_bone_envelopes for modifier in item.modifiers)


def _from_film(work: Work, character: CharacterParams, samples: int) -> Steps:
    """From the film's beginning, in the shot's own time; numbered pictures count scene frames."""
    rate = work.params.fps
    found: dict[int, Any] = {}
    order = []
    with scratch() as made:
        film = Film(made, Path(character.face_film), work.folder, work.scene_fps)
        for step in range(samples):
            index = film.at(step / rate)
            if index not in found:
                found[index] = array_ref(cover(film.picture(index), SIDE, SIDE), work.sink)
            order.append(found[index])
            yield CaptureProgress("face", step + 1, samples)
    lasts, takes = film.frames / film.fps, samples / rate
    if lasts >= (samples - 1) / rate:
        return tuple(order), []
    said = tr(
        "The face video of {name} ends after {lasts:.1f} s, the shot takes {takes:.1f} s: its end stays.",
        name=character.name,
        lasts=lasts,
        takes=takes,
    )
    return tuple(order), [said]
