"""Main-thread time a tick while frames stream onto a plane, and where it goes.

    WANSTAGE_BACKEND_PYTHON=... python benchmarks/tick.py      (in a bpy Python)

The test engine sends frames of ``delay_s`` apart, with and without previews. A tick's budget is 8 ms; the most that
one may take is 10 ms; ``max_cpu_ms`` leaves out what the system gave to other processes. ``parts_ms`` are the longest
single calls of: poll (receive), write (a frame's file), frame and preview (a picture onto the plane), place (the plane
made), end (the finished take: row, sequence, driver). Written to results/tick.json.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import _report  # noqa: E402
import bpy  # noqa: E402

import blender_addon  # noqa: E402
from blender_addon import follow, framefiles, playback, pump, state, takes, wire  # noqa: E402

FRAMES, DELAY_S = 41, 0.02
CALLS = (
    ("write", framefiles, "write"),
    ("frame", playback, "show_frame"),
    ("preview", playback, "show_preview"),
    ("end", follow, "_end_row"),
    ("place", takes, "place"),
)


@contextmanager
def watched(parts: dict[str, float]) -> Iterator[None]:
    """The longest call of each part, milliseconds."""

    def timed(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def run(*values: object, **named: object) -> object:
            began = time.perf_counter()
            try:
                return call(*values, **named)
            finally:
                parts[name] = max(parts.get(name, 0.0), round((time.perf_counter() - began) * 1000, 2))

        return run

    client = state.now.client
    places = [*CALLS, ("poll", client, "poll")]
    before = [(module, name, getattr(module, name)) for _, module, name in places]
    for part, module, name in places:
        setattr(module, name, timed(part, getattr(module, name)))
    try:
        yield
    finally:
        for module, name, call in before:
            setattr(module, name, call)


def measure(width: int, height: int, preview_side: int) -> dict[str, Any]:
    """Stream one job of the test engine; tick times in milliseconds."""
    scene = bpy.context.scene
    job_id = wire.client.new_id()
    values = {"task": "t2v", "width": width, "height": height, "frames": FRAMES, "fps": 16.0,
              "camera": scene.camera.name, "frame_start": 1.0}  # fmt: skip
    take = takes.add(scene, job_id, values, {})
    knobs = json.dumps({"preview_side": preview_side, "delay_s": DELAY_S})
    spec = wire.specs.JobSpec("t2v", width, height, FRAMES, 16.0, engine="test", model="test", prompt=knobs)
    run = state.now.runs[job_id] = state.Run(job_id, takes.folder(take), submitted=time.monotonic())
    state.now.client.submit(job_id, spec, wire.assets.AssetFolder(takes.folder(take)))
    state.now.client.attach(job_id)
    spent, worked, parts = [], [], {}
    with watched(parts):
        while not run.settled:
            began, work = time.perf_counter(), time.thread_time()
            if pump.tick() is None:
                sys.exit(state.now.sentence)
            spent.append((time.perf_counter() - began) * 1000)
            worked.append((time.thread_time() - work) * 1000)
            time.sleep(1 / 60)
    busy = sorted(value for value in spent if value > 0.2)
    half, late = len(busy) // 2, int(len(busy) * 0.95)
    return {"size": f"{width}x{height}", "preview_side": preview_side, "ticks": len(busy),
            "median_ms": round(busy[half], 2), "p95_ms": round(busy[late], 2), "max_ms": round(busy[-1], 2),
            "max_cpu_ms": round(max(worked), 2),
            "parts_ms": dict(sorted(parts.items()))}  # fmt: skip


@contextmanager
def backend(folder: Path) -> Iterator[Path]:
    """A backend process with the test engine; its connection file."""
    file = folder / "connection.json"
    command = [os.environ["WANSTAGE_BACKEND_PYTHON"], "-m", "backend.cli", "serve", "--data", str(folder),
               "--connection-file", str(file), "--test-engine"]  # fmt: skip
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)})
    server.stdout.readline()
    try:
        yield file
    finally:
        server.terminate()
        server.wait()


def main() -> None:
    """Start a backend, measure, write the results."""
    with tempfile.TemporaryDirectory() as name:
        os.environ["WANSTAGE_DATA"] = name
        blender_addon.register()
        with backend(Path(name)) as file:
            bpy.ops.wanstage.connect(connection_file=str(file))
            measure(256, 256, 0)  # imports and first pages
            rows = [measure(*size, side) for size in ((832, 480), (1280, 720)) for side in (0, 64, 480)]
        blender_addon.unregister()
    _report.write("tick", {"blender": bpy.app.version_string, "frames": FRAMES, "rows": rows})


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # bpy 4.2 and 4.5 may crash at exit
