"""The asset scripts' own mathematics, on small made-up data (their package data is not in the repository)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

SCRIPTS = Path(__file__).resolve().parents[3] / "examples" / "make_assets"
CLIP = """HIERARCHY
ROOT Hips
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Yrotation Xrotation
  JOINT Leg
  {
    OFFSET 0 -2 0
    CHANNELS 3 Zrotation Yrotation Xrotation
    End Site
    {
      OFFSET 0 -1 0
    }
  }
}
MOTION
Frames: 3
Frame Time: 0.5
1 5 0 0 0 0 0 0 0
1 5 0 90 0 0 0 0 0
1 5 0 90 0 0 0 0 90
"""


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, ModuleType]]:
    import importlib

    monkeypatch.syspath_prepend(str(SCRIPTS))
    names = ("bvh", "mpfb", "retarget")
    yield {name: importlib.import_module(name) for name in names}
    for name in names:
        sys.modules.pop(name, None)


def test_a_bvh_file_is_posed_as_written(scripts: dict[str, ModuleType], tmp_path: Path) -> None:
    path = tmp_path / "clip.bvh"
    path.write_text(CLIP)
    motion = scripts["bvh"].read(path)
    assert motion.names == ["Hips", "Leg", "Leg.end"]
    assert motion.fps == 2.0
    np.testing.assert_allclose(motion.positions[0, 1:], [[1, 3, 0], [1, 2, 0]], atol=1e-12)
    np.testing.assert_allclose(motion.positions[1, 1:], [[3, 5, 0], [4, 5, 0]], atol=1e-12)
    np.testing.assert_allclose(motion.positions[2, 2], [3, 5, -1], atol=1e-12)


def test_resampling_keeps_rotations_orthogonal(scripts: dict[str, ModuleType], tmp_path: Path) -> None:
    path = tmp_path / "clip.bvh"
    path.write_text(CLIP)
    taken = scripts["bvh"].resample(scripts["bvh"].read(path), 0.25, 1, 16.0)
    turn = taken.rotations[0, 0]
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.degrees(np.arctan2(turn[1, 0], turn[0, 0])) == pytest.approx(45.0)


@pytest.mark.parametrize("goal", [(0.1, -0.2, 0.25), (0.0, 0.1, 0.13), (0.05, -0.1, 0.4)])
def test_a_leg_reaches_its_goal_without_stretching(scripts: dict[str, ModuleType], goal: tuple[float, ...]) -> None:
    hip, knee, ankle = np.array([0, 0, 1.0]), np.array([0.02, -0.05, 0.55]), np.array([0, 0, 0.1])
    thigh, shin = scripts["retarget"].bend_leg(hip, knee, ankle, np.array(goal))
    bent = hip + thigh @ (knee - hip)
    np.testing.assert_allclose(bent + shin @ (ankle - knee), goal, atol=1e-9)
    along = np.array(goal) - hip
    offset = (bent - hip) - along * (along @ (bent - hip)) / (along @ along)
    assert offset[1] < 0  # the knee bends forwards


def test_shortest_rotation_carries_one_direction_to_the_other(scripts: dict[str, ModuleType]) -> None:
    start, end = np.array([1.0, 2, -0.5]), np.array([-0.3, 1, 2.0])
    turn = scripts["retarget"].shortest(start, end)
    np.testing.assert_allclose(turn @ start / np.linalg.norm(start), end / np.linalg.norm(end), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(turn), 1.0, atol=1e-12)
