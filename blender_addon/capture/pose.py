"""Pose tracks: evaluated bones through the camera, with depth, visibility and score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..words import noted, tr
from .bonemap import BoneMap, find_bone_map
from .camera import CameraSample, project, read_camera
from .evaluate import (
    bare_copy,
    find_armature,
    find_camera,
    find_scene,
    full_copy,
    left_out_objects,
    sample_frames,
    scratch,
    set_frame,
)
from .offsets import N_BODY, N_HAND, Points, build_points, pose_points
from .params import CaptureProblem, CharacterParams, ShotParams
from .visibility import OccluderProbe, RayProbe, point_states

if TYPE_CHECKING:
    import bpy

Array = NDArray[Any]


@dataclass(frozen=True)
class CharacterPose:
    """One character's tracks, as protocol.specs.CharacterTrack describes: body f4 (T,20,5), hands f4 (T,21,5) or None,
    face_box f4 (T,4) or None."""

    params: CharacterParams
    bone_map: BoneMap
    body: Array
    left_hand: Array | None
    right_hand: Array | None
    face_box: Array | None


@dataclass(frozen=True)
class PoseCapture:
    """``world_from_camera`` f8 (T,4,4), ``intrinsics`` f8 (T,4), scene ``frames`` of the samples, ``warnings``."""

    world_from_camera: Array
    intrinsics: Array
    orthographic: bool
    frames: tuple[float, ...]
    characters: tuple[CharacterPose, ...]
    warnings: tuple[str, ...]


class RigReader:
    """Reads one character's bones from an evaluated scene."""

    def __init__(self, params: CharacterParams, armature: bpy.types.Object) -> None:
        self.params, self.armature = params, armature
        self.bone_map = find_bone_map(armature, params.bone_map)
        self.points: Points = build_points(armature.data, self.bone_map)
        names = [bone.name for bone in armature.pose.bones]
        self._rows = np.array([names.index(name) for name in self.points.bones])
        self._buffer = np.empty(16 * len(names), np.float32)

    def read(self, depsgraph: bpy.types.Depsgraph) -> tuple[Array, float]:
        """World points (67,3) and the head's height in metres, at the depsgraph's time."""
        evaluated = self.armature.evaluated_get(depsgraph)
        evaluated.pose.bones.foreach_get("matrix", self._buffer)
        bones = self._buffer.reshape(-1, 4, 4)[self._rows].swapaxes(1, 2).astype(np.float64)
        world = np.array(evaluated.matrix_world, np.float64)
        scale = abs(float(np.linalg.det(world[:3, :3]))) ** (1.0 / 3.0)
        return pose_points(self.points, (world @ bones)[None])[0], self.points.head_height * scale


def check_shot(params: ShotParams) -> None:
    """CaptureProblem for sizes, ranges and character lists that make no shot."""
    if params.frames < 1:
        msg = tr("The frame range is empty ({count} frames): the shot needs at least one frame.", count=params.frames)
        raise CaptureProblem(msg)
    if params.frames > 4096:
        msg = tr("The shot has {count} frames, at most 4096 are possible: shorten the range.", count=params.frames)
        raise CaptureProblem(msg)
    if not 0.0 < params.fps <= 120.0:
        msg = tr(
            "A shot at {fps:g} frames a second is not possible: choose more than 0 and at most 120.", fps=params.fps
        )
        raise CaptureProblem(msg)
    for side, value in ((noted("width"), params.width), (noted("height"), params.height)):
        if not 64 <= value <= 4096 or value % 2:
            msg = tr(
                "The {side} of {value} px is not possible: choose an even number from 64 to 4096.",
                side=tr(side),
                value=value,
            )
            raise CaptureProblem(msg)
    _check_characters(params.characters)


def _check_characters(characters: tuple[CharacterParams, ...]) -> None:
    indices = [character.index for character in characters]
    if len(characters) > 16 or any(not 1 <= index <= 254 for index in indices) or len(set(indices)) != len(indices):
        msg = tr(
            "Characters need different mask values from 1 to 254, at most 16 of them; given: {indices}.",
            indices=indices,
        )
        raise CaptureProblem(msg)
    armatures = [character.armature for character in characters]
    if len(set(armatures)) != len(armatures):
        msg = tr("Two characters share an armature ({names}): give each its own.", names=", ".join(armatures))
        raise CaptureProblem(msg)


class TrackBuilder:
    """Collects samples of all characters; ``finish`` gives the tracks."""

    def __init__(self, params: ShotParams, readers: list[RigReader]) -> None:
        self.params, self.readers = params, readers
        self.cameras: list[CameraSample] = []
        self._rows: list[list[Array]] = [[] for _ in readers]
        self._boxes: list[list[Array]] = [[] for _ in readers]

    def add(self, depsgraph: bpy.types.Depsgraph, camera: CameraSample, front: OccluderProbe | None) -> None:
        """Read one sample; ``front`` tells what stands in front of a point, None = nobody asked."""
        self.cameras.append(camera)
        for number, reader in enumerate(self.readers):
            world, head = reader.read(depsgraph)
            track, box = self._project(reader, world, head, camera, front)
            self._rows[number].append(track)
            self._boxes[number].append(box)

    def _project(
        self, reader: RigReader, world: Array, head: float, camera: CameraSample, front: OccluderProbe | None
    ) -> tuple[Array, Array]:
        size = (self.params.width, self.params.height)
        pixels, depth = project(world, camera)
        count = N_BODY + 2 * N_HAND
        state, factor = point_states(world, pixels, depth, size, front=front, index=reader.params.index, head=head)
        score = np.where(reader.points.row < 0, 1.0, reader.points.score) * factor
        track = np.concatenate([pixels, score[:, None], depth[:, None], state[:, None]], axis=1)
        track[state >= 3, :3] = 0.0
        track[state == 4] = (0.0, 0.0, 0.0, 0.0, 4.0)
        return track[:count].astype(np.float32), _face_box(pixels[count:], depth[count:], size)

    def finish(self) -> tuple[CharacterPose, ...]:
        """One ``CharacterPose`` a character, in the order of the parameters."""
        return tuple(
            _character(reader, np.stack(rows), np.stack(boxes))
            for reader, rows, boxes in zip(self.readers, self._rows, self._boxes, strict=True)
        )


def _face_box(pixels: Array, depth: Array, size: tuple[int, int]) -> Array:
    """left, top, right, bottom of the face in the picture; NaN when it is outside or behind the camera."""
    nothing = np.full(4, np.nan, np.float32)
    if not np.isfinite(pixels).all() or (depth <= 0.0).any():
        return nothing
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    if (high <= 0.0).any() or (low >= size).any():
        return nothing
    return np.concatenate([low, high]).astype(np.float32)


def _character(reader: RigReader, track: Array, boxes: Array) -> CharacterPose:
    body, left, right = np.split(track, [N_BODY, N_BODY + N_HAND], axis=1)
    return CharacterPose(
        reader.params,
        reader.bone_map,
        np.ascontiguousarray(body),
        np.ascontiguousarray(left) if reader.points.has_hand[0] else None,
        np.ascontiguousarray(right) if reader.points.has_hand[1] else None,
        boxes if "head" in reader.bone_map.bones else None,
    )


def off_screen_warnings(characters: tuple[CharacterPose, ...]) -> tuple[str, ...]:
    """A sentence for each character the camera never sees."""
    return tuple(
        tr(
            "{name} is outside the picture in every frame of the shot: check the camera and the frame range.",
            name=character.params.name,
        )
        for character in characters
        if (character.body[:, :, 4] >= 2).all()
    )


def pose_capture(builder: TrackBuilder, frames: list[float], warnings: tuple[str, ...] = ()) -> PoseCapture:
    """What a finished builder holds."""
    characters = builder.finish()
    cameras = builder.cameras
    return PoseCapture(
        np.stack([camera.world for camera in cameras]),
        np.stack([camera.intrinsics for camera in cameras]),
        cameras[0].orthographic,
        tuple(frames),
        characters,
        (*warnings, *off_screen_warnings(characters)),
    )


def capture_pose(params: ShotParams) -> PoseCapture:
    """Camera and pose tracks without any render. Without ``occlusion`` no mesh is evaluated; with it, rays are cast
    at the evaluated scene. Raises CaptureProblem."""
    check_shot(params)
    scene = find_scene(params.scene)
    camera = find_camera(scene, params.camera)
    readers = [RigReader(character, find_armature(scene, character)) for character in params.characters]
    armatures = [reader.armature for reader in readers]
    frames = sample_frames(scene, params)
    aspect = (scene.render.pixel_aspect_x, scene.render.pixel_aspect_y)
    builder = TrackBuilder(params, readers)
    with scratch() as made:
        if params.occlusion:
            copy = full_copy(made, scene, armatures)
        else:
            copy = bare_copy(made, scene, [camera, *armatures], armatures)
        rays = RayProbe(copy, scene, readers, left_out_objects(scene, params)) if params.occlusion else None
        for frame in frames:
            depsgraph = set_frame(copy, frame)
            sample = read_camera(camera, depsgraph, params.width, params.height, aspect)
            if rays is not None:
                rays.at(depsgraph, sample)
            builder.add(depsgraph, sample, rays)
    return pose_capture(builder, frames)
