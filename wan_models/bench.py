"""Synthetic jobs for measuring a video model, and what their events tell. Pixels are cheap: speed sees neither
them nor what a sound says.
"""

from __future__ import annotations

import time
import wave
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wan_models.events import Event, FramesDecoded, StageStarted, StepDone, Warned
from wan_models.requests import (
    Character,
    DrivePack,
    PoseTrack,
    Reference,
    Request,
    SamplerSettings,
    Sound,
    TalkSettings,
    Task,
)
from wan_models.rows import ModelRow

_CYCLE = 8  # different maps of a shot; they repeat
_FIGURE = (
    (0.50, 0.10), (0.50, 0.22), (0.38, 0.24), (0.32, 0.40), (0.28, 0.54), (0.62, 0.24), (0.68, 0.40), (0.72, 0.54),
    (0.42, 0.54), (0.41, 0.74), (0.40, 0.94), (0.58, 0.54), (0.59, 0.74), (0.60, 0.94), (0.47, 0.08), (0.53, 0.08),
    (0.44, 0.09), (0.56, 0.09), (0.62, 0.97), (0.38, 0.97),
)  # fmt: skip
"""A standing person's 20 points, as shares of the box."""


_RATE = 48_000  # samples a second of the synthetic voice


def usual_frames(row: ModelRow) -> int:
    """The model's usual number; of S2V, whose later clips cost more than the first, one of these besides."""
    return row.default_frames + (row.segment if row.family == "s2v" else 0)


def request(
    row: ModelRow,
    task: Task,
    *,
    width: int,
    height: int,
    frames: int,
    steps: int,
    folder: Path,
    plan: str = "auto",
    pose: bool = False,
) -> Request:
    """A job of the task with everything that it needs. A sound is written into ``folder``, which exists; ``pose``: s2v
    follows a pose too.
    """
    packed = row.family in ("animate", "animate2") or (task == "s2v" and pose)
    pictured = task in ("i2v", "flf2v", "ti2v", "s2v")
    return Request(
        task,
        row.name,
        width,
        height,
        frames,
        row.fps,
        prompt="a woman in a red coat walks through a station hall, the camera follows her",
        image=_picture(width, height, 0) if pictured else None,
        last_image=_picture(width, height, 5) if task == "flf2v" else None,
        pack=_pack(row, width, height, frames) if packed else None,
        sound=Sound(_voice(folder, frames / row.fps)) if task == "s2v" else None,
        sampler=SamplerSettings(steps=steps),
        talk=TalkSettings(follow_pose=task == "s2v" and pose),
        plan=plan,
    )


def _voice(folder: Path, seconds: float) -> Path:
    """A wav of vowels in the rhythm of speech, four syllables a second and a pause now and then."""
    time_s = np.arange(int(seconds * _RATE) + 1) / _RATE
    pitch = 2 * np.pi * np.cumsum(120 + 15 * np.sin(2 * np.pi * 0.7 * time_s)) / _RATE
    vowel = sum(np.sin(k * pitch) / k**1.2 for k in range(1, 20))
    loud = np.clip(np.sin(2 * np.pi * 4 * time_s), 0, None) * (np.sin(2 * np.pi * 0.4 * time_s) > -0.8)
    file = folder / "voice.wav"
    with wave.open(str(file), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(_RATE)
        out.writeframes((vowel * loud * 8000).astype("<i2").tobytes())
    return file


def _pack(row: ModelRow, width: int, height: int, frames: int) -> DrivePack:
    boxes = [_box(width, height, index) for index in range(_CYCLE)]
    masks = [_mask(width, height, box) for box in boxes]
    plates = [_picture(width, height, index) for index in range(_CYCLE)]
    body = np.zeros((frames, 20, 5), np.float32)
    for index in range(frames):
        left, top, right, bottom = boxes[index % _CYCLE]
        for joint, (x, y) in enumerate(_FIGURE):
            body[index, joint] = (left + x * (right - left), top + y * (bottom - top), 1.0, 3.0, 0.0)
    reference = np.dstack([_picture(width, height, 3), np.full((height, width), 255, np.uint8)])
    joints = np.array([(x * width, y * height, 1.0) for x, y in _FIGURE], np.float32)
    person = Character(1, "Ada", PoseTrack(body), Reference(reference, joints, source="rig"))
    order = [index % _CYCLE for index in range(frames)]
    shown, masked = [plates[i] for i in order], [masks[i] for i in order]
    return DrivePack(width, height, frames, row.fps, characters=(person,), plate=shown, clay=shown, mask=masked)


def _box(width: int, height: int, index: int) -> tuple[int, int, int, int]:
    tall = int(height * 0.8)
    wide = tall // 2
    left = (width - wide) // 2 + int(np.sin(index * 2 * np.pi / _CYCLE) * width * 0.05)
    return left, height // 10, left + wide, height // 10 + tall


def _mask(width: int, height: int, box: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    mask = np.zeros((height, width), np.uint8)
    left, top, right, bottom = box
    mask[top:bottom, left:right] = 1
    return mask


def _picture(width: int, height: int, index: int) -> NDArray[np.uint8]:
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    waves = [np.sin(x / (40 + 9 * k) + index * 0.7 + k) * np.cos(y / (31 + 7 * k) - k) for k in range(3)]
    return np.asarray(np.stack(waves, axis=2) * 100 + 128, np.uint8)


class Clock:
    """Listens to a job's events and says how long its stages took."""

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now
        self._began = now()
        self._stages: list[dict[str, Any]] = []
        self._frames: list[tuple[float, int, int]] = []
        self._warnings: list[str] = []
        self._next = 0
        self._in_order = True

    @property
    def count(self) -> int:
        """Final frames so far."""
        return sum(count for _, _, count in self._frames)

    def stage(self, name: str) -> None:
        """A stage begins."""
        self._end()
        self._stages.append({"name": name, "began": self._now() - self._began, "steps": []})

    def progress(self, stage: str, step: int) -> None:
        """As a backend tells it: the present stage and the last step that is done; some may have been left out."""
        if stage and (not self._stages or self._stages[-1]["name"] != stage):
            self.stage(stage)
        if self._stages:  # a stage goes on where it was when another, of weights being read, came between
            present = self._stages[-1]["name"]
            done = sum(len(each["steps"]) for each in self._stages if each["name"] == present)
            for _ in range(step - done):
                self.step()

    def step(self) -> None:
        """A step of the present stage is done."""
        if self._stages:
            self._stages[-1]["steps"].append(self._now() - self._began)

    def frames(self, first: int, count: int) -> None:
        """Final frames came."""
        self._frames.append((self._now() - self._began, first, count))
        self._in_order &= first == self._next
        self._next = first + count

    def warned(self, sentence: str) -> None:
        """Something doubtful."""
        self._warnings.append(sentence)

    def hear(self, event: Event) -> None:
        """Any event of an engine."""
        if isinstance(event, StageStarted):
            self.stage(event.name)
        elif isinstance(event, StepDone):
            self.step()
        elif isinstance(event, FramesDecoded):
            self.frames(event.first, len(event.frames))
        elif isinstance(event, Warned):
            self.warned(event.sentence)

    def figures(self) -> dict[str, Any]:
        """Seconds of stages and steps (a list for each denoising: S2V's clips, Animate's segments), when frames came,
        whether in order.
        """
        self._end()
        denoise: dict[str, list[float]] = {}  # by name: a network that is read meanwhile has a stage of its own
        for stage in self._stages:
            if stage["name"].startswith("denoise"):
                denoise.setdefault(stage["name"], []).extend(_gaps(stage))
        result: dict[str, Any] = {
            "seconds_total": round(self._now() - self._began, 3),
            "stages": [_told(stage) for stage in self._stages],
            "seconds_a_step": list(denoise.values()),
            "frames": self.count,
            "frames_in_order": self._in_order,
            "chunks": len(self._frames),
            "warnings": self._warnings,
        }
        return {**result, **self._decoding()}

    def _decoding(self) -> dict[str, Any]:
        stage = next((each for each in self._stages if each["name"].startswith("decode")), None)
        if stage is None or not self._frames:
            return {}
        first = self._frames[0][0] - stage["began"]
        whole = stage["ended"] - stage["began"]
        return {
            "seconds_to_first_frame": round(self._frames[0][0], 3),
            "first_frame_after_decode_began": round(first, 3),
            "first_frame_share_of_decode": round(first / whole, 4) if whole > 0 else None,
        }

    def _end(self) -> None:
        if self._stages:
            self._stages[-1].setdefault("ended", self._now() - self._began)


def _told(stage: dict[str, Any]) -> dict[str, Any]:
    return {"name": stage["name"], "seconds": round(stage["ended"] - stage["began"], 3)}


def _gaps(stage: dict[str, Any]) -> list[float]:
    return [round(after - before, 3) for before, after in pairwise([stage["began"], *stage["steps"]])]
