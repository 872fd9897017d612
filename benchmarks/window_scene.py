"""Runs inside the window's Blender of ``window.py``: a large scene, all panels open, and what each of our calls takes.

Panels: each ``draw`` and ``draw_header`` of the tab over many redraws of the sidebar, not connected and connected with
takes. Timer: all our timers together while nothing happens. Ticks: ``pump.tick`` while frames stream onto a plane; the
undo step of a take has a tick to itself, and takes Blender as long as any step of the user's own: it is counted apart.
Export: the turns that write a take as an MP4, until Blender's own job renders. Edits: what one edit of the scene costs
in our handler. Crowd: the panels again, with ``CROWD`` objects. Milliseconds; ``cpu`` leaves out what the system gave
to others.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bpy
from wanstage import (
    compat,
    export,
    faces,
    follow,
    framefiles,
    handlers,
    playback,
    pump,
    state,
    takes,
    thumbnails,
    watch,
    wire,
)

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "bpy" / "capture"))
import people

OUT = Path(os.environ["WANSTAGE_BENCH_OUT"])
OBJECTS, CROWD, CAMERAS, REDRAWS = 400, 3000, 10, 40
REST_S = 60.0  # ten turns of the timer, so that one more or less hardly matters
FRAMES, DELAY_S = 41, 0.02
Steps = Iterator[float]
PARTS = (
    ("write", framefiles, "write"),
    ("frame", playback, "show_frame"),
    ("preview", playback, "show_preview"),
    ("place", takes, "place"),
    ("end", follow, "_end_row"),
    ("undo step", compat, "undo_push"),
)

calls: dict[str, list[tuple[float, float]]] = {}  # name -> (wall, cpu) milliseconds of each call
found: dict[str, Any] = {"blender": bpy.app.version_string, "objects": OBJECTS, "bounds_ms": {
    "panel_draw": 2.0, "timer_a_second": 0.1, "tick": 10.0}}  # fmt: skip


def timed(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """``call``, noting what each of its calls takes."""

    @functools.wraps(call)
    def run(*values: object, **named: object) -> object:
        began, worked = time.perf_counter(), time.thread_time()
        try:
            return call(*values, **named)
        finally:
            spent = (time.perf_counter() - began) * 1000, (time.thread_time() - worked) * 1000
            calls.setdefault(name, []).append(spent)

    return run


def drawn(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """As ``timed``, with the two arguments that Blender wants a panel's functions to have."""
    inner = timed(name, call)

    def run(self: object, context: object) -> None:
        inner(self, context)

    return run


def summary(values: list[float]) -> dict[str, float]:
    """Median, 95th of a hundred, and most."""
    ordered = sorted(values)
    return {"median": round(ordered[len(ordered) // 2], 3), "p95": round(ordered[int(len(ordered) * 0.95)], 3),
            "max": round(ordered[-1], 3)}  # fmt: skip


def open_panels() -> None:
    """All panels of the tab, open, in the tab that a new window shows, and timed. Parents first."""
    named = {name: getattr(bpy.types, name) for name in dir(bpy.types) if name.startswith("WANSTAGE_PT_")}
    ours = {name: cls for name, cls in named.items() if (cls.bl_space_type, cls.bl_region_type) == ("VIEW_3D", "UI")}

    def depth(name: str) -> int:
        parent = getattr(ours.get(name), "bl_parent_id", "")
        return 1 + depth(parent) if parent else 0

    order = sorted(ours, key=depth)
    for name in reversed(order):
        bpy.utils.unregister_class(ours[name])
    for name in order:
        cls = ours[name]
        cls.bl_options = set(getattr(cls, "bl_options", ())) - {"DEFAULT_CLOSED"}
        cls.bl_category = "Tool"
        for part in ("draw", "draw_header", "draw_header_preset"):
            if part in vars(cls):
                setattr(cls, part, drawn(f"{name}.{part}", vars(cls)[part]))
        bpy.utils.register_class(cls)


def watch_timers() -> None:
    """Time whatever we give to Blender's timers and handlers."""
    for name, module, call in (("timer pump", pump, "tick"), ("timer watch", watch, "tick"),
                               ("timer thumbnails", thumbnails, "load"), ("timer faces", faces, "look")):  # fmt: skip
        setattr(module, call, timed(name, getattr(module, call)))
    for part, module, call in PARTS:
        setattr(module, call, timed(part, getattr(module, call)))
    listed = bpy.app.handlers.depsgraph_update_post
    listed.remove(handlers.wanstage_depsgraph_update_post)
    listed.append(timed("edit", handlers.wanstage_depsgraph_update_post))


def pebbles(count: int) -> None:
    """So many objects more, of one mesh."""
    mesh = bpy.data.meshes.new("Pebble")
    mesh.from_pydata([(0, 0, 0), (0.1, 0, 0), (0, 0.1, 0)], [], [(0, 1, 2)])
    for number in range(count):
        item = bpy.data.objects.new(f"Pebble {number}", mesh)
        item.location = (number % 20 - 10, number // 20, 0)
        bpy.context.scene.collection.objects.link(item)


def build() -> None:
    """A walker in a set of many objects, a camera at each of ten markers, small shots by the test engine."""
    for item in list(bpy.data.objects):
        bpy.data.objects.remove(item)
    people.make_stage(832, 480)
    scene = bpy.context.scene
    pebbles(OBJECTS)
    for number in range(CAMERAS):
        camera = bpy.data.objects.new(f"Cam {number}", bpy.data.cameras.new("Cam"))
        scene.collection.objects.link(camera)
        scene.timeline_markers.new(f"Shot {number}", frame=1 + 20 * number).camera = camera
    scene.render.fps, scene.frame_start, scene.frame_end = 16, 1, 20 * CAMERAS
    own = scene.wanstage
    own.engine, own.model, own.task = "test", "test", "animate"
    bpy.context.preferences.view.show_splash = False


def sidebar() -> bpy.types.Region:
    """Its region, opened."""
    area = next(area for area in bpy.context.window_manager.windows[0].screen.areas if area.type == "VIEW_3D")
    area.spaces[0].show_region_ui = True
    return next(region for region in area.regions if region.type == "UI")


def draw_often(what: str) -> Steps:
    """Redraw the sidebar; per panel what its drawing takes, header and body together."""
    region = sidebar()
    for _ in range(5):  # first layouts
        region.tag_redraw()
        yield 0.05
    for name in [name for name in calls if name.startswith("WANSTAGE_PT_")]:
        calls[name] = []
    for _ in range(REDRAWS):
        region.tag_redraw()
        yield 0.02
    panels: dict[str, list[tuple[float, float]]] = {}
    for name, spent in calls.items():
        if name.startswith("WANSTAGE_PT_") and spent:
            mine = panels.setdefault(name.partition(".")[0].removeprefix("WANSTAGE_PT_"), [(0.0, 0.0)] * len(spent))
            for index, (wall, cpu) in enumerate(spent[: len(mine)]):
                mine[index] = (mine[index][0] + wall, mine[index][1] + cpu)
    rows = {name: {"redraws": len(spent), "ms": summary([wall for wall, _ in spent]),
                   "cpu_ms": summary([cpu for _, cpu in spent])} for name, spent in sorted(panels.items())}  # fmt: skip
    every = [sum(each) for each in zip(*([wall for wall, _ in spent] for spent in panels.values()), strict=False)]
    found.setdefault("panels", {})[what] = {"each": rows, "all_together_ms": summary(every)}


def rest(what: str) -> Steps:
    """Nothing happens: what our timers take in a second."""
    yield 1.5
    timers = [name for name in calls if name.startswith("timer ")]
    before = {name: len(calls[name]) for name in timers}
    began = time.perf_counter()
    yield REST_S
    seconds = time.perf_counter() - began
    each_timer = {name: calls[name][before.get(name, 0) :] for name in calls if name.startswith("timer ")}
    spent = [each for turns in each_timer.values() for each in turns]
    found.setdefault("rest", {})[what] = {
        "seconds": round(seconds, 1),
        "calls": {name.removeprefix("timer "): len(turns) for name, turns in each_timer.items() if turns},
        "ms_a_second": round(sum(wall for wall, _ in spent) / seconds, 4),
        "cpu_ms_a_second": round(sum(cpu for _, cpu in spent) / seconds, 4)}  # fmt: skip


def stream(width: int, height: int, preview_side: int, *, keep: bool = True) -> Steps:
    """One job of the test engine; the ticks that did something."""
    scene = bpy.context.scene
    job = wire.client.new_id()
    values = {"task": "t2v", "width": width, "height": height, "frames": FRAMES, "fps": 16.0,
              "camera": scene.camera.name, "frame_start": 1.0}  # fmt: skip
    take = takes.add(scene, job, values, {})
    knobs = json.dumps({"preview_side": preview_side, "delay_s": DELAY_S})
    spec = wire.specs.JobSpec("t2v", width, height, FRAMES, 16.0, engine="test", model="test", prompt=knobs)
    run = state.now.runs[job] = state.Run(job, takes.folder(take), submitted=time.monotonic())
    for name in ("timer pump", *(name for name, _, _ in PARTS)):
        calls[name] = []
    state.now.client.submit(job, spec, wire.assets.AssetFolder(takes.folder(take)))
    state.now.client.attach(job)
    pump.start_timer()
    while not run.settled:
        yield 0.1
    yield 0.3
    busy = [(wall, cpu) for wall, cpu in calls["timer pump"] if wall > 0.2]
    undo = calls["undo step"][0] if calls["undo step"] else (0.0, 0.0)
    alone = busy.pop(min(range(len(busy)), key=lambda at: abs(busy[at][0] - undo[0])))
    if keep:
        found.setdefault("ticks", []).append({
            "size": f"{width}x{height}", "preview_side": preview_side, "frames": run.received, "ticks": len(busy),
            "ms": summary([wall for wall, _ in busy]), "cpu_ms": summary([cpu for _, cpu in busy]),
            "undo_step_ms": {"wall": round(undo[0], 2), "cpu": round(undo[1], 2),
                             "ours_in_its_tick": round(alone[0] - undo[0], 3)},
            "longest_cpu_ms": {name: round(max(cpu for _, cpu in calls[name]), 2)
                               for name, _, _ in PARTS if calls[name] and name != "undo step"}})  # fmt: skip


def exports() -> Steps:
    """An MP4 of the last take: the turns until Blender's job renders, those after it; then its files are gone."""
    take, target = bpy.context.scene.wanstage.takes[-1], OUT.with_suffix(".mp4")
    window = bpy.context.window_manager.windows[0]
    steps, before, after = export.steps(export.source(take), "MP4", target, job=True), [], []
    spent = before
    while True:
        began, worked = time.perf_counter(), time.thread_time()
        with bpy.context.temp_override(window=window):
            waits = next(steps, None)
        spent.append(((time.perf_counter() - began) * 1000, (time.thread_time() - worked) * 1000))
        if waits is None:
            break
        yield 0.01
        if export.is_rendering():
            spent = after
    found["export_mp4"] = {
        "frames": take.frames, "turns": len(before), "written": target.is_file(),
        "setup_ms": [round(wall, 2) for wall, _ in before], "setup_cpu_ms": [round(cpu, 2) for _, cpu in before],
        "after_ms": summary([wall for wall, _ in after]) if after else {}}  # fmt: skip
    while export.tidy() is not None:
        yield 0.1


def edits() -> Steps:
    """Move an object, often."""
    calls["edit"] = []
    for number in range(REDRAWS):
        bpy.data.objects["Pebble 7"].location.z = number * 0.01
        bpy.context.view_layer.update()
        if number % 20 == 0:
            yield 0.01
    found["edit"] = {"edits": len(calls["edit"]), "ms": summary([wall for wall, _ in calls["edit"]])}


def script() -> Steps:
    """All of it; yields the seconds to wait."""
    open_panels()
    watch_timers()
    build()
    yield 1.0
    yield from draw_often("not connected")
    yield from rest("not connected")
    bpy.ops.wanstage.connect()
    while not state.now.connected:
        yield 0.1
    yield from draw_often("connected")
    yield from stream(256, 256, 0, keep=False)  # imports and first pages
    for size in ((832, 480), (1280, 720)):
        for side in (0, 480):
            yield from stream(*size, side)
    yield from draw_often("connected, with takes")
    yield from rest("connected, with takes")
    yield from edits()
    yield from exports()
    pebbles(CROWD)
    yield 1.0
    yield from draw_often(f"connected, with takes and {CROWD} objects more")


running = script()


def go() -> float | None:
    """A timer that runs the script, writes what was found, and quits."""
    try:
        return next(running)
    except StopIteration:
        OUT.write_text(json.dumps(found))
    except Exception:
        traceback.print_exc()
    follow.playback.redraw()
    bpy.ops.wm.quit_blender()
    return None


bpy.app.timers.register(go, first_interval=1.0)
