"""Carries CMU motion capture over to a rig: world-space rotation deltas after aligning the two rest poses.

Both rest poses are made to agree first (``Alignment``): a limb bone is turned so that it points where the captured
skeleton's does and bends about the same axis. Then every frame's captured world rotation applies to the rig unchanged.
Feet get a second pass: planted feet are pinned to one place, and two-bone inverse kinematics carries the legs there.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from bvh import Motion
from mpfb import Bone, to_blender
from numpy.typing import NDArray

Array = NDArray[np.float64]
SOURCE_AXES = np.array([[1.0, 0, 0], [0, 0, -1.0], [0, 1.0, 0]])  # Y-up vectors to Z-up, as mpfb.to_blender


@dataclass
class Skeleton:
    """A rig at rest: ``parents`` int, -1 = root; ``heads`` (n,3) in metres."""

    bones: list[Bone]

    def __post_init__(self) -> None:
        self.index = {bone.name: i for i, bone in enumerate(self.bones)}
        self.parents = [self.index.get(bone.parent, -1) for bone in self.bones]
        self.heads = np.array([bone.head for bone in self.bones])


@dataclass
class Clip:
    """``deltas`` (T,n,3,3): world rotation of each bone away from rest; ``heads`` (T,n,3) in metres."""

    deltas: Array
    heads: Array


def unit(vector: Array) -> Array:
    """``vector`` at length 1."""
    return vector / np.linalg.norm(vector, axis=-1, keepdims=True)


def frame_of(main: Array, side: Array) -> Array:
    """An orthonormal frame (3,3, axes in columns) along ``main`` with its second axis nearest to ``side``."""
    first = unit(main)
    second = unit(side - first * (first @ side))
    return np.stack([first, second, np.cross(first, second)], 1)


def align(main: Array, side: Array, to_main: Array, to_side: Array) -> Array:
    """The rotation that takes one pair of directions to another."""
    return frame_of(to_main, to_side) @ frame_of(main, side).T


def shortest(start: Array, end: Array) -> Array:
    """The smallest rotation from direction ``start`` to ``end``."""
    a, b = unit(start), unit(end)
    axis = np.cross(a, b)
    k = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + k + k @ k / (1.0 + a @ b)


def hinge_axis(motion: Motion, side: str) -> Array:
    """The elbow's own axis, Z-up, as found in the capture."""
    upper, lower = motion.names.index(f"{side}Arm"), motion.names.index(f"{side}ForeArm")
    bend = np.einsum("tji,tjk->tik", motion.rotations[:, upper], motion.rotations[:, lower])
    axis = np.stack([bend[:, 2, 1] - bend[:, 1, 2], bend[:, 0, 2] - bend[:, 2, 0], bend[:, 1, 0] - bend[:, 0, 1]], -1)
    return unit(to_blender(axis.mean(0)))


def alignments(skeleton: Skeleton, motion: Motion, knuckles: dict[str, tuple[Array, Array]]) -> dict[str, Array]:
    """Rotations that bring the rig's rest pose to the capture's, by bone name.

    ``knuckles`` gives for "Left" and "Right" the direction of the hand and, across it, towards the thumb.
    """
    turns: dict[str, Array] = {}
    heads = {bone.name: bone.head for bone in skeleton.bones}
    for side, sign in (("Left", 1.0), ("Right", -1.0)):
        thigh, shin = (heads[f"{side}{b}"] - heads[f"{side}{a}"] for a, b in (("UpLeg", "Leg"), ("Leg", "Foot")))
        for name, child, direction in (("UpLeg", "Leg", thigh), ("Leg", "Foot", shin)):
            turns[f"{side}{name}"] = shortest(direction, _offset(motion, f"{side}{child}"))
        upper, lower = (heads[f"{side}{b}"] - heads[f"{side}{a}"] for a, b in (("Arm", "ForeArm"), ("ForeArm", "Hand")))
        hinge, outward = hinge_axis(motion, side), np.array([sign, 0.0, 0.0])
        turns[f"{side}Arm"] = align(upper, np.cross(upper, lower), outward, hinge)
        turns[f"{side}ForeArm"] = align(lower, np.cross(upper, lower), outward, hinge)
        turns[f"{side}Hand"] = align(*knuckles[side], outward, np.array([0.0, -1.0, 0.0]))
    return turns


def _offset(motion: Motion, name: str) -> Array:
    return to_blender(motion.offsets[motion.names.index(name)])


def world_deltas(skeleton: Skeleton, motion: Motion, turns: dict[str, Array]) -> Array:
    """(T,n,3,3): a bone without a captured one follows its parent."""
    deltas = np.tile(np.eye(3), (len(motion.positions), len(skeleton.bones), 1, 1))
    for i, bone in enumerate(skeleton.bones):
        if bone.name in motion.names and not bone.name.endswith(("Thumb", "FingerBase")):
            captured = motion.rotations[:, motion.names.index(bone.name)]
            turned = SOURCE_AXES @ captured @ SOURCE_AXES.T
            deltas[:, i] = turned @ turns.get(bone.name, np.eye(3))
        elif skeleton.parents[i] >= 0:
            deltas[:, i] = deltas[:, skeleton.parents[i]]
    return deltas


def forward(skeleton: Skeleton, deltas: Array, root: Array) -> Array:
    """Bone heads (T,n,3) for world deltas and the root's own path (T,3)."""
    heads = np.zeros((*deltas.shape[:2], 3))
    for i, parent in enumerate(skeleton.parents):
        if parent < 0:
            heads[:, i] = root
        else:
            heads[:, i] = heads[:, parent] + deltas[:, parent] @ (skeleton.heads[i] - skeleton.heads[parent])
    return heads


def leg_scale(skeleton: Skeleton, motion: Motion) -> float:
    """The rig's leg length over the captured one's: metres a capture unit."""
    names = ("UpLeg", "Leg", "Foot")
    rig = [skeleton.heads[skeleton.index[f"Left{n}"]] for n in names]
    captured = sum(np.linalg.norm(_offset(motion, f"{side}{n}")) for side in ("Left", "Right") for n in names[1:]) / 2
    return float(sum(np.linalg.norm(b - a) for a, b in itertools.pairwise(rig)) / captured)


def retarget(skeleton: Skeleton, motion: Motion, turns: dict[str, Array]) -> Clip:
    """The whole clip; the middle of the hip joints follows the captured one, scaled by leg length."""
    deltas = world_deltas(skeleton, motion, turns)
    hips = [motion.names.index(f"{side}UpLeg") for side in ("Left", "Right")]
    path = to_blender(motion.positions[:, hips].mean(1)) * leg_scale(skeleton, motion)
    own = skeleton.heads[[skeleton.index["LeftUpLeg"], skeleton.index["RightUpLeg"]]].mean(0) - skeleton.heads[0]
    root = path - deltas[:, 0] @ own
    return Clip(deltas, forward(skeleton, deltas, root))


def bend_leg(hip: Array, knee: Array, ankle: Array, goal: Array) -> tuple[Array, Array]:
    """Rotations (3,3) for thigh and shin that carry ``ankle`` to ``goal``, the knee kept on its side."""
    upper, lower = np.linalg.norm(knee - hip), np.linalg.norm(ankle - knee)
    reach = goal - hip
    length = min(float(np.linalg.norm(reach)), 0.999 * (upper + lower))
    along = unit(reach)
    cosine = (upper**2 + length**2 - lower**2) / (2 * upper * length)
    out = shortest(ankle - hip, reach) @ (knee - hip)
    out = out - along * (along @ out)
    bent = hip + along * upper * cosine + unit(out) * upper * np.sqrt(max(0.0, 1 - cosine**2))
    return shortest(knee - hip, bent - hip), shortest(ankle - knee, hip + along * length - bent)
