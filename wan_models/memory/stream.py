"""A network whose blocks come to the card one after the other, each copied while its predecessor works.

Units (a block and what goes with it) wait on the host, each in one flat buffer. Some of them and the rest of the
network stay on the card; for the others there are two slots that take turns. Before a unit works, a hook makes sure
that it is there and starts the copy of the next one; the host never waits for the card, and nothing is allocated
between two steps. The same bytes are used as without streaming, so results are the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from .fp8 import Fp8Linear, convert, quantised
from .host import CardBuffer, HostBuffer
from .load import assign, fp32_names, move_buffers, precision
from .plan import Source, Weights

_ALIGN = 256
SLOTS = 2
_cuda: Any = torch.cuda  # partly untyped


@dataclass(frozen=True)
class Entry:
    """One tensor of a unit: its name in the network and its place in the flat buffer."""

    name: str
    shape: torch.Size
    dtype: torch.dtype
    offset: int

    @property
    def nbytes(self) -> int:
        """Bytes without padding."""
        return self.shape.numel() * self.dtype.itemsize

    def view(self, flat: Tensor) -> Tensor:
        """The tensor inside a flat uint8 buffer."""
        return flat[self.offset : self.offset + self.nbytes].view(self.dtype).view(self.shape)


@dataclass
class Unit:
    """What streams together. ``source``: a host buffer, or for mapped weights the tensors themselves (``raw``)."""

    entries: dict[str, Entry]
    nbytes: int
    source: HostBuffer | CardBuffer | None = None
    raw: dict[str, Tensor] = field(default_factory=dict)

    def store(self, name: str, tensor: Tensor) -> None:
        """Keep a tensor on the host."""
        if self.source is not None:
            self.entries[name].view(self.source.data).copy_(tensor)
        else:
            self.raw[name] = tensor.cpu()

    def read(self, out: Tensor) -> None:
        """Copy the whole unit to ``out``, host or card; returns when the host memory has been read."""
        if self.source is not None:
            out[: self.nbytes].copy_(self.source.data)
            return
        for name, tensor in self.raw.items():
            self.entries[name].view(out).copy_(tensor)


class Copier(Protocol):
    """Brings units into slots."""

    def start(self, slot: int, unit: Unit) -> None:
        """Copy the unit to the slot after all work that was asked for until now."""

    def wait(self, slot: int) -> None:
        """Work that is asked for from now on comes after the slot's copy."""

    def close(self) -> None:
        """Wait for all copies."""


class HostCopier:
    """For a card that is the CPU: copies at once."""

    def __init__(self, slots: Sequence[Tensor]) -> None:
        self._slots = slots

    def start(self, slot: int, unit: Unit) -> None:
        unit.read(self._slots[slot])

    def wait(self, slot: int) -> None:
        pass

    def close(self) -> None:
        pass


class CudaCopier:
    """Copies on a stream of its own. What is not pinned passes through two pinned buffers, by a thread."""

    def __init__(self, slots: Sequence[Tensor], staged: bool) -> None:
        device = slots[0].device
        self._slots = slots
        self._stream = _cuda.Stream(device)
        self._device = device
        self._free = [_cuda.Event() for _ in slots]
        self._ready = [_cuda.Event(blocking=True) for _ in slots]
        self._pending: list[Future[None] | None] = [None for _ in slots]
        self._staging = [HostBuffer(slot.numel(), pin=True) for slot in slots] if staged else []
        self._thread = ThreadPoolExecutor(1, "weights") if staged else None

    def start(self, slot: int, unit: Unit) -> None:
        self._free[slot].record(torch.cuda.current_stream(self._device))
        if self._thread is None:
            self._send(slot, unit.source.data if unit.source is not None else self._slots[slot])
        else:
            self._pending[slot] = self._thread.submit(self._stage, slot, unit)

    def wait(self, slot: int) -> None:
        pending, self._pending[slot] = self._pending[slot], None
        if pending is not None:
            pending.result()
        torch.cuda.current_stream(self._device).wait_event(self._ready[slot])

    def close(self) -> None:
        if self._thread is not None:
            self._thread.shutdown(wait=True)
        self._stream.synchronize()

    def _stage(self, slot: int, unit: Unit) -> None:
        self._ready[slot].synchronize()  # the buffer's last content has left it
        buffer = self._staging[slot].data
        unit.read(buffer)
        with torch.cuda.device(self._device):
            self._send(slot, buffer[: unit.nbytes])

    def _send(self, slot: int, data: Tensor) -> None:
        with torch.cuda.stream(self._stream):
            self._stream.wait_event(self._free[slot])
            self._slots[slot][: data.numel()].copy_(data, non_blocking=True)
            self._ready[slot].record(self._stream)


def open_copier(slots: Sequence[Tensor], units: Sequence[Unit]) -> Copier:
    """What suits the slots' device and the units' sources."""
    if slots[0].device.type == "cpu":
        return HostCopier(slots)
    return CudaCopier(slots, staged=any(unit.source is None or not unit.source.pinned for unit in units))


class StreamedModule:
    """A network on the host that can be brought to the card (``bind``) and taken away from it (``release``).

    ``groups``: for each unit the names of its submodules, in the order in which they work. ``resident``: how many
    units stay on the card while it is bound (None = all). ``source``: see Plan; ``card``: there is no copy on the host,
    all units are on the card for good. ``outside``: tensors that never leave the host.
    """

    def __init__(
        self,
        module: nn.Module,
        groups: Sequence[Sequence[str]],
        device: torch.device,
        dtype: torch.dtype,
        *,
        resident: int | None = None,
        weights: Weights = "bf16",
        source: Source | Literal["card"] = "pinned",
        outside: frozenset[str] = frozenset(),
    ) -> None:
        self.module = module
        self._device = device
        if weights == "fp8":
            for group in groups[1:-1]:
                for path in group:
                    convert(module.get_submodule(path))
        self.units = _layout(module, groups, dtype, outside)
        self._rest, *self._blocks = self.units
        self._of = {name: unit for unit in self.units for name in unit.entries}
        self._outside = outside
        self._for_good = source == "card"
        for unit in self.units:
            if source == "card":
                unit.source = CardBuffer(unit.nbytes, device)
            elif source != "mapped":
                unit.source = HostBuffer(unit.nbytes, pin=source == "pinned" and device.type == "cuda")
        self._streams = _spread(len(self._blocks), resident)
        self._copier: Copier | None = None
        self._content: list[int | None] = [None] * SLOTS
        self._card: list[Tensor] = []
        for index, group in enumerate(groups):
            module.get_submodule(group[0]).register_forward_pre_hook(lambda _m, _a, index=index: self._before(index))
        move_buffers(module, device)

    def put(self, name: str, tensor: Tensor, dtype: torch.dtype) -> None:
        """Keep a tensor of the checkpoint (``load.Put``)."""
        if name in self._outside:
            assign(self.module, name, tensor.to("cpu", dtype))
            return
        unit = self._of[name]
        path, _, leaf = name.rpartition(".")
        owner = self.module.get_submodule(path)
        if isinstance(owner, Fp8Linear) and leaf == "weight":
            small, scale = quantised(tensor.to(self._device))
            unit.store(name, small)
            unit.store(f"{path}.scale", scale)
        else:
            unit.store(name, tensor)

    @property
    def bound(self) -> bool:
        """Whether it is on the card."""
        return bool(self._card)

    def bind(self) -> bool:
        """Bring it to the card; returns at once where memory is pinned. Whether it was not there."""
        if self.bound:
            return False
        streaming = [self._blocks[index] for index in self._streams]
        for unit in self.units:
            if not any(unit is other for other in streaming):
                self._place(unit, self._brought(unit))
        if streaming:
            size = max(unit.nbytes for unit in streaming)
            slots = [torch.empty(size, dtype=torch.uint8, device=self._device) for _ in range(SLOTS)]
            self._copier = open_copier(slots, streaming)
            for turn, unit in enumerate(streaming):
                self._place(unit, slots[turn % SLOTS])
            self._card += slots
        return True

    def release(self) -> bool:
        """Take it away from the card; whether it was there."""
        if not self.bound or self._for_good:
            return False
        if self._copier is not None:
            self._copier.close()
        for unit in self.units:
            self._place(unit, None)
        self._copier = None
        self._content = [None] * SLOTS
        self._card = []
        return True

    def _brought(self, unit: Unit) -> Tensor:
        if self._for_good and unit.source is not None:
            self._card.append(unit.source.data)
            return unit.source.data
        card = torch.empty(unit.nbytes, dtype=torch.uint8, device=self._device)
        if unit.source is not None and unit.source.pinned:
            card.copy_(unit.source.data, non_blocking=True)
        else:
            unit.read(card)
        self._card.append(card)
        return card

    def _place(self, unit: Unit, flat: Tensor | None) -> None:
        for name, entry in unit.entries.items():
            empty = torch.empty(entry.shape, dtype=entry.dtype, device="meta")
            assign(self.module, name, empty if flat is None else entry.view(flat))

    def _before(self, index: int) -> None:
        """A unit is about to work: all that were called before it are done with their slots."""
        if self._copier is None:
            return
        turns = self._streams
        first = next((turn for turn, block in enumerate(turns) if block >= index), 0)
        for turn in (first, (first + 1) % len(turns)):
            if self._content[turn % SLOTS] != turn:
                self._content[turn % SLOTS] = turn
                self._copier.start(turn % SLOTS, self._blocks[turns[turn]])
        if turns[first] == index:
            self._copier.wait(first % SLOTS)


def _spread(count: int, resident: int | None) -> list[int]:
    """Which blocks stream: an even number of them (two slots take turns), evenly spread."""
    if resident is None or resident >= count:
        return []
    streaming = count - resident
    streaming -= streaming % 2
    return [int((turn + 0.5) * count / streaming) for turn in range(streaming)]


def _layout(
    module: nn.Module, groups: Sequence[Sequence[str]], dtype: torch.dtype, outside: frozenset[str]
) -> list[Unit]:
    """The rest of the network, then a unit for each group."""
    keep = fp32_names(module)
    owner = {f"{path}.": index + 1 for index, group in enumerate(groups) for path in group}
    units = [Unit({}, 0) for _ in range(len(groups) + 1)]
    named = dict(module.state_dict(keep_vars=True))
    scales = {f"{n}.scale": child.scale for n, child in module.named_modules() if isinstance(child, Fp8Linear)}
    for name, tensor in (named | scales).items():
        if name in outside:
            continue
        unit = units[next((index for prefix, index in owner.items() if name.startswith(prefix)), 0)]
        kept = tensor.dtype if name in scales or tensor.dtype.itemsize == 1 else precision(name, tensor, dtype, keep)
        unit.entries[name] = Entry(name, tensor.shape, kept, unit.nbytes)
        unit.nbytes += -(-unit.entries[name].nbytes // _ALIGN) * _ALIGN
    return units
