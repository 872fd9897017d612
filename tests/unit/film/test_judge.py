"""A take against its rig, by numbers made by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from blender_addon.film import judge, pictures, strip
from blender_addon.problems import UserProblem

FRAMES, FPS = 60, 24.0
LEFT_ARM = (6, 7)


def standing(shift: float = 0.0) -> np.ndarray:
    """A rig (T,20,5) of 200 px, which walks to the right and is all visible."""
    places = np.zeros((20, 2))
    places[:, 1] = np.linspace(20, 220, 20)
    places[:, 0] = 100 + 7 * (np.arange(20) % 3)
    body = np.zeros((FRAMES, 20, 5))
    body[..., :2] = places + shift
    body[..., 0] += np.arange(FRAMES)[:, None]
    body[..., 2] = 1.0
    return body


def seen(body: np.ndarray, noise: float = 1.0) -> np.ndarray:
    return body[..., :2] + np.random.default_rng(3).normal(0, noise, (*body.shape[:2], 2))


def test_a_shifted_arm_is_found_and_nothing_else() -> None:
    body = standing()
    film = seen(body)
    film[20:33, LEFT_ARM, 1] -= 50  # a quarter of the height
    found = judge.judge(body, film, FPS)
    assert [(each.group, each.first, each.last) for each in found.stretches] == [("left arm", 20, 32)]
    assert found.stretches[0].worst == pytest.approx(0.25, abs=0.03)
    assert found.within < 0.02
    assert found.unseen == ()
    assert found.judged == 1.0


def test_what_follows_has_no_stretch_and_a_short_jump_is_noise() -> None:
    body = standing()
    film = seen(body, 2.0)
    film[30, LEFT_ARM] += 60
    found = judge.judge(body, film, FPS)
    assert found.stretches == ()


def test_a_short_pause_does_not_make_two_of_one() -> None:
    body = standing()
    film = seen(body)
    film[10:20, 3] += 40
    film[23:30, 3] += 40
    found = judge.judge(body, film, FPS)
    assert [(each.group, each.first, each.last) for each in found.stretches] == [("right arm", 10, 29)]


def test_two_far_stretches_are_two() -> None:
    body = standing()
    film = seen(body)
    film[5:12, 3] += 40
    film[40:50, 3] += 40
    assert [(each.first, each.last) for each in judge.judge(body, film, FPS).stretches] == [(5, 11), (40, 49)]


def test_hidden_joints_are_not_judged() -> None:
    body = standing()
    film = seen(body)
    film[20:33, LEFT_ARM] += 80
    body[20:33, LEFT_ARM, 4] = 1
    found = judge.judge(body, film, FPS)
    assert found.stretches == ()
    assert np.isnan(found.groups[25, list(judge.GROUPS).index("left arm")])


def test_frames_without_the_person_are_told() -> None:
    body = standing()
    film = seen(body)
    film[50:] = np.nan
    found = judge.judge(body, film, FPS)
    assert found.unseen == tuple(range(50, 60))
    assert found.judged == pytest.approx(50 / 60)


def test_a_steady_small_difference_is_a_habit_and_a_large_one_is_not() -> None:
    body = standing()
    film = seen(body)
    film[:, 0] += (0.0, 7.0)
    assert judge.judge(body, film, FPS).stretches == ()
    film[:, 0] += (0.0, 40.0)
    found = judge.judge(body, film, FPS)
    assert [(each.group, each.first, each.last) for each in found.stretches] == [("head", 0, 59)]


def test_people_are_matched_by_where_they_are() -> None:
    one, other = standing(), standing(150.0)
    films = [seen(other), seen(standing(900.0)), seen(one)]
    assert judge.matched([one, other], films, FPS) == [2, 0]
    assert judge.matched([one], [seen(standing(900.0))], FPS) == [None]


def test_landmarks_become_body_points() -> None:
    marks = np.ones((2, 33, 4))
    marks[:, :, 0] = np.arange(33)
    marks[1, 13, 3] = 0.2
    found = judge.points_of(marks)
    assert found[0, :8, 0].tolist() == [0, 11.5, 12, 14, 16, 11, 13, 15]
    assert found[0, 8:, 0].tolist() == [24, 26, 28, 23, 25, 27, 5, 2, 8, 7, 31, 32]
    assert np.isnan(found[1, 6]).all()


def test_the_strip_is_grey_where_nothing_is_judged() -> None:
    groups = np.zeros((10, 6))
    groups[4:6, 2] = 0.1
    groups[7, 0] = np.nan
    image = strip.picture(groups)
    assert image.shape == (480, 480, 3)
    assert image[2 * 80 + 40, 4 * 48].tolist() == [214, 74, 50]
    assert image[5, 7 * 48].tolist() == list(strip.NOT_JUDGED)
    assert image[5, 0].tolist() == [38, 92, 66]


def test_pictures_are_one_film(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    from wan_models.pose.footage import frames, open_footage

    paths = []
    for at in range(5):
        image = np.full((48, 64, 3), 20 + 40 * at, np.uint8)
        paths.append(tmp_path / f"frame_{at:04d}.png")
        cv2.imwrite(str(paths[-1]), image)
    (tmp_path / "film").write_bytes(pictures.film(paths, 16.0))
    footage = open_footage(tmp_path / "film", 16.0)
    assert [int(image[0, 0, 0]) for image in frames(footage)] == [20, 60, 100, 140, 180]
    cv2.imwrite(str(paths[3]), np.zeros((20, 20, 3), np.uint8))
    with pytest.raises(UserProblem, match="another size"):
        pictures.film(paths, 16.0)
    paths[2].write_bytes(b"GIF")
    with pytest.raises(UserProblem, match="not a PNG"):
        pictures.film(paths, 16.0)
