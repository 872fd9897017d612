"""Frames of the draft engine for a bundle, where no Blender is: ``python tests/bpy/draft_frames.py BUNDLE OUT.npz``.

The npz has ``frames`` uint8 (T,h,w,3), ``seen`` bool (T,h,w): pixels whose place was seen in sample 0, ``mask``
uint8 (T,h,w). Blender's Python has neither OpenCV nor SciPy, so tests run this in the backend's.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from backend.translate import to_request
from protocol.assets import AssetFolder
from protocol.bundle import read_bundle
from wan_models.events import FramesDecoded
from wan_models.registry import open_engine
from wan_models.requests import origin_pixels


def in_first_frame(origin: np.ndarray) -> np.ndarray:
    """Where sample 0 shows the surface point: known, and inside its picture."""
    pixels, known = origin_pixels(origin)
    height, width = known.shape
    return known & ((pixels >= 0) & (pixels < (width, height))).all(axis=2)


def main(bundle: Path, out: Path) -> None:
    """Read, generate, save."""
    with tempfile.TemporaryDirectory() as folder:
        assets = AssetFolder(Path(folder))
        request = to_request(assets, read_bundle(bundle, assets))
        assert request.pack is not None
        events = open_engine("draft").generate(request, lambda: False)
        frames = [event.frames for event in events if isinstance(event, FramesDecoded)]
        seen = [in_first_frame(origin) for origin in request.pack.origin]
        np.savez(out, frames=np.concatenate(frames), seen=np.stack(seen), mask=np.stack(list(request.pack.mask)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
