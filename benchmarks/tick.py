"""Main-thread time a tick while frames stream onto a plane: ``BLENDER_PYTHON benchmarks/tick.py``.

Runs in a bpy Python; WANSTAGE_BACKEND_PYTHON names the Python that has the backend. Prints one JSON line a size.
The budget is 10 ms at 832x480 and 1280x720.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import bpy  # noqa: E402

import blender_addon  # noqa: E402
from blender_addon import pump, state, takes, wire  # noqa: E402

FRAMES = 41


def measure(width: int, height: int, preview_side: int) -> dict[str, float]:
    """Stream one job of the test engine; tick times in milliseconds."""
    scene = bpy.context.scene
    job_id = wire.client.new_id()
    values = {"width": width, "height": height, "frames": FRAMES, "fps": 16.0, "camera": scene.camera.name,
              "frame_start": 1.0}  # fmt: skip
    take = takes.add(scene, job_id, values, {})
    knobs = json.dumps({"preview_side": preview_side, "delay_s": 0.02})
    spec = wire.specs.JobSpec("t2v", width, height, FRAMES, 16.0, engine="test", model="test", prompt=knobs)
    run = state.now.runs[job_id] = state.Run(job_id, takes.folder(take), submitted=time.monotonic())
    state.now.client.submit(job_id, spec, wire.assets.AssetFolder(takes.folder(take)))
    state.now.client.attach(job_id)
    spent = []
    while not run.settled:
        began = time.perf_counter()
        if pump.tick() is None:
            sys.exit(state.now.sentence)
        spent.append((time.perf_counter() - began) * 1000)
        time.sleep(1 / 60)
    busy = sorted(value for value in spent if value > 0.2)
    half, late = len(busy) // 2, int(len(busy) * 0.95)
    return {"ticks": len(busy), "median_ms": busy[half], "p95_ms": busy[late], "max_ms": busy[-1]}


def main() -> int:
    """Start a backend, measure, stop it."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["WANSTAGE_DATA"] = folder
        blender_addon.register()
        file = Path(folder) / "connection.json"
        command = [os.environ["WANSTAGE_BACKEND_PYTHON"], "-m", "backend.cli", "serve", "--data", folder,
                   "--connection-file", str(file), "--test-engine"]  # fmt: skip
        server = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}
        )
        server.stdout.readline()
        try:
            bpy.ops.wanstage.connect(connection_file=str(file))
            measure(256, 256, 0)
            for width, height in ((832, 480), (1280, 720)):
                for side in (0, 64, 480):
                    figures = {name: round(value, 2) for name, value in measure(width, height, side).items()}
                    print(json.dumps({"blender": bpy.app.version_string, "size": f"{width}x{height}",
                                      "preview_side": side, **figures}))  # fmt: skip
        finally:
            server.terminate()
            server.wait()
            blender_addon.unregister()
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)
