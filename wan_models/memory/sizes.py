"""How many bytes a model's parts and its work take, by arithmetic on its row. No torch here.

Figures marked (measured) come from one H100 with torch 2.11 and diffusers 0.42.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wan_models.rows import ModelRow, PartName

MIB = 2**20
_DEFAULTS = {"num_attention_heads": 40, "attention_head_dim": 128, "ffn_dim": 13824, "num_layers": 40}
_HIDDEN_COPIES = {"t2v": 8.0, "i2v": 8.0, "animate": 8.0, "ti2v": 8.0, "animate2": 21.5, "s2v": 6.0}
"""Peak of a forward in hidden states (tokens x width x 2 bytes), by family: diffusers' blocks take 12.9 (measured at
832x480 and 1280x720), lean ones (``lean.py``) about 7; S2V's, lean as they are, 5 (counted on the meta device).
"""
_AT_A_TIME = {"s2v": 900 * MIB}
"""What ``lean.CHUNK`` tokens need besides, where it is not 640 MiB: S2V's are normed and rotated in five copies."""
_VAE_BYTES = {16: 5800.0, 48: 6400.0}
"""Peak of one causal chunk in elements a pixel, by latent channels (measured whole-clip decodes less their output)."""
TEXT_WORK = 400 * MIB
"""Activations of the text encoder on 512 tokens."""
CLIP_WORK = 200 * MIB
_HEARD, _PIECE = 10_000, 500
"""Frames of the audio encoder, 50 a second, that attend to each other, and whose convolutions run at once
(``s2v/hearing.py``, which needs torch).
"""
_CARRIED = 73
"""Frames that one clip of S2V hands to the next, through the VAE's encoder in chunks as any clip."""


@dataclass(frozen=True)
class Blocks:
    """The transformer of a row: ``count`` blocks; bytes of the largest unit that streams (a block and what goes with
    it), of all blocks, and of the rest, which always stays together.
    """

    count: int
    unit: int
    all: int
    rest: int

    @property
    def whole(self) -> int:
        """The network."""
        return self.all + self.rest


def width(row: ModelRow) -> int:
    """Numbers a token."""
    config = {**_DEFAULTS, **row.parts["transformer"].config}
    return int(config.get("dim") or config["num_attention_heads"] * config["attention_head_dim"])


def blocks(row: ModelRow, weights: str) -> Blocks:
    """Sizes of a transformer's blocks with ``weights`` bf16 or fp8 (Linear weights of all but the first and last).

    A block has 8 d^2 + 2 d f weights (self- and cross-attention, feed-forward), 2 d^2 more with picture tokens;
    Animate's face adapters, 4 d^2 each, go with every fifth block, S2V's audio injectors, 6 d^2 each, with those that
    its config names.
    """
    part = row.parts["transformer"]
    config = {**_DEFAULTS, **part.config}
    d, f, count = width(row), int(config["ffn_dim"]), int(config["num_layers"])
    pictures = 2 * d * d if row.family in ("animate", "animate2") else 0
    matrix = 8 * d * d + 2 * d * f + pictures
    adapter = {"animate": 4, "s2v": 6}.get(row.family, 0) * d * d
    after = _adapted(row, config, count)
    small = 64 * d  # biases, norms and tables, some of them float32
    inner = count * matrix + adapter * len(after)
    rest = 2 * max(part.params - inner, 0)
    full = 2 * (matrix + adapter) + small
    if weights == "bf16":
        return Blocks(count, full, 2 * inner + count * small, rest)
    whole_ones = 2 * matrix + adapter * len(after & {0, count - 1})
    return Blocks(count, full, inner + whole_ones + count * small, rest)


def _adapted(row: ModelRow, config: Mapping[str, Any], count: int) -> set[int]:
    """Blocks that an adapter goes with."""
    if row.family == "s2v":
        return {int(index) for index in config["audio_inject_layers"]}
    step = int(config.get("inject_face_latents_blocks", 5))
    return set(range(0, count // step * step, step)) if row.family == "animate" else set()


def latent_frames(row: ModelRow, frames: int) -> int:
    """Latent frames that the transformer sees at once: a segment's, with the reference of Animate, Animate-2 and S2V.

    S2V makes whole clips only, of as many latent frames as they have frames by fours.
    """
    if row.family == "s2v":
        return row.segment // 4 + 1
    shown = min(frames, row.segment) if row.segment else frames
    return (shown - 1 + 3) // 4 + 1 + (1 if row.family in ("animate", "animate2") else 0)


def tokens(row: ModelRow, width_px: int, height_px: int, frames: int) -> int:
    """Tokens of one forward; S2V's with those of the frames before the clip, in three finenesses."""
    patch = 2 * _stride(row)
    one = (width_px // patch) * (height_px // patch)
    return latent_frames(row, frames) * one + (one + 2 * (one // 4) if row.family == "s2v" else 0)


def work(row: ModelRow, width_px: int, height_px: int, frames: int) -> int:
    """Peak of a forward beside the weights; a part of it is the same for all sizes (``lean.CHUNK`` tokens)."""
    state = tokens(row, width_px, height_px, frames) * width(row) * 2
    return int(_HIDDEN_COPIES[row.family] * state) + _AT_A_TIME.get(row.family, 640 * MIB)


def reference_cache(row: ModelRow, width_px: int, height_px: int, frames: int) -> int:
    """Animate-2 keeps the keys and values of the driving segment, which has no reference frame, for every block."""
    if row.family != "animate2":
        return 0
    seen = latent_frames(row, frames)
    driving = tokens(row, width_px, height_px, frames) // seen * (seen - 1)
    return 2 * blocks(row, "bf16").count * driving * width(row) * 2


def audio_work(row: ModelRow, frames: int) -> int:
    """Activations of the audio encoder on the sound of ``frames``, float32: its convolutions on one piece, whose first
    layer has 64 samples a frame; then about ten hidden states, and two of the feed-forward layer's.
    """
    config = row.parts["audio_encoder"].config
    heard = min(_HEARD, int(frames / row.fps * 50) + 1)
    layer = 10 * int(config["hidden_size"]) + 2 * int(config["intermediate_size"])
    return 4 * max(4 * 64 * _PIECE * int(config["conv_dim"][0]), heard * layer) + 64 * MIB


def vae_work(row: ModelRow, width_px: int, height_px: int, element: int) -> int:
    """Peak of one causal chunk (4 frames) of the VAE beside its weights; ``element`` bytes a number."""
    return int(_VAE_BYTES[_channels(row)] * width_px * height_px * element)


def carried(row: ModelRow, width_px: int, height_px: int) -> int:
    """Host memory of the frames (float32) that S2V keeps of a clip until the next one is told of them."""
    return _CARRIED * 3 * 4 * width_px * height_px if row.family == "s2v" else 0


def part(row: ModelRow, name: PartName, element: int = 2) -> int:
    """A whole part with ``element`` bytes a number; 0 if the model has none of it."""
    return row.parts[name].params * element if name in row.parts else 0


def text_streamed(row: ModelRow) -> int:
    """Card memory of the text encoder when its layers come one by one: two of them. The embedding stays outside."""
    config = row.parts["text_encoder"].config
    inner = int(config["d_kv"]) * int(config["num_heads"])
    layer = 4 * int(config["d_model"]) * inner + 3 * int(config["d_model"]) * int(config["d_ff"])
    return 2 * 2 * layer


def _channels(row: ModelRow) -> int:
    return int(row.parts["vae"].config.get("z_dim", 16))


def _stride(row: ModelRow) -> int:
    return 16 if _channels(row) == 48 else 8
