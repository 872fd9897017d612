"""A prediction needs six times its tokens in bf16, and nothing that lasts a clip is made at every step."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from wan_models.memory import lean
from wan_models.s2v import WanS2VTransformer3DModel

DIM, FRAMES, SIDE = 256, 6, 32
CONFIG = {"dim": DIM, "ffn_dim": 700, "num_heads": 2, "num_layers": 2, "audio_inject_layers": [0], "audio_dim": 8,
          "text_dim": 8, "text_len": 16, "freq_dim": 16}  # fmt: skip


class Peak(TorchDispatchMode):
    """Counts the bytes of tensors that operations make, while they live; those of ``known`` are not counted."""

    def __init__(self, known: Iterable[Tensor]) -> None:
        super().__init__()
        self.most = 0
        self._now = 0
        self._live = {tensor.untyped_storage()._cdata: 0 for tensor in known}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor) and tensor.untyped_storage()._cdata not in self._live:
                storage = tensor.untyped_storage()
                self._live[storage._cdata] = storage.nbytes()
                self._now += storage.nbytes()
                self.most = max(self.most, self._now)
                weakref.finalize(storage, self._gone, storage._cdata)
        return out

    def _gone(self, key: int) -> None:
        self._now -= self._live.pop(key)


@pytest.fixture(scope="module")
def net() -> Any:
    torch.set_num_threads(1)
    module = WanS2VTransformer3DModel(CONFIG).eval().requires_grad_(False)
    return module.to(torch.bfloat16)


def told(motion: bool) -> tuple[Tensor | None, ...]:
    make = torch.Generator().manual_seed(1)
    shapes = ((1, 5, 8), (1, 16, 1, SIDE, SIDE), (1, 16, FRAMES, SIDE, SIDE), (1, 25, 8, 4 * FRAMES))
    before = torch.randn(1, 16, 19, SIDE, SIDE, generator=make) if motion else None
    return (*(torch.randn(shape, generator=make) for shape in shapes), before)


@pytest.mark.parametrize("motion", [False, True])
def test_the_peak_of_a_prediction(net: Any, motion: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hidden state (float32), queries, keys, values and their mixture; a part of the tokens is a tenth."""
    with torch.no_grad():
        conditions = net.prepare(*told(motion))
        stage = conditions.stage
        tokens = stage.rotary.shape[1]
        monkeypatch.setattr(lean, "CHUNK", tokens // 10)
        latents = torch.zeros(1, 16, FRAMES, SIDE, SIDE, dtype=torch.bfloat16)
        kept = (stage.still, stage.rotary, stage.pose, conditions.guide.words, conditions.guide.sound.local)
        with Peak([*net.parameters(), *kept, latents]) as peak:
            net(latents, torch.tensor([500.0]), conditions=conditions)
    assert 5.9 < peak.most / (tokens * DIM * 2) < 6.4


def test_what_lasts_a_clip_is_not_made_again(net: Any) -> None:
    calls: list[str] = []
    parts = ("casual_audio_encoder", "frame_packer", "text_embedding", "cond_encoder", "patch_embedding")
    hooks = [net.get_submodule(p).register_forward_hook(lambda *_, part=p: calls.append(part)) for p in parts]
    try:
        with torch.no_grad():
            text, still, pose, audio, motion = told(motion=True)
            conditions = net.prepare(text, still, pose * 0, audio, motion)
            assert sorted(calls) == sorted(parts)
            calls.clear()
            net(pose, torch.tensor([500.0]), conditions=conditions)
            assert calls == ["patch_embedding"]
    finally:
        for hook in hooks:
            hook.remove()
