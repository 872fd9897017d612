"""What a Blender that is closed leaves behind: quit.blend holds the take that was under way and no secret.

The files that Blender saves by itself are the last undo step, written without asking the add-on: nothing could be taken
out of them then.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
import driver
from driver import Window, wait_for

pytestmark = driver.marks

PLANTED = {"HF_TOKEN": "hf_plantedTokenOfTheHub0123456789", "WANSTAGE_PAIRING": "planted-pairing-secret-77"}
UNDER_WAY = """
scene, shot = bpy.context.scene, bpy.context.scene.wanstage
shot.engine, shot.model, shot.task, shot.size, shot.width, shot.height = "test", "test", "i2v", "CUSTOM", 128, 64
scene.frame_start, scene.frame_end = 1, 9
bpy.ops.wanstage.connect(connection_file={connection!r}, wait=20.0)
shot.prompt = {prompt!r}
bpy.ops.wanstage.generate()
bpy.ops.ed.undo_push(message="Generate")
"""


@pytest.fixture
def window(tmp_path: Path) -> Iterator[tuple[Window, Path]]:
    """Blender with the add-on, a backend's connection file, and a folder of its own for what Blender leaves."""
    backend, connection = driver.start_backend(tmp_path)
    (tmp_path / "left").mkdir()
    told = driver.variables(tmp_path, driver.install(tmp_path), TMPDIR=str(tmp_path / "left"),
                            WANSTAGE_BACKEND_PYTHON=sys.executable, **PLANTED)  # fmt: skip
    made = Window(tmp_path, told, "fresh_scene.py")
    yield made, connection
    made.close()
    driver.stop(backend)


def secrets(connection: Path) -> list[bytes]:
    """What the connection file holds that nobody else may know, and what was planted in the environment."""
    told: dict[str, Any] = json.loads(connection.read_text())
    own = [value for value in told.values() if isinstance(value, str) and len(value) > 12]
    assert len(own) >= 3
    return [value.encode() for value in (*own, *PLANTED.values())]


def test_quit_blend_holds_no_secret(window: tuple[Window, Path], tmp_path: Path) -> None:
    blender, connection = window
    looked = secrets(connection)
    wait_for(blender.seen, 60, "the window")
    waits = json.dumps({"wait_for": str(tmp_path / "never"), "wait_at": 3})
    blender.run(UNDER_WAY.format(connection=str(connection), prompt=waits))
    pictures = tmp_path / "data"
    wait_for(lambda: len(list(pictures.rglob("frame_*.png"))) >= 3, 60, "three frames")
    blender.state.with_suffix(".run").write_text("bpy.ops.wm.quit_blender()")
    blender.blender.wait(30)
    left = next((tmp_path / "left").rglob("quit.blend"))
    data = left.read_bytes()
    data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    assert data.startswith(b"BLENDER"), data[:16]
    assert b"wait_for" in data, "the take's own metadata is there: the search would find what is"
    assert [secret for secret in looked if secret in data] == []
