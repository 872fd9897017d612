"""Brings a person's light a little towards that of the set he stands in, the same for the whole shot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from .skeleton import Floats

if TYPE_CHECKING:
    from wan_models.requests import DrivePack

    from .actor import Actor

TOWARDS = 0.35  # of the way from the person's own brightness to the set's
TINT = 0.2  # of the way from a neutral light to the set's mean colour
BRIGHTNESS = (0.72, 1.12)
COLOR = (0.92, 1.08)
LUMA = np.array([0.299, 0.587, 0.114])


def match_light(actor: Actor, pack: DrivePack) -> Floats:
    """Gains (3,) for red, green and blue of sRGB values, by the pack's plates; ones for a set without materials."""
    drawn = np.flatnonzero(actor.motion.drawn)
    if pack.look_plate is None or not len(pack.plate) or not len(drawn):
        return np.ones(3)
    t = int(drawn[0])
    joints = actor.motion.joints[t, :20]
    low, high = np.nanmin(joints, axis=0), np.nanmax(joints, axis=0)
    pad = 0.5 * (high - low)
    size = np.array([pack.width, pack.height])
    left, top = np.clip(low - pad, 0, size - 2).astype(int)
    right, bottom = np.clip(high + pad, (left + 2, top + 2), size).astype(int)
    around = np.asarray(cv2.mean(np.ascontiguousarray(pack.plate[t][top:bottom, left:right]))[:3])
    return gains(actor.color, around)


def gains(person: Floats, around: Floats) -> Floats:
    """From the mean colours (3,) of the person and of what is around him."""
    own, there = max(float(person @ LUMA), 1.0), max(float(around @ LUMA), 1.0)
    bright = float(np.clip((there / own) ** TOWARDS, *BRIGHTNESS))
    tint = np.clip((np.maximum(around, 1.0) / there) ** TINT, *COLOR)
    tint /= tint @ LUMA
    return np.asarray(bright * tint)
