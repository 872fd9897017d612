"""Host memory for the caches of tiles, pinned before it is wanted.

Pinning takes the driver about half a second a gigabyte, and the tiles of one clip park several: while the network works
on the clip nobody waits for that, at the first chunk of the decode somebody would. torch keeps pinned memory that was
given back, by size, so it is enough to ask for the sizes once.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from itertools import islice

import torch
from torch import Tensor, nn

from .decode import StreamingVae

logger = logging.getLogger(__name__)
_META = torch.device("meta")
CHUNKS = 2
"""Caches have one frame after the first chunk, two after all others."""


def cache_bytes(skeleton: nn.Module, shape: Sequence[int], dtype: torch.dtype) -> list[list[int]]:
    """Bytes of each of a decode's caches after its first chunk, and after the second one (if it has one).

    ``skeleton``: the VAE on the meta device, where nothing is computed; ``shape``: of the latents (1, z, t, h, w).
    """
    sizes: list[list[int]] = []

    def look(caches: Sequence[Tensor | str | None]) -> None:
        sizes.append([each.nbytes for each in caches if isinstance(each, Tensor)])

    chunks = StreamingVae(skeleton.to(_META, dtype), _META, dtype, seen=look).decode(
        torch.empty(tuple(shape), device=_META)
    )
    for _ in islice(chunks, min(CHUNKS, shape[2])):
        pass
    return sizes


def pin_ahead(sizes: Sequence[Sequence[int]], tiles: int) -> threading.Thread:
    """Begin to pin what ``tiles`` decodes will park; the thread ends by itself. Too little memory is logged only: the
    decode will ask again, and say it.
    """

    def work() -> None:
        try:
            for caches in sizes:
                held = [torch.empty(n, dtype=torch.uint8, pin_memory=True) for _ in range(tiles) for n in caches]
                held.clear()  # only now, or the same memory would be given again
        except RuntimeError as error:
            logger.info("memory for tiles could not be pinned ahead: %s", str(error).partition("\n")[0])

    thread = threading.Thread(target=work, name="pin", daemon=True)
    thread.start()
    return thread
