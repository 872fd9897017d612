"""Debian's Blender without the add-on: the classic zip installed by Blender itself, the first-run card, a backend."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
import driver
from driver import Window, wait_for

pytestmark = driver.marks


@pytest.fixture
def window(tmp_path: Path) -> Iterator[Window]:
    """A Blender that has never seen Wanstage, and a backend that runs beside it."""
    backend, connection = driver.start_backend(tmp_path)
    scripts = tmp_path / "scripts"
    (scripts / "addons").mkdir(parents=True)
    environment = driver.variables(tmp_path, scripts, WANSTAGE_CONNECTION=str(connection))
    made = Window(tmp_path, environment, "fresh_scene.py", addons="")
    yield made
    driver.keep(made)
    driver.stop(backend)


def test_from_the_zip_to_a_connection(window: Window, tmp_path: Path) -> None:
    side = window.sidebar()
    assert not window.sees("Connection", side)
    window.run(f'bpy.ops.preferences.addon_install(filepath=r"{driver.classic_zip(tmp_path)}")')
    assert (tmp_path / "scripts" / "addons" / "wanstage").is_dir()
    window.run('bpy.ops.preferences.addon_enable(module="wanstage")')
    wait_for(lambda: window.seen()["installed"], 10, "the add-on")
    window.open_tab()
    window.find("No backend is set up on", within=side)
    window.find("Set Up", within=side)
    window.find("Other Machines", within=side)
    window.press_button("Connect", lambda: window.seen()["status"] == "connected", "the connection", nth=-1)
    window.find("Connected", within=side)
    assert not window.sees("No backend is set up on", side), "the card goes when a backend is there"
    window.find("Disconnect", within=side)
