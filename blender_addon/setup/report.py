"""What the setup tells: one JSON object a line to the reader, everything to a log.

``{"type": "plan", ...}``; ``{"type": "progress", "stage", "text", "done", "total", "rate", "eta", "fraction"}`` (bytes,
bytes a second, seconds, 0 to 1; ``total`` 0 and ``eta`` null when not known); and at the end one of ``done``,
``problem`` (``sentence``) and ``cancelled``.

Sentences are English text. With ``--apart``, for a reader that translates them, those of the setup's own go as said.py
tells: the sentence, and the values to put in; what other programs said stays text. The log is English.
"""

from __future__ import annotations

import json
import os
import time
from collections import deque
from pathlib import Path
from typing import Any, TextIO

from .problems import Cancelled
from .said import apart

EVERY_S = 0.2
OVER_S = 8.0  # the rate is that of so many last seconds
ENDS = ("done", "problem", "cancelled")


class Meter:
    """Rate and time left of bytes that arrive."""

    def __init__(self, total: int, done: int = 0) -> None:
        self.total, self.done = total, done
        self._seen: deque[tuple[float, int]] = deque()

    def add(self, done: int, now: float) -> None:
        """``done`` bytes are here at ``now`` seconds."""
        self.done = done
        self._seen.append((now, done))
        while len(self._seen) > 2 and now - self._seen[0][0] > OVER_S:
            self._seen.popleft()

    @property
    def rate(self) -> float:
        """Bytes a second, lately."""
        if len(self._seen) < 2:
            return 0.0
        (began, first), (ended, last) = self._seen[0], self._seen[-1]
        return max(last - first, 0) / (ended - began) if ended > began else 0.0

    @property
    def eta(self) -> float | None:
        """Seconds until all is here; None when that cannot be known."""
        if not self.total or not self.rate:
            return None
        return max(self.total - self.done, 0) / self.rate


class Reporter:
    """Writes lines and the log. ``stages``: (name, share of the whole); ``translated``: sentences and values apart."""

    def __init__(self, out: TextIO, cancel_file: Path | None = None, translated: bool = False) -> None:
        self._out, self._cancel_file, self._translated = out, cancel_file, translated
        self._log: TextIO | None = None
        self._stages: tuple[tuple[str, float], ...] = ()
        self._stage, self._last, self._text = "", 0.0, ""

    def open_log(self, path: Path) -> None:
        """From now on, into this file too."""
        self._log = path.open("a", encoding="utf-8", errors="replace")
        self.log(f"---- {time.strftime('%Y-%m-%d %H:%M:%S')}")

    def close(self) -> None:
        """Close the log."""
        if self._log is not None:
            self._log.close()
            self._log = None

    def log(self, text: str) -> None:
        """A line for the log alone."""
        if self._log is not None:
            self._log.write(text.rstrip() + "\n")
            self._log.flush()

    def line(self, kind: str, **fields: Any) -> None:
        """A line for the reader, and for the log."""
        told = {"type": kind, **fields}
        self._out.write(json.dumps(apart(told) if self._translated else told) + "\n")
        self._out.flush()
        if kind != "progress":
            self.log(json.dumps(told))

    def stages(self, *shares: tuple[str, float]) -> None:
        """The stages to come, in order."""
        self._stages = shares

    def progress(
        self, stage: str, text: str, part: float = 0.0, meter: Meter | None = None, force: bool = False
    ) -> None:
        """How far ``stage`` is (``part`` of it, 0 to 1), at most a few times a second."""
        now = time.monotonic()
        if not force and stage == self._stage and now - self._last < EVERY_S:
            return
        if (stage, text) != (self._stage, self._text):
            self.log(f"[{stage}] {text}")
        self._stage, self._last, self._text = stage, now, text
        moving = meter or Meter(0)
        self.line(
            "progress", stage=stage, text=text, done=moving.done, total=moving.total, rate=round(moving.rate),
            eta=None if moving.eta is None else round(moving.eta, 1), fraction=round(self._fraction(stage, part), 4),
        )  # fmt: skip

    def _fraction(self, stage: str, part: float) -> float:
        whole = sum(share for _, share in self._stages) or 1.0
        before = 0.0
        for name, share in self._stages:
            if name == stage:
                return (before + share * min(max(part, 0.0), 1.0)) / whole
            before += share
        return 0.0

    def check_cancelled(self) -> None:
        """Raise Cancelled when the reader asked for it."""
        if self._cancel_file is not None and self._cancel_file.exists():
            raise Cancelled


def clean_environment() -> dict[str, str]:
    """This process's variables for a child: nothing of the Python or the environment that we run in; pip's own
    settings (proxies, indexes, certificates) are kept."""
    foreign = ("PYTHON", "VIRTUAL_ENV", "CONDA", "PIP_TARGET", "PIP_PREFIX", "PIP_USER", "PIP_ROOT")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
    return {
        **kept,
        "PYTHONUTF8": "1",
        "PYTHONNOUSERSITE": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
    }
