"""Pose estimation: the mapping always; the model itself where its file can be had."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from wan_models.pose import PoseUnavailable, estimate_image, unavailable
from wan_models.pose.estimate import FROM_MEDIAPIPE, body_points
from wan_models.pose.models import POSE_MODEL, find_model
from wan_models.requests import BODY_POINTS

NAMES_33 = (
    "nose", "eye_inner.L", "eye.L", "eye_outer.L", "eye_inner.R", "eye.R", "eye_outer.R", "ear.L", "ear.R", "mouth.L",
    "mouth.R", "shoulder.L", "shoulder.R", "elbow.L", "elbow.R", "wrist.L", "wrist.R", "pinky.L", "pinky.R", "index.L",
    "index.R", "thumb.L", "thumb.R", "hip.L", "hip.R", "knee.L", "knee.R", "ankle.L", "ankle.R", "heel.L", "heel.R",
    "toe.L", "toe.R",
)  # fmt: skip


def test_points_map_by_name() -> None:
    for ours, theirs in zip(BODY_POINTS, FROM_MEDIAPIPE, strict=True):
        assert ours == "neck" if theirs < 0 else NAMES_33[theirs] == ours


def test_pixels_and_neck() -> None:
    landmarks = np.zeros((33, 3), np.float32)
    landmarks[11], landmarks[12] = (0.6, 0.3, 0.9), (0.4, 0.3, 0.7)
    body = body_points(landmarks, np.array([200, 100], np.float32))
    assert np.allclose(body[1], (100, 30, 0.7))
    assert np.allclose(body[5], (120, 30, 0.9))


def test_models_are_found_by_path_environment_and_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platformdirs.user_cache_path", lambda _name: tmp_path / "cache")
    monkeypatch.setenv("WANSTAGE_MEDIAPIPE_MODELS", str(tmp_path / "env"))
    assert find_model(POSE_MODEL) is None
    cached = tmp_path / "cache" / "mediapipe" / POSE_MODEL
    cached.parent.mkdir(parents=True)
    cached.touch()
    assert find_model(POSE_MODEL) == cached
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / POSE_MODEL).touch()
    assert find_model(POSE_MODEL) == tmp_path / "env" / POSE_MODEL
    own = tmp_path / POSE_MODEL
    own.touch()
    assert find_model(POSE_MODEL, own) == own
    assert find_model(POSE_MODEL, tmp_path) == own


def test_a_missing_model_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platformdirs.user_cache_path", lambda _name: tmp_path)
    monkeypatch.delenv("WANSTAGE_MEDIAPIPE_MODELS", raising=False)
    reason = unavailable()
    assert reason is not None
    if importlib.util.find_spec("mediapipe") is not None:
        assert "pose_landmarker_full.task" in reason
        assert "wanstage models pull pose" in reason
    with pytest.raises(PoseUnavailable):
        estimate_image(np.zeros((64, 64, 3), np.uint8))


@pytest.mark.skipif(unavailable() is not None, reason=f"no pose model here: {unavailable()}")
def test_a_real_person_is_found() -> None:
    picture = Path(__file__).parents[3] / "examples" / "assets" / "reference_man.png"
    if not picture.is_file():
        pytest.skip("the demo's reference picture is not in this checkout")
    import json

    import cv2

    image = cv2.cvtColor(cv2.imread(str(picture), cv2.IMREAD_UNCHANGED), cv2.COLOR_BGRA2RGBA)
    flat = np.where(image[..., 3:] >= 128, image[..., :3], 128).astype(np.uint8)
    found = estimate_image(flat)
    assert found is not None
    truth = np.array(json.loads(Path(f"{picture}.joints.json").read_text())["body"])
    limbs = [*range(2, 14)]
    errors = np.linalg.norm(found.body[limbs, :2] - truth[limbs, :2], axis=1)
    assert np.median(errors) < 0.03 * image.shape[0]
    assert found.mask is not None
    assert ((found.mask >= 128) & (image[..., 3] >= 128)).sum() > 0.85 * (image[..., 3] >= 128).sum()
