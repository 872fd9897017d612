"""What the add-on costs in a window: its panels, its timer while nothing happens, its ticks while frames stream.

    python benchmarks/window.py      (in the test environment; needs Debian's blender and Xvfb)

Blender in a window under Xvfb, the classic zip installed, a scene of ``OBJECTS`` objects with ten cameras on its
timeline, all panels of the tab open. ``window_scene.py`` does the measuring inside Blender, see there. The bounds are
2 ms for a panel's draw, 0.1 ms a second for the timer at rest, 10 ms for a tick. Written to results/window.json.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import _report

ROOT = Path(__file__).resolve().parents[1]
WITHIN_S = 400.0
NUMPY = "numpy<2"  # what Debian's Blender is built for


def install(folder: Path) -> Path:
    """The classic zip as its users have it; the folder of Blender's user scripts."""
    script, wheels = ROOT / "packaging" / "build_extension.py", ROOT / "dist" / "wheels"
    command = [sys.executable, str(script), "--host-only", "--out", str(folder / "dist"), "--wheels", str(wheels)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    with zipfile.ZipFile(next((folder / "dist").glob("*-classic.zip"))) as zipped:
        zipped.extractall(folder / "scripts" / "addons")
    return folder / "scripts"


def modules() -> Path:
    """numpy for Debian's Python 3.11, which Debian's Blender lacks; the window tests keep it there too."""
    target = ROOT / ".envs" / "gui-modules"
    if not (target / "numpy").is_dir():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(target),
                   "--python-version", "3.11", "--only-binary=:all:", NUMPY]  # fmt: skip
        subprocess.run(command, check=True)
    return target


@contextmanager
def backend(folder: Path) -> Iterator[Path]:
    """A backend process with the test engine; its connection file."""
    file = folder / "connection.json"
    command = [sys.executable, "-m", "backend.cli", "serve", "--data", str(folder), "--connection-file", str(file),
               "--test-engine"]  # fmt: skip
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)})
    server.stdout.readline()
    try:
        yield file
    finally:
        server.terminate()
        server.wait()


@contextmanager
def display() -> Iterator[str]:
    """An X server without a screen; its name."""
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "1280x920x24", "-nolisten", "tcp"]
    server = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
    os.close(write)
    with os.fdopen(read) as pipe:
        name = f":{pipe.readline().strip()}"
    try:
        yield name
    finally:
        server.terminate()
        server.wait()


def measure(folder: Path) -> dict[str, Any]:
    """Run ``window_scene.py`` in Blender; what it found. SystemExit with Blender's last words when it fails."""
    found = folder / "found.json"
    with backend(folder / "backend") as connection, display() as name:
        told = {"DISPLAY": name, "BLENDER_USER_SCRIPTS": str(install(folder)), "PYTHONPATH": str(modules()),
                "WANSTAGE_CONNECTION": str(connection), "WANSTAGE_DATA": str(folder / "data"),
                "WANSTAGE_BENCH_OUT": str(found)}  # fmt: skip
        command = [
            "blender",
            "--factory-startup",
            "--no-native-pixels",
            "--window-geometry",
            "0",
            "0",
            "1280",
            "920",
            "-noaudio",
            "--addons",
            "wanstage",
            "--python",
            str(ROOT / "benchmarks" / "window_scene.py"),
        ]
        done = subprocess.run(command, env={**os.environ, **told}, capture_output=True, text=True, timeout=WITHIN_S,
                              check=False)  # fmt: skip
    if not found.is_file():
        sys.exit(done.stdout[-3000:] + done.stderr[-3000:])
    return dict(json.loads(found.read_text()))


def main() -> None:
    """Measure, compare with the bounds, write the results."""
    lacking = [tool for tool in ("blender", "Xvfb") if not shutil.which(tool)]
    if lacking:
        sys.exit(f"not found: {', '.join(lacking)} (Debian packages blender, xvfb)")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "backend").mkdir()
        _report.write("window", measure(folder))


if __name__ == "__main__":
    main()
