"""The models of a backend as menus, what choosing one sets, what does not fit, and what a job is then asked."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "capture"))
import people  # noqa: E402

from protocol.messages import EngineInfo, ModelInfo, Welcome  # noqa: E402

ROOT = Path(__file__).resolve().parents[3]
PERSON = ROOT / "examples" / "assets" / "reference_man.png"
LACKING = "the weights of Wan2.2 I2V A14B are not here: get them with 'wanstage models pull wan2.2-i2v-a14b'"
SMALL = ((832, 480), (480, 832), (1280, 720), (720, 1280))
WAN = (
    ModelInfo("wan2.2-t2v-a14b", "Wan2.2 T2V A14B", ("t2v",), 16.0, SMALL, 16, 921600, 4, False, 81, 161, 0, 40, 4.0),
    ModelInfo(
        "wan2.2-i2v-a14b", "Wan2.2 I2V A14B", ("i2v", "flf2v"), 16.0, SMALL, 16, 921600, 4, False, 81, 161, 0, 40, 3.5,
        True, (LACKING,),
    ),
    ModelInfo(
        "wan2.2-ti2v-5b", "Wan2.2 TI2V 5B", ("ti2v", "i2v", "t2v"), 24.0, ((1280, 704), (704, 1280)), 32, 901120, 4,
        False, 121, 241, 0, 50, 5.0,
    ),
    ModelInfo(
        "wan2.2-animate-14b", "Wan2.2 Animate 14B", ("animate", "replace"), 30.0, SMALL, 16, 921600, 4, True, 77, 3000,
        77, 20, 1.0,
    ),
)  # fmt: skip


@pytest.fixture
def offered(shot: Any) -> Iterator[Any]:
    """The shot, as if a backend with the draft, the test engine and four video models had answered."""
    from blender_addon import state

    engines = (
        EngineInfo("draft", ("draft",), ("animate", "i2v")),
        EngineInfo("wan", tuple(each.name for each in WAN), ("animate", "replace", "i2v", "flf2v", "t2v", "ti2v"),
                   details=WAN),
        EngineInfo("test", ("test", "draft"), ("animate", "replace", "i2v", "flf2v", "t2v", "ti2v", "s2v")),
    )  # fmt: skip
    state.now.welcome = Welcome("0" * 32, "backend 1", engines=engines)
    state.now.client = object()
    shot.wanstage.engine = shot.wanstage.model = "draft"
    yield shot
    state.now.client = None
    state.disconnect()


def titles(own: Any) -> dict[str, str]:
    from blender_addon import catalog

    return {item[0]: item[1] for item in catalog.model_items(own)}


def test_the_menu_has_the_models_of_the_task(offered: Any) -> None:
    from blender_addon import catalog

    own = offered.wanstage
    own.task = "i2v"
    assert titles(own) == {
        "draft/draft": "Draft", "wan/wan2.2-i2v-a14b": "Wan2.2 I2V A14B", "wan/wan2.2-ti2v-5b": "Wan2.2 TI2V 5B",
        "test/test": "Test",
    }  # fmt: skip
    assert own.model_menu == "draft/draft"
    rows = {item[0]: item for item in catalog.model_items(own)}
    assert rows["wan/wan2.2-i2v-a14b"][2:4] == (LACKING, "IMPORT")
    assert catalog.model_items(own) is catalog.model_items(own), "Blender keeps no copy of the strings"
    own.task = "replace"
    assert list(titles(own)) == ["wan/wan2.2-animate-14b", "test/test"]
    assert (own.engine, own.model, own.fps) == ("wan", "wan2.2-animate-14b", 30.0)


def test_choosing_sets_rate_and_size(offered: Any) -> None:
    own = offered.wanstage
    own.size, own.task = "1280x720", "i2v"
    own.model_menu = "wan/wan2.2-ti2v-5b"
    assert (own.engine, own.model, own.fps) == ("wan", "wan2.2-ti2v-5b", 24.0)
    assert (own.size, own.size_menu) == ("1280x704", "1280x704")
    own.size, own.width, own.height = "CUSTOM", 96, 128
    assert own.size_menu == "CUSTOM"
    own.model_menu = "draft/draft"
    own.model_menu = "wan/wan2.2-ti2v-5b"
    assert (own.size, own.width, own.height) == ("CUSTOM", 96, 128), "a size that can be made stays"
    own.size_menu = "704x1280"
    assert own.size == "704x1280"
    own.size_menu = "CUSTOM"
    assert (own.size, own.width, own.height) == ("CUSTOM", 704, 1280)


def test_a_task_proposes_a_model_with_weights(offered: Any) -> None:
    own = offered.wanstage
    own.task = "ti2v"
    assert own.model == "wan2.2-ti2v-5b"
    own.task = "i2v"
    assert own.model == "wan2.2-ti2v-5b", "it can, so it stays"
    own.task = "flf2v"
    assert own.model == "wan2.2-i2v-a14b", "the only one, though its weights are missing"


def test_a_model_that_is_not_offered_stays_chosen(offered: Any) -> None:
    from blender_addon import preflight

    own = offered.wanstage
    own.engine, own.model, own.task = "wan", "wan9", "i2v"
    own.model = "wan9"
    assert own.model_menu == "wan/wan9"
    problem = preflight.backend_problems("wan", "i2v", "wan9")[0]
    assert problem == "This backend has no model wan9, for i2v it has: Wan2.2 I2V A14B, Wan2.2 TI2V 5B"


def test_without_a_backend_the_choice_is_kept(shot: Any) -> None:
    own = shot.wanstage
    own.engine, own.model = "wan", "wan2.2-ti2v-5b"
    assert own.model_menu == "wan/wan2.2-ti2v-5b"
    assert list(titles(own)) == ["wan/wan2.2-ti2v-5b"]


def test_what_is_missing_is_said(offered: Any, refused: Any) -> None:
    from blender_addon import catalog, preflight

    offered.wanstage.task = "i2v"
    offered.wanstage.model_menu = "wan/wan2.2-i2v-a14b"
    sentence = f"Wan2.2 I2V A14B is not ready: {LACKING}, then connect again"
    assert preflight.backend_problems("wan", "i2v", "wan2.2-i2v-a14b") == [sentence]
    assert "wanstage models pull wan2.2-i2v-a14b" in refused(bpy.ops.wanstage.generate)
    assert catalog.lack(WAN[1]) == "No weights: run 'wanstage models pull wan2.2-i2v-a14b' at the backend"
    assert bpy.ops.wanstage.copy_pull.poll()
    assert catalog.lack(WAN[0]) == catalog.pull_command(WAN[0]) == ""
    assert catalog.lack(ModelInfo("other", missing=("a card is needed",))) == "A card is needed"
    assert preflight.backend_problems("wan", "t2v", "wan2.2-i2v-a14b") == [
        "Wan2.2 I2V A14B cannot do t2v, choose: Wan2.2 T2V A14B, Wan2.2 TI2V 5B"
    ]


CHANGE = ": change the range or switch on Fit Frames"


@pytest.mark.parametrize(
    ("last", "fit", "made", "text"),
    [
        (83, True, 81, "81 of 83 frames, 5.1 seconds"),
        (81, True, 81, "81 frames, 5.1 seconds"),
        (83, False, 83, "The shot has 83 frames, the model makes 81 or 85" + CHANGE),
        (200, True, 161, "161 of 200 frames, 10.1 seconds"),
        (200, False, 200, "The shot has 200 frames, the model makes at most 161" + CHANGE),
        (3, True, 1, "1 of 3 frames, 0.1 seconds"),
    ],
)
def test_frames_are_fitted_and_said(offered: Any, last: int, fit: bool, made: int, text: str) -> None:
    from blender_addon import panels, preflight, shots

    own = offered.wanstage
    own.task, own.fit_frames, offered.frame_end = "t2v", fit, last
    assert own.model == "wan2.2-t2v-a14b"
    assert shots.frame_count(offered) == made
    assert panels.frames_text(offered) == text
    assert preflight.capture_problems(offered) == ([text] if text.endswith(CHANGE) else [])


def test_animate_takes_any_number_of_frames_in_its_own_rate(offered: Any) -> None:
    from blender_addon import shots

    offered.wanstage.task = "animate"
    offered.wanstage.model_menu = "wan/wan2.2-animate-14b"
    offered.render.fps, offered.frame_end = 24, 25
    parameters = shots.parameters(offered)
    assert (parameters.frames, parameters.fps) == (31, 30.0)


@pytest.mark.parametrize(
    ("size", "sentence"),
    [
        ((1280, 720), "1280 x 720 is no size that can be made: use multiples of 32, such as 1248 x 704"),
        ((2048, 1024), "2048 x 1024 is too large for the model: use at most 901120 pixels, such as 1312 x 640"),
        ((96, 128), ""),
    ],
)
def test_sizes(offered: Any, size: tuple[int, int], sentence: str) -> None:
    from blender_addon import preflight

    own = offered.wanstage
    own.task = "ti2v"
    own.size, own.width, own.height = "CUSTOM", *size
    assert preflight.size_problems(own) == ([sentence] if sentence else [])


def test_rates(offered: Any) -> None:
    from blender_addon import preflight

    own = offered.wanstage
    own.task = "t2v"
    own.fps = 24.0
    said = "Wan2.2 T2V A14B makes 16 frames a second, not 24: set Rate to 16"
    assert preflight.capture_problems(offered) == [said]
    own.task = "animate"
    own.fps = 16.0
    assert preflight.capture_problems(offered) == []


def test_what_each_task_captures(offered: Any) -> None:
    from blender_addon import capture, shots

    own = offered.wanstage
    parts = {}
    for task in ("animate", "replace", "i2v", "ti2v", "t2v"):
        own.engine, own.model, own.task = "wan", "wan2.2-ti2v-5b", task
        parts[task] = (shots.needs_samples(own, task), sorted(shots.parameters(offered, task).parts))
    assert parts == {
        "animate": (True, ["face"]), "replace": (True, ["depth", "face", "mask", "plate"]), "i2v": (False, []),
        "ti2v": (False, []), "t2v": (False, []),
    }  # fmt: skip
    assert shots.parameters(offered, "replace").plate == "look"
    own.engine = "draft"
    assert shots.parameters(offered, "animate").parts == capture.DRAFT_PARTS


def test_the_job_says_what_the_panel_says(offered: Any) -> None:
    from blender_addon import generation, state, wire

    own = offered.wanstage
    own.task = "i2v"
    own.model_menu = "wan/wan2.2-i2v-a14b"
    own.quality, own.steps, own.guidance, own.guidance_low, own.plan = "fast", 6, 2.0, 3.0, "swap"
    for name, expert in (("glow", "high"), ("", "both"), ("calm", "low")):
        assert bpy.ops.wanstage.add_lora() == {"FINISHED"}
        own.loras[-1].name, own.loras[-1].expert = name, expert
    own.loras[0].weight = 0.5
    for _ in generation.drive_pack(offered, force=False, task="flf2v"):
        pass
    kept = state.now.packs[offered.name]
    specs = wire.specs
    spec = generation.spec_of(offered, generation.Wish("flf2v"), kept)
    assert (spec.pack, spec.image, spec.last_image) == (None, kept.pack.look, kept.last)
    assert (spec.image.width, spec.image.height) == (spec.width, spec.height) == (128, 64)
    assert spec.sampler == specs.Sampler(6, 2.0, 3.0, None, "fast")
    assert spec.loras == (specs.Lora("glow", 0.5, "high"), specs.Lora("calm", 1.0, "low"))
    assert (spec.plan, spec.model, spec.frames) == ("swap", "wan2.2-i2v-a14b", 9)
    own.steps, own.guidance, own.guidance_low, own.quality = 0, 0.0, 0.0, "default"
    assert generation.spec_of(offered, generation.Wish("i2v"), kept).sampler == specs.Sampler()
    own.task = "t2v"
    spec = generation.spec_of(offered, generation.Wish("t2v"), kept)
    assert (spec.pack, spec.image) == (None, None)
    assert bpy.ops.wanstage.remove_lora() == {"FINISHED"}
    assert [lora.name for lora in own.loras] == ["glow", ""]


def test_a_pack_serves_those_who_need_no_more(offered: Any) -> None:
    from blender_addon import generation, state

    own = offered.wanstage

    def capture(task: str) -> Any:
        for _ in generation.drive_pack(offered, force=False, task=task):
            pass
        return state.now.packs[offered.name]

    own.task = "i2v"
    own.model_menu = "wan/wan2.2-ti2v-5b"
    own.size, own.width, own.height = "CUSTOM", 128, 64
    both = capture("flf2v")
    assert both.last is not None
    assert capture("i2v") is capture("ti2v") is both
    own.size = "1280x704"
    bare = capture("t2v")
    assert (bare.pack.look, bare.parts) == (None, frozenset()), "words need no picture"
    own.engine = "draft"
    own.model = "draft"
    assert capture("i2v") is not both


def test_what_was_captured_is_kept_for_the_next_task(offered: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from blender_addon import capture, generation, state

    taken = []
    real = capture.capture_shot
    monkeypatch.setattr(capture, "capture_shot", lambda wanted, sink: taken.append(wanted.parts) or real(wanted, sink))
    for item in list(bpy.data.objects):
        bpy.data.objects.remove(item)
    rig, camera = people.make_stage(128, 64)
    people.stand_still(rig, camera)
    own = offered.wanstage
    offered.frame_start, offered.frame_end = 1, 2
    own.size, own.width, own.height, own.task = "CUSTOM", 128, 64, "animate"
    own.model_menu = "wan/wan2.2-animate-14b"
    own.plate_samples = 1
    for task in ("animate", "replace", "animate", "replace"):
        for _ in generation.drive_pack(offered, force=False, task=task):
            pass
    assert taken == [{"face"}, {"plate", "mask", "depth"}]
    found = state.now.packs[offered.name].pack
    assert len(found.characters[0].face) == len(found.plate) == len(found.mask) == len(found.depth) == found.frames


def test_tasks_without_a_prompt_or_a_face_video(offered: Any) -> None:
    from blender_addon import preflight

    own = offered.wanstage
    own.prompt = " "
    assert "that is empty: write what is seen" in preflight.task_problems(offered, "t2v")[0]
    rig = bpy.data.objects.new("Hero", bpy.data.armatures.new("Hero"))
    offered.collection.objects.link(rig)
    rig.wanstage.reference, rig.wanstage.face = str(PERSON), "film"
    own.engine = "wan"
    assert preflight.task_problems(offered, "animate") == [
        "Hero has no face video: choose one, or set Face to Rig or None"
    ]
    rig.wanstage.face_film = "//gone.mp4"
    assert "The face video of Hero is not at" in preflight.task_problems(offered, "replace")[0]
    rig.wanstage.face, own.plate = "rig", "film"
    assert preflight.task_problems(offered, "replace") == [
        "Camera has no background film or picture: give it one, or set Background to Scene"
    ]
