"""MP4 files: what goes in comes out, at the right rate, and nothing half-made is left."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from wan_models.video import NoFrames, write_mp4


def gradients(count: int, height: int = 48, width: int = 64) -> Iterator[NDArray[np.uint8]]:
    y, x = np.mgrid[:height, :width]
    for t in range(count):
        yield np.dstack([x * 3, y * 4, np.full_like(x, 20 + 20 * t)]).astype(np.uint8)


def test_frames_come_back(tmp_path: Path) -> None:
    path = tmp_path / "take.mp4"
    assert write_mp4(path, gradients(8), 16.0) == 8
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.average_rate, stream.codec_context.pix_fmt) == (16, "yuv420p")
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert len(decoded) == 8
    for got, sent in zip(decoded, gradients(8), strict=True):
        assert np.abs(got.astype(int) - sent).mean() < 4  # lossy, and colour at half size
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # plays before it is whole
    assert list(tmp_path.iterdir()) == [path]


def test_odd_sizes_lose_a_line(tmp_path: Path) -> None:
    path = tmp_path / "odd.mp4"
    write_mp4(path, gradients(2, 49, 65), 23.976)
    with av.open(str(path)) as container:
        assert (container.streams.video[0].width, container.streams.video[0].height) == (64, 48)


def test_bad_input_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "bad.mp4"
    with pytest.raises(NoFrames, match=r"no frames to write to bad\.mp4"):
        write_mp4(path, [], 16)
    with pytest.raises(ValueError, match="must be above 0, not 0"):
        write_mp4(path, gradients(1), 0)
    with pytest.raises(ValueError, match=r"Frame 1 is uint8 \(20, 20, 3\), but the first one is uint8 \(48, 64, 3\)"):
        write_mp4(path, [next(gradients(1)), np.zeros((20, 20, 3), np.uint8)], 16)
    with pytest.raises(ValueError, match=r"must be \(height, width, 3\)"):
        write_mp4(path, [np.zeros((20, 20), np.uint8)], 16)
    assert list(tmp_path.iterdir()) == []
