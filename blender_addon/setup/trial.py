"""Shows that what was installed works: the doctor's self-test, then five frames of the draft engine."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from . import png
from .problems import SetupProblem
from .process import python_of, run, stop
from .report import Reporter, clean_environment
from .said import Said

FRAMES, WIDTH, HEIGHT = 5, 256, 144
START_WITHIN_S = 60.0
SPEC = {"task": "i2v", "engine": "draft", "model": "draft", "width": WIDTH, "height": HEIGHT, "frames": FRAMES,
        "fps": 16.0, "prompt": "a slow pan"}  # fmt: skip


def doctor(environment: Path, reporter: Reporter) -> dict[str, Any]:
    """The doctor's findings. SetupProblem when its round trip does not work."""
    with tempfile.TemporaryDirectory(prefix="wanstage-setup-") as folder:
        command = [str(python_of(environment)), "-m", "backend.cli", "doctor", "--json", "--data", folder]
        lines = run(command, reporter, Said("The doctor's self-test"), cwd=folder, codes=(0, 1))
    try:
        found: dict[str, Any] = json.loads(next(line for line in reversed(lines) if line.startswith("{")))
    except (StopIteration, ValueError) as error:
        reason = lines[-1] if lines else Said("it said nothing")
        problem = Said("The doctor's self-test failed ({reason}): press Repair", reason=reason)
        raise SetupProblem(problem) from error
    if not found["round_trip"]["ok"]:
        problem = Said(
            "The doctor's round trip failed ({reason}): press Repair, or copy the log",
            reason=found["round_trip"]["error"],
        )
        raise SetupProblem(problem)
    return found


def card_problem(found: dict[str, Any], choice: str) -> str:
    """What to say when a card is here and the installed torch cannot use it; empty when all is well."""
    torch = found.get("torch", {})
    if choice != "wan":
        return ""
    if torch.get("error"):
        return Said("PyTorch does not work here ({reason}): press Repair, or copy the log", reason=torch["error"])
    if found.get("cards") and not torch.get("cards"):
        names = ", ".join(card["name"] for card in found["cards"])
        return Said("PyTorch cannot use {cards}: update its driver, then press Repair", cards=names)
    return ""


def draft_trip(environment: Path, reporter: Reporter) -> dict[str, Any]:
    """Five frames of the draft engine from a private backend: how many came, in how many seconds. SetupProblem."""
    with tempfile.TemporaryDirectory(prefix="wanstage-setup-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        began = time.monotonic()
        backend = _start(environment, folder)
        try:
            _wait_ready(backend, reporter, folder / "log")
            frames = _submit(environment, folder, reporter)
        finally:
            stop(backend)
            if backend.stdout is not None:
                backend.stdout.close()
        if frames != FRAMES:
            problem = Said(
                "The draft engine sent {count} of {whole} frames: press Repair, or copy the log",
                count=frames,
                whole=FRAMES,
            )
            raise SetupProblem(problem)
        return {"frames": frames, "seconds": round(time.monotonic() - began, 1)}


def _start(environment: Path, folder: Path) -> subprocess.Popen[str]:
    command = [str(python_of(environment)), "-m", "backend.cli", "serve", "--data", str(folder / "data"),
               "--connection-file", str(folder / "connection.json"), "--workers", "cpu:1", "--min-free", "16",
               "--idle-exit", "120", "--offline"]  # fmt: skip
    group = {"creationflags": 0x08000000} if sys.platform == "win32" else {"start_new_session": True}
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True,
            env=clean_environment(), **group,
        )  # fmt: skip


def _wait_ready(backend: subprocess.Popen[str], reporter: Reporter, log: Path) -> None:
    """Until its line says that it is ready."""
    heard: queue.SimpleQueue[str] = queue.SimpleQueue()
    source = backend.stdout
    threading.Thread(target=lambda: heard.put(source.readline() if source else ""), daemon=True).start()
    until = time.monotonic() + START_WITHIN_S
    while True:
        reporter.check_cancelled()
        try:
            line = heard.get(timeout=0.2)
            break
        except queue.Empty:
            if time.monotonic() > until:
                line = ""
                break
    if not line:
        said = log.read_text(encoding="utf-8", errors="replace").strip()
        reporter.log(said)
        last = said.splitlines()[-1] if said else Said("it said nothing")
        problem = Said("The backend did not start ({reason}): press Repair, or copy the log", reason=last)
        raise SetupProblem(problem)


def _submit(environment: Path, folder: Path, reporter: Reporter) -> int:
    """How many pictures came."""
    (folder / "spec.json").write_text(json.dumps(SPEC), encoding="utf-8")
    (folder / "first.png").write_bytes(picture(WIDTH, HEIGHT))
    command = [str(python_of(environment)), "-m", "backend.cli", "submit", str(folder / "spec.json"), "--image",
               str(folder / "first.png"), "--connection", str(folder / "connection.json"), "--out",
               str(folder / "frames"), "--json", "--timeout", "30"]  # fmt: skip
    run(command, reporter, Said("The draft round trip"), cwd=str(folder))
    return len(list((folder / "frames").glob("**/*.png")))


def picture(width: int, height: int) -> bytes:
    """A PNG (8-bit RGB): a colour ramp with squares, so that there is something to follow."""
    rows = bytearray()
    for y in range(height):
        rows.append(0)
        for x in range(width):
            square = 60 * ((x // 24 + y // 24) % 2)
            rows += bytes((x * 195 // width + square, y * 195 // height + square, 90 + square))
    return png.encode(width, height, 3, bytes(rows))
