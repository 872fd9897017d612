"""Where the person of a reference goes, and how their build differs from a rig's: numbers made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from blender_addon.capture import body as bodies
from blender_addon.capture import framing, proportions
from blender_addon.capture.pictures import png_bytes

JOINTS = {  # a person 200 px tall, standing at x = 100 with the soles at y = 220
    "nose": (100, 32), "neck": (100, 56.4), "shoulder.R": (74.1, 56.4), "shoulder.L": (125.9, 56.4),
    "elbow.R": (62, 92), "elbow.L": (138, 92), "wrist.R": (52, 122), "wrist.L": (148, 122),
    "hip.R": (90, 114), "hip.L": (110, 114), "knee.R": (90, 163), "knee.L": (110, 163),
    "ankle.R": (90, 212.2), "ankle.L": (110, 212.2), "eye.R": (96, 28), "eye.L": (104, 28),
    "ear.R": (90, 30), "ear.L": (110, 30), "toe.R": (88, 220), "toe.L": (112, 220),
}  # fmt: skip


def picture_of(changes: dict[str, tuple[float, float] | None] | None = None) -> bodies.Body:
    """The person with some joints elsewhere, or not seen (None)."""
    rows = np.zeros((20, 3), np.float32)
    for name, place in bodies.PLACE.items():
        at = (changes or {}).get(name, JOINTS[name])
        rows[place] = (0, 0, 0) if at is None else (*at, 1.0)
    return bodies.of_picture(rows)


def rig_of(depth: float, fx: float, changes: dict[str, tuple[float, float, float]] | None = None) -> bodies.Body:
    """The same person two metres tall, so many metres before a camera of 640 x 480."""
    track = np.zeros((20, 5), np.float32)
    for name, place in bodies.PLACE.items():
        x, y = ((value - middle) / 100.0 for value, middle in zip(JOINTS[name], (100, 120), strict=True))
        x, y, z = (changes or {}).get(name, (x, y, 0.0))
        away = depth + z
        track[place] = (320 + fx * x / away, 240 + fx * y / away, 1.0, away, 0)
    found = bodies.of_rig(track, np.array([fx, fx, 320.0, 240.0]), orthographic=False)
    assert found is not None
    return found


def test_a_person_is_put_where_the_rig_stands() -> None:
    # 2 m at 4 m with fx 600: 300 px tall, the middle at (320, 240): soles 1 m lower, at 240 + 150
    both = framing.stances(rig_of(4.0, 600.0), picture_of())
    assert both is not None
    assert both[0].height == pytest.approx(300 * 1.0, rel=0.01)
    assert both[1].height == pytest.approx(200, rel=0.01)
    place = framing.placement(*both)
    assert place is not None
    assert place.scale == pytest.approx(1.5, rel=1e-3)
    placed = place.moved(np.array([[100.0, 220.0], [100.0, 20.0]]))
    assert placed == pytest.approx(np.array([[320.0, 390.0], [320.0, 90.0]]), abs=0.6)


def test_a_crouching_rig_has_its_true_size_and_its_own_ground() -> None:
    down = {  # knees forward, hips 0.5 m lower: the bones keep their lengths
        name: ((JOINTS[name][0] - 100) / 100, (JOINTS[name][1] - 120) / 100 + 0.5, 0.0)
        for name in JOINTS
        if not name.startswith(("knee", "ankle", "toe"))
    }
    for side, x in (("R", -0.1), ("L", 0.1)):
        hip, ankle = 0.44, 0.922  # y of both; the knee between them comes forward
        forward = (0.49**2 - ((ankle - hip) / 2) ** 2) ** 0.5
        down[f"knee.{side}"] = (x, (hip + ankle) / 2, -forward)
    both = framing.stances(rig_of(4.0, 600.0, down), picture_of())
    assert both is not None
    assert both[0].height == pytest.approx(300, rel=0.02)
    assert both[0].ground == pytest.approx(390, abs=2)


def test_half_a_person_is_measured_by_the_trunk_alone() -> None:
    gone = dict.fromkeys([name for name in JOINTS if name.startswith(("knee", "ankle", "toe"))])
    both = framing.stances(rig_of(4.0, 600.0), picture_of(gone))
    assert both is not None
    place = framing.placement(*both)
    assert place is not None
    assert (both[1].ground, place.scale) == (None, pytest.approx(1.5, rel=0.01))
    assert place.moved(np.array([[100.0, 114.0]]))[0, 1] == pytest.approx(240 + 600 * -0.06 / 4, abs=1)


def test_bent_legs_are_not_measured() -> None:
    sitting = picture_of({"knee.R": (90, 124), "knee.L": (110, 124), "ankle.R": (70, 180), "ankle.L": (130, 180)})
    both = framing.stances(rig_of(4.0, 600.0), sitting)
    assert both is not None
    assert both[1].height == pytest.approx(200, rel=0.01), "by the trunk"


def test_outlines() -> None:
    picture = np.zeros((100, 80, 4), np.uint8)
    picture[10:90, 30:50] = 255
    assert framing.outline(picture) == ((30.0, 10.0, 50.0, 90.0), "")
    plain = np.full((100, 80, 3), 200, np.uint8)
    plain[10:90, 30:50] = 40
    assert framing.outline(plain) == ((30.0, 10.0, 50.0, 90.0), "")
    plain[90:, 30:50] = 40
    assert framing.outline(plain) == (None, "cut")
    noise = np.random.default_rng(0).integers(0, 255, (100, 80, 3)).astype(np.uint8)
    assert framing.outline(noise) == (None, "none")
    assert framing.outline(np.full((100, 80, 3), 200, np.uint8)) == (None, "none")


def test_the_framed_picture() -> None:
    picture = np.full((40, 40, 3), 200, np.uint8)
    picture[10:30, 15:25] = (10, 20, 30)
    found = framing.frame(picture, framing.Placement(2.0, 30.0, -10.0), (160, 64))
    assert found.shape == (64, 160, 3)
    assert found[30, 70].tolist() == [10, 20, 30]
    assert found[30, 5].tolist() == [200, 200, 200], "the plain background goes on"
    inside = (found == (10, 20, 30)).all(axis=2)
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (11, 48, 61, 78), "a pixel of soft edge round 10..49, 60..79"
    clear = np.zeros((40, 40, 4), np.uint8)
    clear[10:30, 15:25] = (10, 20, 30, 255)
    found = framing.frame(clear, framing.Placement(0.5, 0.0, 0.0), (40, 40))
    assert found[10, 10].tolist() == [10, 20, 30, 255]
    assert found[30, 30].tolist()[3] == 0
    edge = found[(found[..., 3] > 0) & (found[..., 3] < 255)]
    assert np.abs(edge[:, :3].astype(int) - (10, 20, 30)).max() <= 3, "no dark rim"


def test_impossible_sizes_are_not_framed() -> None:
    far = framing.Stance(5.0, 10.0, 20.0)
    assert framing.placement(far, framing.Stance(200.0, 100.0, 220.0)) is None
    place = framing.placement(framing.Stance(100.0, 900.0, 200.0), framing.Stance(200.0, 100.0, 220.0))
    assert place is not None
    assert not framing.overlaps(framing.Stance(200.0, 100.0, 220.0), place, (640, 480))


def test_the_same_build_has_no_differences() -> None:
    found = proportions.compare(rig_of(4.0, 600.0), picture_of())
    assert found == proportions.Compared((), ())


def test_longer_legs() -> None:
    # legs of 98.2 px become 110: the height of 155.8 becomes 167.6; by height 1.120 / 1.076 = 1.041: nothing to say
    some = {"ankle.R": (90, 224.0), "ankle.L": (110, 224.0), "knee.R": (90, 169.0), "knee.L": (110, 169.0)}
    assert proportions.compare(rig_of(4.0, 600.0), picture_of(some)).differences == ()
    # legs of 160: 217.6 in all; (160 / 217.6) / (98.2 / 155.8) = 1.167
    some = {"ankle.R": (90, 274.0), "ankle.L": (110, 274.0), "knee.R": (90, 194.0), "knee.L": (110, 194.0)}
    found = proportions.joined(proportions.compare(rig_of(4.0, 600.0), picture_of(some)).differences)
    ratios = {each.part: each.ratio for each in found}
    assert found[0].part == "legs", "what is the odd one, not all that is short for it"
    assert ratios["legs"] == pytest.approx(1.167, abs=0.003)
    assert ratios["torso"] == pytest.approx(0.716, abs=0.003)


def test_what_a_picture_foreshortens_is_unknown() -> None:
    reaching = picture_of({"elbow.R": (75, 70), "wrist.R": (76, 80)})  # one arm comes toward the camera
    assert proportions.compare(rig_of(4.0, 600.0), reaching).unknown == ("upper arms", "forearms")
    turned = picture_of({"nose": (109, 32)})
    assert proportions.compare(rig_of(4.0, 600.0), turned).unknown == ("shoulders", "head")
    sitting = picture_of({"knee.R": (90, 124), "knee.L": (110, 124), "ankle.R": (70, 180), "ankle.L": (130, 180)})
    assert proportions.compare(rig_of(4.0, 600.0), sitting) == proportions.Compared((), proportions.PARTS)
    bowing = {name: (JOINTS[name][0], 114 - (114 - JOINTS[name][1]) * 0.4) for name in JOINTS if JOINTS[name][1] < 100}
    assert "torso" in proportions.compare(rig_of(4.0, 600.0), picture_of(bowing)).unknown


def test_png_is_read_back(tmp_path: object) -> None:
    import bpy

    picture = np.random.default_rng(1).integers(0, 256, (7, 5, 4)).astype(np.uint8)
    picture[..., 3] = 255
    path = f"{tmp_path}/a.png"
    with open(path, "wb") as file:
        file.write(png_bytes(picture))
    image = bpy.data.images.load(path)
    values = np.empty(7 * 5 * 4, np.float32)
    image.pixels.foreach_get(values)
    assert np.array_equal(np.rint(values.reshape(7, 5, 4)[::-1] * 255).astype(np.uint8), picture)
