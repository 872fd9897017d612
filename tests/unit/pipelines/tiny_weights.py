"""Files of tiny autoencoders with the released names and shapes, and random numbers that a seed gives anywhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

RELEASED = (256, 128, 64, 64)
NARROW = (8, 8, 4, 4)


def shapes(channels: int, widths: tuple[int, int, int, int] = RELEASED) -> dict[str, tuple[int, ...]]:
    """The decoder's tensors, in their order: 16 channels give pixels, 48 squares of 2 x 2."""
    told: dict[str, tuple[int, ...]] = {"1.weight": (widths[0], channels, 3, 3), "1.bias": (widths[0],)}
    for level, (first, times) in enumerate(((3, 1), (9, 2), (15, 2))):
        width, after = widths[level], widths[level + 1]
        for block in range(first, first + 3):
            for conv, given in ((0, 2 * width), (2, width), (4, width)):
                told[f"{block}.conv.{conv}.weight"] = (width, given, 3, 3)
                told[f"{block}.conv.{conv}.bias"] = (width,)
        told[f"{first + 4}.conv.weight"] = (width * times, width, 1, 1)
        told[f"{first + 5}.weight"] = (after, width, 3, 3)
    made = 3 if channels == 16 else 12
    told |= {"22.weight": (made, widths[3], 3, 3), "22.bias": (made,)}
    return {f"decoder.{name}": shape for name, shape in told.items()}


def tensors(channels: int, widths: tuple[int, int, int, int] = RELEASED, seed: int = 0) -> dict[str, Tensor]:
    """Numbers that keep a signal's size; outputs lie around 0.5, mostly within [0, 1]."""
    generator, made = np.random.default_rng(seed), {}
    for name, shape in shapes(channels, widths).items():
        spread = (1.0 if ".conv." in name else 1.4) / np.sqrt(np.prod(shape[1:])) if len(shape) > 1 else 0.05
        if name == "decoder.22.weight":
            spread *= 0.12
        numbers = generator.standard_normal(shape, dtype=np.float32) * np.float32(spread)
        made[name] = torch.from_numpy(numbers + np.float32(0.5 if name == "decoder.22.bias" else 0.0))
    return made


def write(path: Path, given: dict[str, Tensor]) -> Path:
    """A file with an encoder's tensor beside the decoder's, by the kind that its name ends in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = {"encoder.0.weight": torch.zeros(64, 3, 3, 3), **given}
    if path.suffix == ".pth":
        torch.save(whole, path)
    else:
        save_file(whole, str(path))
    return path
