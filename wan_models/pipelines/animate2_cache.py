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

import psutil
import torch
from torch import Tensor

from wan_models.rows import ModelRow

logger = logging.getLogger(__name__)
cuda: Any = torch.cuda  # partly untyped

WORK_PER_TOKEN = 220_000
"""Bytes of a pass's own tensors on the card for each token of the video being made (bf16)."""
HOST_SPARE = 2 * 2**30
"""Bytes of the host's memory that are left free."""


class NoRoom(MemoryError):
    """The driving frames' keys and values fit neither the card nor the host's memory; one sentence."""


def layer_bytes(tokens: int, channels: int, dtype: torch.dtype) -> int:
    """Bytes of one layer's keys and values."""
    return 2 * tokens * channels * dtype.itemsize


def layers_on_card(row: ModelRow, layers: int, each: int, tokens: int, device: torch.device) -> int:
    """How many layers stay on the card: what is free now, less a pass's own tensors and two layers on their way.

    ``each``: bytes a layer; ``tokens``: of the video being made. Raises NoRoom.
    """
    if device.type != "cuda":
        return layers
    free, _ = cuda.mem_get_info(device)
    limit = cuda.get_per_process_memory_fraction(device) * cuda.get_device_properties(device).total_memory
    reserved, allocated = cuda.memory_reserved(device), cuda.memory_allocated(device)
    room = min(free + reserved, limit) - allocated - WORK_PER_TOKEN * tokens
    fitting = layers if room >= layers * each else max(int((room - 2 * each) // each), 0)
    wanted, there = (layers - fitting) * each, psutil.virtual_memory().available - HOST_SPARE
    if wanted > there:
        msg = (
            f"{row.name} keeps {layers * each / 1e9:.1f} GB of features of the camera render: "
            f"{fitting * each / 1e9:.1f} GB fit the card and {max(there, 0) / 1e9:.1f} GB the host's memory, so choose "
            "a smaller size"
        )
        raise NoRoom(msg)
    logger.info("features of the driving frames: %d of %d layers on the card", fitting, layers)
    return fitting


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


class DrivingCache:
    """As diffusers' ``WanAnimate2KVCache``; a context manager, which gives the memory back.

    ``on_card``: so many layers stay where they are made, the rest goes to the host. ``skipped``: layers that the
    present pass leaves out, so they are not fetched ahead.
    """

    def __init__(self, layers: int, on_card: int, device: torch.device) -> None:
        self.layers = tuple(Layer(self, index) for index in range(layers))
        self.skipped: frozenset[int] = frozenset()
        self._on_card, self._device = on_card, device
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
        elif self._stream is None:
            self._host[index] = both.to("cpu", copy=True)
        else:
            host = _locked(both)
            self._stream.wait_stream(cuda.current_stream(self._device))
            with cuda.stream(self._stream):
                host.copy_(both, non_blocking=True)
            both.record_stream(self._stream)
            self._host[index] = host

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
        later = [layer for layer in self._order(index) if layer not in self.skipped]
        return later[0] if later else index

    def _order(self, index: int) -> list[int]:
        count = len(self.layers)
        return [(index + step) % count for step in range(1, count)]

    def _fetch(self, index: int) -> tuple[Tensor, Any]:
        host = self._host[index]
        if self._stream is None:
            return host.to(self._device), None
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
        for host in self._host.values():
            _unlocked(host)
        self._here, self._host, self._ahead = {}, {}, {}


def _locked(like: Tensor) -> Tensor:
    """Host memory of ``like``'s size, page-locked as it is: torch's own pinned memory is rounded up to a power of two,
    which would cost half as much again. Where locking is refused copies are slower, and the log says it.
    """
    host = torch.empty(like.shape, dtype=like.dtype)
    runtime = cuda.cudart()
    failed = int(runtime.cudaHostRegister(host.data_ptr(), host.nbytes, 0))
    if failed:
        logger.warning("The host's memory cannot be page-locked (CUDA error %d): fetching layers is slower.", failed)
    return host


def _unlocked(host: Tensor) -> None:
    """Undo ``_locked``; memory that was not locked is left as it is."""
    if cuda.is_initialized() and host.is_pinned():
        cuda.cudart().cudaHostUnregister(host.data_ptr())
