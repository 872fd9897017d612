"""Reads a BVH motion capture file: joints, and their world rotations and positions over time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

AXES = {"Xrotation": 0, "Yrotation": 1, "Zrotation": 2}


@dataclass(frozen=True)
class Motion:
    """``parents`` int (n,), -1 = root; ``offsets`` (n,3); in world ``rotations`` (T,n,3,3), ``positions`` (T,n,3)."""

    names: list[str]
    parents: list[int]
    offsets: NDArray[np.float64]
    rotations: NDArray[np.float64]
    positions: NDArray[np.float64]
    fps: float


def read(path: Path) -> Motion:
    """Reads the file; units and axes stay the file's own (CMU: Y up, facing +Z at rest)."""
    hierarchy, _, motion = path.read_text().partition("MOTION")
    names, parents, offsets, channels = _hierarchy(hierarchy)
    lines = motion.strip().splitlines()
    seconds = float(lines[1].split(":")[1])
    values = np.array([[float(v) for v in line.split()] for line in lines[2:]])
    local, root = _local(values, channels)
    rotations, positions = _world(local, root, parents, offsets)
    return Motion(names, parents, offsets, rotations, positions, 1.0 / seconds)


def _hierarchy(text: str) -> tuple[list[str], list[int], NDArray[np.float64], list[list[str]]]:
    names: list[str] = []
    parents: list[int] = []
    offsets: list[list[float]] = []
    channels: list[list[str]] = []
    stack: list[int] = []
    for words in (line.split() for line in text.splitlines() if line.strip()):
        if words[0] in ("ROOT", "JOINT", "End"):
            names.append(f"{names[stack[-1]]}.end" if words[0] == "End" else words[1])
            parents.append(stack[-1] if stack else -1)
            channels.append([])
        elif words[0] == "{":
            stack.append(len(names) - 1)
        elif words[0] == "}":
            stack.pop()
        elif words[0] == "OFFSET":
            offsets.append([float(v) for v in words[1:4]])
        elif words[0] == "CHANNELS":
            channels[-1] = words[2:]
    return names, parents, np.array(offsets), channels


def _local(values: NDArray[np.float64], channels: list[list[str]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    frames, column = len(values), 0
    local = np.tile(np.eye(3), (frames, len(channels), 1, 1))
    root = np.zeros((frames, 3))
    for joint, names in enumerate(channels):
        for name in names:
            if name in AXES:
                local[:, joint] = local[:, joint] @ axis_rotation(AXES[name], np.radians(values[:, column]))
            elif joint == 0:
                root[:, "XYZ".index(name[0])] = values[:, column]
            column += 1
    return local, root


def axis_rotation(axis: int, angle: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotation matrices (T,3,3) by ``angle`` (T,) in radians about the x (0), y (1) or z (2) axis."""
    first, second = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.zeros((len(angle), 3, 3))
    matrix[:, axis, axis] = 1.0
    matrix[:, first, first] = matrix[:, second, second] = np.cos(angle)
    matrix[:, first, second], matrix[:, second, first] = -np.sin(angle), np.sin(angle)
    return matrix


def _world(
    local: NDArray[np.float64], root: NDArray[np.float64], parents: list[int], offsets: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rotations, positions = local.copy(), np.zeros(local.shape[:3])
    positions[:, 0] = root
    for joint, parent in enumerate(parents):
        if parent >= 0:
            rotations[:, joint] = rotations[:, parent] @ local[:, joint]
            positions[:, joint] = positions[:, parent] + rotations[:, parent] @ offsets[joint]
    return rotations, positions


def resample(motion: Motion, start: float, frames: int, fps: float) -> Motion:
    """``frames`` samples at ``fps`` from ``start`` seconds on; between captured frames, rotations are blended."""
    times = (start + np.arange(frames) / fps) * motion.fps
    low = np.clip(times.astype(int), 0, len(motion.positions) - 2)
    part = (times - low)[:, None, None]
    positions = motion.positions[low] * (1 - part) + motion.positions[low + 1] * part
    mixed = motion.rotations[low] * (1 - part[..., None]) + motion.rotations[low + 1] * part[..., None]
    left, _, right = np.linalg.svd(mixed)  # the nearest rotation; captured frames lie 8 ms apart
    return Motion(motion.names, motion.parents, motion.offsets, left @ right, positions, fps)


def bridge(motion: Motion, joints: tuple[str, ...], parent: str, span: tuple[int, int]) -> Motion:
    """Replaces the joints' rotations against ``parent`` inside ``span`` by a blend of those at its two ends.

    For short glitches of a capture. Positions are left as they are.
    """
    first, last = span
    rotations, base = motion.rotations.copy(), motion.names.index(parent)
    part = np.linspace(0.0, 1.0, last - first + 1)[:, None, None]
    for joint in (motion.names.index(name) for name in joints):
        ends = [motion.rotations[frame, base].T @ motion.rotations[frame, joint] for frame in span]
        left, _, right = np.linalg.svd(ends[0] * (1 - part) + ends[1] * part)
        rotations[first : last + 1, joint] = motion.rotations[first : last + 1, base] @ (left @ right)
    return Motion(motion.names, motion.parents, motion.offsets, rotations, motion.positions, motion.fps)
