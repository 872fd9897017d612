"""Will this shot work? Each finding is one sentence: what is wrong and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy

from . import catalog, launch, shots, state, talking
from .capture.plate import find_footage
from .words import tr

WITH_PEOPLE = frozenset({"animate", "replace"})
"""Tasks that put the person of a reference picture on a character."""
FPS_TOLERANCE = 0.005
"""23.976 passes for 24."""
PROMPTED = frozenset({"t2v"})

engine_info = catalog.engine_info


def capture_problems(scene: bpy.types.Scene, task: str | None = None) -> list[str]:
    """What keeps the shot from being captured. Cheap: no file is touched."""
    found = []
    if shots.camera(scene) is None:
        found.append(tr("The scene has no camera: add one, or choose the shot's camera"))
    first, last = shots.frame_range(scene)
    count = shots.sample_count(scene)
    if count == 0:
        found.append(
            tr(
                "The shot ends at frame {last}, before it begins at frame {first}: set a later last frame",
                last=last,
                first=first,
            )
        )
    elif shots.frame_count(scene, task) > shots.MAX_FRAMES:
        found.append(
            tr(
                "The shot has {count} frames, at most {most} are allowed: shorten it",
                count=count,
                most=shots.MAX_FRAMES,
            )
        )
    else:
        found += frame_problems(scene, task)
    return found + size_problems(scene.wanstage, task) + rate_problems(scene.wanstage, task)


def rate_problems(shot: Any, task: str | None = None) -> list[str]:
    """Whether the model makes frames of the shot's rate; those that take any number of frames follow any rate,
    but not to sound: they hear so many frames a second as they were made for."""
    info = catalog.model_info(shot.engine, shot.model)
    hears = shot.engine == "wan" and (task or shot.task) == talking.TASK
    if info is None or (info.any_frames and not hears) or abs(shot.fps / info.fps - 1.0) <= FPS_TOLERANCE:
        return []
    title = info.title or info.name
    return [
        tr(
            "{title} makes {fps:g} frames a second, not {rate:g}: set Rate to {fps:g}",
            title=title,
            fps=info.fps,
            rate=shot.fps,
        )
    ]


def frame_problems(scene: bpy.types.Scene, task: str | None = None) -> list[str]:
    """Whether the model can make as many frames as the shot is asked for."""
    rule = shots.rule(scene.wanstage, task)
    count = shots.frame_count(scene, task)
    fitting = rule.fitting(count)
    if count == fitting or scene.wanstage.engine != "wan":
        return []
    if count > rule.most:
        return [
            tr("The shot has {count} frames, the model makes at most {most}: change the range or switch on Fit Frames",
               count=count, most=rule.fitting(rule.most))
        ]  # fmt: skip
    return [
        tr("The shot has {count} frames, the model makes {less} or {more}: change the range or switch on Fit Frames",
           count=count, less=fitting, more=fitting + rule.step)
    ]  # fmt: skip


def size_fault(shot: Any, task: str | None = None) -> str:
    """What is wrong with the shot's size; empty when nothing is."""
    width, height = shots.size(shot)
    rule = shots.rule(shot, task)
    if rule.allows_size(width, height):
        return ""
    if width % rule.size_step or height % rule.size_step:
        return tr("{width} x {height} is no size that can be made", width=width, height=height)
    return tr("{width} x {height} is too large for the model", width=width, height=height)


def size_problems(shot: Any, task: str | None = None) -> list[str]:
    """Whether the model can make frames of the shot's size."""
    width, height = shots.size(shot)
    rule = shots.rule(shot, task)
    if rule.allows_size(width, height):
        return []
    near = "{} x {}".format(*rule.nearest_size(width, height))
    if width % rule.size_step or height % rule.size_step:
        return [
            tr(
                "{width} x {height} is no size that can be made: use multiples of {size_step}, such as {near}",
                width=width,
                height=height,
                size_step=rule.size_step,
                near=near,
            )
        ]
    return [
        tr(
            "{width} x {height} is too large for the model: use at most {area} pixels, such as {near}",
            width=width,
            height=height,
            area=rule.area,
            near=near,
        )
    ]


def task_problems(scene: bpy.types.Scene, task: str) -> list[str]:
    """What the task needs besides."""
    if task in PROMPTED and not scene.wanstage.prompt.strip():
        return [tr("Text to Video is made from the prompt alone and that is empty: write what is seen")]
    if task == talking.TASK:
        return talking.problems(scene) or talking.file_problems(scene)
    return people_problems(scene, task) if task in WITH_PEOPLE else []


def people_problems(scene: bpy.types.Scene, task: str) -> list[str]:
    """What is wrong with the characters and their people."""
    people = shots.characters(scene)
    if not people:
        instance = next((item for item in scene.objects if _brings_a_rig(item)), None)
        if instance is not None:
            return [tr("{name} is an instance, whose rig cannot be captured: make a library override of it, "
                       "or make it real", name=instance.name)]  # fmt: skip
        return [tr("There is no armature in the shot: add a rigged character, or switch one on under Characters")]
    found = []
    for item in people:
        own = item.wanstage
        if own.reference:
            path = Path(bpy.path.abspath(own.reference, library=item.library))
            if not path.is_file():
                found.append(
                    tr("The reference picture of {name} is not at {path}: choose it again", name=item.name, path=path)
                )
        if own.face == "film" and scene.wanstage.engine == "wan":
            found += _film_problems(item)
    if not any(shots.has_reference(item) for item in people):
        found.append(tr("{name} has no reference picture: choose one under Characters", name=people[0].name))
    camera = shots.camera(scene)
    if task == "replace" and scene.wanstage.plate == "film" and camera is not None and not find_footage(camera):
        found.append(
            tr(
                "{camera} has no background film or picture: give it one, or set Background to Scene",
                camera=camera.name,
            )
        )
    return found


def _brings_a_rig(item: bpy.types.Object) -> bool:
    """Whether an empty shows a collection that has an armature."""
    shown = item.instance_collection if item.instance_type == "COLLECTION" else None
    return shown is not None and any(each.type == "ARMATURE" for each in shown.all_objects)


def namesakes(scene: bpy.types.Scene) -> list[str]:
    """Characters of one name, which linked files bring: a shot knows its characters by their names."""
    names = [item.name for item in shots.characters(scene)]
    twice = next((name for name in names if names.count(name) > 1), "")
    if not twice:
        return []
    return [tr("Two characters are named {name}, from two files: make a library override of one of them, or switch "
               "one off under Characters", name=twice)]  # fmt: skip


def _film_problems(item: bpy.types.Object) -> list[str]:
    own = item.wanstage
    if not own.face_film:
        return [tr("{name} has no face video: choose one, or set Face to Rig or None", name=item.name)]
    path = Path(bpy.path.abspath(own.face_film, library=item.library))
    return (
        []
        if path.is_file()
        else [tr("The face video of {name} is not at {path}: choose it again", name=item.name, path=path)]
    )


def backend_problems(engine: str, task: str, model: str = "") -> list[str]:
    """Whether the backend we speak to can do it."""
    now = state.now
    if now.client is None and now.launch is None:
        return [now.sentence or tr("No backend is connected: press Connect first")]
    info = engine_info(engine)
    if now.welcome is None:
        return []
    names = ", ".join(each.name for each in now.welcome.engines) or "none"
    if info is None:
        return [tr("This backend has no engine {engine}, it has: {names}", engine=engine, names=names)]
    if info.missing:
        return [tr("The engine {engine} is not ready: {reason}", engine=engine, reason=info.missing[0])]
    if task not in info.tasks:
        return [
            tr(
                "The engine {engine} cannot do {task}, it can do: {able}",
                engine=engine,
                task=task,
                able=", ".join(info.tasks),
            )
        ]
    return model_problems(info, task, model) if info.details else []


def model_problems(info: Any, task: str, model: str) -> list[str]:
    """Whether the engine has the model, with its weights, and it does the task."""
    found = next((each for each in info.details if each.name == model), None)
    able = ", ".join(each.title or each.name for each in info.details if task in each.tasks)
    if found is None:
        return [tr("This backend has no model {model}, for {task} it has: {able}", model=model, task=task, able=able)]
    if task not in found.tasks:
        return [tr("{model} cannot do {task}, choose: {able}", model=found.title or found.name, task=task, able=able)]
    if found.missing:
        return [
            tr(
                "{model} is not ready: {reason}, then connect again",
                model=found.title or found.name,
                reason=found.missing[0],
            )
        ]
    return []


def network_problem(endpoint: str, *, allowed: bool, forced: bool) -> str:
    """A backend on another machine needs Blender's permission to use the network; this machine's own does not."""
    if allowed or launch.is_loopback(endpoint):
        return ""
    how = (
        tr("Blender was started with --offline-mode")
        if forced
        else tr("switch on Allow Online Access in the preferences")
    )
    return tr(
        "The backend at {endpoint} is on another machine and Blender may not use the network: {how}",
        endpoint=endpoint,
        how=how,
    )
