"""The demo's scene through the real video models, with tiny checkpoints on the processor: a real backend process, every
step but good weights. Frames are noise; that they come, where they go and what they keep is real.
"""

from __future__ import annotations

import argparse
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

from tests.bpy.tools import pixels  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "capture"))
import clicks  # noqa: E402

ROOT = Path(__file__).resolve().parents[3]
SIZE, TALKING = (128, 96), (128, 64)
WIDENED = 10  # pixels: three dilations by 7, and one for the border

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def wan_shot(addon: Any, wan_backend: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The example, connected to a backend that has the tiny models."""
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    import wan_shot as example

    yield example
    bpy.ops.wanstage.disconnect()


def frames_of(made: dict[str, Any], count: int) -> list[np.ndarray]:
    """The take's frames from its folder, and its plane set up to show them."""
    from blender_addon import playback, takes

    assert (made["frames"], made["size"]) == (count, list(SIZE))
    folder = Path(made["folder"])
    names = [f"frame_{number:04d}.png" for number in range(1, count + 1)]
    assert sorted(file.name for file in folder.glob("frame_*.png")) == names
    _, take = takes.find(made["job_id"])
    plane = playback.find_plane(take.job_id)
    assert plane.parent == bpy.context.scene.camera
    assert playback.picture_node(plane).image.source == "SEQUENCE"
    pictures = [pixels(folder / name) for name in names]
    assert all(picture.shape == (SIZE[1], SIZE[0], 3) for picture in pictures)
    return pictures


def captured(part: str) -> list[np.ndarray]:
    """Maps of the last drive pack."""
    from blender_addon import generation, state

    pack, assets = state.now.packs["Scene"].pack, generation.assets()
    found = []
    for ref in getattr(pack, part):
        assert (ref.dtype, ref.codec) == ("u1", "zlib")
        data = zlib.decompress(assets.read(ref.asset.id))
        found.append(np.frombuffer(data, np.uint8).reshape(ref.shape))
    return found


def wish(example: Any, tasks: str) -> Any:
    told = ["--out", ".", "--tasks", tasks, "--size", f"{SIZE[0]}x{SIZE[1]}", "--frames", "5", "--steps", "1"]
    known: argparse.ArgumentParser = example.words()
    return example.Wish(known.parse_args([*told, "--plate-samples", "2"]))


def test_people(wan_shot: Any, wan_backend: Any, tmp_path: Path) -> None:
    """Animate, and Replace, which keeps the plate's own bytes where nobody is replaced."""
    from blender_addon import state

    told = wish(wan_shot, "animate,replace")
    scene = wan_shot.prepare(tmp_path, told)
    assert bpy.ops.wanstage.connect(connection_file=str(wan_backend.file), wait=60.0) == {"FINISHED"}
    animated = frames_of(wan_shot.make(scene, "animate", told), 6)
    assert animated[0].std() > 1
    faces = state.now.packs["Scene"].pack.characters[0].face
    assert len(faces) == 6
    assert len(set(faces)) > 1
    replaced = frames_of(wan_shot.make(scene, "replace", told), 6)
    assert state.now.packs["Scene"].pack.characters[0].face == faces, "the face clip serves both"
    kept = 0
    for frame, plate, mask in zip(replaced, captured("plate"), captured("mask"), strict=True):
        rows, columns = np.nonzero(mask == 1)
        outside = np.ones(mask.shape, bool)
        inside = np.s_[
            max(rows.min() - WIDENED, 0) : rows.max() + WIDENED,
            max(columns.min() - WIDENED, 0) : columns.max() + WIDENED,
        ]
        outside[inside] = False
        assert np.array_equal(frame[outside], plate[outside])
        assert not np.array_equal(frame[inside], plate[inside])
        kept += outside.sum()
    assert kept > 6 * 128 * 96 // 5


def test_talking(wan_shot: Any, wan_backend: Any, tmp_path: Path) -> None:
    """A spoken line and the rig's poses through the sound-driven model: as many frames as the sound is long."""
    from blender_addon import catalog, takes

    told = wish(wan_shot, "s2v")
    scene = wan_shot.prepare(tmp_path, told)
    assert bpy.ops.wanstage.connect(connection_file=str(wan_backend.file), wait=60.0) == {"FINISHED"}
    own = scene.wanstage
    own.sound_from, own.sound_file = "file", str(clicks.write(tmp_path / "line.wav", [0.1, 0.3], 1.0))
    own.task, own.follow_pose = "s2v", True
    catalog.choose(own, "wan", "wan2.2-s2v-14b")
    catalog.set_size(own, TALKING)
    scene.render.fps, own.use_scene_range, own.frame_start, own.frame_end = 24, False, 5, 16
    made = wan_shot.submit(scene, "s2v")
    assert (made["model"], made["frames"], made["size"], made["fps"]) == ("wan2.2-s2v-14b", 8, list(TALKING), 16.0)
    folder = Path(made["folder"])
    pictures = [pixels(file) for file in sorted(folder.glob("frame_*.png"))]
    assert [picture.shape for picture in pictures] == [(TALKING[1], TALKING[0], 3)] * 8
    assert not np.array_equal(pictures[0], pictures[-1])
    data = (folder / "sound.wav").read_bytes()
    assert len(clicks.decode(data)[0]) == clicks.RATE // 2
    assert takes.meta(takes.find(made["job_id"])[1])["sound"] == {"from": "file", "name": "line.wav"}


PICTURES = (
    ("i2v", "wan2.2-i2v-a14b", 16.0),
    ("flf2v", "wan2.2-i2v-a14b", 16.0),
    ("ti2v", "wan2.2-ti2v-5b", 24.0),
    ("t2v", "wan2.2-ti2v-5b", 24.0),
)


def test_pictures_and_words(wan_shot: Any, wan_backend: Any, tmp_path: Path) -> None:
    """Clips from the first picture, from first and last, and from words; pictures have the job's exact size."""
    from blender_addon import state

    told = wish(wan_shot, "i2v")
    scene = wan_shot.prepare(tmp_path, told)
    assert bpy.ops.wanstage.connect(connection_file=str(wan_backend.file), wait=60.0) == {"FINISHED"}
    for task, model, fps in PICTURES:
        made = wan_shot.make(scene, task, told)
        assert (made["model"], made["fps"]) == (model, fps)
        frames = frames_of(made, 5)
        assert not np.array_equal(frames[0], frames[-1])
        cached = state.now.packs["Scene"]
        assert (cached.last is not None) == (task == "flf2v")
        for picture in (cached.pack.look, cached.last):
            assert picture is None or (picture.width, picture.height) == SIZE
