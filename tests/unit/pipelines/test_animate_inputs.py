"""What Animate is shown, and what it refuses: no network is needed."""

from __future__ import annotations

import sys
from dataclasses import replace
from subprocess import run
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.unit.pipelines.animate_shot import (
    HEIGHT,
    ROW,
    WIDTH,
    Counted,
    body_track,
    face,
    mask,
    plate,
    reference_picture,
    request,
    shot,
)
from wan_models.control.face import NoFace, face_box
from wan_models.control.masks import augment_mask
from wan_models.control.skeleton import draw_pose
from wan_models.engine import RequestRefused
from wan_models.pipelines.animate_checks import check, driven
from wan_models.pipelines.animate_inputs import AnimateInputs, LastValid, head_box, letterbox, neutral_face, spans
from wan_models.pipelines.animate_segments import ping_pong, segments
from wan_models.pipelines.color import ColorMatch
from wan_models.pipelines.compose import compose, nearer, window
from wan_models.requests import BEHIND, BODY_POINTS, MISSING, SCORE, STATE, Character, DrivePack, PoseTrack, Reference


def _inputs(pack: DrivePack, frames: int) -> AnimateInputs:
    return AnimateInputs(pack, pack.characters[0], frames)


def _with(pack: DrivePack, **changes: Any) -> DrivePack:
    return replace(pack, characters=(replace(pack.characters[0], **changes),))


def test_ping_pong_is_the_official_padding() -> None:
    assert [ping_pong(place, 5) for place in range(11)] == [0, 1, 2, 3, 4, 3, 2, 1, 0, 1, 2]
    assert [ping_pong(place, 2) for place in range(5)] == [0, 1, 0, 1, 0]
    assert [ping_pong(place, 1) for place in range(3)] == [0, 0, 0]


@pytest.mark.parametrize(
    ("frames", "one", "five"), [(1, 1, 1), (5, 1, 1), (77, 1, 1), (78, 2, 2), (150, 2, 3), (300, 4, 5), (900, 12, 13)]
)
def test_as_many_segments_as_officially(frames: int, one: int, five: int) -> None:
    for overlap, count in ((1, one), (5, five)):
        made = list(segments(frames, 77, overlap))
        assert len(made) == count
        assert all(len(segment.frames) == 77 for segment in made)
        assert [segment.overlap for segment in made] == [0] + [overlap] * (count - 1)
        shown = [segment.frames[segment.overlap :][: segment.fresh] for segment in made]
        assert [t for part in shown for t in part] == list(range(frames))
        assert [segment.first for segment in made] == [part[0] for part in shown]


@pytest.mark.parametrize(("count", "length", "overlap"), [(0, 77, 1), (5, 76, 1), (5, 5, 5), (5, 9, 0)])
def test_segments_that_cannot_be(count: int, length: int, overlap: int) -> None:
    with pytest.raises(ValueError, match="4n \\+ 1"):
        list(segments(count, length, overlap))


def test_last_valid_first_then_the_next() -> None:
    asked = []

    def usable(t: int) -> bool:
        asked.append(t)
        return t in (2, 3, 6)

    track = LastValid(9, usable)
    assert [track.source(t) for t in (0, 3, 4, 5, 7, 4)] == [2, 3, 3, 3, 6, 3]
    assert track.news() == (0, 4, 5, 7)
    assert track.source(8) == 6
    assert track.news() == (8,)
    assert len(asked) == len(set(asked))
    assert LastValid(3, lambda _: False).source(1) is None


def test_numbers_in_words() -> None:
    assert spans([3]) == "frame 3"
    assert spans([3, 4, 5, 9]) == "frames 3 to 5 and 9"
    assert spans([1, 3, 4, 9]) == "frames 1, 3 to 4 and 9"


def test_poses_are_the_official_drawings() -> None:
    pack = shot(4)
    made = _inputs(pack, 4).poses([2, 0, 2])
    assert made.shape == (3, HEIGHT, WIDTH, 3)
    body = pack.characters[0].pose.body
    for picture, t in zip(made, (2, 0, 2), strict=True):
        assert np.array_equal(picture, draw_pose(body[t], height=HEIGHT, width=WIDTH))


def test_what_is_behind_the_camera_is_not_drawn() -> None:
    track = body_track(1)
    track[0, 3:5, STATE] = BEHIND, MISSING
    made = _inputs(_with(shot(1), pose=PoseTrack(track)), 1).poses([0])[0]
    track[0, 3:5, SCORE] = 0.0
    assert np.array_equal(made, draw_pose(track[0], height=HEIGHT, width=WIDTH))


def test_backgrounds_are_black_in_the_widened_mask_only() -> None:
    holed, masks = _inputs(shot(3), 3).holed([1, 2])
    for picture, inside, t in zip(holed, masks, (1, 2), strict=True):
        assert np.array_equal(inside, augment_mask(mask(t)[None] == 2)[0])
        assert not picture[inside == 1].any()
        assert np.array_equal(picture[inside == 0], plate(t)[inside == 0])


def test_what_is_asked_for_twice_is_read_once() -> None:
    pack = shot(2)
    _inputs(pack, 2).faces([0, 1, 0, 1, 0])
    assert pack.characters[0].face.reads[0] == 2  # once for whether it is a face
    assert isinstance(pack.plate, Counted)
    _inputs(pack, 2).holed([0, 1, 0])
    assert pack.plate.reads == {0: 1, 1: 1}


@pytest.mark.parametrize(("size", "fitted"), [((40, 60), (32, 48)), ((100, 20), (64, 12)), ((64, 48), (64, 48))])
def test_letterbox_fits_and_centres(size: tuple[int, int], fitted: tuple[int, int]) -> None:
    picture = np.full((size[1], size[0], 3), 200, np.uint8)
    boxed = letterbox(picture, WIDTH, HEIGHT)
    rows, columns = np.flatnonzero(boxed.any(axis=(1, 2))), np.flatnonzero(boxed.any(axis=(0, 2)))
    assert (len(columns), len(rows)) == fitted
    assert rows[0] == (HEIGHT - fitted[1]) // 2
    assert columns[0] == (WIDTH - fitted[0]) // 2


def test_letterbox_of_a_sliver_keeps_a_pixel() -> None:
    assert letterbox(np.full((3, 4000, 3), 9, np.uint8), WIDTH, HEIGHT).any()


def _head(eye: float = 20.0) -> NDArray[np.float32]:
    """Points of a head that looks at us, pupils 2 * ``eye`` apart, in the middle of 400 x 400."""
    body = np.zeros((20, 3), np.float32)
    points = {"nose": (200, 200 + 1.4 * eye), "eye.R": (200 - eye, 200), "eye.L": (200 + eye, 200)}
    for name, point in points.items():
        body[BODY_POINTS.index(name)] = (*point, 1.0)
    return body


def test_a_heads_box_is_the_official_one_of_a_faces_points() -> None:
    """Brows at 0.4 pupil distances above the eyes, chin at 1.75 below, cheeks at 1.07 to the sides."""
    unit = 40.0
    face_points = np.zeros((68, 2), np.float32)
    face_points[:] = (200, 200)
    face_points[0], face_points[1] = (200 - 1.07 * unit, 200 - 0.39 * unit), (200 + 1.07 * unit, 200 + 1.75 * unit)
    assert np.abs(np.subtract(head_box(_head(), 400, 400), face_box(face_points, 400, 400))).max() <= 1


def test_a_turned_head_is_as_large() -> None:
    turned = _head()
    turned[14, 0], turned[15, 0] = 195, 205
    left, top, right, bottom = head_box(turned, 400, 400)
    assert right - left == pytest.approx(98, abs=2)
    assert bottom - top == pytest.approx(98, abs=2)


def test_the_neutral_face_is_the_references() -> None:
    picture = np.zeros((400, 400, 4), np.uint8)
    picture[..., 3] = 255
    picture[150:300, 150:250, :3] = 90
    made, found = neutral_face(Reference(picture, _head()))
    assert found
    assert made.shape == (512, 512, 3)
    assert (made == 90).mean() > 0.9
    for other in (None, Reference(picture, np.zeros((20, 3), np.float32)), Reference(picture, _head() + 5000)):
        grey, found = neutral_face(other)
        assert not found
        assert (grey == 128).all()
    with pytest.raises(NoFace, match="not known"):
        head_box(np.zeros((20, 3), np.float32), 10, 10)


def test_compose_keeps_the_plate_and_fades_inwards() -> None:
    made, under = np.full((30, 40, 3), 200, np.uint8), np.full((30, 40, 3), 100, np.uint8)
    inside = np.zeros((30, 40), bool)
    inside[5:25, 10:30] = True
    before = np.zeros((30, 40), bool)
    before[:, 20:22] = True
    hard = compose(made, under, inside, before, feather=0)
    assert (hard[inside & ~before] == 200).all()
    assert (hard[~inside | before] == 100).all()
    soft = compose(made, under, inside, before)
    assert (soft[~inside | before] == 100).all()
    line = soft[15, 10:20, 0].tolist()
    assert line == sorted(line)
    assert line[0] < 120
    assert (soft[12:18, 17:20] == 200).all()
    assert (under == 100).all()
    # Fading is towards the plate, never towards the picture's edge.
    assert (compose(made, under, np.ones((30, 40), bool)) == 200).all()


def test_what_is_composed_in_its_window_is_as_composed_whole() -> None:
    rng = np.random.default_rng(1)
    made, under = (rng.integers(0, 256, (30, 40, 3), np.uint8) for _ in range(2))
    for box in (np.s_[5:25, 10:30], np.s_[0:30, 20:40], np.s_[0:12, 0:9]):
        inside = np.zeros((30, 40), bool)
        inside[box] = True
        part = window(inside)
        result = under.copy()
        result[part] = compose(made[part], under[part], inside[part])
        assert np.array_equal(result, compose(made, under, inside))
    assert window(np.zeros((3, 3), bool)) == (slice(0, 0), slice(0, 0))


def test_nearer_compares_with_the_part_of_the_person_that_is_next_to_it() -> None:
    """A hand one metre ahead of the body: a thing between the two hides the body only."""
    depth = np.full((40, 60), 9.0, np.float32)
    indices = np.zeros((40, 60), np.uint8)
    indices[10:30, 10:20], depth[10:30, 10:20] = 1, 3.0  # body
    indices[10:30, 40:50], depth[10:30, 40:50] = 1, 2.0  # hand
    depth[15:20, 20:24] = 2.5  # beside the body
    depth[15:20, 36:40] = 2.5  # beside the hand
    depth[32:36, :] = 2.9  # floor, nearly as far as the feet
    front = nearer(depth, indices, 1, np.full(20, 3.0, np.float32))
    assert front[15:20, 20:24].all()
    assert front.sum() == 20
    other = indices.copy()
    other[15:20, 36:40] = 2
    assert np.array_equal(nearer(depth, other, 1, np.full(20, 3.0, np.float32)), front)


def test_nearer_than_someone_who_is_wholly_hidden() -> None:
    depth = np.full((10, 10), 2.0, np.float32)
    depth[:, 5:] = np.inf
    nobody = np.zeros((10, 10), np.uint8)
    assert nearer(depth, nobody, 1, np.array([3.0, np.nan, 3.2, 0.0], np.float32))[:, :5].all()
    assert not nearer(depth, nobody, 1, np.array([np.nan], np.float32)).any()
    assert not nearer(depth, nobody, 1, np.array([1.0], np.float32)).any()


def test_colours_drifted_are_brought_back() -> None:
    rng = np.random.default_rng(0)
    wanted = cv2.resize(rng.random((6, 8, 3)).astype(np.float32), (64, 48))[None] * 0.5 + 0.2
    drifted = np.clip(wanted * np.float32(0.9) + np.array([0.03, 0.05, 0.0], np.float32), 0, 1)
    match = ColorMatch(drifted, wanted)
    assert np.abs(match(drifted) - wanted).mean() < 0.4 * np.abs(drifted - wanted).mean()
    assert np.abs(ColorMatch(wanted, wanted)(wanted) - wanted).max() < 2e-3
    flat = np.full((1, 4, 4, 3), 0.5, np.float32)
    assert np.isfinite(ColorMatch(flat, wanted)(flat)).all()


def test_colours_are_measured_inside_only() -> None:
    wanted = np.full((1, 20, 20, 3), 0.5, np.float32)
    made = wanted.copy()
    made[:, :, :10] += 0.1
    inside = np.zeros((1, 20, 20), bool)
    inside[:, :, :10] = True
    assert ColorMatch(made, wanted, inside)(made)[0, 5, 5] == pytest.approx(0.5, abs=0.02)
    assert ColorMatch(made, wanted, ~inside)(made)[0, 5, 15] == pytest.approx(0.5, abs=0.01)


def _refused(pack: DrivePack | None, task: str = "animate", frames: int = 3, **changes: Any) -> str:
    with pytest.raises(RequestRefused) as problem:
        check(ROW, request(pack, frames, task, **changes))  # type: ignore[arg-type]
    return str(problem.value)


def test_a_good_request_passes_and_few_maps_are_read() -> None:
    pack = shot(3)
    for task in ("animate", "replace"):
        check(ROW, request(pack, 3, task))
    check(ROW, request(shot(3, plate=(), mask=(), depth=()), 3))
    assert isinstance(pack.mask, Counted)
    assert set(pack.mask.reads) == {0}


@pytest.mark.parametrize(
    ("pack", "said"),
    [
        (None, "needs a drive pack"),
        (shot(3, characters=()), "no characters"),
        (shot(2), "asks for 3 frames but the shot has 2"),
        (shot(3, width=80), "was captured at 80x48"),
        (_with(shot(3), reference=None), r"no character has a reference image \(Ada\)"),
        (_with(shot(3), reference=Reference(reference_picture() * 0)), "fully transparent"),
        (_with(shot(3), reference=Reference(np.zeros((4, 4), np.uint8))), "RGB or RGBA"),
        (_with(shot(3), reference=Reference(np.zeros((0, 4, 4), np.uint8))), "RGB or RGBA"),
        (_with(shot(3), face=Counted(3, lambda _: np.zeros((64, 64, 3), np.uint8))), "face clip of Ada has pictures"),
        (_with(shot(3), pose=PoseTrack(body_track(2))), r"\(3, 20, 5\) is needed"),
        (_with(shot(3), pose=PoseTrack(body_track(3)[..., :3])), r"\(3, 20, 5\) is needed"),
        (_with(shot(3), pose=PoseTrack(body_track(3), left_hand=body_track(3))), "left hand track of Ada"),
    ],
)
def test_refusals(pack: DrivePack | None, said: str) -> None:
    import re

    assert re.search(said, _refused(pack))


def _posed(change: Any) -> DrivePack:
    track = body_track(3)
    change(track)
    return _with(shot(3), pose=PoseTrack(track))


def test_joints_that_are_no_numbers_are_refused_unless_they_do_not_count() -> None:
    assert "not a number at frame 1, elbow.R" in _refused(_posed(lambda track: track[1, 3].__setitem__(0, np.nan)))
    assert "not a number at frame 2, nose" in _refused(_posed(lambda track: track[2, 0].__setitem__(SCORE, np.inf)))
    for column, value in ((SCORE, 0.0), (STATE, MISSING), (STATE, BEHIND)):

        def change(track: NDArray[np.float32], column: int = column, value: float = value) -> None:
            track[1, 3, 0], track[1, 3, column] = np.nan, value

        check(ROW, request(_posed(change), 3))


@pytest.mark.parametrize(("column", "value"), [(SCORE, 0.4), (STATE, MISSING), (STATE, BEHIND)])
def test_nobody_to_be_seen(column: int, value: float) -> None:
    assert "no joint of Ada is seen" in _refused(_posed(lambda track: track[..., column].fill(value)))


@pytest.mark.parametrize(
    ("pack", "said"),
    [
        (shot(3, plate=()), "needs the plate track"),
        (shot(3, plate=Counted(2, plate)), "has 2 of 3 pictures"),
        (shot(3, mask=()), "needs the mask track"),
        (shot(3, mask=Counted(3, lambda t: mask(t, 7))), "mask of Ada (value 2) is empty in all 3 frames"),
        (shot(3, plate=Counted(3, mask)), "the plate pictures have shape"),
        (shot(3, depth=Counted(3, lambda _: np.zeros((8, 8), np.float32))), "the depth pictures have shape"),
        (shot(3, depth=Counted(1, lambda _: np.zeros((HEIGHT, WIDTH), np.float32))), "needs the depth track"),
    ],
)
def test_replacement_refuses(pack: DrivePack, said: str) -> None:
    assert said in _refused(pack, "replace")
    check(ROW, request(pack, 3))


def test_the_first_character_with_a_reference_is_driven() -> None:
    pack = shot(1)
    first = Character(1, "Bo", PoseTrack(body_track(1)))
    assert driven(replace(pack, characters=(first, *pack.characters))).name == "Ada"


def test_checking_needs_no_torch() -> None:
    code = (
        "import sys; from wan_models.pipelines import animate_checks, animate_inputs, compose; "
        "sys.exit(any(name in sys.modules for name in ('torch', 'diffusers', 'transformers')))"
    )
    assert run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_face_clip_is_shrunk_for_a_smaller_network() -> None:
    made = _inputs(shot(2), 2).faces([1], 64)
    assert made.shape == (1, 64, 64, 3)
    assert abs(float(made.mean()) - float(face(1).mean())) < 1.0
