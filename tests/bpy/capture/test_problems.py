"""What the artist gets wrong: one sentence each, and nothing half-made left behind."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from pathlib import Path
from typing import Any

import bpy
import people
import pytest

from blender_addon import capture
from protocol.assets import AssetFolder

GOOD = capture.ShotParams(
    "Scene",
    "Camera",
    1.0,
    1,
    16.0,
    128,
    72,
    (capture.CharacterParams("Walker", "Walker", 1),),
    frozenset({"mask"}),
    look_samples=1,
)
TWICE = (capture.CharacterParams("Walker", "A", 1), capture.CharacterParams("Walker", "B", 2))
CASES: dict[str, tuple[dict[str, Any], str]] = {
    "scene": ({"scene": "Gone"}, "no scene named 'Gone'"),
    "no camera": ({"camera": ""}, "has no camera: add a camera"),
    "wrong camera": ({"camera": "Gone"}, "has no camera named 'Gone'"),
    "not a camera": ({"camera": "Floor"}, "Floor is not a camera but a mesh"),
    "no armature": ({"characters": (capture.CharacterParams("Gone", "He", 1),)}, "'Gone' of character 'He' is not in"),
    "not an armature": ({"characters": (capture.CharacterParams("Floor", "He", 1),)}, "is not an armature but a mesh"),
    "empty range": ({"frames": 0}, "frame range is empty"),
    "long range": ({"frames": 5000}, "at most 4096"),
    "odd width": ({"width": 129}, "width of 129 px"),
    "small height": ({"height": 32}, "height of 32 px"),
    "fps": ({"fps": 0.0}, "0 frames a second"),
    "same index": (
        {"characters": (*GOOD.characters, capture.CharacterParams("Other", "Other", 1))},
        "different mask values",
    ),
    "same armature": ({"characters": TWICE}, "share an armature"),
    "unknown part": ({"parts": frozenset({"smell"})}, "no part named smell"),
}


@pytest.mark.parametrize("case", CASES)
def test_one_sentence(case: str, tmp_path: Path) -> None:
    people.make_stage()
    changes, sentence = CASES[case]
    objects, scenes = len(bpy.data.objects), len(bpy.data.scenes)
    with pytest.raises(capture.CaptureProblem, match=sentence) as problem:
        list(capture.capture_shot(dataclasses.replace(GOOD, **changes), AssetFolder(tmp_path)))
    text = str(problem.value)
    assert text.endswith(".")
    assert "\n" not in text
    assert (len(bpy.data.objects), len(bpy.data.scenes)) == (objects, scenes)


def test_panoramic_camera(tmp_path: Path) -> None:
    _, camera = people.make_stage()
    camera.data.type = "PANO"
    with pytest.raises(capture.CaptureProblem, match="pano camera"):
        list(capture.capture_shot(GOOD, AssetFolder(tmp_path)))
    assert len(bpy.data.scenes) == 1


def test_off_screen_all_shot_is_a_warning(tmp_path: Path) -> None:
    rig, camera = people.make_stage()
    people.stand_still(rig, camera)
    rig.location.x = 30.0
    steps = list(capture.capture_shot(GOOD, AssetFolder(tmp_path)))
    assert steps[-1].warnings == (
        "Walker is outside the picture in every frame of the shot: check the camera and the frame range.",
    )


def test_a_render_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A temporary folder that takes no file: Blender's error becomes a sentence."""
    people.make_stage()
    from blender_addon.capture import shot

    (tmp_path / "file").write_text("a file where a folder should be")
    monkeypatch.setattr(shot.tempfile, "TemporaryDirectory", lambda prefix: contextlib.nullcontext(tmp_path / "file"))
    with pytest.raises(capture.CaptureProblem, match="could not render the shot"):
        list(capture.capture_shot(GOOD, AssetFolder(tmp_path)))
    assert len(bpy.data.scenes) == 1


def test_hair_curves_are_a_warning(tmp_path: Path) -> None:
    people.make_stage()
    if not hasattr(bpy.data, "hair_curves"):
        pytest.skip("this Blender has no hair curves")
    hair = bpy.data.objects.new("Wig", bpy.data.hair_curves.new("Wig"))
    bpy.context.scene.collection.objects.link(hair)
    steps = list(capture.capture_shot(GOOD, AssetFolder(tmp_path)))
    assert "Wig is hair curves" in steps[-1].warnings[0]


def test_references(tmp_path: Path) -> None:
    people.make_stage()
    folder = AssetFolder(tmp_path / "assets")
    path = capture.render_reference(
        "Scene", "Camera", GOOD.characters[0], 1.0, tmp_path / "he.png", width=96, height=128, samples=1
    )
    reference = capture.load_reference(path, folder)
    assert (reference.source, reference.image.width, reference.image.height) == ("rig", 96, 128)
    assert reference.body.shape == (20, 3)
    assert reference.left_hand.shape == (21, 3)
    picture = bpy.data.images.load(str(path))
    alpha = list(picture.pixels)[3::4]
    assert 0.01 < sum(alpha) / len(alpha) < 0.5  # the person only: no floor, no crate
    sidecar = Path(f"{path}.joints.json")
    broken = json.loads(sidecar.read_text()) | {"body": [[1, 2, 3]]}
    sidecar.write_text(json.dumps(broken))
    with pytest.raises(capture.CaptureProblem, match="20 rows"):
        capture.load_reference(path, folder)
    sidecar.unlink()
    assert capture.load_reference(path, folder).source == "none"
    with pytest.raises(capture.CaptureProblem, match=r"gone\.png cannot be read"):
        capture.load_reference(tmp_path / "gone.png", folder)
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(capture.CaptureProblem, match="no PNG or JPEG"):
        capture.load_reference(tmp_path / "text.png", folder)
