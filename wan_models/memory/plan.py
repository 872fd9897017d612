"""Memory plans: which parts stay on the card, which stream to it, and in which precision. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from wan_models.rows import ModelRow

PlanName = Literal["resident", "resident-fp8", "swap", "swap-fp8", "stream", "stream-fp8"]


@dataclass(frozen=True)
class Plan:
    """``weights``: how block weights are stored. ``resident_blocks``: how many blocks of each transformer stay on the
    card (None = all).
    """

    name: PlanName = "resident"
    weights: Literal["bf16", "fp8"] = "bf16"
    resident_blocks: int | None = None


def choose(
    row: ModelRow,
    *,
    width: int,
    height: int,
    frames: int,
    free_card: float | None = None,
    free_host: float | None = None,
    wanted: str = "auto",
) -> Plan:
    """The fastest plan that fits."""
    return Plan()
