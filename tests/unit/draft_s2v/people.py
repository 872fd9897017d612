"""A painted face whose every part lies where it is known, and waves to drive it."""

from __future__ import annotations

import wave
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from wan_models.draft.s2v.face import Eye, Face, from_points
from wan_models.requests import Request, Sound

RATE = 16000
WIDTH, HEIGHT = 192, 160
EYES = np.array([[82.0, 60.0], [110.0, 60.0]], np.float32)
MOUTH = (96, 90)


def draw_person() -> NDArray[np.uint8]:
    """uint8 (160,192,3): a face 60 pixels wide over shoulders, before stripes; no mouth is open in it."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[:, ::8] = (60, 90, 120)
    cv2.ellipse(image, (96, 170), (70, 50), 0, 0, 360, (40, 60, 140), -1)
    cv2.rectangle(image, (84, 100), (108, 130), (200, 150, 120), -1)
    cv2.ellipse(image, (96, 72), (30, 40), 0, 0, 360, (220, 170, 140), -1)
    for x, y in EYES.astype(int).tolist():
        cv2.ellipse(image, (x, y), (6, 3), 0, 0, 360, (250, 250, 250), -1)
        cv2.circle(image, (x, y), 2, (40, 30, 20), -1)
        cv2.line(image, (x - 6, y - 8), (x + 6, y - 8), (70, 40, 20), 2)
    cv2.ellipse(image, MOUTH, (11, 4), 0, 0, 360, (190, 90, 90), -1)
    cv2.line(image, (85, 90), (107, 90), (120, 50, 50), 1)
    return image


def known_face() -> Face:
    """The face of ``draw_person``, with lids and brows."""
    corners = np.array([[85.0, 90.0], [107.0, 90.0]], np.float32)
    share = np.linspace(-1, 1, 9, dtype=np.float32)
    arch = 3 * np.sqrt(1 - share**2)
    eyes, brows = [], []
    for x, y in EYES.tolist():
        eyes.append(
            Eye(
                np.stack([x + 6 * share, y - arch], axis=1).astype(np.float32),
                np.stack([x + 6 * share, y + arch], axis=1).astype(np.float32),
            )
        )
        brows.append(np.stack([x + 6 * share, np.full(9, y - 8)], axis=1).astype(np.float32))
    plain = from_points(EYES, corners=corners)
    return Face(**{**vars(plain), "eyes": tuple(eyes), "brows": tuple(brows)})


def vowels(times: list[float], seconds: float, long: float = 0.16) -> NDArray[np.float32]:
    """Vowels of ``long`` seconds about ``times``, else silence."""
    sound = np.zeros(round(seconds * RATE), np.float32)
    half = round(long / 2 * RATE)
    t = np.arange(-half, half) / RATE
    one = 0.3 * np.hanning(2 * half) * sum(np.sin(2 * np.pi * f * t) for f in (140, 700, 1200))
    for at in times:
        middle = round(at * RATE)
        sound[middle - half : middle + half] += one[: len(sound) - middle + half]
    return sound


def save(path: Path, sound: NDArray[np.float32]) -> Sound:
    """A 16-bit WAV file."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes())
    return Sound(path)


def request_of(heard: Sound, **changes: object) -> Request:
    """Sixteen frames a second of the painted person."""
    given = {"width": WIDTH, "height": HEIGHT, "frames": 24, "fps": 16.0, "image": draw_person(), "sound": heard}
    return Request("s2v", "draft", **{**given, **changes})  # type: ignore[arg-type]
