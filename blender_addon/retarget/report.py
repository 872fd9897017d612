"""What a bake came to: how far bones point from where they should, how far feet slide, how much it trembles. No bpy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import feet, joints
from .rig import Rig
from .solve import Motion, positions
from .turns import Array, angle_between

KEY = "wanstage_retarget"  # custom property of the action
VERSION = 1


def acceleration_rms(heads: Array, fps: float) -> float:
    """Root mean square of the second difference in time of points (T,N,3), a second squared."""
    if len(heads) < 3:
        return 0.0
    second = (heads[2:] - 2.0 * heads[1:-1] + heads[:-2]) * fps * fps
    return float(np.sqrt(np.mean(np.sum(second * second, -1))))


def slide_report(found: Sequence[float], metres: float) -> dict[str, float]:
    """Mean and worst of slides in the rig's units, in centimetres; ``metres`` a unit."""
    if not found:
        return {"mean_cm": 0.0, "worst_cm": 0.0, "contacts": 0}
    values = np.array(found) * metres * 100.0
    return {
        "mean_cm": round(float(values.mean()), 3),
        "worst_cm": round(float(values.max()), 3),
        "contacts": len(found),
    }


def make_report(
    rig: Rig, target: Motion, free: Motion, heads: Array, *, directions: Array, rest: Array, fps: float, metres: float
) -> dict[str, Any]:
    """The report as JSON-ready data.

    ``target`` is what the preview shows, ``free`` the motion before feet were locked; ``heads`` and ``directions``
    (T,N,3) were evaluated on the rig, in canonical axes; ``rest`` (N,3) directions of the measured bones at rest.
    """
    wanted = np.einsum("tnij,nj->tni", target.turns, rest)
    error = angle_between(directions, wanted)
    rows = [i for i, node in enumerate(rig.nodes) if node.name == node.first and _is_leading(rig, i)]
    bones = {
        rig.nodes[i].measure: {"joint": rig.nodes[i].name, "mean_deg": _short(error[:, i].mean()),
                               "worst_deg": _short(error[:, i].max())}
        for i in rows
    }  # fmt: skip
    after = []
    for foot in feet.find_feet(rig):
        turned = target.turns[:, foot.ankle]
        places = np.stack([heads[:, foot.ankle] + turned @ way for way in (foot.heel, foot.ball)], 1)
        after += feet.slide_of(places, feet.contact_of(target.contact, foot))
    body = [i for i, node in enumerate(rig.nodes) if node.mode not in {"pole", "carried"}]
    have = {node.first for node in rig.nodes}
    missing = [name for name in joints.NAMES if name not in have]
    return {
        "version": VERSION, "rig": rig.name, "family": rig.family, "keyed_frames": len(heads),
        "keyed_bones": len({node.control for node in rig.nodes if node.mode != "still"}),
        "direction": {"mean_deg": _short(error[:, rows].mean()), "worst_deg": _short(error[:, rows].max())},
        "bones": bones,
        "held": _held(rig, target, free, metres),
        "slide_before": slide_report(feet.slide(rig, free), metres), "slide_after": slide_report(after, metres),
        "jitter": {"before": _short(acceleration_rms(positions(rig, free.turns, free.hips)[:, body], fps) * metres),
                   "after": _short(acceleration_rms(heads[:, body], fps) * metres)},
        "coverage": {"joints": len(joints.NAMES) - len(missing), "of": len(joints.NAMES), "missing": missing},
        "scale": _short(target.scale * metres),
    }  # fmt: skip


def _held(rig: Rig, target: Motion, free: Motion, metres: float) -> dict[str, float]:
    """What holding the feet took: how far the hips left their path, and how far thighs and shins were turned."""
    found = feet.find_feet(rig)
    rows = [row for foot in found for row in (foot.thigh, foot.shin)]
    ends = [row for foot in found for row in (foot.shin, foot.ankle)]
    before, after = (positions(rig, each.turns, each.hips) for each in (free, target))
    turned = angle_between(before[:, ends] - before[:, rows], after[:, ends] - after[:, rows])
    moved = np.linalg.norm(target.hips - free.hips, axis=1).max() * metres * 100.0
    legs = float(turned.max()) if rows else 0.0
    return {"root_offset_cm": round(float(moved), 3), "legs_worst_deg": _short(legs)}


def _is_leading(rig: Rig, i: int) -> bool:
    """A control rig's hips have a second bone that turns the measured one: it is that one which is compared."""
    return not any(node.name == f"{rig.nodes[i].name}#1" and node.measure == rig.nodes[i].measure for node in rig.nodes)


def _short(value: Any) -> float:
    return round(float(value), 4)
