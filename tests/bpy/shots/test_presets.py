"""Presets by task choose what the backend has and say what it lacks; the user's own are Blender's presets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

from protocol.messages import EngineInfo, ModelInfo, Welcome  # noqa: E402

SIZES = ((832, 480), (480, 832), (1280, 720), (720, 1280))


def model(name: str, tasks: tuple[str, ...], fps: float, missing: tuple[str, ...] = ()) -> ModelInfo:
    return ModelInfo(name, name.title(), tasks, fps, SIZES, 16, 921600, 4, False, 81, 161, 0, 40, 4.0, True, missing)


@pytest.fixture
def offer(shot: Any) -> Any:
    """Called with models: a backend with these, the draft and the test engine."""
    from blender_addon import state

    def offered(*models: ModelInfo) -> None:
        engines = (
            EngineInfo("draft", ("draft",), ("animate", "replace", "i2v", "s2v")),
            EngineInfo("wan", tuple(each.name for each in models), ("animate",), details=models),
            EngineInfo("test", ("test",), ("animate", "replace", "i2v", "flf2v", "s2v")),
        )
        state.now.welcome = Welcome("0" * 32, "backend 1", engines=engines)

    yield offered
    state.disconnect()


ANIMATE = model("wan2.2-animate-14b", ("animate", "replace"), 30.0)
SECOND = model("wan2.2-animate-2-14b", ("animate",), 24.0)
ENDS = model("wan2.2-i2v-a14b", ("i2v", "flf2v"), 16.0)
TALK = model("wan2.2-s2v-14b", ("s2v",), 16.0)
LACKS = "the weights are not here: get them with 'wanstage models pull wan2.2-animate-14b'"


@pytest.mark.parametrize(
    ("name", "title", "task", "chosen"),
    [
        ("draft", "Draft 480p", "i2v", ("draft", "draft", 16.0)),
        ("animate", "Animate a Character", "animate", ("wan", "wan2.2-animate-14b", 30.0)),
        ("replace", "Replace, Keep the Plate", "replace", ("wan", "wan2.2-animate-14b", 30.0)),
        ("ends", "First to Last Frame", "flf2v", ("wan", "wan2.2-i2v-a14b", 16.0)),
        ("talk", "Talking Shot", "s2v", ("wan", "wan2.2-s2v-14b", 16.0)),
    ],
)
def test_each_preset(offer: Any, name: str, title: str, task: str, chosen: tuple[str, str, float]) -> None:
    from blender_addon import presets

    offer(SECOND, ANIMATE, ENDS, TALK)
    own = bpy.context.scene.wanstage
    own.steps, own.guidance, own.plan = 3, 9.0, "stream"
    assert bpy.ops.wanstage.task_preset(preset=name) == {"FINISHED"}
    assert (own.task, own.size, (own.engine, own.model, own.fps)) == (task, "832x480", chosen)
    assert (own.steps, own.guidance, own.plan) == (0, 0.0, "auto")
    assert bpy.types.WANSTAGE_MT_presets.bl_label == title
    assert presets.shown(title, own) == title
    own.task = "ti2v"
    assert presets.shown(title, own) == "Presets", "the shot is no longer as the preset says"
    assert presets.shown("My own", own) == "My own"


def test_a_better_model_that_lacks_its_weights_is_said(shot: Any, offer: Any) -> None:
    from blender_addon import presets

    offer(model("wan2.2-animate-14b", ("animate", "replace"), 30.0, (LACKS,)), SECOND)
    said, well = presets.apply(shot, "animate")
    assert not well
    assert shot.wanstage.model == "wan2.2-animate-2-14b"
    assert said == (
        "Animate a Character: Wan2.2-Animate-2-14B. Wan2.2-Animate-14B would be better. "
        "No weights: run 'wanstage models pull wan2.2-animate-14b' at the backend"
    )
    said, _well = presets.apply(shot, "replace")
    assert (shot.wanstage.engine, shot.wanstage.model) == ("draft", "draft")
    assert said.startswith("Replace, Keep the Plate: Draft. Wan2.2-Animate-14B would be better")


def test_no_model_and_no_backend(shot: Any, offer: Any) -> None:
    from blender_addon import presets

    assert presets.apply(shot, "talk")[0] == "Talking Shot: connect to a backend to see which model it has for this"
    assert shot.wanstage.task == "s2v"
    offer()
    assert presets.apply(shot, "talk")[0] == "Talking Shot: Draft"


def test_portrait_scenes_get_portrait_shots(shot: Any, offer: Any) -> None:
    offer(ANIMATE)
    shot.render.resolution_x, shot.render.resolution_y = 1080, 1920
    bpy.ops.wanstage.task_preset(preset="animate")
    assert shot.wanstage.size == "480x832"


def test_ones_own(shot: Any, offer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from blender_addon import preferences

    monkeypatch.setenv("BLENDER_USER_SCRIPTS", str(tmp_path))
    offer(SECOND, ANIMATE, ENDS, TALK)
    own = shot.wanstage
    bpy.ops.wanstage.task_preset(preset="replace")
    own.steps, own.size, own.relight, own.prompt = 12, "1280x720", True, "who it is"
    assert bpy.ops.wanstage.add_preset(name="Our Show") == {"FINISHED"}
    (file,) = (tmp_path / "presets" / "wanstage" / "shot").glob("*.py")
    text = file.read_text()
    assert "who it is" not in text
    assert str(preferences.settings().data) not in text
    bpy.ops.wanstage.task_preset(preset="draft")
    assert bpy.ops.script.execute_preset(filepath=str(file), menu_idname="WANSTAGE_MT_presets") == {"FINISHED"}
    assert (own.task, own.engine, own.model, own.fps) == ("replace", "wan", "wan2.2-animate-14b", 30.0)
    assert (own.steps, own.size, own.relight, own.plate) == (12, "1280x720", True, "look")
    assert bpy.ops.wanstage.add_preset(name="Our Show", remove_active=True) == {"FINISHED"}
    assert not file.exists()
