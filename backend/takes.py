"""Frames of one job in a folder of the user's: numbered PNGs, ``take.json``, the sound of a job that has
one, and a movie if wanted.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from protocol.errors import RequestError
from protocol.events import FrameArrived, PoseArrived

from . import png
from .job_sound import sound_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from wan_models.requests import Sound


class FolderTaken(RequestError):
    """The folder holds another job's frames."""


class _TakeSound(msgspec.Struct, frozen=True):
    file: str
    name: str
    start: float


class _Take(msgspec.Struct, frozen=True):
    job_id: str
    sound: _TakeSound | None = None


class TakeFolder:
    """Writes ``frame_0000.png``... as they come; a folder of the same job is continued."""

    def __init__(self, folder: Path, job_id: str) -> None:
        """Make or reopen the folder. Raises FolderTaken when it belongs to another job."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        mark = folder / "take.json"
        if mark.exists():
            self._take = _read_mark(mark)
            if self._take.job_id != job_id:
                owner = self._take.job_id[:8]
                problem = f"{folder} holds frames of job {owner}: give another folder, or empty this one"
                raise FolderTaken(problem)
        else:
            self._mark(_Take(job_id))
        self.job_id = job_id
        self.count = 0
        while self.path(self.count).exists():
            self.count += 1

    def path(self, index: int) -> Path:
        """Where frame ``index`` is or will be."""
        return self.folder / f"frame_{index:04d}.png"

    def write(self, frame: FrameArrived) -> Path:
        """Store one frame, whole or not at all."""
        path = self.path(frame.index)
        scratch = path.with_suffix(".tmp")
        scratch.write_bytes(frame.data if frame.header.encoding == "png" else _as_png(frame))
        scratch.replace(path)
        self.count = frame.index + 1
        return path

    def write_pose(self, found: PoseArrived) -> None:
        """``pose.npz`` when the pose file comes; what it was made of is not kept."""
        if found.header.kind == "file":
            scratch = self.folder / "pose.tmp"
            scratch.write_bytes(found.data)
            scratch.replace(self.folder / "pose.npz")
        self.count = found.index + 1

    def keep_sound(self, sound: Sound) -> None:
        """Copy the job's sound beside its frames: a movie that is made later has it too. Raises RequestError."""
        suffix = Path(sound.name).suffix
        name = f"sound{suffix}" if suffix[1:].isalnum() and suffix.isascii() else "sound"
        scratch = self.folder / "sound.tmp"
        try:
            shutil.copyfile(sound.file, scratch)
            scratch.replace(self.folder / name)
        except OSError as error:
            problem = f"the sound {sound.name} could not be copied to {self.folder}: {error.strerror or error}"
            raise RequestError(problem) from error
        self._mark(_Take(self._take.job_id, _TakeSound(name, sound.name, sound.start)))

    @property
    def sound(self) -> Sound | None:
        """The sound that was kept; None when there is none, or its file is gone."""
        kept = self._take.sound
        if kept is None or not (self.folder / kept.file).is_file():
            return None
        return sound_of(self.folder / kept.file, kept.name, kept.start)

    def movie(self, fps: float, target: Path | None = None) -> Path:
        """``take.mp4``, or ``target``, of the frames that are here and the sound that was kept, see
        ``wan_models.video.write_mp4``. Raises RequestError, RequestRefused for a damaged sound.
        """
        from wan_models.video import write_mp4

        target = target or self.folder / "take.mp4"
        pictures = (_picture(self.path(index)) for index in range(max(self.count, 1)))
        try:
            write_mp4(target, pictures, fps, self.sound)
        except OSError as error:
            problem = f"{target} could not be written: {error.strerror or error}"
            raise RequestError(problem) from error
        return target

    def _mark(self, take: _Take) -> None:
        self._take = take
        (self.folder / "take.json").write_bytes(msgspec.json.encode(take))


def _read_mark(mark: Path) -> _Take:
    try:
        return msgspec.json.decode(mark.read_bytes(), type=_Take)
    except msgspec.DecodeError as error:
        problem = f"{mark} is damaged ({error}): give another folder, or empty this one"
        raise FolderTaken(problem) from error


def _picture(path: Path) -> NDArray[np.uint8]:
    """uint8 sRGB (h,w,3)."""
    import cv2
    import numpy as np

    found = cv2.imread(str(path))
    if found is None:
        problem = f"{path} is damaged: delete it and fetch the job again"
        raise RequestError(problem)
    return np.asarray(cv2.cvtColor(found, cv2.COLOR_BGR2RGB), np.uint8)


def _as_png(frame: FrameArrived) -> bytes:
    import numpy as np

    header = frame.header
    picture = np.frombuffer(frame.data, np.uint8).reshape(header.height, header.width, header.channels)
    try:
        return png.encode(picture)
    except ValueError as error:
        problem = f"frame {frame.index} could not be encoded as PNG"
        raise RequestError(problem) from error
