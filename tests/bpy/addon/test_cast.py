"""Roles, several characters on one model, and reference pictures framed to the rig: in real scenes."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

from tests.bpy.tools import with_alpha  # noqa: E402

ROOT = Path(__file__).resolve().parents[3]
ASSETS = ROOT / "examples" / "assets"
MAN = ASSETS / "reference_man.png"
sys.path.append(str(ROOT / "tests" / "bpy" / "capture"))

import people  # noqa: E402

SIZE = (416, 240)


@pytest.fixture
def stage(addon: Any) -> Any:
    """The walker's stage, a reference on the walker, the video model chosen."""
    people.make_stage(*SIZE)
    scene = bpy.context.scene
    own = scene.wanstage
    own.engine, own.model, own.task = "wan", "wan2.2-animate-14b", "animate"
    own.size, own.width, own.height, own.fps = "CUSTOM", *SIZE, 24.0
    bpy.data.objects["Walker"].wanstage.reference = str(MAN)
    return scene


def extra(name: str = "Extra") -> Any:
    """Another person beside the walker."""
    item = people.make_armature(name)
    people.make_body(item)
    item.location.x = 1.0
    bpy.context.view_layer.update()
    return item


# ---- roles -----------------------------------------------------------------------------------------------------


def test_roles_and_files_from_before_there_were_any(stage: Any) -> None:
    from blender_addon import cast, shots

    item = bpy.data.objects["Walker"]
    own = item.wanstage
    assert own.role == "DRIVE"
    own.use = False  # all that such a file says of who is not in the shot: their meshes were seen, as part of the scene
    assert (own.role, shots.characters(stage), shots.left_out(stage)) == ("KEEP", [], ())
    own.role = "OUT"
    assert (own.use, own.left_out, shots.left_out(stage)) == (False, True, ("Walker",))
    assert shots.parameters(stage).left_out == ("Walker",)
    own.role = "DRIVE"
    assert shots.characters(stage) == [item]
    assert cast.selected(stage) == item


def test_the_list_shows_armatures_by_name(stage: Any) -> None:
    from blender_addon import cast

    other = extra("Anna")
    assert cast.armatures(stage) == [other, bpy.data.objects["Walker"]]
    assert cast.selected(stage) == other
    own = stage.wanstage
    own.cast_index = 1
    assert (cast.selected(stage).name, own.cast_index) == ("Walker", 1)
    cast.fill_rows(stage)
    assert [row.name for row in bpy.context.window_manager.wanstage_cast] == ["Anna", "Walker"]
    assert cast.rows_match(stage)
    other.name = "Zoe"
    assert not cast.rows_match(stage)
    assert (cast.selected(stage).name, own.cast_index) == ("Walker", 0)
    bpy.data.objects.remove(bpy.data.objects["Walker"])
    assert cast.selected(stage) == other


@pytest.mark.parametrize("parts", ["mask depth", "look"])
def test_who_is_left_out_is_not_seen(stage: Any, parts: str, tmp_path: Path) -> None:
    from blender_addon import capture
    from protocol.assets import AssetFolder

    extra()

    def shot(left_out: tuple[str, ...]) -> list[bytes]:
        folder = AssetFolder(tmp_path / "assets")
        person = capture.CharacterParams("Walker", "Walker", 1)
        params = capture.ShotParams("Scene", "Camera", 1.0, 1, 24.0, 208, 120, (person,), frozenset(parts.split()),
                                    look_samples=1, left_out=left_out)  # fmt: skip
        steps = capture.capture_shot(params, folder)
        while True:
            try:
                next(steps)
            except StopIteration as done:
                pack = done.value
                refs = [pack.look.asset] if parts == "look" else [pack.mask[0].asset, pack.depth[0].asset]
                return [folder.read(ref.id) for ref in refs] if parts != "look" else pixels(folder.read(refs[0].id))

    def pixels(data: bytes) -> list[bytes]:  # the file itself tells how long it was rendered
        (tmp_path / "look.png").write_bytes(data)
        return [with_alpha(tmp_path / "look.png").tobytes()]

    with_extra, without = shot(()), shot(("Extra",))
    for item in [bpy.data.objects["Extra"], bpy.data.objects["Extra body"]]:
        bpy.data.objects.remove(item)
    assert without != with_extra
    assert without == shot(()), "as if it were not there"


def test_one_person_a_model(stage: Any, refused: Any) -> None:
    from blender_addon import cast, cast_findings

    other = extra()
    assert cast.too_many(stage) == ""
    other.wanstage.reference = str(MAN)
    assert cast.too_many(stage).startswith("The model puts a person on one character a shot: only Extra is driven.")
    stage.wanstage.cast = bpy.data.objects["Walker"]
    assert bpy.ops.wanstage.drive_only() == {"FINISHED"}
    assert (other.wanstage.role, cast.too_many(stage)) == ("KEEP", "")
    other.wanstage.role = "DRIVE"
    assert cast_findings.fix_people(stage, "") == "Extra is driven, kept as they are: Walker"
    stage.wanstage.engine = "draft"
    bpy.data.objects["Walker"].wanstage.role = "DRIVE"
    assert cast.too_many(stage) == "", "the draft takes several"


def test_bones_that_are_not_there(stage: Any) -> None:
    from blender_addon import bonemap_store, cast_findings, findings

    def seen() -> dict[str, Any]:
        return {each.id: each for each in findings.of_settings(stage)}

    item = bpy.data.objects["Walker"]
    bonemap_store.set_one(item, "head", "mixamorig:Neck")
    assert not {"bones", "no_bones", "guessed"} & set(seen())
    item.data.bones["mixamorig:Neck"].name = "Hals"
    assert seen()["bones"].text == "Walker: head is set to the bone mixamorig:Neck, which the rig does not have"
    assert bpy.ops.wanstage.fix(finding="bones", how="Walker") == {"FINISHED"}
    assert "bones" not in seen()
    order = list(people.rest_bones())
    people.make_armature("Numbers", lambda joint: f"bone{order.index(joint)}")
    assert seen()["guessed"].text == "The bones of Numbers were found by the rig's shape: look through its Bone Map"
    data = bpy.data.armatures.new("Snake")
    snake = bpy.data.objects.new("Snake", data)
    stage.collection.objects.link(snake)
    assert seen()["no_bones"].text.startswith("Snake has no bones that are recognised as a person's")
    assert bpy.ops.wanstage.fix(finding="no_bones", how="Snake") == {"FINISHED"}
    assert (snake.wanstage.role, "no_bones" in seen()) == ("KEEP", False)
    assert cast_findings.difference_text(cast_findings.proportions.Difference("legs", 1.184)) == "legs are 18 % longer"


# ---- framing ---------------------------------------------------------------------------------------------------


def person_box(alpha: np.ndarray) -> tuple[int, int, int, int]:
    """left, top, right, bottom of what is opaque."""
    rows, columns = np.flatnonzero((alpha > 0.5).any(axis=1)), np.flatnonzero((alpha > 0.5).any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


@pytest.fixture
def still(stage: Any) -> Any:
    """The walker at rest, seen from the front, whole."""
    people.stand_still(bpy.data.objects["Walker"], stage.camera)
    stage.camera.data.lens = 26.0
    bpy.context.view_layer.update()
    return stage


def rig_box(scene: Any, tmp_path: Path) -> tuple[int, int, int, int]:
    """Of the walker's body as it is rendered in the first frame."""
    from blender_addon import capture

    target = capture.render_reference(
        scene.name, scene.camera.name, capture.CharacterParams("Hero", "Hero", 1), 1, tmp_path / "rig.png",
        width=SIZE[0], height=SIZE[1], samples=1,
    )  # fmt: skip
    return person_box(with_alpha(target)[..., 3])


@pytest.fixture
def hero(addon: Any) -> Any:
    """The man whom the reference was rendered of, upright, to the left in the picture."""
    bpy.ops.wm.open_mainfile(filepath=str(ASSETS / "previz_human.blend"), load_ui=False)
    scene = bpy.context.scene
    bpy.data.objects["Hero"].data.pose_position = "REST"
    rig = bpy.data.objects["Hero"]
    heads = np.array([rig.matrix_world @ bone.head_local for bone in rig.data.bones])
    x, y, z = heads.mean(axis=0)
    z = (heads[:, 2].min() + heads[:, 2].max()) / 2.0
    people.make_camera((x + 1.0, y - 4.5, z + 0.3), (x + 1.0, y, z))
    own = scene.wanstage
    own.engine, own.model, own.task = "wan", "wan2.2-animate-14b", "animate"
    own.size, own.width, own.height, own.fps = "CUSTOM", *SIZE, 24.0
    bpy.data.objects["Hero"].wanstage.reference = str(MAN)
    return scene


@pytest.mark.parametrize("how", ["joints", "outline", "box"])
def test_the_person_stands_where_the_rig_does(hero: Any, tmp_path: Path, how: str) -> None:
    from blender_addon import framing, shots

    still, item, path = hero, bpy.data.objects["Hero"], MAN
    if how == "outline":
        path = tmp_path / "man.png"
        path.write_bytes(MAN.read_bytes())
    if how == "box":
        found = person_box(with_alpha(MAN)[..., 3])
        high, wide = with_alpha(MAN).shape[:2]
        own = item.wanstage
        own.framing, own.box_left, own.box_right = "box", found[0] / wide, found[2] / wide
        own.box_top, own.box_bottom = found[1] / high, found[3] / high
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    revision = len(bpy.data.images), len(bpy.data.objects), len(bpy.data.scenes)
    framed = framing.reference(still, item, path)
    assert framed != path
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before
    assert revision == (len(bpy.data.images), len(bpy.data.objects), len(bpy.data.scenes))
    made, rig = with_alpha(framed), rig_box(still, tmp_path)
    assert made.shape[:2] == (SIZE[1], SIZE[0]) == shots.size(still.wanstage)[::-1]
    person = person_box(made[..., 3])
    high = rig[3] - rig[1]
    assert person[3] - person[1] == pytest.approx(high, rel=0.06)
    assert person[3] == pytest.approx(rig[3], abs=0.04 * high)
    assert (person[0] + person[2]) / 2 == pytest.approx((rig[0] + rig[2]) / 2, abs=0.08 * high)
    joints = framed.with_name(f"{framed.name}.joints.json")
    assert joints.is_file() == (how != "outline")
    if joints.is_file():
        said = json.loads(joints.read_text())
        assert (said["width"], said["height"], said["source"]) == (*SIZE, "rig")
        inside = [(x, y) for x, y, score in said["body"] if score > 0.5]
        assert all(made[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2, 3].max() > 0.3 for x, y in inside)


def test_who_wants_no_framing(still: Any, tmp_path: Path) -> None:
    from blender_addon import framing

    item = bpy.data.objects["Walker"]
    item.wanstage.framing = "none"
    assert framing.reference(still, item, MAN) == MAN
    item.wanstage.framing = "auto"
    still.wanstage.engine = "draft"
    assert framing.reference(still, item, MAN) == MAN, "the draft cuts the person out by itself"


def test_what_cannot_be_framed_is_sent_as_it_is(still: Any, tmp_path: Path) -> None:
    from blender_addon import framing

    item = bpy.data.objects["Walker"]
    cut = tmp_path / "cut.png"
    image = bpy.data.images.load(str(MAN))
    width, height = image.size
    half = bpy.data.images.new("half", width, height // 2, alpha=True)
    pixels = np.empty(width * height * 4, np.float32)
    image.pixels.foreach_get(pixels)
    half.pixels.foreach_set(np.ascontiguousarray(pixels.reshape(height, width, 4)[height - height // 2 :]).ravel())
    half.filepath_raw, half.file_format = str(cut), "PNG"
    half.save()
    found = framing.look(still, item, cut)
    assert found.place is None
    assert found.said[0].startswith("The picture's border cuts the person")
    assert framing.reference(still, item, cut) == cut
    still.camera.location.x += 50.0
    found = framing.look(still, item, MAN)
    assert found.said == ("Walker is outside the picture in the first frame: sent as it is",)
    still.camera.location.y = 50.0
    assert framing.look(still, item, MAN).said == ("Walker is behind the camera in the first frame: sent as it is",)


def test_a_small_face_is_told(still: Any) -> None:
    from blender_addon import framing

    said = framing.look(still, bpy.data.objects["Walker"], MAN).said
    assert said[0].startswith("The person is scaled by ")
    assert "pixels high, likeness needs 48: choose As It Is" in said[1]


def test_the_preview(still: Any, refused: Any) -> None:
    from blender_addon import framing, preferences

    item = bpy.data.objects["Walker"]
    assert framing.shown(still, item) is None
    assert bpy.ops.wanstage.preview_framing() == {"FINISHED"}
    found = framing.shown(still, item)
    assert found.fresh
    assert found.said[0].startswith("The person is scaled by ")
    made = with_alpha(next((preferences.settings().cache / "references").glob("preview-*.png")))
    assert made.shape[:2] == (SIZE[1], SIZE[0])
    assert (np.abs(made[..., :3] - np.array(framing.STICK) / 255).max(axis=2) < 0.02).sum() > 60, "the skeleton"
    item.wanstage.framing = "none"
    assert not framing.shown(still, item).fresh
    assert bpy.ops.wanstage.preview_framing() == {"FINISHED"}
    item.wanstage.reference = ""
    assert "Walker has no reference picture" in refused(bpy.ops.wanstage.preview_framing)


def test_generation_sends_the_framed_picture(still: Any) -> None:
    from blender_addon import generation

    found = generation.references(still)
    assert [(ref.image.width, ref.image.height, ref.source) for ref in found.values()] == [(*SIZE, "rig")]
    bpy.data.objects["Walker"].wanstage.framing = "none"
    plain = generation.references(still)[1].image
    assert (plain.width, plain.height) == tuple(reversed(with_alpha(MAN).shape[:2]))


# ---- proportions -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "joints"), [("previz_human", ""), ("previz_mixamo", "")])
def test_the_man_is_built_as_his_own_rig(addon: Any, name: str, joints: str) -> None:
    from blender_addon import cast_findings, motion, shots

    bpy.ops.wm.open_mainfile(filepath=str(ASSETS / f"{name}.blend"), load_ui=False)
    scene = bpy.context.scene
    people.make_camera((0, -4, 1.2), (0, 0, 1.0))
    own = scene.wanstage
    own.task, own.engine, own.size, own.width, own.height = "animate", "wan", "CUSTOM", *SIZE
    scene.frame_end = 1
    bpy.data.objects["Hero"].wanstage.reference = str(MAN)
    steps = motion.poses(shots.parameters(scene))
    while True:
        try:
            next(steps)
        except StopIteration as done:
            found = list(cast_findings.of_proportions(scene, done.value))
            break
    assert [each for each in found if each.id == "proportions"] == []


def test_long_legs_are_found(still: Any, tmp_path: Path) -> None:
    from blender_addon import cast_findings, motion, shots

    path = tmp_path / "man.png"
    path.write_bytes(MAN.read_bytes())
    said = json.loads(MAN.with_name(f"{MAN.name}.joints.json").read_text())
    hips = (said["body"][8][1] + said["body"][11][1]) / 2
    for row in (9, 10, 12, 13, 18, 19):
        said["body"][row][1] = hips + (said["body"][row][1] - hips) * 1.6
    path.with_name("man.png.joints.json").write_text(json.dumps(said))
    bpy.data.objects["Walker"].wanstage.reference = str(path)
    still.frame_end = 1
    steps = motion.poses(shots.parameters(still))
    while True:
        try:
            next(steps)
        except StopIteration as done:
            found = {each.id: each for each in cast_findings.of_proportions(still, done.value)}
            break
    assert "the reference's face is 12 pixels high; likeness needs 48" in found["likeness"].text
    assert cast_findings.fix_likeness(still, "Walker") == "The reference of Walker is sent as it is"
    text = found["proportions"].text
    assert text.startswith("By height, the reference's legs are ")
    assert "% longer" in text
    assert "than Walker's: choose a picture of somebody of that build" in text
