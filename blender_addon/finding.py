"""What preflight finds: one line, with the buttons that put it right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True)
class Fix:
    """A button: what it says, and which of a finding's remedies it is; the size that it sets, where it sets one."""

    label: str
    how: str = ""
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Finding:
    """One line. ``frame``: the scene frame at which it is first seen; None = it is about all of the shot."""

    id: str
    severity: Severity
    text: str
    fixes: tuple[Fix, ...] = ()
    frame: int | None = None
