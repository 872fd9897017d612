"""A better look at latents than ``preview.look``: one frame through a tiny autoencoder's decoder, if its file is here.

TAEHV by Ollin Boer Bohan (github.com/madebyollin/taehv, MIT): ``taew2_1`` for the VAE of 16 channels, ``taew2_2`` for
the one of 48, and LightX2V's ``lighttaew2_*`` of the same tensors. This is a decoder of our own for their files. Its
blocks see the frame before theirs in time, three of them in each of three sizes, so a frame depends on the eight latent
frames before its own and on none behind it: with those it is what a decode of the whole clip gives.

Conventions: ``taew2_*`` takes latents as the transformer makes them (normalised), ``lighttaew2_*`` takes the large
VAE's (times its standard deviations, plus its means; LightX2V calls that ``need_scaled``). Colours are RGB in [0, 1].
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from wan_models.engine import RequestRefused, out_of_memory
from wan_models.weights.sources import Source, open_source

logger = logging.getLogger(__name__)

Moments: TypeAlias = tuple[Sequence[float], Sequence[float]]
"""Means and standard deviations of the large VAE's latents, one a channel."""
_BLOCKS = ((3, 4, 5), (9, 10, 11), (15, 16, 17))
"""Places of the blocks with memory in the released decoder, by size."""
REACH = sum(map(len, _BLOCKS[:2])) + 2
"""Latent frames before its own that a frame depends on; the last size has two steps a latent frame."""
_PATCHES = {3: 1, 12: 2}
"""Channels that come out: the side of the square of pixels that they are."""


class _Memory(nn.Module):
    """A residual block that sees its input and the input one step before."""

    def __init__(self, width: int) -> None:
        super().__init__()
        convs = [_conv(2 * width, width), nn.ReLU(), _conv(width, width), nn.ReLU(), _conv(width, width)]
        self.conv = nn.Sequential(*convs)

    def forward(self, now: Tensor, before: Tensor) -> Tensor:
        changed: Tensor = self.conv(torch.cat([now, before], 1))
        return functional.relu(changed.add_(now), inplace=True)


class _Grow(nn.Module):
    """One step in time to ``times`` of them."""

    def __init__(self, width: int, times: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width * times, 1, bias=False)
        self._width = width

    def forward(self, steps: Tensor) -> Tensor:
        grown: Tensor = self.conv(steps)
        return grown.reshape(-1, self._width, *steps.shape[2:])


def _conv(given: int, made: int, *, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(given, made, 3, padding=1, bias=bias)


class TinyDecoder(nn.Module):
    """The decoder, by the names of the released tensors; activations have places of their own in those names."""

    def __init__(self, channels: int, widths: tuple[int, int, int, int], patch: int) -> None:
        """``channels`` of latents; ``widths`` of the three sizes and of what comes out of the last (256, 128, 64 and 64
        in the released files); ``patch``: side of the square of pixels that a point of the last size is, 1 or 2.
        """
        super().__init__()
        one, two, three, four = widths
        self.channels, self._patch = channels, patch
        blank = nn.Identity
        self.decoder = nn.Sequential(
            blank(), _conv(channels, one), blank(), _Memory(one), _Memory(one), _Memory(one), blank(), _Grow(one, 1),
            _conv(one, two, bias=False), _Memory(two), _Memory(two), _Memory(two), blank(), _Grow(two, 2),
            _conv(two, three, bias=False), _Memory(three), _Memory(three), _Memory(three), blank(), _Grow(three, 2),
            _conv(three, four, bias=False), blank(), _conv(four, 3 * patch * patch),
        )  # fmt: skip

    @torch.no_grad()
    def frame(self, latents: Tensor, index: int, *, half: bool = True) -> Tensor:
        """Latents (1, z, t, h, w) and which latent frame -> its first frame, RGB (3, H, W) in [0, 1]; of latent frame 0
        the only one that a clip has of it. ``half``: of half the width and height, before the last size is doubled.
        """
        net = self.decoder
        window = latents[0, :, max(0, index - REACH) : index + 1].transpose(0, 1)
        steps = _Steps([functional.relu(net[1](torch.tanh(each / 3) * 3)) for each in window.split(1)], index <= REACH)
        self._remember(steps, _BLOCKS[0])
        steps.keep(REACH - 2)
        steps.change(lambda step: net[8](net[7](_doubled(step))))
        self._remember(steps, _BLOCKS[1])
        steps.keep(3)
        grown = [half_step for step in steps.now for half_step in net[13](step).split(1)]
        # Only the steps up to the one that is looked at, and the three before it.
        steps.now = grown[:-1] if index else grown
        del grown
        steps.keep(4)
        steps.change(lambda step: net[14](_doubled(step)))
        self._remember(steps, _BLOCKS[2])
        point = steps.now[-1]
        two = net[19](point if half else _doubled(point))
        point = net[20](two[:1] if index else two[1:])
        made = functional.pixel_shuffle(net[22](functional.relu(point)), self._patch)
        return made[0].clamp(0.0, 1.0)

    def _remember(self, steps: _Steps, blocks: tuple[int, ...]) -> None:
        """Through blocks with memory."""
        for number in blocks:
            block, before = self.decoder[number], torch.zeros_like(steps.now[0]) if steps.whole else None

            def seen(step: Tensor, block: nn.Module = block) -> Tensor:
                nonlocal before
                made: Tensor = step if before is None else block(step, before)
                before = step
                return made

            steps.change(seen)
            if not steps.whole:
                steps.now = steps.now[1:]


class _Steps:
    """Steps in time, (1, c, h, w) each, changed one by one: that needs the least memory. ``whole``: they begin where
    the clip does. Else each block with memory takes the first away, whose past is not known.
    """

    def __init__(self, now: list[Tensor], whole: bool) -> None:
        self.now, self.whole = now, whole

    def keep(self, count: int) -> None:
        """The last ``count`` at most."""
        self.whole = self.whole and len(self.now) <= count
        self.now = self.now[-count:]

    def change(self, change: Callable[[Tensor], Tensor]) -> None:
        """Each, first to last; what one was is not kept."""
        for place, step in enumerate(self.now):
            self.now[place] = change(step)


def _doubled(steps: Tensor) -> Tensor:
    return functional.interpolate(steps, scale_factor=2.0, mode="nearest")


def read_decoder(path: Path) -> TinyDecoder:
    """The decoder in a file (.safetensors or .pth), float32, on the CPU; the encoder beside it is not read.

    Raises RequestRefused for a file that cannot be read or is of another network, with its name.
    """
    source = open_source((path,))
    names = [name for name in source.shapes if name.startswith("decoder.")]
    try:
        decoder = _empty(source.shapes)
        decoder.load_state_dict({name: source.tensor(name).float() for name in names}, assign=True)
    except (KeyError, IndexError, RuntimeError) as error:
        raise RequestRefused(_not_one(path, source)) from error
    return decoder.eval().requires_grad_(False)


def _empty(shapes: Mapping[str, tuple[int, ...]]) -> TinyDecoder:
    """The network that such tensors are of, without numbers. Raises KeyError, IndexError."""
    one, two, three, four = (shapes[f"decoder.{place}.weight"][0] for place in (1, 8, 14, 20))
    patch = _PATCHES[shapes["decoder.22.weight"][0]]
    with torch.device("meta"):
        return TinyDecoder(shapes["decoder.1.weight"][1], (one, two, three, four), patch)


def _not_one(path: Path, source: Source) -> str:
    return (
        f"{path} is not the decoder of a TAEHV file such as taew2_1.safetensors ({len(source.shapes)} tensors of other "
        "names or shapes): download it again"
    )


class TinyEye:
    """A ``contracts.Eye`` of a file. Its weights (``nbytes``, 20 MB in half precision) are on the device until it is
    dropped; it works between two steps, in a part of the memory that a step takes.
    """

    def __init__(
        self, path: Path, channels: int, device: torch.device, dtype: torch.dtype, moments: Callable[[], Moments]
    ) -> None:
        """``channels`` of the latents that will come; ``moments`` is asked for files that take the large VAE's latents.
        Raises RequestRefused for a file that does not do.
        """
        decoder = read_decoder(path)
        if decoder.channels != channels:
            problem = (
                f"{path} is for latents of {decoder.channels} channels, these have {channels}: give it its own name"
            )
            raise RequestRefused(problem)
        self.problem = ""
        """Why it saw no more, as part of a sentence; empty while it does."""
        self._path = path
        self._device, self._dtype = device, dtype
        self._decoder = decoder.to(device, dtype)
        self._moments: tuple[Tensor, Tensor] | None = None
        if takes_raw(path):
            mean, std = (torch.tensor(each, dtype=torch.float32, device=device) for each in moments())
            self._moments = mean.view(1, -1, 1, 1, 1), std.view(1, -1, 1, 1, 1)

    @property
    def nbytes(self) -> int:
        """Bytes of its weights on the device."""
        return sum(each.numel() * each.element_size() for each in self._decoder.parameters())

    def __call__(self, latents: Tensor, index: int) -> NDArray[np.uint8] | None:
        """A frame of half the clip's width and height; None once memory ran out, and for the rest of the job."""
        if self.problem:
            return None
        try:
            return self._seen(latents[:, :, max(0, index - REACH - 1) : index + 1], min(index, REACH + 1))
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            logger.warning("no memory to look through %s: %s", self._path, error)
            self.problem = f"there was no memory for {self._path.name}"
            return None

    def _seen(self, latents: Tensor, index: int) -> NDArray[np.uint8]:
        given = latents.to(self._device, torch.float32)
        if self._moments is not None:
            given = given * self._moments[1] + self._moments[0]
        rgb = self._decoder.frame(given.to(self._dtype), index).float().nan_to_num()
        picture = (rgb * 255.0).round().to(torch.uint8).permute(1, 2, 0)
        return np.ascontiguousarray(picture.cpu().numpy())


def takes_raw(path: Path) -> bool:
    """Whether a file takes the large VAE's latents, not normalised ones: its tensors do not tell, its name does."""
    return path.name.lower().startswith("lighttae")
