"""The VAE in overlapping tiles, for cards that cannot hold one chunk of the whole picture. Not exact: a tile does not
see beyond its edge, so neighbours are blended over their overlap.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from .contracts import VideoVae

_OVERLAP = 4
"""A tile shares a quarter of its side with the next."""


class TiledVae:
    """``inner`` on tiles of ``side`` pixels (rounded down to whole latents); chunks stay chunks."""

    def __init__(self, inner: VideoVae, side: int) -> None:
        self.inner = inner
        self._side = side // inner.spatial
        self.spatial = inner.spatial
        self.channels = inner.channels

    def load(self, shape: Sequence[int] = ()) -> None:
        """As VideoVae."""
        self.inner.load(shape)

    def tiles(self, shape: Sequence[int]) -> tuple[int, tuple[int, ...]]:
        """How many tiles latents of this shape are decoded in, and the shape of one."""
        rows, columns = self._spans(shape[3]), self._spans(shape[4])
        one = (*shape[:3], rows[0][1] - rows[0][0], columns[0][1] - columns[0][0])
        return len(rows) * len(columns), one

    def encode(self, pixels: Tensor) -> Tensor:
        """As VideoVae; latents of overlaps are blended."""
        s = self.spatial
        rows, columns = self._spans(pixels.shape[3] // s), self._spans(pixels.shape[4] // s)
        tiles = [
            [self.inner.encode(pixels[:, :, :, a * s : b * s, c * s : d * s]) for c, d in columns] for a, b in rows
        ]
        return _joined(tiles, rows, columns, 1)

    def encode_chunks(self, chunks: Iterable[Tensor]) -> Tensor:
        """As VideoVae, but the clip is whole on the host: each tile goes through all of it."""
        return self.encode(torch.cat([chunk.cpu() for chunk in chunks], dim=2))

    def decode(self, latents: Tensor, skip: int = 0) -> Iterator[Tensor]:
        """As VideoVae: all tiles of a chunk, then the next chunk."""
        rows, columns = self._spans(latents.shape[3]), self._spans(latents.shape[4])
        streams = [[self.inner.decode(latents[:, :, :, a:b, c:d], skip) for c, d in columns] for a, b in rows]
        for _ in range(latents.shape[2]):
            yield _joined([[next(stream) for stream in line] for line in streams], rows, columns, self.spatial)

    def _spans(self, length: int) -> list[tuple[int, int]]:
        side = self._side
        if length <= side:
            return [(0, length)]
        step = side - side // _OVERLAP
        count = -(-(length - side) // step) + 1
        starts = [round(index * (length - side) / (count - 1)) for index in range(count)]
        return [(start, start + side) for start in starts]


def _joined(
    tiles: list[list[Tensor]], rows: list[tuple[int, int]], columns: list[tuple[int, int]], scale: int
) -> Tensor:
    """Weighted mean, weights falling off linearly towards edges that have a neighbour."""
    first = tiles[0][0]
    shape = (*first.shape[:3], rows[-1][1] * scale, columns[-1][1] * scale)
    total = torch.zeros(shape, dtype=first.dtype, device=first.device)
    weights = torch.zeros(shape[3:], dtype=first.dtype, device=first.device)
    down = [_ramp(rows, index, scale, first) for index in range(len(rows))]
    across = [_ramp(columns, index, scale, first) for index in range(len(columns))]
    for (a, b), line, vertical in zip(rows, tiles, down, strict=True):
        for (c, d), tile, horizontal in zip(columns, line, across, strict=True):
            weight = vertical[:, None] * horizontal[None]
            where = (slice(a * scale, b * scale), slice(c * scale, d * scale))
            total[..., where[0], where[1]] += tile * weight
            weights[where] += weight
    return total / weights


def _ramp(spans: list[tuple[int, int]], index: int, scale: int, like: Tensor) -> Tensor:
    start, end = spans[index]
    length = (end - start) * scale
    place = torch.arange(length, dtype=like.dtype, device=like.device) + 0.5
    weight = torch.ones_like(place)
    if index:
        weight = torch.minimum(weight, place / ((spans[index - 1][1] - start) * scale))
    if index + 1 < len(spans):
        weight = torch.minimum(weight, (length - place) / ((end - spans[index + 1][0]) * scale))
    return weight
