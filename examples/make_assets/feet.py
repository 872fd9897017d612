"""Keeps the feet of a retargeted clip on the floor: planted feet do not slide, and no sole sinks into the floor."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from retarget import Array, Clip, Skeleton, bend_leg, forward

STILL = 0.02  # metres a frame: slower than this, and lower than LOW above its usual height, a foot is planted
LOW = 0.05
LIFT = 0.012  # metres the hips are raised: the captured knees never straighten, even at rest


def sole_heights(clip: Clip, skeleton: Skeleton, soles: dict[str, tuple[Array, Array]]) -> dict[str, Array]:
    """Lowest point of each shoe (T,) in metres; ``soles``: rest vertices (n,3) and their toe-bone weights (n,)."""
    heights: dict[str, Array] = {}
    for side, (points, toe) in soles.items():
        moved = np.zeros((len(clip.heads), len(points), 3))
        for name, weight in ((f"{side}Foot", 1.0 - toe), (f"{side}ToeBase", toe)):
            bone = skeleton.index[name]
            local = points - skeleton.heads[bone]
            placed = np.einsum("tij,nj->tni", clip.deltas[:, bone], local) + clip.heads[:, None, bone]
            moved += placed * weight[None, :, None]
        heights[side] = moved[..., 2].min(1)
    return heights


def planted_runs(toe: Array, height: Array) -> list[tuple[int, int]]:
    """Half-open frame ranges in which a foot stands: ``toe`` (T,3) its path, ``height`` (T,) its sole's."""
    speed = np.linalg.norm(np.gradient(toe, axis=0), axis=1)
    standing: NDArray[np.bool_] = (speed < STILL) & (height < np.percentile(height, 20) + LOW)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], standing.astype(int), [0]])))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a >= 3]


def corrections(clip: Clip, skeleton: Skeleton, side: str, height: Array) -> Array:
    """How far (T,3) in metres each frame's foot is to be moved."""
    toe = clip.heads[:, skeleton.index[f"{side}ToeBase"]]
    runs = planted_runs(toe, height)
    frames = np.arange(len(toe))
    known: NDArray[np.bool_] = np.zeros(len(toe), bool)
    moves = np.zeros((len(toe), 3))
    for start, end in runs:
        moves[start:end, :2] = toe[start:end, :2].mean(0) - toe[start:end, :2]
        moves[start:end, 2] = -height[start:end]
        known[start:end] = True
    if known.any():
        for axis in range(3):
            moves[:, axis] = np.interp(frames, frames[known], moves[known, axis])
    moves[:, 2] = np.maximum(moves[:, 2], -height)  # never below the floor, standing or not
    return moves


def plant(clip: Clip, skeleton: Skeleton, soles: dict[str, tuple[Array, Array]]) -> Clip:
    """The clip with its legs bent so that the feet stand where they should."""
    heights = sole_heights(clip, skeleton, soles)
    moves = {side: corrections(clip, skeleton, side, heights[side]) for side in soles}
    deltas, lift = clip.deltas.copy(), np.array([0.0, 0.0, LIFT])
    for side, move in moves.items():
        joints = [skeleton.index[f"{side}{name}"] for name in ("UpLeg", "Leg", "Foot")]
        for frame in range(len(deltas)):
            hip, knee, ankle = clip.heads[frame, joints]
            thigh, shin = bend_leg(hip, knee, ankle, ankle + move[frame] - lift)
            deltas[frame, joints[0]] = thigh @ deltas[frame, joints[0]]
            deltas[frame, joints[1]] = shin @ deltas[frame, joints[1]]
    return Clip(deltas, forward(skeleton, deltas, clip.heads[:, 0] + lift))


def stand_on_floor(clip: Clip, skeleton: Skeleton, soles: dict[str, tuple[Array, Array]]) -> Clip:
    """The clip moved so that its path is centred on the origin and its standing soles are at height 0 in the median."""
    heights = sole_heights(clip, skeleton, soles)
    standing = [
        height[start:end]
        for side, height in heights.items()
        for start, end in planted_runs(clip.heads[:, skeleton.index[f"{side}ToeBase"]], height)
    ]
    path = clip.heads[:, 0]
    middle = (path.min(0) + path.max(0)) / 2
    offset = np.array([-middle[0], -middle[1], -np.median(np.concatenate(standing))])
    return Clip(clip.deltas, clip.heads + offset)
