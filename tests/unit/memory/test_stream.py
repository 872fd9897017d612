"""Streaming on the CPU, the card being another copy of the numbers: the same bits as without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.unit.memory.tiny import TinyCheckpoint, numbers
from wan_models.memory import stream
from wan_models.memory.fp8 import Fp8Linear, quantised
from wan_models.memory.load import build, fill, move_buffers, onto
from wan_models.memory.place import transformer_groups
from wan_models.memory.plan import Plan
from wan_models.memory.stream import StreamedModule, Unit
from wan_models.pipelines.encodings import EncodingCache
from wan_models.pipelines.parts import OpenParts

CPU = torch.device("cpu")
STREAM = Plan(name="stream", resident_blocks=0, together=False, text_stream=True)


class LateCopier:
    """Copies only when a slot is waited for, as a slow card might: a missing wait leaves old numbers there."""

    def __init__(self, slots: Sequence[Tensor]) -> None:
        self._slots = slots
        self._asked: dict[int, Unit] = {}
        for slot in slots:
            slot.fill_(255)  # NaN

    def start(self, slot: int, unit: Unit) -> None:
        self._slots[slot].fill_(255)
        self._asked[slot] = unit

    def wait(self, slot: int) -> None:
        if slot in self._asked:
            self._asked.pop(slot).read(self._slots[slot])

    def close(self) -> None:
        self._asked.clear()


def animate_inputs(seed: int = 0) -> dict[str, Any]:
    make = torch.Generator().manual_seed(seed)
    return {
        "hidden_states": torch.randn(1, 36, 2, 4, 4, generator=make),
        "timestep": torch.tensor([500.0]),
        "encoder_hidden_states": torch.randn(1, 8, 32, generator=make),
        "encoder_hidden_states_image": torch.randn(1, 5, 16, generator=make),
        "pose_hidden_states": torch.randn(1, 16, 1, 4, 4, generator=make),
        "face_pixel_values": torch.randn(1, 3, 4, 16, 16, generator=make),
        "return_dict": False,
    }


def run(module: nn.Module, seed: int = 0) -> Tensor:
    with torch.no_grad():
        out: Tensor = module(**animate_inputs(seed))[0]
    return out


def filled() -> tuple[nn.Module, dict[str, Tensor]]:
    checkpoint = TinyCheckpoint()
    module = build("WanAnimateTransformer3DModel", checkpoint.config("transformer"))
    values = numbers(module, 3)
    fill(module, values.items(), torch.float32, onto(module, CPU), "tiny")
    move_buffers(module, CPU)
    return module, values


def streamed(values: dict[str, Tensor], **options: Any) -> StreamedModule:
    module = build("WanAnimateTransformer3DModel", TinyCheckpoint().config("transformer"))
    placed = StreamedModule(module, transformer_groups(module), CPU, torch.float32, **options)
    fill(module, values.items(), torch.float32, placed.put, "tiny")
    return placed


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(("resident", "source"), [(0, "pinned"), (2, "pageable"), (0, "mapped"), (1, "mapped")])
def test_streaming_gives_the_same_bits(monkeypatch: pytest.MonkeyPatch, late: bool, resident: int, source: Any) -> None:
    if late:
        monkeypatch.setattr(stream, "open_copier", lambda slots, units: LateCopier(slots))
    whole, values = filled()
    placed = streamed(values, resident=resident, source=source)
    assert next(placed.module.parameters()).is_meta
    for _ in range(2):
        assert placed.bind()
        assert not placed.bind()
        for seed in range(3):
            assert torch.equal(run(placed.module, seed), run(whole, seed))
        assert placed.release()
    assert next(placed.module.parameters()).is_meta


def test_a_forward_that_failed_half_way_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "open_copier", lambda slots, units: LateCopier(slots))
    whole, values = filled()
    placed = streamed(values, resident=0)
    placed.bind()

    def fail(*_: Any) -> None:
        raise MemoryError

    for block in (1, 2, 3):
        handle = placed.module.get_submodule(f"blocks.{block}").register_forward_hook(fail)
        with pytest.raises(MemoryError):
            run(placed.module)
        handle.remove()
        assert torch.equal(run(placed.module), run(whole))


def test_two_slots_hold_all_that_is_on_the_card_beside_the_rest() -> None:
    _, values = filled()
    placed = streamed(values, resident=0)
    placed.bind()
    rest, *blocks = placed.units
    on_card = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in placed._card}
    assert sum(on_card.values()) == rest.nbytes + 2 * max(unit.nbytes for unit in blocks)


def test_fp8_is_near_and_only_inner_blocks_are_so_stored() -> None:
    whole, values = filled()
    placed = streamed(values, resident=0, weights="fp8")
    placed.bind()
    small = {n.split(".")[1] for n, m in placed.module.named_modules() if isinstance(m, Fp8Linear) and "blocks." in n}
    assert small == {"1", "2"}
    ours, theirs = run(placed.module), run(whole)
    assert not torch.equal(ours, theirs)
    assert ((ours - theirs).norm() / theirs.norm()).item() < 0.05


def test_quantised_weights_are_within_a_sixteenth() -> None:
    weight = torch.randn(64, 128, generator=torch.Generator().manual_seed(0))
    small, scale = quantised(weight)
    error = (small.float() * scale - weight).abs()
    assert small.dtype.itemsize == 1
    # Half a step of three mantissa bits, or of the smallest numbers.
    assert (error <= weight.abs() / 16 + scale * 2**-9 / 2 + 1e-7).all()


def test_parts_give_the_same_under_every_lossless_plan() -> None:
    results = []
    swap = replace(STREAM, name="swap", resident_blocks=None, text_stream=False)
    for plan in (Plan(), Plan(keep_text=True), swap, STREAM, replace(STREAM, source="mapped", keep_text=True)):
        checkpoint = TinyCheckpoint()
        parts = OpenParts(checkpoint.row, checkpoint, plan, CPU, cache=EncodingCache())
        text = parts.text(["a man walks"])[0]
        picture = parts.clip(torch.ones(1, 3, 28, 28))
        with parts.transformer() as module:
            results.append((text, picture, run(module)))
        assert parts.text(["a man walks", "another"])[1].shape == text.shape
        assert checkpoint.reads.count("text_encoder") == (1 if plan.keep_text else 2)
        parts.close()
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))
