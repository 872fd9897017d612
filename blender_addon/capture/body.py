"""How large a body is in a picture and where it stands, from Wan2.2-Animate's 20 body points. Needs no bpy.

A rig's points come with their depth, so that its lengths are true ones whatever its pose; those of a picture are what
is seen. Lengths are pixels at the depth of the body. Shares of stature are those of Drillis and Contini (1966), as
Winter, Biomechanics and Motor Control of Human Movement, figure 4.1, gives them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .offsets import BODY_POINTS
from .visibility import BEHIND

Array = NDArray[Any]

PLACE = {name: place for place, name in enumerate(BODY_POINTS)}
SHOULDERS, HIPS, KNEES, ANKLES = 0.818, 0.530, 0.285, 0.039  # heights above the soles, of stature
EARS = 0.9265  # as capture.offsets has them: 0.0735 below the crown
SHOULDER_WIDTH = 0.259
SEEN = 0.3  # the score from which a joint of a picture counts
STRAIGHT = 0.9  # of its bones' lengths that a limb reaches from end to end: less is bent, toward the camera perhaps
EVEN = 0.9  # shorter to longer of a pair: less is foreshortening


LEG, ARM = ("hip", "knee", "ankle"), ("shoulder", "elbow", "wrist")
LIMB_SHARES = {LEG: (0.7, 1.4), ARM: (0.8, 1.8)}
"""Upper to lower bone: 1.0 for legs and 1.27 for arms (Drillis and Contini), and what is far from it."""
TRUNK_SHARES = (0.33, 0.9)
"""Trunk to legs, 0.59: one who bends toward the camera has less."""


@dataclass(frozen=True)
class Body:
    """``points`` (20,3) to measure lengths with, ``pixels`` (20,2) where they are seen, and which are known (20,).

    Both in pixels; the third of a point is depth in the same unit (0 in a picture). ``flat``: seen in a picture, so
    that lengths may be foreshortened.
    """

    points: Array
    pixels: Array
    known: Array
    flat: bool

    def at(self, name: str) -> Array | None:
        """A point, None when it is not known."""
        return np.asarray(self.points[PLACE[name]]) if self.known[PLACE[name]] else None

    def seen(self, *names: str) -> list[Array]:
        """Where those of these points are seen that are known."""
        return [np.asarray(self.pixels[PLACE[name]]) for name in names if self.known[PLACE[name]]]

    def middle(self, joint: str) -> Array | None:
        """Between left and right; of one alone when the other is not known."""
        both = [point for point in (self.at(f"{joint}.L"), self.at(f"{joint}.R")) if point is not None]
        return np.asarray(np.mean(both, axis=0)) if both else None

    def length(self, start: str, end: str) -> float | None:
        """From point to point, None when one is not known."""
        a, b = self.at(start), self.at(end)
        return float(np.linalg.norm(b - a)) if a is not None and b is not None else None


def of_rig(track: Array, intrinsics: Array, *, orthographic: bool) -> Body | None:
    """A sample (20,5: x, y, score, depth, state) of a rig's pose track, through the camera's fx, fy, cx, cy.

    Lengths are pixels of ``fx`` at the depth of the body's middle. None when nothing of it is before the camera.
    """
    known = track[:, 4] < BEHIND
    if not known.any():
        return None
    fx, fy, cx, cy = (float(value) for value in intrinsics)
    depth = track[:, 3].astype(np.float64)
    trunk = known[[PLACE[name] for name in ("neck", "hip.L", "hip.R")]]
    chosen = depth[[PLACE[name] for name in ("neck", "hip.L", "hip.R")]][trunk] if trunk.any() else depth[known]
    middle = float(chosen.mean())
    away = np.ones_like(depth) if orthographic else depth / middle
    unit = fx if orthographic else fx / middle
    x = (track[:, 0] - cx) * away
    y = (track[:, 1] - cy) * away * fx / fy
    points = np.stack([x, y, (depth - middle) * unit], axis=1)
    return Body(points, track[:, :2].astype(np.float64), known, flat=False)


def of_picture(rows: Array) -> Body:
    """Joints of a picture (20,3: x, y, score)."""
    points = np.concatenate([rows[:, :2], np.zeros((len(rows), 1))], axis=1).astype(np.float64)
    return Body(points, points[:, :2], rows[:, 2] >= SEEN, flat=True)


# ---- limbs ---------------------------------------------------------------------------------------------------


def pair(body: Body, start: str, end: str) -> float | None:
    """The mean length of a bone of both sides, or that of the one that is known.

    In a picture None when the sides differ: one is foreshortened, and nobody knows whether the other is.
    """
    sides = [length for side in "LR" if (length := body.length(f"{start}.{side}", f"{end}.{side}"))]
    if not sides or (body.flat and min(sides) < EVEN * max(sides)):
        return None
    return float(np.mean(sides))


def is_straight(body: Body, joints: tuple[str, str, str]) -> bool:
    """Whether a limb of a picture is stretched on both sides: a bent one may come toward the camera."""
    if not body.flat:
        return True
    for side in "LR":
        names = [f"{joint}.{side}" for joint in joints]
        parts = body.length(names[0], names[1]), body.length(names[1], names[2])
        whole = body.length(names[0], names[2])
        if whole is not None and None not in parts and whole < STRAIGHT * sum(part or 0.0 for part in parts):
            return False
    return True


def torso(body: Body) -> float | None:
    """From the neck to the middle of the hips."""
    neck, hips = body.at("neck"), body.middle("hip")
    return float(np.linalg.norm(hips - neck)) if neck is not None and hips is not None else None


def head(body: Body) -> float | None:
    """From the neck up to the height of the ears, which nodding moves least."""
    neck, ears = body.at("neck"), body.middle("ear")
    return float(np.linalg.norm(ears - neck)) if neck is not None and ears is not None else None


def is_plausible(body: Body, joints: tuple[str, str, str], shares: tuple[float, float]) -> bool:
    """Whether the bones of a limb of a picture are to each other about as they are in people: else one of them points
    at the camera, such as the thighs of who sits before it (or the figure is an odd one: who knows)."""
    upper, lower = pair(body, joints[0], joints[1]), pair(body, joints[1], joints[2])
    return not body.flat or not upper or not lower or shares[0] <= upper / lower <= shares[1]


def limb(body: Body, joints: tuple[str, str, str]) -> bool:
    """Whether a limb can be measured: a rig's always, a picture's where it is stretched and plausible."""
    return is_straight(body, joints) and is_plausible(body, joints, LIMB_SHARES[joints])


def legs(body: Body) -> float | None:
    """Thigh and shin; None where they are not known or, in a picture, bent or uneven."""
    if not limb(body, LEG):
        return None
    thigh, shin = pair(body, "hip", "knee"), pair(body, "knee", "ankle")
    return thigh + shin if thigh is not None and shin is not None else None


def faces_camera(body: Body) -> bool:
    """Whether a picture shows the face from the front: the nose in the middle third between the ears."""
    nose, left, right = body.at("nose"), body.at("ear.L"), body.at("ear.R")
    if nose is None or left is None or right is None:
        return False
    width = abs(left[0] - right[0])
    return bool(width > 1.0 and abs(nose[0] - (left[0] + right[0]) / 2.0) <= width / 6.0)
