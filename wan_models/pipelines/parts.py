"""A model's parts, opened from a checkpoint and placed as a plan says."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from wan_models.memory.load import build, fill, move_buffers
from wan_models.memory.plan import Plan
from wan_models.rows import ModelRow, PartName

from .contracts import Checkpoint, Expert, VideoVae
from .encodings import EncodingCache, content_key, encode_text

logger = logging.getLogger(__name__)

_CACHE = EncodingCache()
LoraChoice = tuple[Path, float, Literal["both", "high", "low"]]
"""A LoRA's file, its weight, the expert that it is for."""


class OpenParts:
    """Implements contracts.Parts. Networks are loaded when first used.

    ``dtype``: precision of the transformers and encoders (None: bf16 on a card, float32 on the CPU); ``vae_dtype``:
    float32 as in the official code.
    """

    def __init__(
        self,
        row: ModelRow,
        checkpoint: Checkpoint,
        plan: Plan,
        device: torch.device,
        dtype: torch.dtype | None = None,
        *,
        vae_dtype: torch.dtype = torch.float32,
        cache: EncodingCache = _CACHE,
    ) -> None:
        self.row = row
        self.plan = plan
        self.device = device
        self.dtype = dtype or (torch.float32 if device.type == "cpu" else torch.bfloat16)
        self._vae_dtype = vae_dtype
        self._checkpoint = checkpoint
        self._cache = cache
        self._modules: dict[PartName, nn.Module] = {}
        self._vae: VideoVae | None = None
        self._loras: tuple[LoraChoice, ...] = ()

    def text(self, prompts: Sequence[str]) -> list[Tensor]:
        """One (1, 512, 4096) in ``dtype`` on ``device`` each; the encoder is not loaded for texts seen before."""
        return [self._text(prompt).to(self.device) for prompt in prompts]

    def _text(self, prompt: str) -> Tensor:
        def make() -> Tensor:
            encoder = self._module("text_encoder", self.dtype)
            with torch.no_grad():
                return encode_text(encoder, self._checkpoint.tokenizer(), prompt, self.device).to(self.dtype)

        return self._cache.get(content_key("text", self._checkpoint.identity, str(self.dtype), prompt), make)

    def clip(self, pixels: Tensor) -> Tensor:
        """(1, 3, 224, 224), normalised for CLIP -> the second-to-last layer's (1, 257, 1280) on ``device``."""

        def make() -> Tensor:
            encoder = self._module("image_encoder", self.dtype)
            with torch.no_grad():
                states = encoder(pixels.to(self.device, self.dtype), output_hidden_states=True).hidden_states
            hidden: Tensor = states[-2]
            return hidden.to(self.dtype)

        key = content_key("clip", self._checkpoint.identity, str(self.dtype), pixels)
        return self._cache.get(key, make).to(self.device)

    @property
    def vae(self) -> VideoVae:
        """The VAE in causal chunks."""
        if self._vae is None:
            from .decode import StreamingVae

            self._vae = StreamingVae(self._module("vae", self._vae_dtype), self.device, self._vae_dtype)
        return self._vae

    def set_loras(self, loras: Sequence[LoraChoice]) -> None:
        """The LoRAs of the next job. Raises RequestRefused for a file that does not fit the model, before any weight
        is loaded.
        """
        if loras:
            from wan_models.loras import read_lora

            for path, _, expert in loras:
                name: PartName = "transformer_2" if expert == "low" else "transformer"
                read_lora(path, self._modules.get(name) or self._skeleton(name))
        self._loras = tuple(loras)

    @contextmanager
    def transformer(self, expert: Expert = "high") -> Iterator[nn.Module]:
        """The network, ready on ``device``, with the job's LoRAs attached."""
        name: PartName = "transformer" if expert == "high" else "transformer_2"
        module = self._module(name, self.dtype)
        wanted = [(path, weight) for path, weight, for_ in self._loras if for_ in ("both", expert)]
        if not wanted:
            yield module
            return
        from wan_models.loras import attached, read_lora

        with attached(module, [(read_lora(path, module), weight) for path, weight in wanted]):
            yield module

    def room(self) -> None:
        """Free cached memory of the card."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _skeleton(self, part: PartName) -> nn.Module:
        return build(self.row.parts[part].cls, self._checkpoint.config(part))

    def _module(self, part: PartName, dtype: torch.dtype) -> nn.Module:
        if part not in self._modules:
            logger.info("loading %s of %s", part, self.row.name)
            module = self._skeleton(part)
            tensors = self._checkpoint.tensors(part)
            fill(module, tensors, dtype, lambda _, tensor: tensor.to(self.device), f"{self.row.name} {part}")
            move_buffers(module, self.device)
            self._modules[part] = module
        return self._modules[part]
