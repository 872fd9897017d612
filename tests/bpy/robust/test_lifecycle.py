"""The add-on switched on and off, often and at bad moments: nothing is left behind, nothing hangs, no take is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

COUNT = """
import gc, json, os, resource, sys, threading
from pathlib import Path
import bpy

HANDLERS = [kind for kind in dir(bpy.app.handlers) if isinstance(getattr(bpy.app.handlers, kind), list)]
PLACES = ("Scene", "Object", "Armature", "Camera", "Image", "WindowManager", "PoseBone", "Bone", "Collection")

def count():
    gc.collect()
    folder = Path("/proc/self/fd")
    return {
        "types": sorted(name for name in dir(bpy.types) if "anstage" in name.lower()),
        "operators": sorted(dir(bpy.ops.wanstage)),
        "properties": sorted(f"{place}.{name}" for place in PLACES for name in dir(getattr(bpy.types, place))
                             if "wanstage" in name),
        "handlers": {kind: len(getattr(bpy.app.handlers, kind)) for kind in HANDLERS},
        "menus": {name: len(getattr(getattr(bpy.types, name).draw, "_draw_funcs", ()))
                  for name in dir(bpy.types) if "_MT_" in name or "_HT_" in name or "_PT_" in name
                  if hasattr(getattr(bpy.types, name), "draw")},
        "keys": sum(len(each.keymap_items)
                    for each in getattr(bpy.context.window_manager.keyconfigs.addon, "keymaps", ())),
        "previews": sum(type(each).__name__ == "ImagePreviewCollection" for each in gc.get_objects()),
        "threads": threading.active_count(),
        "files": len(list(folder.iterdir())) if folder.is_dir() else 0,
        "blocks": {prop.identifier: len(getattr(bpy.data, prop.identifier)) for prop in bpy.data.bl_rna.properties
                   if prop.type == "COLLECTION"},
        "path": list(sys.path),
    }

def memory():
    gc.collect()
    status = Path("/proc/self/status")
    if not status.is_file():
        return 0
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmRSS"))

def timers():
    import blender_addon
    found = [module for name, module in sys.modules.items() if name.startswith("blender_addon.")]
    return [f"{module.__name__}.{name}" for module in found for name in ("tick", "load", "look")
            if callable(getattr(module, name, None)) and bpy.app.timers.is_registered(getattr(module, name))]
"""

FIFTY = (
    COUNT
    + """
bpy.ops.wm.read_factory_settings(use_empty=True)
import blender_addon
for _ in range(3):  # modules, pages and Blender's own pools
    blender_addon.register()
    blender_addon.unregister()
before, kib = count(), memory()
for _ in range(50):
    blender_addon.register()
    assert bpy.ops.wanstage.connect.poll()
    bpy.context.scene.wanstage.prompt = "a man"
    blender_addon.unregister()
    assert timers() == []
after, now = count(), memory()
wrong = {name: (value, after[name]) for name, value in before.items() if after[name] != value}
print("RESULT", json.dumps({"wrong": wrong, "kib": now - kib, "types": before["types"]}))
sys.stdout.flush()
os._exit(0)
"""
)

STREAMS = (
    COUNT
    + """
blend, connection, gates = sys.argv[1:]
import blender_addon
from blender_addon import pump, state, takes
jobs, counts = [], []
for turn in range(6):
    blender_addon.register()
    bpy.ops.wm.open_mainfile(filepath=blend)
    bpy.ops.wanstage.connect(connection_file=connection)
    scene = bpy.context.scene
    gate = Path(gates) / str(turn)
    scene.wanstage.prompt = json.dumps({"wait_for": str(gate), "wait_at": 2, "preview_side": 64})
    bpy.ops.wanstage.generate()
    job = scene.wanstage.takes[-1].job_id
    assert pump.pump(lambda: state.now.runs[job].received >= 2, 60)
    blender_addon.unregister()  # with the job under way
    assert timers() == []
    gate.touch()
    bpy.ops.wm.open_mainfile(filepath=blend)
    counts.append(count())
wrong = {name: (value, counts[-1][name]) for name, value in counts[1].items() if counts[-1][name] != value}
print("RESULT", json.dumps({"wrong": wrong}))
sys.stdout.flush()
os._exit(0)
"""
)


def result(said: str) -> dict[str, Any]:
    return json.loads(next(line for line in said.splitlines() if line.startswith("RESULT ")).removeprefix("RESULT "))


def test_fifty_times(blender: Callable[..., str]) -> None:
    """Classes, operators, properties, handlers, menus, keys, previews, threads, files, datablocks, path: as before."""
    found = result(blender(FIFTY))
    assert found["types"] == []
    assert found["wrong"] == {}
    assert found["kib"] < 4096, "kibibytes more than before"


def test_with_a_job_under_way(blender: Callable[..., str], shot: Any, backend: Any, tmp_path: Path) -> None:
    """Sockets, threads and files are given back each time, although the backend would go on sending."""
    path = tmp_path / "shot.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    (tmp_path / "gates").mkdir()
    found = result(blender(STREAMS, path, backend.file, tmp_path / "gates"))["wrong"]
    assert found == {}, json.dumps(found)


def test_switched_off_while_frames_stream(addon: Any, hold: Any, connected: Any, backend: Any) -> None:
    """The job goes on at the backend; switched on again, Attach brings the rest."""
    from blender_addon import pump, state

    held = hold(connected, 3)
    held.arrived()
    addon.unregister()
    assert state.now.client is None
    assert pump.tick() is None
    addon.register()
    assert len(bpy.context.scene.wanstage.takes) == 1, "Blender keeps the rows meanwhile"
    held.go()
    assert bpy.ops.wanstage.connect(connection_file=str(backend.file)) == {"FINISHED"}
    assert bpy.ops.wanstage.attach() == {"FINISHED"}
    held.finish()
    assert held.told() == ("finished", "", 9)
    assert held.on_disk() == 9


def test_the_timer_rests_when_nothing_is_awaited(hold: Any, connected: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds between two turns, so that it costs nothing; whatever the user does wakes it."""
    from blender_addon import pump, state

    assert pump.pump(lambda: pump.tick() == pump.IDLE_S, 20.0)
    assert state.now.resting
    stopped: list[bool] = []
    monkeypatch.setattr(pump, "stop_timer", lambda: stopped.append(True))
    held = hold(connected, 3)
    assert stopped == [True], "the turn that was seconds away is not waited for"
    held.arrived()
    assert not state.now.resting
    held.finish()


class Window:
    """What a modal operator asks of Blender's window."""

    def __init__(self) -> None:
        self.timers: list[str] = []
        self.handlers: list[Any] = []
        self.status: str | None = None
        self.window = self.window_manager = self.workspace = self
        self.app = SimpleNamespace(background=False)
        self.context = self

    def event_timer_add(self, _seconds: float, window: Any) -> str:
        assert window is self
        self.timers.append(f"timer {len(self.timers)}")
        return self.timers[-1]

    def event_timer_remove(self, timer: str) -> None:
        self.timers.remove(timer)

    def modal_handler_add(self, operator: Any) -> None:
        self.handlers.append(operator)

    def status_text_set(self, text: str | None) -> None:
        self.status = text


def blocks() -> dict[str, list[str]]:
    found = [prop.identifier for prop in bpy.data.bl_rna.properties if prop.type == "COLLECTION"]
    return {name: sorted(block.name for block in getattr(bpy.data, name)) for name in found}


@pytest.mark.parametrize("turns", [0, 1, 2])
def test_switched_off_while_a_shot_is_captured(
    addon: Any, connected: Any, monkeypatch: pytest.MonkeyPatch, turns: int
) -> None:
    """Blender forgets a modal operator whose class goes, without a word: we end it, and the scene is as it was."""
    from blender_addon import generation, state
    from blender_addon.operators import generate

    class Operator(generate.Stepwise):
        def _steps(self, context: Any) -> Any:
            return generation.generate(connected, generation.Wish("i2v"))

    before, window = blocks(), Window()
    with monkeypatch.context() as patch:
        patch.setattr(generate, "bpy", window)
        patch.setattr(generate, "STEP_BUDGET_S", 0.001)
        operator = Operator()
        assert operator.invoke(window, None) == {"RUNNING_MODAL"}
        for _ in range(turns):
            assert operator.modal(window, SimpleNamespace(type="TIMER")) == {"RUNNING_MODAL"}
        assert (state.now.capture is None) == (turns == 0)
        patch.setattr(generate, "_unregister", lambda: None)
        generate.unregister()
    assert window.timers == []
    assert window.status is None
    assert state.now.capture is None
    assert blocks() == before
    addon.unregister()
    addon.register()
    assert blocks() == before
    assert state.now.runs == {}


def test_switched_off_in_another_file(addon: Any, hold: Any, connected: Any, backend: Any, tmp_path: Path) -> None:
    """Off, the file saved and loaded without us, on again: the take is there and goes on."""
    path = tmp_path / "shot.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    held = hold(bpy.context.scene, 3)
    held.arrived()
    addon.unregister()
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.open_mainfile(filepath=str(path))
    bpy.ops.wm.save_mainfile()
    addon.register()
    assert bpy.ops.wanstage.connect(connection_file=str(backend.file)) == {"FINISHED"}
    assert bpy.ops.wanstage.attach() == {"FINISHED"}
    held.finish()
    assert held.told() == ("finished", "", 9)
