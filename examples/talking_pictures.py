"""A talking take as one can show it: a movie with its sound, and a contact sheet with what is heard at each picture.

    python examples/talking_pictures.py TAKE OUT

TAKE is a take's folder: numbered PNG frames, ``sound.wav`` and ``take.json``. OUT gets ``take.mp4`` and
``contact_sheet.png``. Needs the backend's environment and Pillow.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

from pictures import ACCENT, LINE, PANEL, Picture, Row, contact_sheet, take_row  # noqa: E402

from wan_models.requests import Sound  # noqa: E402
from wan_models.video import write_mp4  # noqa: E402

COLUMNS = 8
HALF_S = 0.25  # of sound, before and after a picture


def heard(path: Path) -> tuple[NDArray[np.float32], int]:
    """float32 (n,) of the first channel, and the rate."""
    with wave.open(str(path)) as file:
        codes = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, file.getnchannels())
        return codes[:, 0].astype(np.float32) / 32768, file.getframerate()


def telling(samples: NDArray[np.float32], rate: int, fps: float, frames: int) -> list[int]:
    """Frames all over the take, by turns where it is loud and where it is quiet."""
    loud = [
        float(np.abs(samples[round(i / fps * rate) :][: round(rate / fps)]).max(initial=0.0)) for i in range(frames)
    ]
    edges = np.linspace(0, frames, COLUMNS + 1).round().astype(int)
    parts = [range(low, high) for low, high in itertools.pairwise(edges) if high > low]
    return [(max, min)[number % 2](part, key=loud.__getitem__) for number, part in enumerate(parts)]


def sound_picture(samples: NDArray[np.float32], rate: int, moment: float, size: tuple[int, int]) -> Picture:
    """The sound round a moment, which the bright line marks; loudest of the whole clip = full height."""
    width, height = size
    page = Image.new("RGB", size, PANEL)
    draw = ImageDraw.Draw(page)
    loudest = float(np.abs(samples).max()) or 1.0
    for column in range(width):
        begin = round((moment - HALF_S + 2 * HALF_S * column / width) * rate)
        piece = samples[max(begin, 0) : max(begin + round(2 * HALF_S * rate / width), 0)]
        if len(piece):
            half = float(np.abs(piece).max()) / loudest * (height / 2 - 8)
            draw.line((column, height / 2 - half, column, height / 2 + half), LINE if half < 1 else (146, 150, 160))
    draw.line((width // 2, 0, width // 2, height), ACCENT, 2)
    return np.asarray(page)


def main() -> None:
    """Write both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("take", type=Path, metavar="TAKE")
    parser.add_argument("out", type=Path, metavar="OUT")
    told = parser.parse_args()
    about = json.loads((told.take / "take.json").read_text("utf-8"))
    files, fps = sorted(told.take.glob("frame_*.png")), float(about["fps"])
    sound = told.take / "sound.wav"
    frames = (np.asarray(Image.open(file).convert("RGB")) for file in files)
    write_mp4(told.out / "take.mp4", frames, fps, Sound(sound))
    samples, rate = heard(sound)
    shown = telling(samples, rate, fps, len(files))
    width, height = about["size"]
    row = take_row(told.take, "Take", f"by {about['model']}", shown)
    waves = {index: sound_picture(samples, rate, index / fps, (width, height)) for index in shown}
    rows = [Row("Sound", "half a second round\neach picture", waves), *([row] if row else [])]
    facts = f"{len(files)} frames   {fps:g} fps   {len(files) / fps:.1f} s   {width} x {height}"
    title = "Wanstage: a talking shot"
    contact_sheet(rows, shown, fps, title=title, facts=facts, references={}).save(told.out / "contact_sheet.png")
    print(f"{told.out / 'take.mp4'} and {told.out / 'contact_sheet.png'}")


if __name__ == "__main__":
    main()
