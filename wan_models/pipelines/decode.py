"""The Wan VAEs in causal chunks: 1 frame, then 4 at a time, each ready before the next is begun.

Every convolution of these VAEs looks backwards in time only, and diffusers' ``AutoencoderKLWan`` already works in such
chunks inside, but keeps all frames until the last is done. Here each chunk is given away at once, so that one chunk's
activations, the convolutions' caches and the small latents are all that is on the device. The result has the same bits
as the whole ``decode`` and ``encode`` (tests/unit/pipelines/test_decode.py), of Wan2.1's VAE (16 channels, stride 8)
and Wan2.2's (48 channels, stride 16, 2 x 2 pixels folded into channels).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import torch
from diffusers.models.autoencoders import autoencoder_kl_wan
from torch import Tensor, nn

from .warming import beginnings, warm

_wan: Any = autoencoder_kl_wan  # diffusers' functions have no annotations

_HOST = torch.device("cpu")
Caches: TypeAlias = list[Tensor | str | None]
"""What each causal convolution remembers of the frames before."""
STRIDE = 4
"""Frames a latent frame, after the first, which holds one."""


def latent_frames(frames: int) -> int:
    """How many latent frames a clip of 4n + 1 frames has. Raises ValueError for another count."""
    if frames < 1 or (frames - 1) % STRIDE:
        problem = f"the VAE takes {STRIDE}n + 1 frames, not {frames}: pad the clip or cut it"
        raise ValueError(problem)
    return (frames - 1) // STRIDE + 1


class StreamingVae:
    """Chunked encode and decode of an ``AutoencoderKLWan``; see ``contracts.VideoVae``.

    Each call has caches of its own and leaves nothing in the module, so a decode may be given up half-way, and two may
    be under way at once.
    """

    def __init__(
        self,
        vae: nn.Module,
        device: torch.device,
        dtype: torch.dtype,
        *,
        park: bool = False,
        seen: Callable[[Caches], None] | None = None,
    ) -> None:
        """``vae``: an ``AutoencoderKLWan`` in evaluation mode. ``dtype`` is the one that its weights have on
        ``device``; the official code uses float32. ``park``: between two chunks of a decode its caches wait in the
        host's memory, so that of many decodes under way at once (tiles) only the one at work takes the card's.
        ``seen`` is shown the caches after each chunk of a decode.
        """
        self._park = park
        self._seen = seen
        self._vae: Any = vae
        config: Any = vae.config
        self._device = device
        self._dtype = dtype
        self.spatial: int = config.scale_factor_spatial
        self.channels: int = config.z_dim
        self._patch: int = config.patch_size or 1
        shape = (1, self.channels, 1, 1, 1)
        self._mean = torch.tensor(config.latents_mean, dtype=torch.float32, device=device).view(shape)
        self._std = torch.tensor(config.latents_std, dtype=torch.float32, device=device).view(shape)

    def load(self, shape: Sequence[int] = ()) -> None:
        """Nothing to do: the weights are here."""

    def encode(self, pixels: Tensor) -> Tensor:
        """(1, 3, T, H, W) in [-1, 1], T = 4n + 1, any device -> normalised latents float32 on the device."""
        count = latent_frames(pixels.shape[2])
        edges = [0, *(1 + STRIDE * index for index in range(count))]
        return self.encode_chunks(pixels[:, :, first:last] for first, last in pairwise(edges))

    @torch.no_grad()
    def encode_chunks(self, chunks: Iterable[Tensor]) -> Tensor:
        """As ``encode``, of (1, 3, 1, H, W) and then (1, 3, 4, H, W) each, so that the clip need never be whole."""
        caches = _caches(self._vae.encoder)
        encoded = []
        for index, chunk in enumerate(chunks):
            if chunk.shape[2] != (STRIDE if index else 1):
                problem = f"chunk {index} has {chunk.shape[2]} frames: the first must have 1, the others {STRIDE}"
                raise ValueError(problem)
            pixels = _wan.patchify(chunk.to(self._device, self._dtype), self._patch)
            encoded.append(self._vae.encoder(pixels, feat_cache=caches, feat_idx=[0]))
        if not encoded:
            problem = "there is nothing to encode: give at least one frame"
            raise ValueError(problem)
        # The last convolution sees one point in time only; of all at once it rounds as diffusers does.
        mu: Tensor = self._vae.quant_conv(torch.cat(encoded, 2)).chunk(2, dim=1)[0]
        return (mu.float() - self._mean) / self._std

    @torch.no_grad()
    def decode(self, latents: Tensor, skip: int = 0) -> Iterator[Tensor]:
        """Normalised latents (1, z, t, h, w) -> pixels (1, 3, n, H, W) float32 in [-1, 1], n = 1, then 4 each.

        n = 0 for the first ``skip`` latent frames, which are quicker (``warming.py``); the others have the same bits as
        without ``skip``.
        """
        scaled = latents.to(self._device, torch.float32) * self._std + self._mean
        codes = self._vae.post_quant_conv(scaled.to(self._dtype))
        caches, begins = _caches(self._vae.decoder), beginnings(self._vae.decoder, skip)
        for index in range(codes.shape[2]):
            code = codes[:, :, index : index + 1]
            caches = _moved(caches, self._device) if self._park else caches
            chunk = self._decoded(code, caches, index, begins if index < skip else None)
            caches = _moved(caches, _HOST) if self._park else caches
            if self._seen is not None:
                self._seen(caches)
            yield _wan.unpatchify(chunk, self._patch).clamp(-1.0, 1.0).float()

    def _decoded(self, code: Tensor, caches: list[Tensor | str | None], index: int, begins: list[int] | None) -> Tensor:
        """What the decoder gives; nothing where it is only to remember."""
        decoder = self._vae.decoder
        if begins is None:
            chunk: Tensor = decoder(code, feat_cache=caches, feat_idx=[0], first_chunk=index == 0)
            return chunk
        warm(decoder, code, caches, begins, index)
        sides = (side * self.spatial // self._patch for side in code.shape[3:])
        return code.new_empty((1, decoder.conv_out.out_channels, 0, *sides))


def _moved(caches: Caches, device: torch.device) -> Caches:
    """The same on another device. To the host without waiting, torch takes pinned memory; a stream keeps the order."""
    return [each.to(device, non_blocking=True) if isinstance(each, Tensor) else each for each in caches]


def _caches(module: nn.Module) -> Caches:
    """One empty place for each causal convolution, as ``AutoencoderKLWan.clear_cache`` makes them."""
    return [None] * sum(isinstance(each, _wan.WanCausalConv3d) for each in module.modules())
