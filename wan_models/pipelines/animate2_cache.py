"""Keys and values of the driving frames, of every layer, kept through a segment's steps.

They are large: layers x tokens x 2 x channels. For 81 frames in bf16 26.8 GB at 832x480, 34.4 GB at 800x640 and 61.9 GB
at 1280x720, which is why the model does not fit an 80 GB card as diffusers runs it. Here as many layers as there is
room for stay on the card. The others lie in the host's page-locked memory, and each is fetched while the layer before
it is being computed (0.67 GB a layer at 832x480; two of them are on the card at a time).
"""

from __future__ import annotations

import logging
from types import TracebackType
from typing import Any

import torch
from torch import Tensor

from wan_models.engine import RequestRefused
from wan_models.memory.host import HostBuffer
from wan_models.memory.machine import free_host
from wan_models.rows import ModelRow

logger = logging.getLogger(__name__)
cuda: Any = torch.cuda  # partly untyped

WORK_PER_TOKEN = 140_000
"""Bytes of a pass's own tensors on the card for each token of the video being made (bf16)."""
HOST_SPARE = 2 * 2**30
"""Bytes of the host's memory that are left free."""


def layer_bytes(tokens: int, channels: int, dtype: torch.dtype) -> int:
    """Bytes of one layer's keys and values."""
    return 2 * tokens * channels * dtype.itemsize


def layers_on_card(layers: int, each: int, tokens: int, device: torch.device) -> int:
    """How many layers of ``each`` bytes stay on the card: what is free now, less a pass's own tensors and two layers
    on their way. ``tokens``: of the video being made.
    """
    if device.type != "cuda":
        return layers
    free, total = cuda.mem_get_info(device)
    index = cuda.current_device() if device.index is None else device.index
    limit = cuda.get_per_process_memory_fraction(index) * total
    reserved, allocated = cuda.memory_reserved(device), cuda.memory_allocated(device)
    room = min(free + reserved, limit) - allocated - WORK_PER_TOKEN * tokens
    return layers if room >= layers * each else min(max(int((room - 2 * each) // each), 0), layers)


def check_host(row: ModelRow, wanted: int) -> None:
    """Raise RequestRefused, one sentence, unless ``wanted`` more bytes fit the host's memory."""
    there = max(free_host() - HOST_SPARE, 0)
    if wanted > there:
        problem = (
            f"{row.name} must keep {wanted / 1e9:.1f} GB of features of the camera render in the host's memory, where "
            f"{there / 1e9:.1f} GB are free: choose a smaller size"
        )
        raise RequestRefused(problem)


class Layer:
    """One layer's keys and values, as diffusers' ``WanAnimate2KVLayerCache``: (1, L, H, D)."""

    def __init__(self, cache: DrivingCache, index: int) -> None:
        self._cache, self._index = cache, index

    def store(self, key: Tensor, value: Tensor) -> None:
        """Keep them."""
        self._cache.put(self._index, torch.stack([key, value]))

    def get(self) -> tuple[Tensor, Tensor]:
        """What was stored, on the card. Raises KeyError before that."""
        both = self._cache.take(self._index)
        return both[0], both[1]


class HostLayers:
    """The host's memory of a job, one buffer a layer, used again by the next segment."""

    def __init__(self) -> None:
        self._buffers: dict[int, HostBuffer] = {}

    @property
    def nbytes(self) -> int:
        """What all buffers hold."""
        return sum(buffer.data.nbytes for buffer in self._buffers.values())

    def place(self, index: int, like: Tensor, pin: bool) -> Tensor:
        """Host memory of the shape and type of ``like`` for the layer ``index``."""
        buffer = self._buffers.get(index)
        if buffer is None or buffer.data.nbytes < like.nbytes:
            self._buffers[index] = buffer = HostBuffer(like.nbytes, pin)
        return buffer.data[: like.nbytes].view(like.dtype).view(like.shape)


class DrivingCache:
    """As diffusers' ``WanAnimate2KVCache``, of one segment; a context manager, which gives the card's memory back.

    ``on_card``: so many layers stay where they are made, the rest goes to ``host``. ``skipped``: layers that the
    present pass leaves out, so they are not fetched ahead.
    """

    def __init__(self, layers: int, on_card: int, host: HostLayers, device: torch.device) -> None:
        self.layers = tuple(Layer(self, index) for index in range(layers))
        self.skipped: frozenset[int] = frozenset()
        self._on_card, self._buffers, self._device = on_card, host, device
        self._here: dict[int, Tensor] = {}
        self._host: dict[int, Tensor] = {}
        self._ahead: dict[int, tuple[Tensor, Any]] = {}
        self._stream = cuda.Stream(device) if device.type == "cuda" else None

    def get(self, index: int) -> Layer:
        """The layer ``index``."""
        return self.layers[index]

    def put(self, index: int, both: Tensor) -> None:
        """Keep a layer's stacked keys and values (2, 1, L, H, D)."""
        if index < self._on_card:
            self._here[index] = both
            return
        host = self._buffers.place(index, both, pin=self._stream is not None)
        self._host[index] = host
        if self._stream is None:
            host.copy_(both)
            return
        self._stream.wait_stream(cuda.current_stream(self._device))
        with cuda.stream(self._stream):
            host.copy_(both, non_blocking=True)
        both.record_stream(self._stream)

    def take(self, index: int) -> Tensor:
        """A layer's keys and values on the card; the next one that lies in the host's memory sets off."""
        if index in self._here:
            both = self._here[index]
        else:
            both, done = self._ahead.pop(index) if index in self._ahead else self._fetch(index)
            if done is not None:
                now = cuda.current_stream(self._device)
                now.wait_event(done)
                both.record_stream(now)
        following = self._after(index)
        if following in self._host and following not in self._ahead:
            self._ahead = {following: self._fetch(following)}
        return both

    def _after(self, index: int) -> int:
        """The layer that is wanted next; after the last one the first, of the next pass."""
        count = len(self.layers)
        order = ((index + step) % count for step in range(1, count))
        return next((layer for layer in order if layer not in self.skipped), index)

    def _fetch(self, index: int) -> tuple[Tensor, Any]:
        """On the copies' own stream, after what that still has to do; with the event that says when it is there."""
        host = self._host[index]
        if self._stream is None:
            return host.to(self._device, copy=True), None
        with cuda.stream(self._stream):
            both = host.to(self._device, non_blocking=True)
            done = cuda.Event()
            done.record(self._stream)
        return both, done

    def __enter__(self) -> DrivingCache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stream is not None:
            self._stream.synchronize()
        self._here, self._host, self._ahead = {}, {}, {}
