"""A part of a take of the video models, with tiny checkpoints and a real backend: animate, one character, pictures, a
talking shot. What stays stays byte for byte."""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

from tests.bpy import tools  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "capture"))
import clicks  # noqa: E402

ROOT = Path(__file__).resolve().parents[3]
TIMEOUT_S = 300.0

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        bpy.app.version[:2] != (5, 0),
        reason="run on Blender 5.0 alone: minutes of the backend's, nothing of a version's",
    ),
]


@pytest.fixture
def scene(addon: Any, wan_backend: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """The example's scene and its reference picture, connected to a backend that has the tiny models."""
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    import wan_shot

    known: argparse.ArgumentParser = wan_shot.words()
    told = wan_shot.Wish(known.parse_args(["--out", ".", "--steps", "1", "--plate-samples", "2"]))
    made = wan_shot.prepare(tmp_path, told)
    made.wanstage.frames_folder = "//{task}"
    assert bpy.ops.wanstage.connect(connection_file=str(wan_backend.file), wait=60.0) == {"FINISHED"}
    yield made
    bpy.ops.wanstage.disconnect()


def choose(scene: Any, task: str, model: str, frames: int, size: tuple[int, int] = (128, 96)) -> None:
    from blender_addon import catalog

    own = scene.wanstage
    own.task = task
    catalog.choose(own, "wan", model)
    catalog.set_size(own, size)
    rate = scene.render.fps / scene.render.fps_base
    own.use_scene_range, own.frame_start = False, scene.frame_start
    own.frame_end = scene.frame_start + int(-(-(frames - 1) * rate // own.fps))


def made(scene: Any) -> Any:
    """The newest take, when it has ended."""
    from blender_addon import pump

    job_id = scene.wanstage.takes[-1].job_id
    assert pump.run_until([job_id], TIMEOUT_S)
    take = scene.wanstage.takes[-1]
    assert (take.state, take.problem) == ("finished", "")
    return take


def sums(take: Any) -> list[str]:
    from blender_addon import takes

    files = sorted(takes.folder(take).glob("frame_*.png"))
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]


def alike(one: Any, other: Any) -> list[int]:
    """The frames, from 1, that have the same bytes."""
    return [number for number, (a, b) in enumerate(zip(sums(one), sums(other), strict=True), 1) if a == b]


def pixels(take: Any, number: int) -> np.ndarray:
    from blender_addon import takes

    return tools.pixels(takes.framefiles.path_of(takes.folder(take), number - 1))


def test_animate_and_one_character(scene: Any) -> None:
    from blender_addon import state, takes

    choose(scene, "animate", "wan2.2-animate-14b", 4)
    bpy.data.objects["Hero"].wanstage.face = "none"  # face clips take most of a capture's time
    assert bpy.ops.wanstage.generate() == {"FINISHED"}
    parent = made(scene).job_id
    assert bpy.ops.wanstage.redo_part(first=2, last=2, overlap=1) == {"FINISHED"}
    part, last = made(scene), takes.find(parent)[1].frames
    assert alike(part, takes.find(parent)[1]) == [1, *range(3, last + 1)]
    assert not state.now.packs["Scene"].pack.mask
    assert bpy.ops.wanstage.redo_part(job_id=parent, first=2, last=3, overlap=0, character="Hero") == {"FINISHED"}
    one = made(scene)
    parent = takes.find(parent)[1]
    assert one.name == "Take 3 (Hero, frames 2 to 3 of Take 1)"
    assert alike(one, parent) == [1, *range(4, last + 1)]
    masks = state.now.packs["Scene"].pack.mask
    assert len(masks) == last, "masks were captured for it"
    for number in (2, 3):
        changed = (pixels(one, number) != pixels(parent, number)).any(axis=2)
        assert 0.01 < changed.mean() < 0.7, "he changes, the street does not"


def test_a_clip_between_pictures(scene: Any) -> None:
    from blender_addon import takes

    choose(scene, "i2v", "wan2.2-i2v-a14b", 9)
    assert bpy.ops.wanstage.generate() == {"FINISHED"}
    parent = made(scene).job_id
    assert bpy.ops.wanstage.redo_part(first=4, last=7) == {"FINISHED"}
    assert alike(made(scene), takes.find(parent)[1]) == [1, 2, 3, 8, 9]
    with pytest.raises(RuntimeError, match="cannot make one character again"):
        bpy.ops.wanstage.redo_part(job_id=parent, first=4, last=7, character="Hero")
    with pytest.raises(RuntimeError, match="has no model no such model"):
        bpy.ops.wanstage.redo_part(job_id=parent, first=4, last=7, model="no such model")


def test_a_talking_shot(scene: Any, tmp_path: Path) -> None:
    """A part of one: its own piece of the sound, the frames before as motion frames; the sound goes along."""
    from blender_addon import takes

    own = scene.wanstage
    own.sound_from, own.sound_file = "file", str(clicks.write(tmp_path / "line.wav", [0.1, 0.3], 1.0))
    choose(scene, "s2v", "wan2.2-s2v-14b", 8, (128, 64))
    assert bpy.ops.wanstage.generate() == {"FINISHED"}
    parent = made(scene)
    job_id, last = parent.job_id, parent.frames
    assert bpy.ops.wanstage.redo_part(first=4, last=last, seed=9) == {"FINISHED"}
    part = made(scene)
    assert alike(part, takes.find(job_id)[1]) == [1, 2, 3]
    assert takes.sound_file(part).is_file()
