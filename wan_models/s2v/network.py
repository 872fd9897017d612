"""Wan2.2-S2V-14B's network: a video of somebody who speaks or sings as a sound says, from one picture.

Written from the released tensors' names and shapes and the behaviour of the official code (Wan-Video/Wan2.2,
``wan/modules/s2v``), which it follows to rounding; made as diffusers makes its networks, so that what works on those
(memory plans, attention backends, compiled blocks, LoRAs) works on it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import diffusers
import torch
from diffusers.models import attention as diffusers_attention
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own habit

from . import positions
from .audio import AudioEncoder, AudioInjector, Sound
from .block import Head, WanS2VBlock
from .config import completed
from .motion import FRAMES, LATENTS, FramePacker
from .wide import WideLinear

STEPS = 4
"""Frames, and steps of audio features, a latent frame."""
_diffusers: Any = diffusers  # partly typed
_attention: Any = diffusers_attention
_OWN, _REFERENCE, _MOTION = range(3)  # rows of trainable_cond_mask


@dataclass(frozen=True)
class Stage:
    """What a clip's predictions share: tokens that stand ``still`` (b, m, dim), ``rotary`` positions of all tokens, and
    the ``pose`` (b, 16, frames, h, w). Where that is zeros, every token gets the same of it: ``unposed``
    (b, dim, 1, 1, 1). All but the positions in the network's precision.
    """

    still: Tensor
    rotary: Tensor
    pose: Tensor
    unposed: Tensor | None


@dataclass(frozen=True)
class Guide:
    """What one prediction is told: ``words`` (b, text_len, dim) and the sound."""

    words: Tensor
    sound: Sound


@dataclass(frozen=True)
class Conditions:
    """All that is the same at every step of a clip. For guidance make two with one ``stage``."""

    stage: Stage
    guide: Guide


class WanS2VTransformer3DModel(_diffusers.ModelMixin, _diffusers.ConfigMixin, _attention.AttentionMixin):  # type: ignore[misc]
    """The network. ``config``: the released config.json's keys (``config.RELEASED``), or the same as keywords.

    Tensors have the released names and shapes. Raises ValueError for settings that it does not have.
    """

    _repeated_blocks: ClassVar[list[str]] = ["WanS2VBlock"]
    _no_split_modules: ClassVar[list[str]] = ["WanS2VBlock"]
    _keep_in_fp32_modules: ClassVar[list[str]] = ["modulation"]
    _skip_layerwise_casting_patterns: ClassVar[list[str]] = [
        "patch_embedding", "cond_encoder", "frame_packer", "text_embedding", "time_", "casual_audio_encoder", "norm",
        "trainable_cond_mask", "modulation",
    ]  # fmt: skip

    def __init__(self, config: Mapping[str, Any] | None = None, **keys: Any) -> None:  # noqa: ANN401 - JSON's values
        super().__init__()
        values = completed({**(config or {}), **keys})
        self.register_to_config(**values)
        dim, eps, patch = values["dim"], values["eps"], values["patch_size"]
        self.patch_embedding = nn.Conv3d(values["in_dim"], dim, patch, patch)
        self.cond_encoder = nn.Conv3d(values["cond_dim"], dim, patch, patch)
        self.trainable_cond_mask = nn.Embedding(3, dim)
        self.frame_packer = FramePacker(values["in_dim"], dim)
        self.text_embedding = nn.Sequential(nn.Linear(values["text_dim"], dim), nn.GELU("tanh"), nn.Linear(dim, dim))
        self.time_embedding = nn.Sequential(WideLinear(values["freq_dim"], dim), nn.SiLU(), WideLinear(dim, dim))
        self.time_projection = nn.Sequential(nn.SiLU(), WideLinear(dim, dim * 6))
        self.casual_audio_encoder = AudioEncoder(values["audio_dim"], dim, values["num_audio_token"])
        heads, layers = values["num_heads"], values["num_layers"]
        self.blocks = nn.ModuleList(WanS2VBlock(dim, values["ffn_dim"], heads, eps) for _ in range(layers))
        self.audio_injector = AudioInjector(dim, heads, eps, len(values["audio_inject_layers"]))
        self.head = Head(dim, math.prod(patch) * values["out_dim"], eps)

    @staticmethod
    def _get_init_keys(input_class: type) -> set[str]:
        """diffusers reads the keys of a config from the constructor's signature."""
        return {"self", *completed({})}

    def forward(  # noqa: PLR0917 - as the other transformers are called
        self,
        hidden_states: Tensor,
        timestep: Tensor,
        encoder_hidden_states: Tensor | None = None,
        reference_latents: Tensor | None = None,
        pose_latents: Tensor | None = None,
        audio_features: Tensor | None = None,
        motion_latents: Tensor | None = None,
        *,
        conditions: Conditions | None = None,
    ) -> Tensor:
        """The velocity (b, 16, frames, h, w) float32 at ``hidden_states`` of the same shape.

        timestep (b,) in 0 to 1000; the others as in ``prepare``, and not needed where ``conditions`` are given.
        Raises ValueError for missing inputs and shapes that do not go together.
        """
        if conditions is None:
            conditions = self._prepared(
                encoder_hidden_states, reference_latents, pose_latents, audio_features, motion_latents
            )
        stage, guide = conditions.stage, conditions.guide
        _check_clip(hidden_states, stage, guide)
        hidden, own, grid = self._tokens(hidden_states, stage)
        time, temb = self._times(timestep.expand(hidden.shape[0]))
        listening = {layer: number for number, layer in enumerate(self.config.audio_inject_layers)}
        for layer, block in enumerate(self.blocks):
            hidden = block(hidden, guide.words, temb, stage.rotary, own)
            if layer in listening:
                hidden = self.audio_injector(listening[layer], hidden, own, guide.sound)
        return self._pictures(self.head(hidden[:, :own], time), grid)

    def prepare(
        self,
        encoder_hidden_states: Tensor,
        reference_latents: Tensor,
        pose_latents: Tensor,
        audio_features: Tensor,
        motion_latents: Tensor | None = None,
    ) -> Conditions:
        """All that does not change from step to step.

        encoder_hidden_states (b, l, text_dim), l <= text_len; reference_latents (b, 16, 1, h, w); pose_latents
        (b, 16, frames, h, w), zeros without a pose; audio_features (b, 25, audio_dim, 4 * frames), zeros for silence
        that guides nothing; motion_latents None for a first clip, else (b, 16, 19, h, w) of the 73 frames before.
        The latents' precision is that of the tokens. Raises ValueError for shapes that do not go together.
        """
        stage = self.stage(reference_latents, pose_latents, motion_latents)
        return Conditions(stage, self.guide(encoder_hidden_states, audio_features))

    def stage(self, reference_latents: Tensor, pose_latents: Tensor, motion_latents: Tensor | None = None) -> Stage:
        """The part of ``prepare`` that guided and unguided predictions share."""
        _check_latents(reference_latents, pose_latents, motion_latents)
        dtype, device = self._precision, pose_latents.device
        kinds = self.trainable_cond_mask(torch.tensor([_REFERENCE, _MOTION], device=device))
        still = [self.patch_embedding(reference_latents.to(dtype)).flatten(2).transpose(1, 2) + kinds[0]]
        if motion_latents is not None:
            still.append(self.frame_packer(motion_latents.to(dtype)) + kinds[1])
        frames, *size = pose_latents.shape[2:]
        width = self.config.dim // self.config.num_heads
        rotary = positions.tables(frames, (size[0], size[1]), width, motion=motion_latents is not None)
        pose = pose_latents.to(dtype)
        unposed = None if bool(pose.any()) else self.cond_encoder(pose[:, :, :1, :2, :2])
        return Stage(torch.cat(still, dim=1), rotary.to(device), pose, unposed)

    def guide(self, encoder_hidden_states: Tensor, audio_features: Tensor) -> Guide:
        """The part of ``prepare`` that one prediction is told."""
        dtype, length = self._precision, encoder_hidden_states.shape[1]
        if length > self.config.text_len:
            problem = f"the text has {length} tokens: at most {self.config.text_len} are read"
            raise ValueError(problem)
        padded = F.pad(encoder_hidden_states.to(dtype), (0, 0, 0, self.config.text_len - length))
        before = audio_features[..., :1].expand(-1, -1, -1, FRAMES)
        local, overall = self.casual_audio_encoder(torch.cat([before, audio_features], dim=-1))
        sound = Sound(local[:, LATENTS:].to(dtype), overall[:, LATENTS:].contiguous())
        return Guide(self.text_embedding(padded), sound)

    @property
    def _precision(self) -> torch.dtype:
        """In which layers work, whatever the blocks' weights are stored in."""
        dtype: torch.dtype = self.patch_embedding.weight.dtype
        return dtype

    def _prepared(self, *inputs: Tensor | None) -> Conditions:
        text, reference, pose, audio, motion = inputs
        if text is None or reference is None or pose is None or audio is None:
            problem = "give the text, the reference, the pose and the audio, or conditions made of them"
            raise ValueError(problem)
        return self.prepare(text, reference, pose, audio, motion)

    def _tokens(self, latents: Tensor, stage: Stage) -> tuple[Tensor, int, torch.Size]:
        """All tokens (b, l, dim) float32, how many of them are the clip's own, and their grid."""
        kind = self.trainable_cond_mask(torch.tensor(_OWN, device=latents.device)).float()
        patches = self.patch_embedding(latents.to(stage.still.dtype))
        patches = patches + (self.cond_encoder(stage.pose) if stage.unposed is None else stage.unposed)
        grid = patches.shape[2:]
        own = patches.flatten(2).transpose(1, 2) + kind
        return torch.cat([own, stage.still.float()], dim=1), own.shape[1], grid

    def _times(self, timestep: Tensor) -> tuple[Tensor, Tensor]:
        """The embedded timesteps (b, dim), and modulations (b, 2, 6, dim) of them and of timestep 0; float32."""
        both = torch.cat([timestep.double(), timestep.new_zeros(1).double()])
        half = self.config.freq_dim // 2
        rates = 10000.0 ** -(torch.arange(half, dtype=torch.float64, device=both.device) / half)
        waves = torch.outer(both, rates)
        time = self.time_embedding(torch.cat([waves.cos(), waves.sin()], dim=1).float())
        tables = self.time_projection(time).unflatten(1, (6, -1))
        still = tables[-1:].expand(len(timestep), -1, -1)
        return time[:-1], torch.stack([tables[:-1], still], dim=1)

    def _pictures(self, patches: Tensor, grid: torch.Size) -> Tensor:
        """(b, tokens, 4 * out) -> (b, out, frames, h, w)."""
        laid = patches.unflatten(2, (*self.config.patch_size, -1)).unflatten(1, grid)
        pictures: Tensor = laid.permute(0, 7, 1, 4, 2, 5, 3, 6).flatten(6, 7).flatten(4, 5).flatten(2, 3)
        return pictures


def _check_latents(reference: Tensor, pose: Tensor, motion: Tensor | None) -> None:
    height, width = pose.shape[-2:]
    step = 2 if motion is None else 8
    if height % step or width % step:
        problem = f"latents are {height} x {width}: give multiples of {step}" + (" where there is motion" * (step == 8))
        raise ValueError(problem)
    for name, latents in (("reference", reference), ("motion", motion)):
        if latents is not None and latents.shape[-2:] != pose.shape[-2:]:
            problem = f"{name} latents are {tuple(latents.shape[-2:])} and the clip's {(height, width)}: give one size"
            raise ValueError(problem)


def _check_clip(latents: Tensor, stage: Stage, guide: Guide) -> None:
    if latents.shape[2:] != stage.pose.shape[2:]:
        given, wanted = tuple(latents.shape[2:]), tuple(stage.pose.shape[2:])
        problem = f"the latents are {given} and the pose {wanted}: give one shape"
        raise ValueError(problem)
    heard = guide.sound.local.shape[1]
    if heard != latents.shape[2]:
        problem = f"the sound is {heard} latent frames long and the clip {latents.shape[2]}: give {STEPS} steps a frame"
        raise ValueError(problem)
