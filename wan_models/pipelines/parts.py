"""A model's parts, opened from a checkpoint and placed as a plan says."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from wan_models.attention import use_attention
from wan_models.compiling import compile_blocks, uncompile_blocks
from wan_models.events import Event, WeightsRead
from wan_models.loras import LoraWeights, attached, read_lora
from wan_models.memory.lean import lean_blocks
from wan_models.memory.load import build
from wan_models.memory.measure import expandable
from wan_models.memory.place import Placed, Target, place_encoder, place_transformer, place_whole
from wan_models.memory.plan import Plan
from wan_models.memory.report import Report
from wan_models.rows import ModelRow, PartName
from wan_models.s2v.hearing import hidden_states

from .contracts import Cancelled, Checkpoint, Expert, VideoVae
from .decode import StreamingVae
from .denoise import JobCancelled
from .encodings import EncodingCache, content_key, encode_text
from .parking import cache_bytes, pin_ahead
from .tiles import TiledVae
from .tiny_vae import Moments, TinyEye

logger = logging.getLogger(__name__)

_CACHE = EncodingCache()
LoraChoice = tuple[Path, float, Literal["both", "high", "low"]]
"""A LoRA's file, its weight, the expert that it is for."""
_TRANSFORMERS: Mapping[Expert, PartName] = {"high": "transformer", "low": "transformer_2"}


def _wanted() -> bool:
    return False


def quiet(_: Event) -> None:
    """Reports to nobody."""


class OpenParts:
    """Implements contracts.Parts. Networks are loaded when first used and stay where the plan has them.

    ``dtype``: precision of the transformers and the text encoder (None: bf16 on a card, float32 on the CPU); CLIP works
    in float32; ``vae_dtype``: None = as the plan says. ``cache`` is shared by all models of a process.
    """

    def __init__(
        self,
        row: ModelRow,
        checkpoint: Checkpoint,
        plan: Plan,
        device: torch.device,
        dtype: torch.dtype | None = None,
        *,
        vae_dtype: torch.dtype | None = None,
        cache: EncodingCache = _CACHE,
    ) -> None:
        self.row = row
        self.plan = plan
        self.device = device
        self.dtype = dtype or (torch.float32 if device.type == "cpu" else torch.bfloat16)
        self._vae_dtype: torch.dtype = vae_dtype or getattr(torch, plan.vae)
        self._checkpoint = checkpoint
        self._cache = cache
        self._placed: dict[PartName, Placed] = {}
        self.cancelled: Cancelled = _wanted
        """Asked between two tensors while weights are read; the engine sets each job's own."""
        self.report: Callable[[Event], None] = quiet
        """Told between two tensors how much has been read; the engine sets its own."""
        self.compiled = False
        """Whether blocks of networks are compiled that have no LoRAs; the engine sets each job's own."""
        self.eye: TinyEye | None = None
        """Of the job's previews; see ``see_through``."""
        attention = use_attention(device)
        self._report = Report(device, model=row.name, plan=asdict(plan), attention=attention)
        self._loras: list[tuple[LoraWeights, float, str]] = []
        self._read: dict[Path, LoraWeights] = {}
        self._attached: dict[PartName, ExitStack] = {}
        self._ready: set[tuple[int, ...]] = set()  # shapes of latents whose decode need not wait

    def text(self, prompts: Sequence[str]) -> list[Tensor]:
        """One (1, 512, 4096) in ``dtype`` on ``device`` each; the encoder is not loaded for texts seen before."""
        keys = [content_key("text", self._checkpoint.identity, str(self.dtype), prompt) for prompt in prompts]
        if any(key not in self._cache for key in keys):
            with self._at_work("text_encoder") as encoder, torch.no_grad():
                tokenizer = self._checkpoint.tokenizer()
                for key, prompt in zip(keys, prompts, strict=True):
                    self._cache.get(key, partial(encode_text, encoder, tokenizer, prompt, self.device))
            self._done("text_encoder", keep=self.plan.keep_text)
        return [self._cache.get(key, _never).to(self.device, self.dtype) for key in keys]

    def clip(self, pixels: Tensor) -> Tensor:
        """(1, 3, 224, 224), normalised for CLIP -> the second-to-last layer's (1, 257, 1280) on ``device``."""

        def make() -> Tensor:
            with self._at_work("image_encoder") as encoder, torch.no_grad():
                given = pixels.to(self.device, torch.float32)
                hidden: Tensor = encoder(given, output_hidden_states=True).hidden_states[-2]
            self._done("image_encoder", keep=self.plan.together)
            return hidden

        key = content_key("clip", self._checkpoint.identity, pixels)
        return self._cache.get(key, make).to(self.device, self.dtype)

    def hear(self, wave: NDArray[np.float32]) -> Tensor:
        """(n,) mono at 16 kHz -> (25, T50, 1024) float32 on the CPU, 50 a second."""

        def make() -> Tensor:
            with self._at_work("audio_encoder") as encoder:
                states = hidden_states(encoder, wave, self.device)
            self._done("audio_encoder", keep=self.plan.together)
            return states

        return self._cache.get(content_key("sound", self._checkpoint.identity, torch.from_numpy(wave)), make)

    @property
    def vae(self) -> VideoVae:
        """The VAE in causal chunks; the other networks leave the card for it where the plan says so."""
        return _Vae(self)

    def set_loras(self, loras: Sequence[LoraChoice]) -> None:
        """The LoRAs of the next job. Raises RequestRefused for a file that does not fit the model, before any weight
        is loaded.
        """
        read: dict[Path, LoraWeights] = {}
        skeleton = None
        for path, _, _ in loras:
            if path not in self._read:
                skeleton = skeleton or self._skeleton("transformer")
                read[path] = read_lora(path, skeleton)
            else:
                read[path] = self._read[path]
        self._read = read
        for part in tuple(self._attached):
            self._detach(part)
        self._loras = [(read[path], weight, expert) for path, weight, expert in loras]

    def see_through(self, path: Path) -> None:
        """Previews of the next job are seen through a tiny autoencoder's file. Raises RequestRefused for a bad one."""
        self.eye = TinyEye(path, self.vae.channels, self.device, self.dtype, self._moments)

    def _moments(self) -> Moments:
        config: Any = self._skeleton("vae").config
        return config.latents_mean, config.latents_std

    @contextmanager
    def transformer(self, expert: Expert = "high") -> Iterator[nn.Module]:
        """The network, ready on ``device``, with the job's LoRAs attached."""
        part = _TRANSFORMERS[expert]
        with self._at_work(part) as module:
            if part not in self._attached:  # they stay until the network leaves the card or others are set
                wanted = [(lora, weight) for lora, weight, whose in self._loras if whose in ("both", expert)]
                self._attached[part] = ExitStack()
                self._attached[part].enter_context(attached(module, wanted, resident=self.plan.resident_blocks is None))
                compiled = self.compiled and not wanted
                self._report.say(compiled=compiled)
                _set_forwards(module, compiled=compiled)
            yield module

    def room(self) -> None:
        """Free cached memory of the card, unless torch can use it for tensors of any size: then it is kept for the next
        stage, which would otherwise wait for it to be freed and taken again.
        """
        if not expandable():
            self.rest()

    def rest(self) -> None:
        """Free cached memory of the card, for others, after a job."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def close(self) -> None:
        """Give all memory back, of the card and the host."""
        for part in tuple(self._placed):
            self._done(part, keep=False)

    @contextmanager
    def _at_work(self, part: PartName, work: str = "") -> Iterator[nn.Module]:
        """The network, on the card within the block; others leave it first where the plan has one at a time.

        ``work`` names what it does in reports.
        """
        if not self.plan.together:
            self._leave(part)
        placed = self._placed.get(part) or self._load(part)
        if placed.bind():
            logger.info("%s of %s is on %s", part, self.row.name, self.device)
        with self._report.working(work or part):
            yield placed.module

    def _leave(self, part: PartName) -> None:
        moved = [other for other, placed in self._placed.items() if other != part and placed.release()]
        for other in moved:
            self._detach(other)
        if moved:
            self.room()

    def _done(self, part: PartName, keep: bool) -> None:
        """The part leaves the card; without ``keep`` it is forgotten."""
        self._detach(part)
        self._placed[part].release()
        if not keep:
            del self._placed[part]
        self.room()

    def _detach(self, part: PartName) -> None:
        attachments = self._attached.pop(part, None)
        if attachments is not None:
            attachments.close()

    def _skeleton(self, part: PartName) -> nn.Module:
        return build(self.row.parts[part].cls, self._checkpoint.config(part))

    def _load(self, part: PartName) -> Placed:
        logger.info("loading %s of %s", part, self.row.name)
        module = self._skeleton(part)
        tensors = self._while_wanted(part, module)
        small = {"vae": self._vae_dtype, "image_encoder": torch.float32, "audio_encoder": torch.float32}
        target = Target(self.plan, self.device, small.get(part, self.dtype), f"{self.row.name} {part}")
        if part in ("transformer", "transformer_2"):
            placed = place_transformer(module, tensors, target)
        elif part == "text_encoder":
            placed = place_encoder(module, tensors, target)
        else:
            placed = place_whole(module, tensors, target, stays=part == "vae")
        self._placed[part] = placed
        return placed

    def _while_wanted(self, part: PartName, module: nn.Module) -> Iterator[tuple[str, Tensor]]:
        """The part's tensors, telling how far it is: reading tens of gigabytes takes a while. ``module`` is the part
        without its numbers. Raises JobCancelled between two tensors.
        """
        what, total = part.replace("_", " "), self._checkpoint.nbytes(part)
        numbers, read = sum(tensor.numel() for tensor in module.state_dict(keep_vars=True).values()), 0
        for name, tensor in self._checkpoint.tensors(part):
            if self.cancelled():
                raise JobCancelled
            # In bytes of the files, whatever the precision in which their numbers come.
            self.report(WeightsRead(what, min(max(0, total - 1), total * read // max(1, numbers)), total))
            yield name, tensor
            read += tensor.numel()
        self.report(WeightsRead(what, total, total))


class _Vae:
    """The VAE of opened parts: brought to the card at each call, in tiles where the plan says so."""

    def __init__(self, parts: OpenParts) -> None:
        self._parts = parts
        config = parts._checkpoint.config("vae")
        self.spatial = int(config.get("scale_factor_spatial", 8))
        self.channels = int(config.get("z_dim", 16))

    def load(self, shape: Sequence[int] = ()) -> None:
        parts = self._parts
        if "vae" not in parts._placed:
            parts._load("vae")
        if parts.device.type == "cuda" and shape and tuple(shape) not in parts._ready:
            parts._ready.add(tuple(shape))
            self._make_ready(tuple(shape))

    def _make_ready(self, shape: tuple[int, ...]) -> None:
        """What the first chunk of a decode would wait for: kernels that the driver reads from disk when they are first
        used, and pinned memory for tiles.
        """
        parts = self._parts
        with self._open("vae warm") as vae:
            one, decoder = shape, vae
            if isinstance(vae, TiledVae):
                count, one = vae.tiles(shape)
                pin_ahead(cache_bytes(parts._skeleton("vae"), one, parts._vae_dtype), count)
                decoder = vae.inner
            for _ in decoder.decode(torch.zeros(*one[:2], 1, *one[3:], device=parts.device)):
                pass

    def encode(self, pixels: Tensor) -> Tensor:
        with self._open("vae encode") as vae:
            return vae.encode(pixels)

    def encode_chunks(self, chunks: Iterable[Tensor]) -> Tensor:
        with self._open("vae encode") as vae:
            return vae.encode_chunks(chunks)

    def decode(self, latents: Tensor, skip: int = 0) -> Iterator[Tensor]:
        with self._open("vae") as vae:
            chunks = iter(vae.decode(latents, skip))
        for _ in range(latents.shape[2]):
            with self._open("vae decode"):  # another network may have worked since the last chunk
                chunk = next(chunks)
            self._parts._report.look(chunk)
            yield chunk

    @contextmanager
    def _open(self, work: str) -> Iterator[VideoVae]:
        parts = self._parts
        with parts._at_work("vae", work) as module:
            tile = parts.plan.vae_tile
            vae: VideoVae = StreamingVae(module, parts.device, parts._vae_dtype, park=bool(tile))
            yield TiledVae(vae, tile) if tile else vae


def _set_forwards(module: nn.Module, *, compiled: bool) -> None:
    if compiled:
        compile_blocks(module)
    else:
        uncompile_blocks(module)
        lean_blocks(module)


def _never() -> Tensor:
    problem = "an encoding was forgotten as soon as it was made: the cache is too small for one job"
    raise RuntimeError(problem)
