"""Will this shot work? Each finding is one sentence: what is wrong and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy

from . import launch, shots, state

MIN_SIDE, MAX_SIDE = 64, 4096


def capture_problems(scene: bpy.types.Scene) -> list[str]:
    """What keeps the shot from being captured. Cheap: no file is touched."""
    found = []
    if shots.camera(scene) is None:
        found.append("The scene has no camera: add one, or choose the shot's camera")
    first, last = shots.frame_range(scene)
    count = shots.frame_count(scene)
    if count == 0:
        found.append(f"The shot ends at frame {last}, before it begins at frame {first}: set a later last frame")
    elif count > shots.MAX_FRAMES:
        found.append(f"The shot has {count} frames, at most {shots.MAX_FRAMES} are allowed: shorten it")
    width, height = shots.size(scene.wanstage)
    step = 16 if scene.wanstage.engine == "wan" else 2
    if width % step or height % step:
        fixed = f"{width // step * step} x {height // step * step}"
        found.append(f"{width} x {height} is no size that can be made: use multiples of {step}, such as {fixed}")
    return found


def task_problems(scene: bpy.types.Scene, task: str) -> list[str]:
    """What the task needs besides."""
    if task != "animate":
        return []
    people = shots.characters(scene)
    if not people:
        return ["There is no armature in the shot: add a rigged character, or switch one on under Characters"]
    found = []
    for item in people:
        own = item.wanstage
        if own.reference:
            path = Path(bpy.path.abspath(own.reference, library=item.library))
            if not path.is_file():
                found.append(f"The reference picture of {item.name} is not at {path}: choose it again")
    if not any(item.wanstage.reference or item.wanstage.reference_image for item in people):
        found.append(f"{people[0].name} has no reference picture: choose one under Characters")
    return found


def backend_problems(engine: str, task: str) -> list[str]:
    """Whether the backend we speak to can do it."""
    now = state.now
    if now.client is None and now.launch is None:
        return [now.sentence or "No backend is connected: press Connect first"]
    info = engine_info(engine)
    if now.welcome is None:
        return []
    names = ", ".join(each.name for each in now.welcome.engines) or "none"
    if info is None:
        return [f"This backend has no engine {engine}, it has: {names}"]
    if info.missing:
        return [f"The engine {engine} is not ready: {info.missing[0]}"]
    if task not in info.tasks:
        return [f"The engine {engine} cannot do {task}, it can do: {', '.join(info.tasks)}"]
    return []


def engine_info(engine: str) -> Any:
    """What the backend said about an engine in its welcome; None when it did not name it."""
    welcome = state.now.welcome
    return next((each for each in welcome.engines if each.name == engine), None) if welcome else None


def network_problem(endpoint: str, *, allowed: bool, forced: bool) -> str:
    """A backend on another machine needs Blender's permission to use the network; this machine's own does not."""
    if allowed or launch.is_loopback(endpoint):
        return ""
    how = "Blender was started with --offline-mode" if forced else "switch on Allow Online Access in the preferences"
    return f"The backend at {endpoint} is on another machine and Blender may not use the network: {how}"
