"""Pictures of a shot that one can show: the drive pack as PNG files, and a contact sheet of the takes beside it.

    python examples/pictures.py DIR [--title TITLE]

DIR holds what ``run.py demo`` leaves: ``drive_pack/bundle.zip`` (required), ``animate/`` and ``i2v/`` with numbered
PNG frames and ``take.json``, whose notes mark doubtful frames; each gets a ``take.mp4``. Needs the backend's
environment and Pillow. Every function works on plain arrays, so that a notebook can use them too.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from wan_models.control.skeleton import draw_pose
from wan_models.requests import DrivePack
from wan_models.video import write_mp4

Picture = NDArray[np.uint8]

BACKGROUND, PANEL, LINE = (18, 19, 22), (27, 29, 33), (52, 55, 62)
TEXT, QUIET, ACCENT = (236, 237, 240), (146, 150, 160), (255, 184, 76)
CHARACTER_COLORS = ((255, 184, 76), (86, 180, 233), (0, 190, 140), (240, 110, 90), (204, 121, 190), (240, 228, 66))
CELL, GAP, MARGIN, LABELS = 272, 12, 48, 168


@dataclass(frozen=True)
class Row:
    """One row of a contact sheet: pictures by frame index (those that exist), and doubtful frames' sentences."""

    title: str
    subtitle: str
    pictures: dict[int, Picture]
    notes: dict[int, str] = field(default_factory=dict)


def spaced(frames: int, count: int) -> list[int]:
    """``count`` evenly spaced frame indices, the first and last among them; fewer when there are fewer frames."""
    return np.unique(np.linspace(0, frames - 1, min(count, frames)).round().astype(int)).tolist()


def pose_picture(pack: DrivePack, index: int) -> Picture:
    """The pose drawing of all characters over black."""
    canvas = np.zeros((pack.height, pack.width, 3), np.uint8)
    for character in pack.characters:
        pose = character.pose
        hands = [None if hand is None else hand[index] for hand in (pose.left_hand, pose.right_hand)]
        drawn = draw_pose(pose.body[index], *hands, height=pack.height, width=pack.width)
        np.copyto(canvas, drawn, where=drawn.any(axis=2, keepdims=True))
    return canvas


def mask_picture(mask: Picture) -> Picture:
    """Each character in a colour of its own over black."""
    colors = np.zeros((256, 3), np.uint8)
    for value in range(1, 256):
        colors[value] = CHARACTER_COLORS[(value - 1) % len(CHARACTER_COLORS)]
    return colors[mask]


def depth_range(pack: DrivePack, samples: list[int]) -> tuple[float, float]:
    """The 1st and 99th percentile of 1/depth over some samples, so that a shot's pictures share one scale."""
    found = [1 / depth[np.isfinite(depth) & (depth > 0)][::7] for depth in (pack.depth[i] for i in samples)]
    known = np.concatenate(found)
    return (float(np.percentile(known, 1)), float(np.percentile(known, 99))) if known.size else (0.0, 1.0)


def depth_picture(depth: NDArray[np.float32], limits: tuple[float, float]) -> Picture:
    """Near is bright (Turbo's warm end), far is dark, nothing is black."""
    there = np.isfinite(depth) & (depth > 0)
    inverse = np.reciprocal(np.where(there, depth, 1.0))
    level = np.clip((inverse - limits[0]) / max(limits[1] - limits[0], 1e-9), 0, 1)
    colors = cv2.applyColorMap((40 + level * 200).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    return np.where(there[..., None], colors, 0).astype(np.uint8)


def write_pack_pictures(pack: DrivePack, folder: Path, count: int = 6) -> list[Path]:
    """Write pose, clay, mask, depth and plate pictures of some evenly spaced samples, as far as captured."""
    folder.mkdir(parents=True, exist_ok=True)
    samples = spaced(pack.frames, count)
    limits = depth_range(pack, samples) if len(pack.depth) else (0.0, 1.0)
    written = []
    for index in samples:
        pictures: dict[str, Picture] = {}
        if pack.characters:
            pictures["pose"] = pose_picture(pack, index)
        if len(pack.clay):
            pictures["clay"] = pack.clay[index]
        if len(pack.mask):
            pictures["mask"] = mask_picture(pack.mask[index])
        if len(pack.depth):
            pictures["depth"] = depth_picture(pack.depth[index], limits)
        if len(pack.plate):
            pictures["plate"] = pack.plate[index]
        for name, picture in pictures.items():
            path = folder / f"{name}_{index:04d}.png"
            Image.fromarray(np.ascontiguousarray(picture)).save(path)
            written.append(path)
    return written


def take_row(folder: Path, title: str, subtitle: str, samples: list[int]) -> Row | None:
    """A take's row from its numbered PNG frames and the notes in its take.json; None where there are no frames."""
    files = sorted(folder.glob("*.png"))
    if not files:
        return None
    pictures = {i: np.asarray(Image.open(files[i]).convert("RGB")) for i in samples if i < len(files)}
    return Row(title, subtitle, pictures, take_notes(folder))


def take_notes(folder: Path) -> dict[int, str]:
    """Frame index -> why the engine doubts it, from take.json, which counts frames from 1 as their files do."""
    path = folder / "take.json"
    if not path.exists():
        return {}
    return {int(k) - 1: str(v) for k, v in json.loads(path.read_text("utf-8")).get("notes", {}).items()}


def write_film(folder: Path, fps: float) -> None:
    """``take.mp4`` of a folder's numbered frames; nothing where there are none."""
    files = sorted(folder.glob("frame_*.png"))
    if files:
        write_mp4(folder / "take.mp4", (np.asarray(Image.open(file).convert("RGB")) for file in files), fps)


def contact_sheet(
    rows: list[Row], samples: list[int], fps: float, *, title: str, facts: str, references: dict[str, Picture]
) -> Image.Image:
    """One dark page: heading with reference pictures (uint8 RGB or RGBA), then a row a kind, a column a time."""
    first = next(picture for row in rows for picture in row.pictures.values())
    cell = (CELL, round(CELL * first.shape[0] / first.shape[1]))
    head = 232
    width = 2 * MARGIN + LABELS + len(samples) * (CELL + GAP) - GAP
    notes = sorted({(i, text) for row in rows for i, text in row.notes.items() if i in samples})
    step = cell[1] + 30
    bottom = MARGIN + (30 if notes else 0)
    sheet = Image.new("RGB", (width, head + 34 + len(rows) * step + bottom), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    _heading(sheet, draw, (title, facts), references, head)
    _times(draw, samples, fps, head)
    for number, row in enumerate(rows):
        _row(sheet, draw, row, samples, (head + 34 + number * step, *cell))
    if notes:
        text = "   ".join(sorted({sentence for _, sentence in notes}))
        _marker(draw, MARGIN, sheet.height - MARGIN - 14)
        draw.text((MARGIN + 18, sheet.height - MARGIN - 18), text[:220], QUIET, _font(14))
    return sheet


def _font(size: int) -> Any:  # noqa: ANN401 - FreeType's or, without it, the bitmap font: Pillow has no common class
    return ImageFont.load_default(size)


def _heading(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, words: tuple[str, str], references: dict[str, Picture], head: int
) -> None:
    title, facts = words
    draw.text((MARGIN, MARGIN - 4), title, TEXT, _font(38))
    draw.multiline_text((MARGIN, MARGIN + 54), facts, QUIET, _font(17), spacing=8)
    right = sheet.width - MARGIN
    for name, picture in reversed(references.items()):
        high = head - 2 * MARGIN + 6
        wide = min(round(high * picture.shape[1] / picture.shape[0]), 300)
        sheet.paste(fitted(picture, wide, high), (right - wide, MARGIN - 12))
        draw.rectangle((right - wide, MARGIN - 12, right - 1, MARGIN - 13 + high), outline=LINE)
        draw.text((right, MARGIN + high - 4), name, QUIET, _font(14), anchor="rt")
        right -= max(wide, round(draw.textlength(name, _font(14)))) + 24
    draw.line((MARGIN, head - 12, sheet.width - MARGIN, head - 12), LINE)


def _times(draw: ImageDraw.ImageDraw, samples: list[int], fps: float, top: int) -> None:
    for column, index in enumerate(samples):
        left = MARGIN + LABELS + column * (CELL + GAP)
        draw.text((left, top + 2), f"frame {index}", TEXT, _font(15))
        draw.text((left + CELL, top + 2), f"{index / fps:.2f} s", QUIET, _font(15), anchor="ra")


def _row(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, row: Row, samples: list[int], place: tuple[int, int, int]
) -> None:
    top, wide, high = place
    draw.text((MARGIN, top + 6), row.title, TEXT, _font(21))
    draw.multiline_text((MARGIN, top + 36), row.subtitle, QUIET, _font(14), spacing=5)
    for column, index in enumerate(samples):
        left = MARGIN + LABELS + column * (CELL + GAP)
        picture = row.pictures.get(index)
        if picture is None:
            draw.rectangle((left, top, left + wide - 1, top + high - 1), PANEL)
            draw.text((left + wide / 2, top + high / 2), "not made", QUIET, _font(15), anchor="mm")
        else:
            sheet.paste(fitted(picture, wide, high), (left, top))
        if index in row.notes:
            draw.rectangle((left - 2, top - 2, left + wide + 1, top + high + 1), outline=ACCENT, width=2)
            _marker(draw, left + wide - 18, top + 8)


def _marker(draw: ImageDraw.ImageDraw, left: int, top: int) -> None:
    draw.ellipse((left, top, left + 9, top + 9), ACCENT, outline=BACKGROUND)


def fitted(picture: Picture, width: int, height: int) -> Image.Image:
    """The picture within width x height on panel grey, its proportions kept; alpha shows the panel."""
    scale = min(width / picture.shape[1], height / picture.shape[0])
    size = (max(round(picture.shape[1] * scale), 1), max(round(picture.shape[0] * scale), 1))
    small = Image.fromarray(np.ascontiguousarray(picture)).convert("RGBA").resize(size, Image.Resampling.LANCZOS)
    page = Image.new("RGB", (width, height), PANEL)
    page.paste(small, ((width - size[0]) // 2, (height - size[1]) // 2), small)
    return page


def sheet_of(pack: DrivePack, folder: Path, title: str, count: int = 8) -> Image.Image:
    """The contact sheet of a shot folder. Raises ValueError when there is nothing to show."""
    samples = spaced(pack.frames, count)
    rows = []
    if pack.characters:
        poses = {i: pose_picture(pack, i) for i in samples}
        rows.append(Row("Pose", "the rig's joints,\ndrawn for the model", poses))
    if len(pack.clay):
        rows.append(Row("Clay", "what the scene is,\nwithout materials", {i: pack.clay[i] for i in samples}))
    for name, about in (
        ("animate", "the reference person\nin the rig's motion"),
        ("i2v", "the first frame,\nmoved by the scene"),
    ):
        row = take_row(folder / name, name, about, samples)
        if row is not None:
            rows.append(row)
    if not rows:
        msg = f"There is nothing to show in {folder.name}: neither takes nor a drive pack with poses or clay."
        raise ValueError(msg)
    references = {c.name: c.reference.image for c in pack.characters if c.reference is not None}
    if pack.look is not None:
        references["first frame"] = pack.look
    facts = (
        f"{pack.frames} frames   {pack.fps:g} fps   {pack.frames / pack.fps:.1f} s   {pack.width} x {pack.height}\n"
        "draft engine: judges timing and framing; marked frames are its own doubts"
    )
    return contact_sheet(rows, samples, pack.fps, title=title, facts=facts, references=references)


def read_pack(bundle: Path, folder: Path) -> DrivePack:
    """The drive pack of a bundle; ``folder`` keeps its assets while it is used. Raises ValueError if it has none."""
    from backend.translate import to_request
    from protocol.assets import AssetFolder
    from protocol.bundle import read_bundle

    assets = AssetFolder(folder)
    pack = to_request(assets, read_bundle(bundle, assets)).pack
    if pack is None:
        msg = f"{bundle.name} has no drive pack: write the bundle from a captured shot."
        raise ValueError(msg)
    return pack


def write_motion(pack: DrivePack, folder: Path, out: Path, every: int = 2, width: int = 400) -> None:
    """An animated WebP of clay, animate and i2v side by side, at the shot's own speed; only what is there."""
    names = [name for name in ("animate", "i2v") if list((folder / name).glob("frame_*.png"))]
    height = round(width * pack.height / pack.width)
    pages = []
    for index in range(0, pack.frames, every):
        pictures = [Image.fromarray(np.asarray(pack.clay[index]))] if len(pack.clay) else []
        pictures += [Image.open(folder / name / f"frame_{index + 1:04d}.png").convert("RGB") for name in names]
        page = Image.new("RGB", (len(pictures) * (width + 4) - 4, height), BACKGROUND)
        for place, picture in enumerate(pictures):
            page.paste(picture.resize((width, height), Image.Resampling.LANCZOS), (place * (width + 4), 0))
        pages.append(page)
    pages[0].save(
        out, save_all=True, append_images=pages[1:], duration=round(1000 * every / pack.fps), loop=0, quality=72
    )


def main() -> None:
    """Write all pictures of a shot folder."""
    parser = argparse.ArgumentParser(description="Drive-pack pictures and a contact sheet of a shot.")
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--title", default="Wanstage: one shot, two takes")
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    with tempfile.TemporaryDirectory() as scratch:
        pack = read_pack(folder / "drive_pack" / "bundle.zip", Path(scratch))
        written = write_pack_pictures(pack, folder / "drive_pack")
        sheet_of(pack, folder, arguments.title).save(folder / "contact_sheet.png", optimize=True)
        for task in ("animate", "i2v"):
            write_film(folder / task, pack.fps)
        write_motion(pack, folder, folder / "motion.webp")
    print(f"{len(written)} pictures in {folder / 'drive_pack'}, and {folder / 'contact_sheet.png'}")


if __name__ == "__main__":
    main()
