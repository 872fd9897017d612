"""What ``wanstage submit`` is given: a bundle or a job spec as JSON, with changes and pictures beside it."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from protocol.assets import AssetFolder
from protocol.bundle import read_bundle
from protocol.errors import AssetError, InvalidJob
from protocol.specs import AssetRef, ImageRef, JobSpec
from protocol.validation import parse_spec

from .headers import PNG, picture_size
from .job_sound import add_sound, checked_sound

EXAMPLE = """\
A job spec is a JSON file; protocol/SPEC.md, section 16, has all its fields. A clip from a text, one from
a picture, and a person of a picture who says what is heard (as long as the sound, since no frames are given):

  {"task": "t2v", "engine": "wan", "model": "wan2.2-t2v-a14b", "width": 832, "height": 480, "frames": 81, "fps": 16,
   "prompt": "rain on a neon street, slow dolly forward"}
  {"task": "i2v", "engine": "wan", "model": "wan2.2-i2v-a14b", "width": 832, "height": 480, "frames": 81, "fps": 16}
  {"task": "s2v", "engine": "wan", "model": "wan2.2-s2v-14b", "width": 832, "height": 448, "fps": 16}

  wanstage submit t2v.json --set seed=7 --set sampler.steps=20 --out take
  wanstage submit i2v.json --image first.png --set prompt="she turns to the door" --set sampler.preset=fast --out take
  wanstage submit s2v.json --image person.png --sound line.wav --set prompt="a woman tells a story" --movie take.mp4
"""


@contextlib.contextmanager
def opened(
    path: Path,
    assets: Path | None,
    changes: Sequence[str] = (),
    pictures: Mapping[str, Path] | None = None,
    *,
    sound: Path | None = None,
    sound_start: float | None = None,
) -> Iterator[tuple[JobSpec, JobAssets]]:
    """The checked spec, and where its assets are read.

    ``changes`` are KEY=VALUE (dots between the names of a KEY, VALUE as JSON or else a text), ``pictures`` files for
    fields of the spec, ``sound`` a file for its sound, used from ``sound_start`` seconds on. Raises InvalidJob,
    RequestRefused for a file that is no sound.
    """
    if not path.is_file():
        problem = f"there is no file {path}: give a bundle (.zip) or a job spec (.json)"
        raise InvalidJob(problem)
    with tempfile.TemporaryDirectory(prefix="wanstage-submit-") as folder:
        mine = AssetFolder(Path(folder))
        theirs = mine
        if path.suffix == ".json":
            theirs = AssetFolder(assets or path.parent / "assets")
            given = _object(path)
        else:
            given = msgspec.to_builtins(read_bundle(path, mine))
        for change in changes:
            _change(given, change)
        for name, picture in (pictures or {}).items():
            given[name] = msgspec.to_builtins(_picture(mine, picture))
        note = add_sound(given, mine, sound, sound_start)
        spec = parse_spec(msgspec.json.encode(given))
        yield spec, JobAssets(mine, theirs, spec, note)


def _object(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        problem = f"{path} is not valid JSON: {error}"
        raise InvalidJob(problem) from error
    if not isinstance(found, dict):
        problem = f"{path} holds no JSON object: a job spec is one, see 'wanstage submit --help'"
        raise InvalidJob(problem)
    return found


def _change(given: dict[str, Any], change: str) -> None:
    key, found, text = change.partition("=")
    names = key.strip().split(".")
    if not found or not all(names):
        problem = f"--set {change} changes nothing: give KEY=VALUE, for example sampler.steps=20"
        raise InvalidJob(problem)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = text
    inner: Any = given
    for name in names[:-1]:
        inner = inner.setdefault(name, {})
        if not isinstance(inner, dict):
            problem = f"--set {change} is about a part of {name}, which has none in this job: set {name} itself"
            raise InvalidJob(problem)
    inner[names[-1]] = value


def _picture(folder: AssetFolder, path: Path) -> ImageRef:
    try:
        with path.open("rb") as file:
            size = picture_size(file)
        data = path.read_bytes()
    except OSError as error:
        problem = f"the picture {path} cannot be read: {error.strerror}"
        raise InvalidJob(problem) from error
    if size is None:
        problem = f"{path} is no picture that a job can have: save it as PNG or JPEG"
        raise InvalidJob(problem)
    return ImageRef(folder.add(data), *size, "image/png" if data.startswith(PNG) else "image/jpeg")


class JobAssets:
    """Assets of the command line, then those of the job.

    ``sound``: the job's, if it has one; ``note``: what the user should know about it, or "".
    """

    def __init__(self, first: AssetFolder, second: AssetFolder, spec: JobSpec, note: str = "") -> None:
        """Raises RequestRefused for a sound that cannot drive the job: then nothing of it need be sent."""
        self._first, self._second = first, second
        self.sound = checked_sound(spec, self._path(spec.sound.asset)) if spec.sound else None
        self.note = note

    def _path(self, ref: AssetRef) -> Path:
        return (self._first if self._first.has(ref) else self._second).path(ref.id)

    def read(self, asset_id: str, offset: int = 0, nbytes: int = -1) -> bytes:
        """See ``protocol.assets.AssetSource``."""
        try:
            return self._first.read(asset_id, offset, nbytes)
        except AssetError:
            return self._second.read(asset_id, offset, nbytes)
