"""Runs pytest inside a bpy Python: ``python tests/bpy/run.py [pytest arguments]``.

Ends by ``os._exit``: bpy 4.2 and 4.5 crash or hang at exit after timers or Rigify were used.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """Run the tests; returns pytest's exit code."""
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    arguments = sys.argv[1:] or ["tests/bpy"]
    return int(pytest.main(arguments))


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
