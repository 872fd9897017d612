"""Nothing leaves this machine before the user asks, and nothing beyond it where Blender may not use the network."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

Refused = Callable[..., str]

WATCH = """
import sys
EVENTS = []
def hook(event, values):
    if event.startswith(("socket.", "urllib.", "http.", "ssl.", "subprocess.", "os.system", "os.exec", "os.posix_spawn",
                         "ftplib.", "smtplib.", "webbrowser.")):
        EVENTS.append((event, repr(values)[:200]))
    elif event == "open" and len(values) == 3 and any(sign in str(values[1]) for sign in "wax+"):
        if not any(own in str(values[0]) for own in ("__pycache__", "extensions/.cache")):
            EVENTS.append((event, repr(values)[:200]))
sys.addaudithook(hook)
"""

QUIET = (
    WATCH
    + """
import os
from pathlib import Path
import bpy
EVENTS.clear()
bpy.ops.wm.read_factory_settings(use_empty=True)
import blender_addon
blender_addon.register()
from blender_addon import panels, takes, watch
from blender_addon import handlers
scene = bpy.context.scene
camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
scene.collection.objects.link(camera)
scene.camera = camera
take = scene.wanstage.takes.add()
take.job_id, take.state, take.camera, take.width, take.height = "a" * 32, "running", "Camera", 128, 64

class Layout:
    \"\"\"Takes every call that a draw function makes.\"\"\"
    def __getattr__(self, name):
        return lambda *values, **named: Layout()

drawn = 0
for name in dir(bpy.types):
    cls = getattr(bpy.types, name)
    if name.startswith("WANSTAGE_PT_") and hasattr(cls, "draw"):
        if not hasattr(cls, "poll") or cls.poll(bpy.context):
            owner = type("Drawn", (), {"layout": Layout(), "bl_label": cls.bl_label, "bl_space_type": "VIEW_3D",
                                       "is_popover": False})()
            for method in ("draw_header", "draw"):
                if hasattr(cls, method):
                    getattr(cls, method)(owner, bpy.context)
            drawn += 1
for operator in dir(bpy.ops.wanstage):
    getattr(bpy.ops.wanstage, operator).poll()
path = Path(sys.argv[1]) / "quiet.blend"
bpy.ops.wm.save_as_mainfile(filepath=str(path))
bpy.ops.wm.open_mainfile(filepath=str(path))
bpy.context.scene.frame_set(3)
watch.check_now(bpy.context.scene)
bpy.ops.wanstage.relink_takes()
blender_addon.unregister()
ours = [event for event in EVENTS if "wanstage" not in event[0]]
print("DRAWN", drawn)
print("EVENTS", ours)
sys.stdout.flush()
os._exit(0)
"""
)


def test_nothing_before_the_user_asks(blender: Callable[..., str], tmp_path: Path) -> None:
    """Enable, draw every panel, ask every button, save, load, edit, disable: no socket, no name looked up, no
    process, no file written but Blender's own."""
    said = blender(QUIET, tmp_path)
    assert "EVENTS []" in said, said
    drawn = int(next(line for line in said.splitlines() if line.startswith("DRAWN")).split()[1])
    assert drawn >= 6, said


LOCAL = (
    WATCH
    + """
import json, os
import bpy
import blender_addon
blender_addon.register()
from blender_addon import pump, state
assert not getattr(bpy.app, "online_access", True), "a Blender that has never been asked is offline"
bpy.ops.wm.open_mainfile(filepath=sys.argv[1])
EVENTS.clear()
bpy.ops.wanstage.connect(connection_file=sys.argv[2])
bpy.ops.wanstage.generate()
scene = bpy.context.scene
job = scene.wanstage.takes[-1].job_id
assert pump.run_until([job], 60)
assert scene.wanstage.takes[-1].state == "finished", scene.wanstage.takes[-1].problem
print("EVENTS", json.dumps(EVENTS))
sys.stdout.flush()
os._exit(0)
"""
)


def test_offline_a_backend_of_this_machine_works(
    blender: Callable[..., str], shot: Any, backend: Any, tmp_path: Path
) -> None:
    """Without online access a shot is made from end to end, and every socket is of this machine."""
    path = tmp_path / "shot.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    said = blender(LOCAL, path, backend.file)
    events = json.loads(next(line for line in said.splitlines() if line.startswith("EVENTS")).removeprefix("EVENTS "))
    reached = [values for event, values in events if event in {"socket.connect", "socket.getaddrinfo"}]
    assert reached
    assert all("127.0.0.1" in values or "localhost" in values for values in reached), reached


REMOTE = ("tcp://192.0.2.7:5555", "tcp://example.org:5555", "tcp://127.example.org:5555", "tcp://[2001:db8::1]:5555")


@pytest.mark.parametrize("forced", [False, True])
@pytest.mark.parametrize("endpoint", REMOTE)
def test_offline_another_machine_is_refused(
    addon: Any, refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, endpoint: str, forced: bool
) -> None:
    """By a sentence that says how to allow it, or that --offline-mode forbids it; no name is looked up."""
    import socket

    from blender_addon import compat, state

    assert not compat.online_allowed()
    monkeypatch.setattr(compat, "offline_forced", lambda: forced)
    monkeypatch.setattr(socket, "getaddrinfo", None)
    monkeypatch.setattr(socket, "create_connection", None)
    file = tmp_path / "far.json"
    file.write_text(json.dumps({"endpoint": endpoint}))
    sentence = refused(bpy.ops.wanstage.connect, connection_file=str(file))
    assert endpoint in sentence
    assert ("--offline-mode" if forced else "Allow Online Access") in sentence
    assert state.now.client is None


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "[::1]"])
def test_this_machine_by_all_its_names(addon: Any, host: str) -> None:
    from blender_addon import launch

    assert launch.is_loopback(f"tcp://{host}:5555")
