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


SINGLE = frozenset({"torso", "head"})
"""Of which a body has one."""
JOINED = (("legs", "thighs", "shins"), ("arms", "upper arms", "forearms"))


@dataclass(frozen=True)
class Difference:
    """``ratio``: of the reference's part to the rig's, each by its body's height; 1.18 = 18 % longer."""

    part: str
    ratio: float


@dataclass(frozen=True)
class Compared:
    """Parts that differ by more than THRESHOLD, the odd ones first, and those that cannot be told."""

    differences: tuple[Difference, ...]
    unknown: tuple[str, ...]


def lengths(body: Body) -> dict[str, float]:
    """Part -> length, of the parts that are known."""
    arms_known, legs_known = bodies.limb(body, bodies.ARM), bodies.limb(body, bodies.LEG)
    trunk, legs = bodies.torso(body), bodies.legs(body)
    low, high = bodies.TRUNK_SHARES
    upright = not body.flat or not trunk or not legs or low <= trunk / legs <= high
    frontal = not body.flat or bodies.faces_camera(body)
    found = {
        "upper arms": bodies.pair(body, "shoulder", "elbow") if arms_known else None,
        "forearms": bodies.pair(body, "elbow", "wrist") if arms_known else None,
        "thighs": bodies.pair(body, "hip", "knee") if legs_known else None,
        "shins": bodies.pair(body, "knee", "ankle") if legs_known else None,
        "torso": trunk if upright else None,
        "shoulders": body.length("shoulder.L", "shoulder.R") if frontal else None,
        "head": bodies.head(body) if frontal else None,
    }
    return {part: length for part, length in found.items() if length}


def compare(rig: Body, person: Body) -> Compared:
    """By body height, which is torso, thighs and shins. Without that of both, everything is unknown."""
    ours, theirs = lengths(rig), lengths(person)
    heights = [sum(found.get(part, np.nan) for part in ("torso", "thighs", "shins")) for found in (ours, theirs)]
    if not np.isfinite(heights).all() or min(heights) <= 0.0:
        return Compared((), PARTS)
    both = [part for part in PARTS if part in ours and part in theirs]
    ratios = {part: (theirs[part] / heights[1]) / (ours[part] / heights[0]) for part in both}
    apart = [Difference(part, ratio) for part, ratio in ratios.items() if abs(ratio - 1.0) > THRESHOLD]
    return Compared(tuple(_sorted(apart)), tuple(part for part in PARTS if part in ours and part not in theirs))


def joined(differences: tuple[Difference, ...]) -> list[Difference]:
    """Both parts of a limb as one where they differ alike, with the mean of their ratios; the odd ones first."""
    found = {each.part: each.ratio for each in differences}
    for whole, upper, lower in JOINED:
        if upper in found and lower in found and (found[upper] > 1.0) == (found[lower] > 1.0):
            found[whole] = (found.pop(upper) + found.pop(lower)) / 2.0
    return _sorted([Difference(part, ratio) for part, ratio in found.items()])


def _sorted(found: list[Difference]) -> list[Difference]:
    """Long legs make everything else short for its height: the direction of fewer parts first, then by size."""
    longer = sum(each.ratio > 1.0 for each in found)
    odd = longer <= len(found) - longer
    return sorted(found, key=lambda each: ((each.ratio > 1.0) != odd, -abs(np.log(each.ratio))))
