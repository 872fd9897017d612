"""Limb lengths by body height: those of a rig beside those of the person in a reference picture. Needs no bpy.

A rig's lengths are true. A picture foreshortens what points at the camera, so a limb that is bent, or longer on one
side than on the other, is said to be unknown, and so are shoulders and head of who does not look at the camera.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import body as bodies
from .body import Body

THRESHOLD = 0.12
"""Differences of build up to this are usual among adults, and no model shows them."""
PARTS = ("upper arms", "forearms", "thighs", "shins", "torso", "shoulders", "head")


@dataclass(frozen=True)
class Difference:
    """``ratio``: of the reference's part to the rig's, each by its body's height; 1.18 = 18 % longer."""

    part: str
    ratio: float


@dataclass(frozen=True)
class Compared:
    """Parts that differ by more than THRESHOLD, largest first, and those that cannot be told."""

    differences: tuple[Difference, ...]
    unknown: tuple[str, ...]


def lengths(body: Body) -> dict[str, float]:
    """Part -> length, of the parts that are known."""
    arms_known = bodies.is_straight(body, ("shoulder", "elbow", "wrist"))
    legs_known = bodies.is_straight(body, ("hip", "knee", "ankle"))
    frontal = not body.flat or bodies.faces_camera(body)
    nose, neck = body.at("nose"), body.at("neck")
    found = {
        "upper arms": bodies.pair(body, "shoulder", "elbow") if arms_known else None,
        "forearms": bodies.pair(body, "elbow", "wrist") if arms_known else None,
        "thighs": bodies.pair(body, "hip", "knee") if legs_known else None,
        "shins": bodies.pair(body, "knee", "ankle") if legs_known else None,
        "torso": bodies.torso(body),
        "shoulders": body.length("shoulder.L", "shoulder.R") if frontal else None,
        "head": _head(body) if frontal and nose is not None and neck is not None else None,
    }
    return {part: length for part, length in found.items() if length}


def _head(body: Body) -> float | None:
    """From the neck up to the height of the ears, which nodding moves least."""
    neck, ears = body.at("neck"), body.middle("ear")
    return float(np.linalg.norm(ears - neck)) if neck is not None and ears is not None else None


def compare(rig: Body, person: Body) -> Compared:
    """By body height, which is torso, thighs and shins. Without that of both, everything is unknown."""
    ours, theirs = lengths(rig), lengths(person)
    heights = [sum(found.get(part, np.nan) for part in ("torso", "thighs", "shins")) for found in (ours, theirs)]
    if not np.isfinite(heights).all() or min(heights) <= 0.0:
        return Compared((), PARTS)
    both = [part for part in PARTS if part in ours and part in theirs]
    ratios = {part: (theirs[part] / heights[1]) / (ours[part] / heights[0]) for part in both}
    apart = [Difference(part, ratio) for part, ratio in ratios.items() if abs(ratio - 1.0) > THRESHOLD]
    apart.sort(key=lambda each: -abs(np.log(each.ratio)))
    return Compared(tuple(apart), tuple(part for part in PARTS if part in ours and part not in theirs))
