"""Presets by task, for a menu: each sets task, model, size and how it is sampled.

The model is the best that the connected backend has with its weights; when a better one is only missing its weights,
that is said with the command that gets them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import bpy

from . import catalog, state
from .words import noted, tr


@dataclass(frozen=True)
class Preset:
    """``models``: names by preference, any other model of the task comes behind them; ``engine``: that one alone.
    ``values`` are properties of the shot, set last."""

    title: str
    said: str
    icon: str
    task: str
    size: tuple[int, int] = (832, 480)
    engine: str = ""
    models: tuple[str, ...] = ()
    values: dict[str, Any] = field(default_factory=dict)


PLAIN: dict[str, Any] = {"steps": 0, "guidance": 0.0, "guidance_low": 0.0, "plan": "auto", "fit_frames": True}
"""The model's own, for whatever a preset does not name."""
PRESETS: dict[str, Preset] = {
    "draft": Preset(
        "Draft 480p", "In seconds, without weights: timing and framing of the shot", "SORTTIME", "i2v", engine="draft",
        values={"fps": 16.0},
    ),
    "animate": Preset(
        "Animate a Character", "The rig's motion drives the person in a reference picture", "ARMATURE_DATA", "animate",
        models=("wan2.2-animate-14b", "wan2.2-animate-2-14b-distilled", "wan2.2-animate-2-14b"),
        values={"quality": "default", "overlap": "1", "match_color": False},
    ),
    "replace": Preset(
        "Replace, Keep the Plate", "The person takes the rig's place; the scene with materials stays round it",
        "MOD_MASK", "replace", models=("wan2.2-animate-14b",),
        values={"quality": "default", "plate": "look", "overlap": "5", "match_color": True},
    ),
    "ends": Preset(
        "First to Last Frame", "From the first frame with materials to the last, by the prompt", "IPO_EASE_IN_OUT",
        "flf2v", models=("wan2.2-i2v-a14b",), values={"quality": "default"},
    ),
    "talk": Preset(
        "Talking Shot", "A line of dialogue drives the person in a picture", "SPEAKER", "s2v",
        models=("wan2.2-s2v-14b",), values={"quality": "default", "sound_from": "strip", "add_sound": True},
    ),
}  # fmt: skip


def apply(scene: bpy.types.Scene, name: str) -> tuple[str, bool]:
    """Set the shot as the preset says; returns what was chosen or is lacking, and whether all is well."""
    preset, shot = PRESETS[name], scene.wanstage
    portrait = shots_are_tall(scene)
    shot.task = preset.task
    better = ""
    found = choices(preset, shot.engine)
    ready = next((each for each in found if not each[2]), None)
    if preset.engine:
        catalog.choose(shot, preset.engine, preset.engine)
    elif ready is not None:
        catalog.choose(shot, ready[0], ready[1])
    elif found:
        catalog.choose(shot, found[0][0], found[0][1])
    if found and found[0][2]:
        better = found[0][2]
        if ready is not None:
            better = tr("{model} would be better. {lack}", model=found[0][3], lack=better)
    size = preset.size[::-1] if portrait else preset.size
    info = catalog.model_info(shot.engine, shot.model)
    sizes = info.sizes if info is not None and info.sizes else (size,)
    catalog.set_size(shot, min(sizes, key=lambda each: catalog.apart(each, size)))
    for key, value in {**PLAIN, **preset.values}.items():
        setattr(shot, key, value)
    return _told(preset, shot, better)


def shown(title: str, shot: Any) -> str:
    """What the closed menu says: the preset chosen last, while the shot still has its task; the user's own always."""
    left = any(each.title == title and each.task != shot.task for each in PRESETS.values())
    return noted("Presets") if left else title


def _told(preset: Preset, shot: Any, better: str) -> tuple[str, bool]:
    title = tr(preset.title)
    if state.now.welcome is None and not preset.engine:
        return tr("{preset}: connect to a backend to see which model it has for this", preset=title), True
    model = _title(shot)
    if not model:
        return tr("{preset}: this backend has no model for it", preset=title), False
    if better:
        return tr("{preset}: {model}. {better}", preset=title, model=model, better=better), False
    return tr("{preset}: {model}", preset=title, model=model), True


def shots_are_tall(scene: bpy.types.Scene) -> bool:
    """Whether the scene is rendered in portrait."""
    render = scene.render
    return bool(render.resolution_y * render.pixel_aspect_y > render.resolution_x * render.pixel_aspect_x)


def choices(preset: Preset, engine: str) -> list[tuple[str, str, str, str]]:
    """Engine, model, what it lacks and title of all that do the task, best first: the preset's own, other video models,
    engines without weights (the draft), the test engine. Empty when no backend is connected."""
    if preset.engine or state.now.welcome is None:
        return []
    found: list[tuple[int, tuple[str, str, str, str]]] = []
    for info in state.now.welcome.engines:
        for each in info.details:
            if preset.task in each.tasks:
                rank = preset.models.index(each.name) if each.name in preset.models else len(preset.models)
                found.append((rank, (info.name, each.name, catalog.lack(each), each.title or each.name)))
        if not info.details and preset.task in info.tasks and info.models:
            title = catalog.ENGINE_TITLES.get(info.name, (info.name, ""))[0]
            model = info.models[0]
            found.append((200 if info.name == "test" else 100, (info.name, model, "", title)))
    found.sort(key=lambda row: row[0])
    return [row for _, row in found]


def _title(shot: Any) -> str:
    """Of the chosen model; empty when the backend cannot do the task with it."""
    info = catalog.model_info(shot.engine, shot.model)
    if info is None:
        able = catalog.can(shot.engine, shot.model, shot.task) or state.now.welcome is None
        title = catalog.ENGINE_TITLES.get(shot.engine, (shot.engine, ""))[0]
        return title if able else ""
    return str(info.title or info.name)


# ---- the user's own ----------------------------------------------------------------------------------------

FOLDER = "wanstage/shot"
VALUES = ("task", "engine", "model", "fps", "size", "width", "height", "quality", "steps", "guidance", "guidance_low",
          "plan", "fit_frames", "overlap", "match_color", "relight", "plate", "plate_samples", "occlusion",
          "sound_from", "person", "from_person", "follow_pose", "add_sound", "negative_prompt")  # fmt: skip
"""What a preset of the user's keeps: how to make a shot, nothing of what is in it, no path and no picture. Task, engine
and model first: what is set behind them is not set again by them."""
