"""Will this shot work? All that can be said before a run, each with what would put it right.

``look`` is a generator: the settings first, then the poses, one sample a step. What it finds is kept with a key of
everything it was found from; drawing compares keys and shows what is kept.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

import bpy

from . import (
    bonemap_store,
    capture,
    cast_findings,
    catalog,
    estimates,
    motion,
    needs,
    preflight,
    shots,
    state,
    takes,
    talking,
    timeline,
)
from .finding import Finding, Fix, Severity
from .sound_length import sound_end, sound_seconds
from .words import tr

ORDER: tuple[Severity, ...] = ("error", "warning", "info")
ASPECT_TOLERANCE = 0.05
"""Pictures whose shapes differ by less are cut or padded by so little that nobody minds."""
MOST_JOINTS = 3


@dataclass(frozen=True)
class Kept:
    """What was found in a scene, and what it was found from."""

    settings: object
    motion: object
    findings: tuple[Finding, ...]


_kept: dict[str, Kept] = {}
OF_MOTION = frozenset(
    {"off_screen", "fast", "away", "face", "poses", "joints", "proportions", "unknown_build", "likeness"}
)


def kept(scene: bpy.types.Scene) -> tuple[tuple[Finding, ...] | None, bool]:
    """What was found last, None before the first look; and whether nothing changed since."""
    found = _kept.get(scene.name)
    if found is None:
        return None, False
    return found.findings, (found.settings, found.motion) == (settings_key(scene), motion_key(scene))


def forget() -> None:
    """As after a file load."""
    _kept.clear()


def settings_key(scene: bpy.types.Scene) -> object:
    """Equal as long as the settings say the same. Cheap enough for drawing: properties only."""
    shot, render, now = scene.wanstage, scene.render, state.now
    welcome = now.welcome.server_id if now.welcome is not None else None
    markers = tuple((marker.frame, marker.camera.name if marker.camera else "") for marker in scene.timeline_markers)
    people = tuple(
        (item.name, item.wanstage.reference, item.wanstage.face, *bonemap_store.texts(item))
        for item in shots.characters(scene)
    )
    return (
        welcome, now.client is None, estimates.of(scene), shot.plan, shot.engine, shot.model, shot.fit_frames,
        shot.steps, shot.quality,
        bool(shot.prompt), shot.sound_from, shot.sound_strip, shot.sound_file, shot.sound_skip, shot.person,
        shot.person_file, render.resolution_x, render.resolution_y, len(shot.takes), markers, people,
    )  # fmt: skip


def motion_key(scene: bpy.types.Scene) -> object:
    """Equal as long as the characters do the same in the picture."""
    shot, render, camera = scene.wanstage, scene.render, shots.camera(scene)
    people = tuple((item.name, item.wanstage.framing) for item in shots.characters(scene))
    return (
        state.now.revision, camera.name if camera else "", shots.frame_range(scene), shots.frame_count(scene),
        shots.size(shot), shot.fps, shot.task, render.fps, render.fps_base, people,
    )  # fmt: skip


def look(scene: bpy.types.Scene) -> Generator[state.CaptureState, None, tuple[Finding, ...]]:
    """All findings, the gravest first; kept for ``kept``. The scene is as it was, however this ends."""
    found = list(of_settings(scene))
    if not any(each.id in _NO_POSES for each in found):
        found += yield from _of_motion(scene)
    return _keep(scene, found, motion_key(scene))


def again(scene: bpy.types.Scene) -> None:
    """After a fix: the settings anew, the poses as they were seen (no longer fresh when the fix touched them)."""
    before = _kept.get(scene.name)
    if before is not None:
        motions = [each for each in before.findings if each.id in OF_MOTION]
        _keep(scene, [*of_settings(scene), *motions], before.motion)


def _keep(scene: bpy.types.Scene, found: list[Finding], motions: object) -> tuple[Finding, ...]:
    found.sort(key=lambda each: ORDER.index(each.severity))
    _kept[scene.name] = Kept(settings_key(scene), motions, tuple(found))
    return tuple(found)


_NO_POSES = frozenset({"no_camera", "empty_range", "too_long", "no_bones"})


# ---- settings ----------------------------------------------------------------------------------------------


def of_settings(scene: bpy.types.Scene) -> Iterator[Finding]:
    """What camera, range, size, rate, model, files and sound say."""
    yield from _backend(scene)
    yield from _camera(scene)
    yield from _range(scene)
    yield from _size(scene)
    yield from _rate(scene)
    yield from _cut(scene)
    yield from _task(scene)
    yield from _sound(scene)
    yield from needs.of_shot(scene)


def _backend(scene: bpy.types.Scene) -> Iterator[Finding]:
    shot = scene.wanstage
    info = catalog.model_info(shot.engine, shot.model)
    for sentence in preflight.backend_problems(shot.engine, shot.task, shot.model):
        if state.now.client is None and state.now.launch is None:
            yield Finding("backend", "error", sentence, (Fix("Connect"),))
        elif catalog.pull_command(info) and shot.task in info.tasks:
            label = tr("Get Weights") if hasattr(bpy.types, "WANSTAGE_OT_pull") else tr("Copy Command")
            yield Finding("weights", "error", sentence, (Fix(label), *_other_model(shot)))
        else:
            yield Finding("model", "error", sentence, _other_model(shot))


def _other_model(shot: Any) -> tuple[Fix, ...]:
    """Another model that does the task here and has its weights."""
    found = catalog.first_for(shot.task, shot.engine)
    if found is None or found == (shot.engine, shot.model):
        return ()
    info = catalog.model_info(*found)
    if info is not None and info.missing:
        return ()
    title = info.title if info is not None and info.title else catalog.ENGINE_TITLES.get(found[0], (found[0], ""))[0]
    return (Fix(tr("Use {title}", title=title), "other"),)


def _camera(scene: bpy.types.Scene) -> Iterator[Finding]:
    if shots.camera(scene) is not None:
        return
    there = next((item for item in scene.objects if item.type == "CAMERA"), None)
    label = tr("Use {name}", name=there.name) if there is not None else tr("Add Camera")
    yield Finding(
        "no_camera", "error", tr("The scene has no camera: add one, or choose the shot's camera"), (Fix(label),)
    )


def _range(scene: bpy.types.Scene) -> Iterator[Finding]:
    shot = scene.wanstage
    first, last = shots.frame_range(scene)
    count, whole = shots.frame_count(scene), shots.sample_count(scene)
    rule = shots.rule(shot)
    if whole == 0:
        text = tr("The shot ends at frame {last}, before it begins at frame {first}", last=last, first=first)
        yield Finding("empty_range", "error", text, (Fix(tr("Make It {count} Frames", count=default_frames(shot))),))
    elif count > shots.MAX_FRAMES:
        text = tr(
            "The shot has {whole} frames, at most {most} are allowed: shorten it", whole=whole, most=shots.MAX_FRAMES
        )
        yield Finding(
            "too_long", "error", text, (Fix(tr("Make It {count} Frames", count=rule.fitting(shots.MAX_FRAMES))),)
        )
    elif rule.fitting(whole) != whole and shot.engine == "wan":
        yield _unfitting(shot, rule, whole)


def _unfitting(shot: Any, rule: catalog.Rule, whole: int) -> Finding:
    """The range has frames that the model cannot make; with Fit Frames the last are left out."""
    shorter, longer = rule.fitting(whole), rule.fitting(whole) + rule.step
    if whole > rule.most:
        text = tr("The range has {whole} frames, the model makes at most {most}", whole=whole, most=shorter)
        fixes = (Fix(tr("Shorten to {count}", count=shorter), "shorter"),)
    else:
        text = tr(
            "The range has {whole} frames, the model makes {less} or {more}", whole=whole, less=shorter, more=longer
        )
        fixes = (Fix(f"{shorter}", "shorter"), Fix(f"{longer}", "longer"))
    if shot.fit_frames:
        return Finding("frames", "info", tr("{text}: {count} are made", text=text, count=shorter), fixes)
    return Finding("frames", "error", text, fixes)


def default_frames(shot: Any) -> int:
    """How long a clip of the model is if nobody says otherwise."""
    info = catalog.model_info(shot.engine, shot.model)
    return info.default_frames if info is not None and info.default_frames else 81


def _size(scene: bpy.types.Scene) -> Iterator[Finding]:
    shot = scene.wanstage
    width, height = shots.size(shot)
    fault = preflight.size_fault(shot)
    if fault:
        near = fitting_size(shot)
        yield Finding("size", "error", fault, (Fix(use_size(near)),))
        return
    render = scene.render
    seen = render.resolution_x * render.pixel_aspect_x / (render.resolution_y * render.pixel_aspect_y)
    if abs(math.log(seen * height / width)) > ASPECT_TOLERANCE:
        text = tr(
            "The scene renders {wide} x {high}, the shot is {width} x {height}: "
            "its camera sees more or less than you do",
            wide=render.resolution_x,
            high=render.resolution_y,
            width=width,
            height=height,
        )
        near = official_size(shot, seen)
        fixes = (Fix(use_size(near)),) if near is not None and near != (width, height) else ()
        yield Finding("aspect", "info", text, fixes)


def use_size(size: tuple[int, int]) -> str:
    """A button's label."""
    return tr("Use {width} x {height}", width=size[0], height=size[1])


def fitting_size(shot: Any) -> tuple[int, int]:
    """The size that the model can make which is nearest, its shape before its area, so that the framing stays."""
    width, height = shots.size(shot)
    rule = shots.rule(shot)
    step, aspect = rule.size_step, width / height
    most = min(1.0, math.sqrt(rule.area / (width * height))) * width if rule.area else width
    widths = range(max(round(most * 0.85) // step, 1) * step, round(most * 1.04) + step, step)
    sizes = [(wide, max(round(wide / aspect / step), 1) * step) for wide in widths]
    able = [size for size in sizes if rule.allows_size(*size) and min(size) >= catalog.LEAST_SIDE]
    if not able:
        return rule.nearest_size(width, height)
    return min(able, key=lambda size: catalog.apart(size, (width, height)))


def official_size(shot: Any, aspect: float) -> tuple[int, int] | None:
    """The model's size of about this shape, and of the shot's area."""
    info = catalog.model_info(shot.engine, shot.model)
    sizes = info.sizes if info is not None and info.sizes else [catalog.SIZES[name] for name in catalog.DRAFT_SIZES]
    width, height = shots.size(shot)
    area = width * height
    wanted = (math.sqrt(area * aspect), math.sqrt(area / aspect))
    best = min(sizes, key=lambda size: catalog.apart(size, wanted), default=None)
    if best is None or abs(math.log(best[0] / best[1] / aspect)) >= abs(math.log(width / height / aspect)):
        return None
    return best[0], best[1]


def _rate(scene: bpy.types.Scene) -> Iterator[Finding]:
    shot = scene.wanstage
    for sentence in preflight.rate_problems(shot):
        info = catalog.model_info(shot.engine, shot.model)
        yield Finding("rate", "error", sentence, (Fix(tr("Set {fps:g}", fps=info.fps)),))
    fps, count = takes.scene_fps(scene), shots.frame_count(scene)
    if count and abs(shot.fps / fps - 1.0) > preflight.FPS_TOLERANCE:
        lasts = math.ceil(count * fps / shot.fps - 1e-6)
        text = tr(
            "{count} frames at {fps:g} a second = {lasts} scene frames at {scene_fps:g}: time is kept",
            count=count,
            fps=shot.fps,
            lasts=lasts,
            scene_fps=fps,
        )
        yield Finding("fps", "info", text)


def _cut(scene: bpy.types.Scene) -> Iterator[Finding]:
    """The take is one camera's, whatever the markers say."""
    camera = shots.camera(scene)
    first, last = shots.frame_range(scene)
    before = [each for each in timeline.bound(scene) if each.frame <= first]
    other = before[-1] if before and before[-1].camera != camera else None
    cut = next((each for each in timeline.bound(scene) if first < each.frame <= last and each.camera != camera), None)
    if camera is None or (cut is None and other is None):
        return
    if other is not None and (cut is None or scene.wanstage.camera is not None):
        text = tr(
            "At frame {frame} the timeline's camera is {other}, the shot's is {camera}",
            frame=first,
            other=other.camera.name,
            camera=camera.name,
        )
        yield Finding("camera", "warning", text, (Fix(tr("Use {name}", name=other.camera.name)),), first)
        return
    if cut is not None:
        text = tr(
            "The timeline changes to {other} at frame {frame}, the take is all by {camera}",
            other=cut.camera.name,
            frame=cut.frame,
            camera=camera.name,
        )
        yield Finding("cut", "warning", text, (Fix(tr("End at {frame}", frame=cut.frame - 1)),), cut.frame)


def _task(scene: bpy.types.Scene) -> Iterator[Finding]:
    shot = scene.wanstage
    for sentence in preflight.task_problems(scene, shot.task):
        yield Finding("task", "error", sentence)
    yield from cast_findings.of_settings(scene)


def _sound(scene: bpy.types.Scene) -> Iterator[Finding]:
    """A talking shot whose sound ends first."""
    if scene.wanstage.task != talking.TASK or talking.problems(scene) or talking.file_problems(scene):
        return
    seconds = sound_seconds(scene)
    count = shots.frame_count(scene)
    if seconds is None or not count or seconds >= count / scene.wanstage.fps - 1.0 / scene.wanstage.fps:
        return
    last = sound_end(scene, seconds)
    short = count / scene.wanstage.fps - seconds
    text = tr("The sound ends {seconds:.1f} s before the shot: silence follows", seconds=short)
    yield Finding("sound", "warning", text, (Fix(tr("End at {frame}", frame=last)),), last + 1)


# ---- poses -------------------------------------------------------------------------------------------------


def _of_motion(scene: bpy.types.Scene) -> Generator[state.CaptureState, None, list[Finding]]:
    """Everything that the characters' poses say; nothing without characters."""
    shot = scene.wanstage
    people = shots.characters(scene)
    if not people or shot.task in preflight.PROMPTED:
        return []
    wanted = shots.parameters(scene)
    if preflight.size_problems(shot):  # seen as it will be when that is put right
        width, height = fitting_size(shot)
        wanted = dataclasses.replace(wanted, width=width, height=height)
    steps = motion.poses(wanted)
    progress = state.now.capture = state.CaptureState("check", 0, wanted.frames)
    try:
        while True:
            try:
                seen = next(steps)
            except StopIteration as done:
                taken = done.value
                break
            progress.step, progress.steps = seen.step, seen.steps
            yield progress
    except capture.CaptureProblem as problem:
        return [Finding("poses", "error", str(problem))]
    finally:
        steps.close()
        bpy.context.view_layer.update()  # what making and unmaking the copy tagged is no edit of the user's
        state.now.capture = None
    found: list[Finding] = []
    for character in taken.characters:
        found += _of_character(scene, wanted, character)
    return [*found, *cast_findings.of_proportions(scene, taken)]


def _of_character(scene: bpy.types.Scene, wanted: Any, character: Any) -> Iterator[Finding]:
    name, count = character.params.name, len(character.body)

    def at(sample: int) -> int:
        return motion.scene_frame(scene, wanted.frame_start, wanted.fps, sample)

    off = motion.off_screen(character.body)
    if off is not None and off.always:
        yield Finding(
            "off_screen", "error", tr("{name} is outside the picture in every frame: check camera and range", name=name)
        )
        return
    if off is not None:
        joints = ", ".join(tr(joint) for joint in off.joints[:MOST_JOINTS])
        if len(off.joints) > MOST_JOINTS:
            joints = tr("{joints} and more", joints=joints)
        text = tr(
            "{name}: {joints} outside the picture in {count} of {frames} frames",
            name=name,
            joints=joints,
            count=off.seen.count,
            frames=count,
        )
        yield Finding("off_screen", "warning", text, frame=at(off.seen.first))
    if wanted.fps:
        yield from _speed(name, motion.fast(character.body, wanted.width, wanted.height), at)
    away = motion.turned_away(character.body, wanted.fps)
    if away is not None:
        text = tr(
            "{name} shows the back from frame {first} to {last}: no face drives the model there",
            name=name,
            first=at(away[0]),
            last=at(away[1]),
        )
        yield Finding("away", "info", text, frame=at(away[0]))
    yield from _face(scene, character, at)


def _speed(name: str, found: motion.Fast | None, at: Any) -> Iterator[Finding]:
    if found is None:
        return
    text = tr(
        "{name}: {joint} moves up to {pixels:.0f} pixels a frame, in {count} frames too fast "
        "for the model to follow sharply",
        name=name,
        joint=tr(found.joint),
        pixels=found.pixels,
        count=found.seen.count,
    )
    yield Finding("fast", "warning", text, frame=at(found.seen.first))


def _face(scene: bpy.types.Scene, character: Any, at: Any) -> Iterator[Finding]:
    shot = scene.wanstage
    driven = shot.engine == "wan" and shot.task in preflight.WITH_PEOPLE and character.params.face != "none"
    if not driven and shot.task != talking.TASK:
        return
    small = motion.small_face(character.face_box)
    if small is None:
        return
    fixes = (Fix(tr("Drive No Face"), "none"),) if driven else ()
    larger = larger_size(shot, small[0])
    if larger is not None:
        fixes = (Fix(use_size(larger), "larger", larger), *fixes)
    text = tr(
        "{name}: the face is {pixels:.0f} pixels high, expression needs {needed:.0f}",
        name=character.params.name,
        pixels=small[0],
        needed=motion.FACE_PX,
    )
    yield Finding("face", "warning", text, fixes, at(small[1].first))


def larger_size(shot: Any, face: float) -> tuple[int, int] | None:
    """The smallest official size of the shot's shape in which a face of so many pixels is large enough; None."""
    width, height = shots.size(shot)
    info = catalog.model_info(shot.engine, shot.model)
    grown = [
        (wide, high) for wide, high in (info.sizes if info is not None else ())
        if high * face >= motion.FACE_PX * height and abs(math.log(wide * height / (high * width))) < ASPECT_TOLERANCE
    ]  # fmt: skip
    return min(grown, key=lambda size: size[0] * size[1], default=None)
