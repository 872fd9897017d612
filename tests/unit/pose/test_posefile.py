"""The pose file: what is written comes back, and everything else is refused in a sentence."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wan_models.engine import RequestRefused
from wan_models.pose.joints import INDEX, JOINTS, PARENTS, height_of, rest_pose, soles, typical
from wan_models.pose.posefile import CameraPath, Person, PoseFile, dumps, header_of, loads, read, write

T, J = 3, len(JOINTS)


def a_person() -> Person:
    rotation = np.zeros((T, J, 4), np.float32)
    rotation[..., 0] = 1
    rest = rest_pose(typical()).astype(np.float32)
    return Person(
        id=4, name="person 4", height=1.75, first=0, last=2, rest=rest, rotation=rotation,
        root=np.repeat(rest[:1], T, 0), position=np.repeat(rest[None], T, 0),
        confidence=np.full((T, J), 0.5, np.float32), filled=np.zeros((T, J), bool), contact=np.ones((T, 4), bool),
        landmarks=np.full((T, 33, 4), np.nan, np.float32), world=np.zeros((T, 33, 4), np.float32),
        left_hand=np.zeros((T, 21, 3), np.float32), right_hand=np.zeros((T, 21, 3), np.float32),
        face=np.zeros((T, 2), np.float32), soles={name: tuple(at) for name, at in soles(typical()).items()},
    )  # fmt: skip


def a_file() -> PoseFile:
    camera = CameraPath(np.repeat(np.eye(4)[None], T, 0), np.full((T, 4), 100.0), guessed=True)
    return PoseFile(
        fps=23.976, frames=T, source={"name": "walk.mp4", "width": 64, "height": 48, "sha256": "00"},
        estimator={"name": "mediapipe", "version": "1", "models": {}}, space="camera", people=[a_person()],
        camera=camera, blendshapes=("jawOpen", "eyeBlinkLeft"), filters={"smooth": "butterworth"},
        warnings=["A sentence."], cuts=[2],
    )  # fmt: skip


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    pose = a_file()
    write(pose, tmp_path / "a.npz")
    again = read(tmp_path / "a.npz")
    assert header_of(again) == header_of(pose)
    assert again.camera is not None
    assert again.camera.guessed
    for name, given in vars(pose.people[0]).items():
        found = getattr(again.people[0], name)
        if isinstance(given, np.ndarray):
            np.testing.assert_array_equal(found, given)
            assert found.dtype == given.dtype
    assert [each.name for each in tmp_path.iterdir()] == ["a.npz"]


def test_numpy_alone_reads_it() -> None:
    with np.load(io.BytesIO(dumps(a_file())), allow_pickle=False) as arrays:
        header = json.loads(bytes(arrays["header"]).decode())
        assert header["format"] == "wanstage-pose"
        assert arrays["p0/rotation"].shape == (T, header["joints"].__len__(), 4)


def changed(change: Callable[[dict[str, Any], dict[str, Any]], None]) -> bytes:
    with np.load(io.BytesIO(dumps(a_file()))) as arrays:
        content: dict[str, Any] = dict(arrays)
    header = json.loads(bytes(content["header"]).decode())
    change(header, content)
    content["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    stream = io.BytesIO()
    np.savez(stream, **content)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda h, _: h.update(version=2), "has version 2, this Wanstage reads up to 1: update Wanstage"),
        (lambda h, _: h.update(version="1"), "has the version '1'"),
        (lambda h, _: h.update(format="bvh"), "is no pose file"),
        (lambda h, _: h["joints"].pop(), "has other joints"),
        (lambda h, _: h.pop("people"), "is damaged or no pose file"),
        (lambda h, _: h.update(frames=4), "p0/rotation is float32 (3, 51, 4)"),
        (lambda _, c: c.pop("p0/root"), "is damaged or no pose file"),
        (lambda _, c: c.update({"p0/rest": np.zeros((51, 3))}), "p0/rest is float64"),
        (lambda _, c: c.update({"camera/intrinsics": np.zeros((1, 4))}), "its camera is"),
    ],
)
def test_a_wrong_file_is_refused(change: Callable[[dict[str, Any], dict[str, Any]], None], sentence: str) -> None:
    with pytest.raises(RequestRefused) as refused:
        loads(changed(change), "walk.npz")
    assert sentence in str(refused.value)
    assert str(refused.value).startswith("walk.npz ")


def test_newer_fields_within_the_version_are_skipped() -> None:
    assert loads(changed(lambda h, _: h.update(something_new=1))).frames == T


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 no", b"anything", dumps(a_file())[:-300]])
def test_no_zip_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "b.npz").write_bytes(data)
    with pytest.raises(RequestRefused, match=r"^b\.npz is damaged or no pose file"):
        read(tmp_path / "b.npz")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestRefused, match="cannot be read"):
        read(tmp_path / "c.npz")


def test_other_arrays_are_no_pose_file() -> None:
    stream = io.BytesIO()
    np.savez(stream, other=np.zeros(3))
    with pytest.raises(RequestRefused, match="has no header"):
        loads(stream.getvalue())


def test_the_rest_pose_stands_on_the_ground_facing_minus_y() -> None:
    lengths = typical(1.8)
    rest = rest_pose(lengths)
    assert J == 51
    assert all(parent < index for index, parent in enumerate(PARENTS))
    assert rest[INDEX["leftHand"], 0] > rest[INDEX["leftUpperArm"], 0] > 0
    assert rest[INDEX["leftToes"], 1] < 0
    assert rest[:, 2].min() == 0.0
    np.testing.assert_allclose(rest[INDEX["leftToes"]] * (-1, 1, 1), rest[INDEX["rightToes"]])
    assert height_of(lengths) == pytest.approx(1.8, rel=0.02)
