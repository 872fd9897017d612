"""The add-on reads what the backend writes: the same joints in the same order, the same numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from blender_addon.problems import UserProblem
from blender_addon.retarget import joints, posefile, turns
from wan_models.pose import joints as theirs

T, J = 4, len(joints.NAMES)


def person() -> dict[str, np.ndarray]:
    """T frames of a person who turns a little."""
    rest = np.zeros((J, 3), np.float32)
    rest[:, 2] = np.linspace(0.9, 1.7, J)
    rotation = np.zeros((T, J, 4), np.float32)
    rotation[..., 0], rotation[..., 3] = 1.0, np.linspace(0.0, 0.2, T)[:, None]
    return {
        "rest": rest, "rotation": rotation, "root": np.zeros((T, 3), np.float32),
        "position": np.zeros((T, J, 3), np.float32), "confidence": np.ones((T, J), np.float32),
        "contact": np.zeros((T, 4), bool),
    }  # fmt: skip


def header(**more: object) -> dict[str, object]:
    """Of a file with one person."""
    return {"fps": 16.0, "frames": T, "joints": joints.NAMES, "people": [{"first": 0, "last": T - 1}], **more}


def test_both_sides_have_the_same_joints() -> None:
    assert tuple(joints.NAMES) == theirs.JOINTS
    assert tuple(joints.PARENTS) == theirs.PARENTS


def test_written_and_read(tmp_path: Path) -> None:
    posefile.write_pose(tmp_path / "a.npz", header(), [person()])
    found = posefile.read_pose(tmp_path / "a.npz")
    np.testing.assert_allclose(np.linalg.norm(found.person.rotation, axis=-1), 1.0)
    np.testing.assert_array_equal(found.person.rest, person()["rest"])
    assert (found.fps, found.frames, found.space) == (16.0, T, "camera")


@pytest.mark.parametrize("name", ["rest", "rotation", "contact"])
def test_what_is_missing_is_named(tmp_path: Path, name: str) -> None:
    arrays = person()
    del arrays[name]
    posefile.write_pose(tmp_path / "a.npz", header(), [arrays])
    with pytest.raises(UserProblem, match=f"lacks p0/{name}"):
        posefile.read_pose(tmp_path / "a.npz")


def test_numbers_that_are_none_are_refused(tmp_path: Path) -> None:
    arrays = person()
    arrays["root"][2] = np.nan
    posefile.write_pose(tmp_path / "a.npz", header(), [arrays])
    with pytest.raises(UserProblem, match="not finite"):
        posefile.read_pose(tmp_path / "a.npz")


def test_an_array_larger_than_the_header_says_is_not_read(tmp_path: Path) -> None:
    arrays = person()
    arrays["root"] = np.zeros((100_000, 3), np.float32)
    posefile.write_pose(tmp_path / "a.npz", header(), [arrays])
    with pytest.raises(UserProblem, match="larger than its header says"):
        posefile.read_pose(tmp_path / "a.npz")


def test_turns_go_there_and_back() -> None:
    rng = np.random.default_rng(1)
    quaternions = turns.unit(rng.normal(size=(500, 4)))
    again = turns.to_quaternion(turns.to_matrix(quaternions))
    assert np.abs(np.abs(np.sum(again * quaternions, -1)) - 1.0).max() < 1e-12
    for a, b in ((np.eye(3)[0], np.eye(3)[1]), (np.eye(3)[2], -np.eye(3)[2])):
        np.testing.assert_allclose(turns.between(a, b) @ a, b, atol=1e-12)
    assert np.linalg.det(turns.between(np.eye(3)[2], -np.eye(3)[2])) == pytest.approx(1.0)
    half = turns.slerp(quaternions[:1], quaternions[1:2], 0.5)
    ways = [np.abs(np.sum(half * each, -1)) for each in (quaternions[:1], quaternions[1:2])]
    np.testing.assert_allclose(ways[0], ways[1])
