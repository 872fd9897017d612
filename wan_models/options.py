"""What the owner of a backend sets for the video models; no torch here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Options:
    """``device``: cpu or cuda:N. ``folders``: model folders that are searched first (see ``wan_models.store``).

    ``plan``: a plan's name or auto, for jobs that ask for none. ``card_gib``, ``host_gib``: pretend that no more memory
    than this is free (None = what is measured). ``offline``: never ask a hub. ``random_weights``: networks of the
    released shapes with random numbers, for benchmarks; nothing is read from disk.
    """

    device: str = "cpu"
    folders: tuple[Path, ...] = ()
    plan: str = "auto"
    card_gib: float | None = None
    host_gib: float | None = None
    offline: bool = False
    random_weights: bool = False
