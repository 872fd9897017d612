"""MediaPipe's real models, where this machine has them: hands in turn, the head's rotation, a fresh one."""

from __future__ import annotations

import os
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest

from wan_models.pose.estimator import EstimatorOptions, Image
from wan_models.pose.models import POSE_MODEL

ROOT = Path(__file__).resolve().parents[3]
MODELS = Path(os.environ.get("WANSTAGE_MEDIAPIPE_MODELS", "/nowhere"))
pytestmark = pytest.mark.skipif(
    not (MODELS / POSE_MODEL).is_file() or find_spec("mediapipe") is None,
    reason="MediaPipe's models are not on this machine",
)


@pytest.fixture(scope="module")
def man() -> Image:
    """The examples' man before grey, 720 pixels high."""
    read = cv2.imread(str(ROOT / "examples" / "assets" / "reference_man.png"), cv2.IMREAD_UNCHANGED)
    alpha = read[..., 3:] / 255 if read.shape[2] == 4 else np.ones_like(read[..., :1])
    picture = (read[..., 2::-1] * alpha + 90 * (1 - alpha)).astype(np.uint8)
    scale = 680 / picture.shape[0]
    picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    image = np.full((720, 960, 3), 90, np.uint8)
    image[20 : 20 + picture.shape[0], 100 : 100 + picture.shape[1]] = picture[:, :800]
    return image


def test_hands_are_looked_for_in_turn_and_the_head_looks_at_the_camera(man: Image) -> None:
    from wan_models.pose.mediapipe import MediaPipe

    found = []
    with closing(MediaPipe(EstimatorOptions(MODELS, 1, every=2))) as estimator:
        for step in range(8):
            (person,) = estimator.refine(man, estimator.find(man, step / 30))
            found.append(person)
    assert all(each.right_hand is None and each.right_pixels is None for each in found[::2])
    assert all(each.left_hand is None and each.face is None for each in found[1::2])
    faces = [each.face_turn for each in found[::2] if each.face_turn is not None]
    assert len(faces) >= 2
    for turn in faces:
        np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-4)
        assert np.degrees(np.arccos(np.clip(turn[2, 2], -1, 1))) < 35


def test_a_fresh_one_sees_bodies_alone_and_leaves_the_first_as_it_was(man: Image) -> None:
    from wan_models.pose.mediapipe import MediaPipe

    with closing(MediaPipe(EstimatorOptions(MODELS, 1))) as estimator:
        one = estimator.find(man, 0.0)
        with closing(estimator.fresh()) as other:
            seen = other.find(man, 0.0)
            assert other.refine(man, seen) == seen
        np.testing.assert_allclose(seen[0].landmarks[:, :2], one[0].landmarks[:, :2], atol=2)
        assert len(estimator.find(man, 0.1)) == 1
