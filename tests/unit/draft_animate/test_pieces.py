"""The small pieces: depth order, view, cut-out, compositing."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.draft_animate.doll import HEIGHT, WIDTH, doll_body, draw_doll, metres, project
from wan_models.draft.animate.back import back_view
from wan_models.draft.animate.composite import Scene, background, paint, paint_shadow
from wan_models.draft.animate.cutout import cut_out
from wan_models.draft.animate.depth_order import HYSTERESIS, paint_order, unit_depths
from wan_models.draft.animate.head import HeadView
from wan_models.draft.animate.joints import complete
from wan_models.draft.animate.light import gains
from wan_models.draft.animate.motion import motion_of
from wan_models.draft.animate.puppet import Unit
from wan_models.draft.animate.raster import draw, triangle_map
from wan_models.draft.animate.skeleton import EAR_L, EAR_R
from wan_models.draft.animate.view import beyond_reference, mirrors, yaw_degrees
from wan_models.engine import RequestRefused
from wan_models.requests import CameraTrack, DrivePack, PoseTrack

NAMES = ("torso", "arm.R.lower")


def test_order_flips_with_depth() -> None:
    depth = np.full(22, 4.0)
    depth[[3, 4]] = 3.5
    assert paint_order(unit_depths(depth), NAMES, None) == ("torso", "arm.R.lower")
    depth[[3, 4]] = 4.5
    assert paint_order(unit_depths(depth), NAMES, None) == ("arm.R.lower", "torso")


def test_order_has_hysteresis() -> None:
    far = {"torso": 4.0, "arm.R.lower": 3.9}
    last = paint_order(far, NAMES, None)
    barely = {"torso": 4.0, "arm.R.lower": 4.0 + 0.8 * HYSTERESIS}
    assert paint_order(barely, NAMES, last) == last
    past = {"torso": 4.0, "arm.R.lower": 4.0 + 1.2 * HYSTERESIS}
    assert paint_order(past, NAMES, last) == last[::-1]


def test_at_rest_arms_hang_before_the_trunk_and_the_shirt_over_the_thighs() -> None:
    names = ("leg.R.upper", "torso", "head", "arm.R.upper", "arm.R.lower")
    order = paint_order(unit_depths(np.full(22, 4.0)), names, None)
    assert order.index("leg.R.upper") < order.index("torso") < order.index("arm.R.upper")


def test_yaw_and_mirror() -> None:
    angles = np.radians([0, 45, 88, 92, 100, 135, 180, 100, 92, 85, 80])
    sides = np.stack([np.cos(angles), np.sin(angles)], axis=1) * 0.35
    assert np.allclose(yaw_degrees(sides), np.degrees(angles))
    signs = mirrors(sides, 1.0)
    assert list(signs[:4]) == [1, 1, 1, 1]  # not yet past the margin
    assert signs[5] == -1
    assert list(signs[7:10]) == [-1, -1, -1]  # and not at once back
    assert list(beyond_reference(np.array([0.0, 70.0, 85.0, -120.0]), 1.0)) == [False, False, True, True]


def test_size_on_screen_does_not_depend_on_foreshortening() -> None:
    points = metres()[:30]
    track, camera = project(points)
    rest = complete(doll_body())
    with_camera = motion_of(PoseTrack(track), rest, camera).scale
    without = motion_of(PoseTrack(track), rest, None).scale
    assert np.ptp(with_camera) / with_camera.mean() < 0.08
    assert np.allclose(without, with_camera, rtol=0.3)


def test_orthographic_size() -> None:
    track, camera = project(metres()[:4])
    flat = CameraTrack(camera.world_from_camera, np.tile([80.0, 80.0, 208, 120], (4, 1)), orthographic=True)
    scale = motion_of(PoseTrack(track), complete(doll_body()), flat).scale
    assert np.ptp(scale) < 1e-9


def test_cutout_uses_alpha_and_drops_islands() -> None:
    image = draw_doll()
    image[5:12, 5:12, 3] = 255
    image[150:152, 149:151, 3] = 0
    alpha = cut_out(image, None, None)
    assert alpha[8, 8] == 0
    assert alpha[150, 149] == 255


def test_cutout_by_grabcut() -> None:
    image = draw_doll()
    truth = image[..., 3] >= 128
    image[..., :3] = np.where(truth[..., None], (180, 90, 60), (60, 90, 120))
    noise = np.random.default_rng(2).integers(-12, 13, image.shape[:2])[..., None]
    image[..., :3] = np.clip(image[..., :3].astype(int) + noise, 0, 255)
    image[..., 3] = 255
    found = cut_out(image, complete(doll_body()), None) >= 128
    assert (found & truth).sum() / (found | truth).sum() > 0.9


def test_cutout_by_a_given_mask_and_by_nothing() -> None:
    image = draw_doll()
    mask = np.ascontiguousarray(image[..., 3])
    image[..., 3] = 255
    assert np.array_equal(cut_out(image, None, mask) >= 128, mask >= 128)
    with pytest.raises(RequestRefused, match="no alpha and no joints"):
        cut_out(image, None, None)


def test_triangles_are_filled_from_the_texture() -> None:
    texture = np.random.default_rng(0).integers(0, 256, (40, 40, 4)).astype(np.uint8)
    corners = np.array([[[5.0, 5], [35, 5], [5, 35]], [[35.0, 5], [35, 35], [5, 35]]])
    box = (0, 0, 40, 40)
    seen = triangle_map(corners, box)
    assert seen[2, 2] == -1
    assert seen[10, 8] == 0
    assert seen[30, 30] == 1
    assert np.array_equal(draw(texture, corners, corners, box, seen)[6:34, 6:34], texture[6:34, 6:34])


def test_backgrounds() -> None:
    pack = DrivePack(WIDTH, HEIGHT, 1, 8.0)
    assert (background(pack, 0, (1,)) == 128).all()
    clay = np.full((HEIGHT, WIDTH, 3), 70, np.uint8)
    clay[50:150, 100:140] = 250
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[50:150, 100:140] = 1
    removed = background(DrivePack(WIDTH, HEIGHT, 1, 8.0, clay=[clay], mask=[mask]), 0, (1,))
    assert np.abs(removed.astype(int) - 70).max() <= 2
    kept = background(DrivePack(WIDTH, HEIGHT, 1, 8.0, clay=[clay], mask=[mask]), 0, ())
    assert np.array_equal(kept, clay)
    plate = np.full((HEIGHT, WIDTH, 3), 33, np.uint8)
    shown = background(DrivePack(WIDTH, HEIGHT, 1, 8.0, clay=[clay], mask=[mask], plate=[plate]), 0, (1,))
    assert (shown == 33).all()
    shown[:] = 0
    assert (plate == 33).all()


def test_paint_blends_premultiplied() -> None:
    picture = np.full((4, 4, 3), 100, np.uint8)
    piece = np.zeros((2, 2, 4), np.uint8)
    piece[0, 0] = (200, 0, 0, 255)
    piece[1, 1] = (100, 0, 0, 128)
    paint(picture, (1, 1, 3, 3), piece, None)
    assert tuple(picture[1, 1]) == (200, 0, 0)
    assert abs(int(picture[2, 2, 0]) - 150) <= 1
    assert tuple(picture[0, 0]) == (100, 100, 100)


def test_a_shadow_lies_where_a_foot_stands_only() -> None:
    depth = np.full((HEIGHT, WIDTH), 4.0, np.float32)
    pack = DrivePack(WIDTH, HEIGHT, 1, 8.0, depth=[depth], mask=[np.zeros((HEIGHT, WIDTH), np.uint8)])
    joints = complete(doll_body()) * 0.6
    for foot_depth, dark in ((4.0, True), (2.0, False)):
        picture = np.full((HEIGHT, WIDTH, 3), 200, np.uint8)
        paint_shadow(picture, joints, np.full(22, foot_depth), 40.0, Scene(pack, 0))
        assert bool((picture < 190).any()) is dark


def test_the_back_of_the_head_shows_no_face() -> None:
    image = draw_doll()
    image[..., :3] = (200, 150, 120)
    image[20:48, 120:180, :3] = (30, 20, 10)
    back = back_view(image, np.ascontiguousarray(image[..., 3]), complete(doll_body()))
    assert np.abs(back[62, 150, :3].astype(int) - (30, 20, 10)).max() < 40
    assert np.array_equal(back[200:, :, :3], image[200:, :, :3])


def test_unknown_faces_feet_and_hands_are_guessed() -> None:
    body = doll_body()
    body[[0, 14, 15, 16, 17, 18, 19], 2] = 0
    joints = complete(body)
    assert np.isfinite(joints).all()
    assert joints[0, 1] < joints[1, 1]
    assert joints[19, 1] > joints[10, 1]
    assert joints[20, 1] > joints[4, 1]


def test_light_goes_a_little_towards_the_set_and_stays_bounded() -> None:
    person = np.array([200.0, 200.0, 200.0])
    darker = gains(person, np.array([100.0, 100.0, 100.0]))
    assert np.allclose(darker, darker[0])
    assert 0.72 <= darker[0] < 0.9
    assert np.allclose(gains(person, person), 1.0)
    warm = gains(person, np.array([255.0, 60.0, 5.0]))
    assert warm[0] > warm[1] >= warm[2]
    assert (warm[0] / warm[2]) < 1.2


def test_hair_comes_into_view_at_the_side_that_turns_to_the_camera() -> None:
    joints = complete(doll_body())
    image = draw_doll()
    front, back = (np.full_like(image, value) for value in (200, 20))
    view = HeadView(Unit("head", np.zeros(0, np.int64), front, front, back), joints, 1.0)
    right, left = (int(joints[ear, 0]) for ear in (EAR_R, EAR_L))
    row = int(joints[EAR_R, 1])
    assert np.array_equal(view.texture(0.0, 1.0), front)
    assert np.array_equal(view.texture(180.0, -1.0), back)
    half = view.texture(90.0, 1.0)[row]  # its right side is seen: hair next to the right ear
    assert (half[[right, left], 0] < 110).tolist() == [True, False]
    turned_over = view.texture(90.0, -1.0)[row]  # the picture is mirrored now, what is seen stays
    assert (turned_over[[left, right], 0] < 110).tolist() == [True, False]
    other = view.texture(-90.0, 1.0)[row]
    assert (other[[left, right], 0] < 110).tolist() == [True, False]
