"""Results of a benchmark as one JSON file: command, machine, versions, figures."""

from __future__ import annotations

import json
import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"
PACKAGES = ("numpy", "pyzmq", "msgspec", "opencv-contrib-python", "scipy", "av")


def write(name: str, figures: dict[str, Any]) -> Path:
    """``results/NAME.json``; also printed. Returns the path."""
    content = {"benchmark": name, "command": _command(), "when": _now(), "machine": machine(), **figures}
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    text = json.dumps(content, indent=2) + "\n"
    path.write_text(text)
    print(text, end="")
    return path


def machine() -> dict[str, Any]:
    """What the figures depend on. ``load_1min`` says how busy others kept the cores."""
    load = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    return {
        "system": platform.system(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load_1min": load,
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def _command() -> str:
    return " ".join(["python", os.path.relpath(sys.argv[0]), *sys.argv[1:]])


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
