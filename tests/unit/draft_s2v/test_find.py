"""Where a face is, by what is at hand: the models where their files can be had, joints, few points."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.unit.draft_s2v.people import EYES, HEIGHT, WIDTH, draw_person
from wan_models.draft.s2v.face import from_landmarks, from_points
from wan_models.draft.s2v.find import find_face
from wan_models.pose.face import POINTS, face_unavailable
from wan_models.pose.models import FACE_MODEL, POSE_MODEL

ASSETS = Path(__file__).parents[3] / "examples" / "assets"
MODELS = Path(os.environ.get("WANSTAGE_MEDIAPIPE_MODELS", "/nowhere"))


def _man() -> NDArray[np.uint8]:
    """The rendered man's head and chest on grey; his mouth is at about (162, 139)."""
    image = cv2.imread(str(ASSETS / "reference_man.png"), cv2.IMREAD_UNCHANGED)[20:320, 224:544]
    alpha = image[..., 3:] / 255.0
    return np.rint(cv2.cvtColor(image, cv2.COLOR_BGRA2RGB) * alpha + 128 * (1 - alpha)).astype(np.uint8)


def test_a_few_points_give_a_face_of_an_adults_proportions() -> None:
    face = from_points(EYES)
    assert np.allclose(face.right, (1, 0))
    assert np.allclose(face.down, (0, 1))
    assert np.allclose(face.mouth, (96, 60 + 1.08 * 28))
    assert face.half_mouth == pytest.approx(0.4 * 28)
    assert face.chin[1] > face.mouth[1] > face.under_nose[1] > 60
    assert not face.eyes


def test_a_tilted_face_has_tilted_axes() -> None:
    angle = np.radians(20)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], np.float32)
    face = from_points((EYES - EYES.mean(axis=0)) @ turn.T)
    assert np.allclose(face.right, turn[:, 0], atol=1e-5)
    assert np.allclose(face.down, turn[:, 1], atol=1e-5)


def test_the_seam_of_an_open_mouth_is_the_lower_lips_edge() -> None:
    points = np.zeros((POINTS, 3), np.float32)
    points[[33, 133], :2] = [[70, 60], [94, 60]]
    points[[362, 263], :2] = [[98, 60], [122, 60]]
    points[:, :2] = np.where(points[:, :2].any(axis=1, keepdims=True), points[:, :2], (96, 60))
    points[[61, 78], :2], points[[291, 308], :2] = (80, 90), (112, 90)
    for x, upper, lower in ((86, 80, 88), (90, 81, 178), (93, 82, 87), (96, 13, 14), (99, 312, 317), (102, 311, 402)):
        points[upper, :2], points[lower, :2] = (x, 88), (x, 96)
    face = from_landmarks(points)
    assert face.gap == pytest.approx(8, abs=0.5)
    assert face.seam[5].tolist() == [96, 96]


def test_without_any_model_a_face_is_not_made_up() -> None:
    found = find_face(draw_person())
    assert found.face is None
    assert found.sentence.startswith("No face was found")
    assert face_unavailable() is not None


def test_lips_go_to_the_shadow_between_them() -> None:
    body = np.zeros((20, 3), np.float32)
    body[[0, 14, 15]] = [[96, 75, 1], [82, 59, 1], [110, 59, 1]]
    found = find_face(draw_person(), body)
    assert found.face is not None
    assert found.face.mouth[1] == pytest.approx(90, abs=1)


def test_joints_of_a_back_or_unsure_ones_give_no_face() -> None:
    body = np.zeros((20, 3), np.float32)
    body[[0, 14, 15]] = [[96, 75, 1], [110, 59, 1], [82, 59, 1]]
    assert find_face(np.zeros((HEIGHT, WIDTH, 3), np.uint8), body).face is None
    body[[0, 14, 15]] = [[96, 75, 0.1], [82, 59, 0.1], [110, 59, 0.1]]
    assert find_face(np.zeros((HEIGHT, WIDTH, 3), np.uint8), body).face is None


@pytest.mark.skipif(not (MODELS / FACE_MODEL).is_file(), reason="MediaPipe's face model is not on this machine")
def test_landmarks_of_a_real_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANSTAGE_MEDIAPIPE_MODELS", str(MODELS))
    found = find_face(_man())
    assert found.sentence == ""
    assert found.face is not None
    assert found.face.mouth == pytest.approx((162, 139), abs=6)
    assert len(found.face.eyes) == 2


@pytest.mark.skipif(not (MODELS / POSE_MODEL).is_file(), reason="MediaPipe's pose model is not on this machine")
def test_the_pose_model_alone_finds_mouths(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / POSE_MODEL).write_bytes((MODELS / POSE_MODEL).read_bytes())
    monkeypatch.setenv("WANSTAGE_MEDIAPIPE_MODELS", str(tmp_path))
    found = find_face(_man())
    assert found.face is not None
    assert found.sentence.startswith("The lips are placed by the proportions")
    assert found.face.mouth == pytest.approx((162, 139), abs=10)
