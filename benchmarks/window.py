"""What the add-on costs in a window: its panels, its timer while nothing happens, its ticks while frames stream.

    python benchmarks/window.py      (in the test environment; needs Debian's blender and Xvfb)

Blender in a window under Xvfb, the classic zip installed, a scene of ``OBJECTS`` objects with ten cameras on its
timeline, all panels of the tab open. ``window_scene.py`` does the measuring inside Blender, see there. The bounds are
2 ms for a panel's draw, 0.1 ms a second for the timer at rest, 10 ms for a tick. Written to results/window.json.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import _report

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests" / "gui"))
import driver  # noqa: E402 - what the window tests start Blender with

WITHIN_S = 400.0


def measure(folder: Path) -> dict[str, Any]:
    """Run ``window_scene.py`` in Blender; what it found. SystemExit with Blender's last words when it fails."""
    found, script = folder / "found.json", ROOT / "benchmarks" / "window_scene.py"
    command = ["blender", "--factory-startup", "--no-native-pixels", "--window-geometry", "0", "0",
               *map(str, driver.SIZE), "-noaudio", "--addons", "wanstage", "--python", str(script)]  # fmt: skip
    backend, connection = driver.start_backend(folder)
    server, display = driver.screen(driver.SIZE)
    told = driver.variables(folder, driver.install(folder), DISPLAY=display, WANSTAGE_CONNECTION=str(connection),
                            WANSTAGE_BENCH_OUT=str(found))  # fmt: skip
    try:
        done = subprocess.run(command, env=told, capture_output=True, text=True, timeout=WITHIN_S, check=False)
    finally:
        driver.stop(server)
        driver.stop(backend)
    if not found.is_file():
        sys.exit(done.stdout[-3000:] + done.stderr[-3000:])
    return dict(json.loads(found.read_text()))


def main() -> None:
    """Measure, compare with the bounds, write the results."""
    lacking = [tool for tool in ("blender", "Xvfb") if not shutil.which(tool)]
    if lacking:
        sys.exit(f"not found: {', '.join(lacking)} (Debian packages blender, xvfb)")
    with tempfile.TemporaryDirectory() as name:
        _report.write("window", measure(Path(name)))


if __name__ == "__main__":
    main()
