"""What run.py runs: single checks, and the parts of test rings side by side. Standard library only."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from environments import ROOT, Environment, Problem


@dataclass
class Ledger:
    """What the test rings said, for the last line."""

    scratch: Path
    passed: int = 0
    failed: int = 0
    skipped: list[str] = field(default_factory=list)

    def read(self, report: Path) -> None:
        for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314 (our own pytest wrote it)
            skip = case.find("skipped")
            if skip is not None:
                self.skipped.append(f"{case.get('classname')}.{case.get('name')}: {skip.get('message')}")
            elif case.find("failure") is not None or case.find("error") is not None:
                self.failed += 1
            else:
                self.passed += 1

    def close(self) -> None:
        for line in self.skipped:
            print(f"skipped  {line}")
        print(f"{self.passed} passed, {self.failed} failed, {len(self.skipped)} skipped")


def step(name: str, command: Sequence[str | Path], environment: Environment) -> None:
    """Run one check with its output shown; Problem when it fails."""
    print(f"\n==== {name}", flush=True)
    started = time.monotonic()
    words = [str(word) for word in command]
    code = subprocess.run(words, cwd=ROOT, env=environment.variables(), check=False).returncode
    print(f"---- {name}: {'failed' if code else 'ok'} in {time.monotonic() - started:.1f} s", flush=True)
    if code:
        sentence = f"{name} failed (exit {code}); the output above says why"
        raise Problem(sentence)


@dataclass(frozen=True)
class Part:
    """One pytest run. ``retries``: how often a process that was ended by a signal, which no failed test does, is run
    again (Blender as a module crashes now and then)."""

    name: str
    command: Sequence[str | Path]
    environment: Environment
    retries: int = 0


@dataclass
class Run:
    """A part that is running; its output is kept until its end, so that two parts' lines do not mix."""

    part: Part
    log: Path
    report: Path
    process: subprocess.Popen[bytes]
    started: float


def lanes() -> int:
    """How many parts run at a time: one a core, at most four (Blender and torch take 1 to 2 GB each)."""
    return max(1, min(os.cpu_count() or 1, 4))


def side_by_side(parts: Sequence[Part], ledger: Ledger) -> None:
    """Run the parts, as many at a time as there are lanes; the output of each is shown when it ends. Problem as soon as
    one fails: the others are stopped."""
    waiting, running = list(parts), list[Run]()
    try:
        while waiting or running:
            while waiting and len(running) < lanes():
                running.append(_begin(waiting.pop(0), ledger))
            ended = next((each for each in running if each.process.poll() is not None), None)
            if ended is None:
                time.sleep(0.2)
                continue
            running.remove(ended)
            waiting += _end(ended, ledger)
    finally:
        for each in running:
            each.process.terminate()
            each.process.wait(60)


def _begin(part: Part, ledger: Ledger) -> Run:
    name = re.sub(r"[^a-z0-9.]+", "-", part.name.lower())
    log, report = ledger.scratch / f"{name}.log", ledger.scratch / f"{name}.xml"
    report.unlink(missing_ok=True)
    words = [*map(str, part.command), "-p", "no:cacheprovider", f"--junit-xml={report}"]
    one_core = {"OMP_NUM_THREADS": "1"} if lanes() > 1 else {}
    print(f"\n==== {part.name}: begun", flush=True)
    with log.open("wb") as out:
        process = subprocess.Popen(
            words, cwd=ROOT, env={**part.environment.variables(), **one_core}, stdout=out, stderr=subprocess.STDOUT
        )
    return Run(part, log, report, process, time.monotonic())


def _end(run: Run, ledger: Ledger) -> list[Part]:
    """Show what it said and read its results; the part once more when a signal ended it. Problem when it failed."""
    part, code = run.part, run.process.returncode
    print(f"\n==== {part.name}\n{run.log.read_text(encoding='utf-8', errors='replace')}", flush=True)
    print(f"---- {part.name}: {'failed' if code else 'ok'} in {time.monotonic() - run.started:.1f} s", flush=True)
    if code < 0 and part.retries:
        print(f"---- {part.name}: ended by signal {-code}; once more", flush=True)
        return [dataclasses.replace(part, retries=part.retries - 1)]
    if run.report.exists():
        ledger.read(run.report)
    if code:
        sentence = f"{part.name} failed (exit {code}); the output above says why"
        raise Problem(sentence)
    return []
