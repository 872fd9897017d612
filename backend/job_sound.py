"""The sound of a job of the command line: put into the spec, and the length of the shot that follows from it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from protocol import limits
from protocol.assets import AssetFolder
from protocol.errors import InvalidJob
from protocol.specs import JobSpec, SoundRef
from wan_models.models import MODELS
from wan_models.rows import ModelRow

if TYPE_CHECKING:
    from wan_models.requests import Sound

RATE = 16000  # Hz, at which a sound's length is taken: a frame at 120 a second is 133 of its samples


def add_sound(given: dict[str, Any], folder: AssetFolder, file: Path | None, start: float | None) -> str:
    """Give the spec ``given`` the sound ``file`` from ``start`` seconds on, and ``frames`` where it has none: as long
    as the sound, at the job's rate or else the model's.

    ``file`` None changes the start of the sound that is there. Returns a sentence about sound that is left out, or "".
    Raises InvalidJob, RequestRefused for a file that is no sound.
    """
    if file is None:
        if start is not None:
            _start_of(given)["start"] = start
        if given.get("task") == "s2v" and not given.get("sound") and "frames" not in given:
            problem = "the job has no sound to be as long as: give --sound FILE"  # sooner than that frames are missing
            raise InvalidJob(problem)
        return ""
    try:
        asset = folder.add_file(file)
    except OSError as error:
        problem = f"the sound {file} cannot be read: {error.strerror}"
        raise InvalidJob(problem) from error
    given["sound"] = msgspec.to_builtins(SoundRef(asset, file.name[: limits.MAX_NAME_CHARS], start or 0.0))
    return "" if "frames" in given else _set_frames(given, file, start or 0.0)


def _start_of(given: dict[str, Any]) -> dict[str, Any]:
    sound = given.get("sound")
    if not isinstance(sound, dict):
        problem = "--sound-start is about a sound, and this job has none: give --sound FILE too"
        raise InvalidJob(problem)
    return sound


def _set_frames(given: dict[str, Any], file: Path, start: float) -> str:
    from wan_models.requests import Sound
    from wan_models.sound import read_wave

    row = next((row for row in MODELS if row.name == given.get("model")), None)
    if row is not None:
        given.setdefault("fps", row.fps)
    fps, most = given.get("fps"), (row.max_frames if row else 0) or limits.MAX_FRAMES
    if not isinstance(fps, int | float) or not 0 < fps <= limits.MAX_FPS:
        return ""  # then the check of the spec says what is wrong with it
    # One frame more than there may be tells that the sound is longer.
    wave = read_wave(Sound(file, start, file.name), seconds=(most + 1) / fps, rate=RATE)
    wanted = frames_of(len(wave) / RATE, fps, row)
    given["frames"] = min(wanted, most)
    if wanted <= most:
        return ""
    name = row.name if row else "the backend"
    return (
        f"{name} makes at most {most} frames, {most / fps:.1f} s: the rest of {file.name} is left out; make another "
        f"job with --sound-start {start + most / fps:g}"
    )


def frames_of(seconds: float, fps: float, row: ModelRow | None) -> int:
    """The fewest frames that the model makes and that the sound does not outlast."""
    frames = max(1, math.ceil(round(seconds * fps, 2)))
    if row is None or row.any_frames:
        return frames
    return -(-(frames - 1) // row.frame_step) * row.frame_step + 1


def checked_sound(spec: JobSpec, path: Path) -> Sound | None:
    """The job's sound, whose asset is at ``path``, from the job's first frame on. Raises RequestRefused for one that
    cannot drive the job.
    """
    from wan_models.sound import SHORTEST_S, check_sound

    if spec.sound is None:
        return None
    sound = sound_of(path, spec.sound.name, spec.sound.start)
    check_sound(sound, max(spec.frames / spec.fps, SHORTEST_S))  # a shot of one frame may be shorter
    return sound_of(path, spec.sound.name, heard_from(spec))


def heard_from(spec: JobSpec) -> float:
    """Seconds into the job's sound at which its first frame is; of a part of a clip, the part's."""
    start = spec.sound.start if spec.sound else 0.0
    return start + (spec.redo.first / spec.fps if spec.redo else 0.0)


def sound_of(path: Path, name: str, start: float) -> Sound:
    """The file as what writes movies takes it."""
    from wan_models.requests import Sound

    return Sound(path, start, name or path.name)
