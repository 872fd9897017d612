"""The verdict on a take in pieces of a tick each: as quick as a tick may be, and as good as in one go."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

from tests.bpy.addon.made import finished, flat  # noqa: E402

FRAMES, FPS, JOB = 81, 16.0, "c" * 32


def rig_track(x: float) -> np.ndarray:
    """(81,20,5) of somebody who is 200 px high and walks to the right; all visible."""
    body = np.zeros((FRAMES, 20, 5))
    body[..., 1] = np.linspace(20, 220, 20)
    body[..., 0] = x + 7 * (np.arange(20) % 3) + np.arange(FRAMES)[:, None]
    body[:, 1] = body[:, (2, 5)].mean(axis=1)  # the neck, between the shoulders
    body[..., 2] = 1.0
    return body


def landmarks_of(body: np.ndarray) -> np.ndarray:
    """(81,33,4) that show the body points where they are."""
    from blender_addon.film import judge

    marks = np.zeros((FRAMES, 33, 4), np.float32)
    marks[..., 3] = 1.0
    for point, mark in enumerate(judge.LANDMARKS):
        if mark >= 0:
            marks[:, mark, :2] = body[:, point, :2]
    return marks


def write_pose(path: Path, *people: np.ndarray) -> None:
    from blender_addon.retarget import joints

    header = {"format": "wanstage-pose", "version": 1, "fps": FPS, "frames": FRAMES, "joints": joints.NAMES,
              "people": [{"id": n, "name": f"Person {n}"} for n in range(len(people))]}  # fmt: skip
    tracks = {f"p{number}/landmarks": marks for number, marks in enumerate(people)}
    np.savez_compressed(path, header=np.frombuffer(json.dumps(header).encode(), np.uint8), **tracks)


@pytest.fixture
def take(shot: Any, tmp_path: Path) -> Any:
    """Of two rigs and 81 frames, the second person's left arm wrong in frames 21 to 40 (from 1)."""
    from blender_addon import takes
    from blender_addon.film import check, judge

    made = finished(shot, "b", pictures=[flat(0, 0, 0)], fps=FPS, width=832, height=480)
    made.frames = FRAMES
    bodies = [rig_track(100.0), rig_track(500.0)]
    film = [landmarks_of(body) for body in bodies]
    for joint in judge.GROUPS["left arm"]:
        film[1][20:40, judge.LANDMARKS[joint], 0] += 60.0
    folder = takes.folder(made)
    check._keep_rig(folder, SimpleNamespace(characters=[
        SimpleNamespace(body=body, params=SimpleNamespace(name=name)) for name, body in zip("AB", bodies, strict=True)
    ]))  # fmt: skip
    write_pose(folder / "pose.npz", film[1], film[0])
    return made


@pytest.fixture
def search(shot: Any, take: Any) -> Iterator[Any]:
    """The check of the take, whose pose file has just come."""
    from blender_addon import state, takes

    own = shot.wanstage_retarget.motion
    own.job_id, own.state, own.frames, own.folder = JOB, "running", FRAMES, take.frames_dir
    own.take_id, own.check, own.received = take.job_id, True, FRAMES + 1
    run = state.now.runs[JOB] = state.Run(JOB, takes.folder(take), received=FRAMES + 1, done_s=-1.0)
    run.update = SimpleNamespace(state="finished", job_id=JOB, error="")
    state.now.client = SimpleNamespace(close=lambda: None, poll=lambda _wait: [], wait=lambda _s: [])
    yield own
    state.now.client = None


def come() -> None:
    from blender_addon import state
    from blender_addon.film import job

    run = state.now.runs[JOB]
    job._changed(run, *job.find(JOB))


def verdict(take: Any) -> dict[str, Any]:
    from blender_addon import takes

    return {name: value for name, value in takes.meta(take)["follow"].items() if name != "made"}


def test_it_goes_a_piece_a_tick_and_the_undo_step_comes_last(search: Any, take: Any) -> None:
    from blender_addon import pump, state, takes

    come()
    assert (len(state.now.pieces), search.state) == (1, "running")
    ticks = 0
    while state.now.pieces:
        assert pump.tick() == pump.FLOWING_S
        ticks += 1
    assert ticks >= 8
    assert state.now.undo_step == "Wanstage Find Motion"
    pump.tick()
    assert (search.state, search.problem, state.now.runs[JOB].settled) == ("finished", "", True)
    assert (takes.folder(take) / "follow.png").is_file()


def test_it_is_the_verdict_of_one_go(search: Any, take: Any) -> None:
    from blender_addon import pump, state, takes
    from blender_addon.film import check

    scene = bpy.context.scene
    check.finish(scene, take)
    at_once, picture = verdict(take), (takes.folder(take) / "follow.png").read_bytes()
    marks = sorted((mark.name, mark.frame) for mark in scene.timeline_markers)
    assert marks == [("B off: left arm", 21)]
    assert at_once["people"][1]["off"][0] | {"worst": 0} == {"part": "left arm", "first": 21, "last": 40, "worst": 0}
    assert at_once["people"][0]["off"] == []
    (takes.folder(take) / "follow.png").unlink()
    come()
    assert pump.pump(lambda: not state.now.pieces, 10.0)
    assert verdict(take) == at_once
    assert sorted((mark.name, mark.frame) for mark in scene.timeline_markers) == marks
    assert (takes.folder(take) / "follow.png").read_bytes() == picture


def _half(count: int) -> None:
    from blender_addon import pump

    come()
    for _ in range(count):
        pump.tick()


def test_a_take_that_is_removed_meanwhile(search: Any, take: Any) -> None:
    from blender_addon import pump, state, takes

    _half(4)
    takes.remove(bpy.context.scene, take.job_id)
    assert pump.pump(lambda: not state.now.pieces, 10.0)
    assert (search.state, len(bpy.context.scene.timeline_markers)) == ("finished", 0)


def test_what_cannot_be_read_is_a_sentence_and_nothing_is_changed(search: Any, take: Any) -> None:
    from blender_addon import pump, state, takes

    (takes.folder(take) / "rig.npz").write_bytes(b"cut short")
    come()
    assert pump.pump(lambda: not state.now.pieces, 10.0)
    assert search.state == "failed"
    assert search.problem.startswith("What was kept of the rig in")
    assert "follow" not in takes.meta(take)
    assert not (takes.folder(take) / "follow.png").exists()


def test_another_file_forgets_it_and_leaving_the_backend_does_not(search: Any, take: Any) -> None:
    from blender_addon import pump, state

    _half(3)
    state.disconnect()
    assert pump.pump(lambda: not state.now.pieces, 10.0)
    assert search.state == "finished"
    state.now.runs[JOB] = state.Run(JOB, Path(), received=FRAMES + 1, done_s=-1.0)
    state.now.runs[JOB].update = SimpleNamespace(state="finished", job_id=JOB, error="")
    _half(3)
    assert state.now.pieces
    bpy.ops.wm.read_homefile(use_empty=True)
    assert not state.now.pieces


def test_a_file_that_was_saved_in_between_goes_on(search: Any, take: Any) -> None:
    from blender_addon import pump, state
    from blender_addon.film import job, live

    state.now.runs.clear()
    state.now.client.attach = lambda *_: None
    assert job.attach_unfinished() == 1
    state.now.runs[JOB].update = SimpleNamespace(state="finished", job_id=JOB, error="")
    come()
    assert pump.pump(lambda: not state.now.pieces, 10.0)
    assert (search.state, live._shown) == ("finished", {})


def test_two_people_in_the_film_of_one_rig(search: Any, take: Any) -> None:
    """The one who stands where the rig is counts; nobody is judged twice."""
    from blender_addon import takes
    from blender_addon.film import check

    check._keep_rig(takes.folder(take), SimpleNamespace(
        characters=[SimpleNamespace(body=rig_track(500.0), params=SimpleNamespace(name="B"))]))  # fmt: skip
    check.finish(bpy.context.scene, take)
    (person,) = verdict(take)["people"]
    assert person["found"]
    assert [each["part"] for each in person["off"]] == ["left arm"]
