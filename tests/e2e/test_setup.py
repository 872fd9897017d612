"""The setup as Blender runs it, with the package index of pip: killed, gone on with, repaired, removed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ADDON = Path(__file__).resolve().parents[2] / "blender_addon"


def start(command: str, root: Path, *options: str) -> subprocess.Popen[str]:
    """A setup process whose lines can be read."""
    words = [sys.executable, "-E", "-s", "-B", "-m", "setup", command, "--root", str(root), *options]
    return subprocess.Popen(words, cwd=ADDON, stdout=subprocess.PIPE, text=True, start_new_session=True)


def told(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    """All its lines, once it has ended."""
    return [json.loads(line) for line in process.communicate()[0].splitlines()]


def wheels(root: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (root / "wheels").glob("*.whl")}


def kill_while_loading(root: Path) -> None:
    """Start a setup and kill it without a warning as soon as one large package is here and the next is coming."""
    process = start("install", root)
    assert process.stdout is not None
    for line in process.stdout:
        now = json.loads(line)
        assert now["type"] not in {"problem", "done"}, now
        if now["type"] == "progress" and now["stage"] == "packages" and wheels(root):
            break
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)
    process.stdout.close()


@pytest.mark.skipif(os.name == "nt", reason="kills a process group")
@pytest.mark.timeout(300)
def test_killed_gone_on_with_repaired_removed(tmp_path: Path) -> None:
    root = tmp_path / "with a space" / "setup"
    kill_while_loading(root)
    before = wheels(root)
    assert before
    second = start("install", root)
    assert second.stdout is not None
    for line in second.stdout:
        now = json.loads(line)
        if now["type"] == "progress" and now["stage"] == "packages" and now["done"]:
            assert before.items() <= wheels(root).items(), "what was loaded is not loaded again"
            break
    end = told(second)[-1]
    assert end["type"] == "done", end
    assert end["result"]["draft"]["frames"] == 5
    assert not (root / "wheels").exists()

    packages = next((root / "env").glob("lib/python*/site-packages"))
    (packages / "scipy" / "__init__.py").write_text("broken")
    repaired = told(start("repair", root))
    assert next(each["packages"] for each in repaired if each["type"] == "broken").keys() == {"scipy"}
    assert repaired[-1]["result"]["round_trip"]["ok"]

    (root / "mine.txt").write_text("a note")
    removed = told(start("remove", root))[-1]["result"]
    assert removed["freed"] > 300 << 20
    assert removed["left"] == ["mine.txt"]
    assert [path.name for path in root.iterdir()] == ["mine.txt"]
    assert told(start("remove", root))[-1]["sentence"].endswith("nothing was removed")
