"""A talking shot: which sound drives it, who speaks, what is wrong with either, and what the job is told.

Finding and checking is cheap, for panels and ``poll``; files are looked at by ``file_problems`` and read by ``sound``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy

from . import compat, shots, soundtrack
from .capture import sound as capture_sound
from .words import tr

TASK = shots.TALKING
Params = capture_sound.SoundParams


# ---- which sound -------------------------------------------------------------------------------------------


def sound_strips(scene: bpy.types.Scene) -> list[Any]:
    """The sequencer's sound strips, but those of takes."""
    return [
        each for each in compat.strips_of(scene)
        if each.type == "SOUND" and each.sound is not None and not each.get(soundtrack.MARK)
    ]  # fmt: skip


def find_strip(scene: bpy.types.Scene) -> Any:
    """The strip that was named, else the active one, else the only one that is heard in the shot; None."""
    found = sound_strips(scene)
    if scene.wanstage.sound_strip:
        return next((each for each in found if each.name == scene.wanstage.sound_strip), None)
    active = scene.sequence_editor.active_strip if scene.sequence_editor else None
    if active is not None and any(each == active for each in found):
        return active
    heard = [each for each in found if not strip_problems(scene, each)]
    return heard[0] if len(heard) == 1 else None


def strip_names(scene: bpy.types.Scene) -> list[str]:
    """For the panel's search."""
    return sorted(each.name for each in sound_strips(scene))


# ---- what is wrong -----------------------------------------------------------------------------------------


def problems(scene: bpy.types.Scene) -> list[str]:
    """What keeps the shot from having its sound and its speaker. Cheap: no file is touched."""
    return _SOUND_PROBLEMS[scene.wanstage.sound_from](scene) + person_problems(scene)


def strip_problems(scene: bpy.types.Scene, strip: Any) -> list[str]:
    """Whether a strip is heard in the shot."""
    if soundtrack.is_muted(scene, strip):
        return [tr("The strip {strip} is muted: unmute it, or choose another", strip=strip.name)]
    first, last = shots.frame_range(scene)
    times = compat.strip_times(strip)
    if times.left > last or times.right <= first:
        return [
            tr(
                "The strip {strip} plays at frames {begin:g} to {end:g}, outside the shot's {first} to {last}: "
                "move one",
                strip=strip.name,
                begin=times.left,
                end=times.right - 1,
                first=first,
                last=last,
            )
        ]
    return []


def _no_strip(scene: bpy.types.Scene) -> list[str]:
    found, named = sound_strips(scene), scene.wanstage.sound_strip
    strip = find_strip(scene)
    if strip is not None:
        return strip_problems(scene, strip)
    if named:
        return [tr("The sequencer has no sound strip named {name}: choose another", name=named)]
    if not found:
        return [
            tr("The sequencer has no sound: add a sound strip in the Video Sequencer, or choose a speaker or a file")
        ]
    if len(found) == 1:
        return strip_problems(scene, found[0])
    return [tr("The sequencer has several sound strips: choose one under Strip, or make it active")]


def _no_speaker(scene: bpy.types.Scene) -> list[str]:
    item = scene.wanstage.sound_speaker
    if item is None:
        return [tr("No speaker is chosen: choose a speaker object, or another source of the sound")]
    if scene.objects.get(item.name) != item:
        return [tr("The speaker {name} is not in this scene: choose another", name=item.name)]
    if item.data.sound is None:
        return [tr("The speaker {name} has no sound: open one in its data properties", name=item.name)]
    last = shots.frame_range(scene)[1]
    starts = capture_sound.speaker_starts(item)
    if item.data.muted or item.data.volume == 0.0 or starts == []:
        return [tr("The speaker {name} is muted: unmute it, or choose another", name=item.name)]
    if starts and min(starts) > last:
        return [
            tr(
                "The speaker {name} begins at frame {frame:g}, behind the shot's last, {last}: move one",
                name=item.name,
                frame=min(starts),
                last=last,
            )
        ]
    return []


def _no_file(scene: bpy.types.Scene) -> list[str]:
    return [] if scene.wanstage.sound_file else [tr("No sound is chosen: choose a sound file")]


_SOUND_PROBLEMS = {"strip": _no_strip, "speaker": _no_speaker, "file": _no_file}


def person_problems(scene: bpy.types.Scene) -> list[str]:
    """Whether there is somebody to speak, and a rig to follow."""
    shot, people = scene.wanstage, shots.characters(scene)
    found = []
    if shot.person == "character" and speaking(scene) is None:
        if people:
            found.append(tr("{name} has no reference picture: choose one under Characters, or set Person to Image or "
                            "Camera View", name=people[0].name))  # fmt: skip
        else:
            found.append(tr("There is no armature in the shot: add one, or set Person to Image or Camera View"))
    if shot.person == "file" and not shot.person_file:
        found.append(tr("No picture of the person is chosen: choose a PNG or JPEG file"))
    if shot.follow_pose and not people:
        found.append(tr("There is no armature in the shot: add a rigged character, or switch off Follow Rig"))
    return found


def speaking(scene: bpy.types.Scene) -> Any:
    """The character who speaks: the first that has a reference picture; None."""
    return next((item for item in shots.characters(scene) if shots.has_reference(item)), None)


def file_problems(scene: bpy.types.Scene) -> list[str]:
    """Whether the files are there. Only for shots without ``problems``."""
    shot = scene.wanstage
    found = []
    for what, path in ((tr("sound"), _sound_file(scene)), (tr("picture of the person"), person_file(scene))):
        if path is not None and not path.is_file():
            found.append(
                tr("The {what} is not at {path}: find the file again, or choose another", what=what, path=path)
            )
    if shot.sound_from == "file" and shot.person == "file" and shot.sound_file == shot.person_file:
        found.append(tr("Sound and person are the same file: choose a picture for the person"))
    return found


def _sound_file(scene: bpy.types.Scene) -> Path | None:
    """The file that the sound is read from; None when it is packed or not chosen."""
    shot = scene.wanstage
    if shot.sound_from == "file":
        return Path(bpy.path.abspath(shot.sound_file)) if shot.sound_file else None
    chosen = find_strip(scene) if shot.sound_from == "strip" else shot.sound_speaker and shot.sound_speaker.data
    if chosen is None or chosen.sound is None or chosen.sound.packed_file is not None:
        return None
    return capture_sound.sound_path(chosen.sound)


def person_file(scene: bpy.types.Scene) -> Path | None:
    """The file that the person's picture is read from; None when it is an image of the .blend, or rendered."""
    shot = scene.wanstage
    if shot.person == "file":
        return Path(bpy.path.abspath(shot.person_file)) if shot.person_file else None
    item = speaking(scene) if shot.person == "character" else None
    if item is None or not item.wanstage.reference:
        return None
    return Path(bpy.path.abspath(item.wanstage.reference, library=item.library))


# ---- what the job is told ----------------------------------------------------------------------------------


def parameters(scene: bpy.types.Scene) -> Params:
    """What to capture: exactly as long as the frames that are made. Only for shots without ``problems``."""
    shot = scene.wanstage
    names = {
        "strip": lambda: find_strip(scene).name,
        "speaker": lambda: shot.sound_speaker.name,
        "file": lambda: str(_sound_file(scene)),
    }
    return Params(
        scene.name, shot.sound_from, names[shot.sound_from](), shots.frame_range(scene)[0],
        shots.frame_count(scene, TASK) / shot.fps, shot.sound_skip,
    )  # fmt: skip
