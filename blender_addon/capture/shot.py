"""A whole shot as a drive pack: one evaluation and one render a sample."""

from __future__ import annotations

import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import wire
from ..words import tr
from .bake import Bake
from .camera import CameraSample, read_camera
from .clay import BACKDROP, ClayScene
from .evaluate import (
    Scratch,
    find_armature,
    find_camera,
    find_scene,
    full_copy,
    left_out_objects,
    sample_frames,
    scratch,
    set_frame,
)
from .face import capture_face
from .look import render_look
from .maps import AssetSink, OriginMapper, array_ref, clay_map, clean_depth, plate_map, smooth_edges
from .params import MAP_PARTS, PARTS, CaptureProblem, CaptureProgress, ShotParams
from .plate import capture_plates
from .pose import CharacterPose, PoseCapture, RigReader, TrackBuilder, check_shot, pose_capture
from .visibility import MapProbe, RayProbe
from .work import Work

if TYPE_CHECKING:
    import bpy

    from protocol.specs import CharacterTrack, DrivePack, ImageRef

Array = NDArray[Any]

__all__ = ["AssetSink", "capture_shot", "capture_stills"]


class _Renders:
    """The clay scene of a shot and the maps made so far; a map leaves memory as soon as it is encoded.

    Origin maps stay raw: zlib takes 70 ms to save a third of one.
    """

    def __init__(self, made: Scratch, params: ShotParams, sink: AssetSink, folder: Path) -> None:
        self.made, self.params, self.sink, self.folder = made, params, sink, folder
        made_elsewhere = frozenset() if params.plate == "clay" else frozenset({"plate"})
        self.tracks: dict[str, list[Any]] = {part: [] for part in (MAP_PARTS & params.parts) - made_elsewhere}
        self.seen: set[int] = set()
        self.bake: Bake | None = None
        self._clay: ClayScene | None = None
        self._origin: OriginMapper | None = None
        self.probe: MapProbe | None = None

    def start(
        self, scene: bpy.types.Scene, copy: bpy.types.Scene, camera: CameraSample, readers: list[RigReader]
    ) -> None:
        """Make the clay scene, with its key light behind sample 0's camera."""
        params = self.params
        self._clay = ClayScene(self.made, self.folder, (params.width, params.height), camera, params.samples)
        characters = [(reader.params.index, reader.armature) for reader in readers]
        self.bake = Bake(self.made, self._clay, scene, copy, characters, gone=left_out_objects(scene, params))

    def sample(self, depsgraph: bpy.types.Depsgraph, camera: CameraSample, clip: tuple[float, float]) -> None:
        """Render one sample and store its maps."""
        assert self._clay is not None  # noqa: S101 (start comes first)
        assert self.bake is not None  # noqa: S101
        self.bake.update(depsgraph)
        self._clay.aim(camera, clip)
        passes = self._clay.render()
        depth = clean_depth(passes["depth"])
        mask = self.bake.owners[passes["index"].astype(np.int32)]
        self.probe = MapProbe(depth, mask)
        self.seen.update(np.unique(mask).tolist())
        if self._origin is None:
            self._origin = OriginMapper(camera, depth)
        self._store(passes, depth, mask)

    def _store(self, passes: dict[str, Any], depth: Array, mask: Array) -> None:
        assert self.bake is not None  # noqa: S101 (the sample was just baked)
        palette = self.bake.palette
        makers = {
            "clay": lambda: smooth_edges(clay_map(passes["clay"], depth, palette, BACKDROP), depth, mask),
            "plate": lambda: smooth_edges(*plate_map(passes["plate"], palette, BACKDROP)),
            "mask": lambda: mask,
            "depth": lambda: depth,
            "origin": lambda: self._origin_map(passes),
        }
        for part, track in self.tracks.items():
            track.append(array_ref(makers[part](), self.sink, "delta" if part in {"depth", "origin"} else "zlib"))

    def _origin_map(self, passes: dict[str, Any]) -> Array:
        assert self._origin is not None  # noqa: S101 (sample 0 made both)
        assert self.bake is not None  # noqa: S101
        return self._origin.encode(passes["index"], passes["rest"], self.bake.first_matrices)


def capture_shot(params: ShotParams, folder: AssetSink) -> Generator[CaptureProgress, None, DrivePack]:
    """Capture a shot; assets go into ``folder``, the generator returns the ``DrivePack``.

    Advance it from a modal timer or a loop: each step is one sample. Raises CaptureProblem. However it ends (also by
    ``close``), every temporary datablock is gone and the user's scene is as it was. Warnings ride on the last progress.
    """
    check_shot(params)
    unknown = params.parts - PARTS
    if unknown:
        msg = f"A drive pack has no part named {', '.join(sorted(unknown))}: choose from {', '.join(sorted(PARTS))}."
        raise CaptureProblem(msg)
    scene = find_scene(params.scene)
    camera = find_camera(scene, params.camera)
    readers = [RigReader(character, find_armature(scene, character)) for character in params.characters]
    yield CaptureProgress("prepare", 0, 1)
    with scratch() as made, tempfile.TemporaryDirectory(prefix="wanstage-") as temporary:
        path = Path(temporary)
        renders, work = _Renders(made, params, folder, path), Work(params, scene, camera, folder, path)
        poses = yield from _samples(renders, scene, camera, readers)
        if params.plate != "clay" and "plate" in params.parts:
            _check_seen(renders)
            renders.tracks["plate"] = yield from capture_plates(work, poses.frames)
        faces, warnings = yield from _faces(work, poses)
        looks = yield from _looks(renders, scene, camera, readers)
    pack = _pack(poses, renders, looks, faces)
    yield CaptureProgress("pack", 1, 1, (*poses.warnings, *warnings))
    return pack


def capture_stills(
    params: ShotParams, folder: AssetSink, *, last: bool = False
) -> Generator[CaptureProgress, None, list[ImageRef]]:
    """The first sample with materials and light as a picture, and the last one if wanted. Raises CaptureProblem."""
    check_shot(params)
    scene = find_scene(params.scene)
    camera = find_camera(scene, params.camera)
    frames = sample_frames(scene, params)
    wanted = [frames[0], frames[-1]] if last else [frames[0]]
    found = []
    yield CaptureProgress("prepare", 0, 1)
    with tempfile.TemporaryDirectory(prefix="wanstage-") as temporary:
        for step, frame in enumerate(wanted):
            data = render_look(params, scene, camera, Path(temporary) / f"still{step}.png", frame=frame)
            found.append(wire.specs.ImageRef(folder.add(data), params.width, params.height))
            yield CaptureProgress("look", step + 1, len(wanted))
    return found


def _check_seen(renders: _Renders) -> None:
    """CaptureProblem when no picture of the shot shows who is to be replaced, before the long renders."""
    replaced = {person.index: person.name for person in renders.params.characters if not person.in_plate}
    if "mask" in renders.tracks and renders.seen.isdisjoint(replaced):
        names = ", ".join(replaced.values()) or tr("Nobody")
        msg = tr(
            "{names} is not seen in any frame of the shot, so there is nothing to replace: check camera and range.",
            names=names,
        )
        raise CaptureProblem(msg)


def _faces(work: Work, poses: PoseCapture) -> Generator[CaptureProgress, None, tuple[dict[int, Any], list[str]]]:
    faces: dict[int, Any] = {}
    warnings: list[str] = []
    if "face" not in work.params.parts:
        return faces, warnings
    for pose in poses.characters:
        clip, said = yield from capture_face(work, pose, poses)
        faces[pose.params.index] = clip
        warnings += said
    return faces, warnings


def _samples(
    renders: _Renders, scene: bpy.types.Scene, camera: bpy.types.Object, readers: list[RigReader]
) -> Generator[CaptureProgress, None, PoseCapture]:
    params = renders.params
    frames = sample_frames(scene, params)
    aspect = (scene.render.pixel_aspect_x, scene.render.pixel_aspect_y)
    copy = full_copy(renders.made, scene, [reader.armature for reader in readers])
    builder = TrackBuilder(params, readers)
    gone = left_out_objects(scene, params)
    rays = RayProbe(copy, scene, readers, gone) if params.occlusion and not renders.tracks else None
    for step, frame in enumerate(frames):
        depsgraph = set_frame(copy, frame)
        sample = read_camera(camera, depsgraph, params.width, params.height, aspect)
        if renders.tracks:
            if step == 0:
                renders.start(scene, copy, sample, readers)
            data = camera.evaluated_get(depsgraph).data
            renders.sample(depsgraph, sample, (data.clip_start, data.clip_end))
        if rays is not None:
            rays.at(depsgraph, sample)
        probe = (rays or renders.probe) if params.occlusion else None
        builder.add(depsgraph, sample, probe)
        yield CaptureProgress("frames", step + 1, len(frames))
    warnings = tuple(renders.bake.warnings) if renders.bake is not None else ()
    return pose_capture(builder, frames, warnings)


def _looks(
    renders: _Renders, scene: bpy.types.Scene, camera: bpy.types.Object, readers: list[RigReader]
) -> Generator[CaptureProgress, None, dict[str, Any]]:
    params = renders.params
    wanted = [part for part in ("look", "look_plate") if part in params.parts]
    looks: dict[str, Any] = {}
    for step, part in enumerate(wanted):
        without = [reader.armature for reader in readers] if part == "look_plate" else []
        data = render_look(params, scene, camera, renders.folder / f"{part}.png", without=without)
        looks[part] = wire.specs.ImageRef(renders.sink.add(data), params.width, params.height)
        yield CaptureProgress("look", step + 1, len(wanted))
    return looks


def _pack(poses: PoseCapture, renders: _Renders, looks: dict[str, Any], faces: dict[int, Any]) -> DrivePack:
    specs, params, folder = wire.specs, renders.params, renders.sink
    camera = specs.Camera(
        array_ref(poses.world_from_camera, folder),
        array_ref(poses.intrinsics, folder),
        "orthographic" if poses.orthographic else "perspective",
    )
    characters = tuple(
        _character_track(character, folder, faces.get(character.params.index, ())) for character in poses.characters
    )
    maps = {part: tuple(track) for part, track in renders.tracks.items()}
    return specs.DrivePack(params.width, params.height, params.frames, params.fps, camera, characters, **maps, **looks)


def _character_track(character: CharacterPose, folder: AssetSink, face: tuple[Any, ...]) -> CharacterTrack:
    optional = {
        name: None if track is None else array_ref(track, folder)
        for name, track in (
            ("left_hand", character.left_hand),
            ("right_hand", character.right_hand),
            ("face_box", character.face_box),
        )
    }
    return wire.specs.CharacterTrack(
        index=character.params.index,
        name=character.params.name,
        body=array_ref(character.body, folder),
        derived=character.bone_map.derived,
        face=face,
        **optional,
    )
