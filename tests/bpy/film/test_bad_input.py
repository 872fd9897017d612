"""Motion from Film and Did It Follow with what they cannot use: one sentence each, and nothing is changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

from tests.bpy.addon.made import files, finished  # noqa: E402
from tests.bpy.film.test_check import FPS, FRAMES, landmarks_of, rig_track, write_pose  # noqa: E402

JOB = "d" * 32


class PoseArrived(SimpleNamespace):
    """As the client's event of that name."""


@pytest.fixture
def take(shot: Any) -> Any:
    """Four frames of a scene with a rig in it."""
    rig = bpy.data.objects.new("Hero", bpy.data.armatures.new("Hero"))
    shot.collection.objects.link(rig)
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    for name, (head, tail) in BONES.items():
        bone = rig.data.edit_bones.new(name)
        bone.head, bone.tail = head, tail
    bpy.ops.object.mode_set(mode="OBJECT")
    return finished(shot, "b")


BONES = {
    "mixamorig:Hips": ((0, 0, 1.0), (0, 0, 1.1)),
    "mixamorig:Spine": ((0, 0, 1.1), (0, 0, 1.3)),
    "mixamorig:Neck": ((0, 0, 1.5), (0, 0, 1.6)),
    "mixamorig:Head": ((0, 0, 1.6), (0, 0, 1.8)),
    **{
        f"mixamorig:{side}{name}": ((x * sign, 0, z), (x * sign, -0.02, z - 0.2))
        for side, sign in (("Left", 1), ("Right", -1))
        for name, x, z in (
            ("Arm", 0.2, 1.45), ("ForeArm", 0.45, 1.45), ("Hand", 0.7, 1.45),
            ("UpLeg", 0.1, 0.95), ("Leg", 0.1, 0.5), ("Foot", 0.1, 0.1),
        )
    },
}  # fmt: skip


def all_of(scene: Any, take: Any) -> list[Any]:
    """What a refusal must leave as it is."""
    from blender_addon import takes

    own = scene.wanstage_retarget
    names = [(kind, [each.name for each in getattr(bpy.data, kind)]) for kind in ("objects", "actions", "movieclips")]
    return [names, files(takes.folder(take)), own.pose_file, own.motion.job_id, own.motion.state, take.meta,
            [(mark.name, mark.frame) for mark in scene.timeline_markers]]  # fmt: skip


@pytest.fixture
def unchanged(shot: Any, take: Any) -> Iterator[None]:
    """Looks before and after."""
    from blender_addon import state

    before = all_of(shot, take)
    yield
    assert all_of(shot, take) == before
    assert not state.now.undo_step


def test_no_backend(unchanged: None, shot: Any, take: Any, refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"film")
    assert refused(bpy.ops.wanstage.find_motion, film=str(tmp_path / "a.mp4")).startswith("No backend is connected")
    assert refused(bpy.ops.wanstage.find_motion, source="TAKE", take=take.name).startswith("No backend is connected")
    assert refused(bpy.ops.wanstage.check_take, take=take.name).startswith("No backend is connected")
    assert "No backend is connected" in refused(bpy.ops.wanstage.cancel_motion)


def test_a_take_without_its_frames(unchanged: None, take: Any, refused: Callable[..., str]) -> None:
    take.frames_dir += "_elsewhere"
    try:
        assert "has no frames on disk in" in refused(bpy.ops.wanstage.check_take, take=take.name)
    finally:
        take.frames_dir = take.frames_dir.removesuffix("_elsewhere")


def test_a_take_without_its_camera(unchanged: None, shot: Any, take: Any, refused: Callable[..., str]) -> None:
    camera = shot.camera
    shot.collection.objects.unlink(camera)
    said = refused(bpy.ops.wanstage.check_take, take=take.name)
    shot.collection.objects.link(camera)
    assert said == f"The camera of {take.name} is not in the scene any more: put it back first"


def test_a_take_that_is_still_being_made(unchanged: None, take: Any, refused: Callable[..., str]) -> None:
    take.state = "running"
    assert refused(bpy.ops.wanstage.check_take, take=take.name) == f"{take.name} is still being made"
    take.state = "finished"


@pytest.fixture
def search(shot: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """A search that runs; called with what the backend says at its end and the file that it sends."""
    from blender_addon import state
    from blender_addon.film import job

    own = shot.wanstage_retarget.motion
    own.job_id, own.state, own.frames, own.folder, own.source = JOB, "running", FRAMES, str(tmp_path), "walk.mp4"
    state.now.client = SimpleNamespace(consumed=lambda _event: None, close=lambda: None)
    run = state.now.runs[JOB] = state.Run(JOB, tmp_path, received=FRAMES)
    run.update = SimpleNamespace(state="finished", job_id=JOB, error="", warnings=())

    def end(data: bytes, **update: Any) -> Any:
        vars(run.update).update(update)
        job.handle(PoseArrived(job_id=JOB, index=FRAMES, header=SimpleNamespace(kind="file"), data=data))
        return own

    yield end
    state.now.client = None


def pose_of(path: Path, count: int) -> bytes:
    write_pose(path, *(landmarks_of(rig_track(100.0 + 200.0 * each)) for each in range(count)))
    return path.read_bytes()


def test_two_people_are_said_and_one_is_taken(search: Callable[..., Any], shot: Any, tmp_path: Path) -> None:
    warning = "2 people are in the clip and longest took one: 'all' or an id takes others."
    own = search(pose_of(tmp_path / "two.npz", 2), warnings=(warning,))
    assert own.state == "finished"
    assert own.notes.splitlines() == ["2 people are in it: choose one by Person", warning]
    assert (Path(shot.wanstage_retarget.pose_file).name, shot.wanstage_retarget.person) == ("pose.npz", 0)


def test_one_person_needs_no_words(search: Callable[..., Any], tmp_path: Path) -> None:
    own = search(pose_of(tmp_path / "one.npz", 1))
    assert (own.state, own.notes) == ("finished", "")


def test_what_is_no_pose_file_never_gets_into_the_panel(search: Callable[..., Any], shot: Any) -> None:
    own = search(b"no pose at all")
    assert own.state == "failed"
    assert own.problem == "The backend sent no pose file that can be read: press Find Motion again"
    assert shot.wanstage_retarget.pose_file == ""


def test_no_models_at_the_backend(search: Callable[..., Any], shot: Any) -> None:
    from blender_addon import catalog, state
    from blender_addon.film import job

    said = "poses cannot be found: the model is missing: run 'wanstage models pull pose', or set A to B"
    run = state.now.runs[JOB]
    run.received, run.update = 0, SimpleNamespace(state="failed", job_id=JOB, error=said, warnings=())
    job._changed(run, *job.find(JOB))
    own = shot.wanstage_retarget.motion
    assert (own.state, own.problem) == ("failed", said[0].upper() + said[1:])
    assert catalog.command_in(own.problem) == "wanstage models pull pose"
    assert shot.wanstage_retarget.pose_file == ""


def test_two_rigs_and_one_person(shot: Any, take: Any) -> None:
    from blender_addon import takes
    from blender_addon.film import check

    take.frames, take.fps = FRAMES, FPS
    folder = takes.folder(take)
    bodies = {"A": rig_track(0.0), "B": rig_track(600.0)}
    people = [SimpleNamespace(body=body, params=SimpleNamespace(name=name)) for name, body in bodies.items()]
    check._keep_rig(folder, SimpleNamespace(characters=people))
    write_pose(folder / "pose.npz", landmarks_of(rig_track(600.0)))
    check.finish(shot, take)
    assert check.sentences(take) == [
        "A: Nobody was found in the take where A is.",
        "B: Follows within 0 % of the height",
    ]
    assert not shot.timeline_markers
    assert np.isfinite(takes.meta(take)["follow"]["people"][1]["within"])
