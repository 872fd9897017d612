"""Frames of one job in a folder of the user's: numbered PNGs, ``take.json``, and a movie if wanted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from protocol.errors import RequestError
from protocol.events import FrameArrived

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class FolderTaken(RequestError):
    """The folder holds another job's frames."""


class _Take(msgspec.Struct, frozen=True):
    job_id: str


class TakeFolder:
    """Writes ``frame_0000.png``... as they come; a folder of the same job is continued."""

    def __init__(self, folder: Path, job_id: str) -> None:
        """Make or reopen the folder. Raises FolderTaken when it belongs to another job."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        mark = folder / "take.json"
        if mark.exists():
            owner = msgspec.json.decode(mark.read_bytes(), type=_Take).job_id
            if owner != job_id:
                problem = f"{folder} holds frames of job {owner[:8]}: give another folder, or empty this one"
                raise FolderTaken(problem)
        mark.write_bytes(msgspec.json.encode(_Take(job_id)))
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

    def movie(self, fps: float) -> Path:
        """``take.mp4`` of the frames that are here, see ``wan_models.video.write_mp4``. Raises RequestError."""
        from wan_models.video import write_mp4

        target = self.folder / "take.mp4"
        write_mp4(target, (_picture(self.path(index)) for index in range(max(self.count, 1))), fps)
        return target


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
    import cv2
    import numpy as np

    header = frame.header
    picture = np.frombuffer(frame.data, np.uint8).reshape(header.height, header.width, header.channels)
    done, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        problem = f"frame {frame.index} could not be encoded as PNG"
        raise RequestError(problem)
    return bytes(data.tobytes())
