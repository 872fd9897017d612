"""A picture made to fit the clip: stretched, or scaled to cover it and cut, each as the official code does."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from .contracts import to_pixels

CLIP_SIDE = 224
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
STRETCH = 0.03
"""I2V stretches a picture whose aspect is off by less: the official size rule leaves up to 2 %."""


def stretched(image: NDArray[np.uint8], width: int, height: int) -> Tensor:
    """uint8 (h, w, 3) -> (1, 3, 1, height, width), bicubic, around [-1, 1]. Source: ``wan/image2video.py``."""
    pixels = to_pixels(image)[:, :, 0]
    return functional.interpolate(pixels, size=(height, width), mode="bicubic")[:, :, None]


def covering(image: NDArray[np.uint8], width: int, height: int) -> Tensor:
    """As ``stretched``, but scaled to cover the clip, Lanczos, and cut at the centre, within [-1, 1].

    Source: ``WanTI2V.i2v`` in ``wan/textimage2video.py``.
    """
    picture = Image.fromarray(image)
    scale = max(width / picture.width, height / picture.height)
    picture = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.LANCZOS)
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    return to_pixels(np.array(picture.crop((left, top, left + width, top + height))))


def clip_pixels(pixels: Tensor) -> Tensor:
    """CLIP's input (1, 3, 224, 224) of a picture (1, 3, H, W) in [-1, 1]: squashed whole, bicubic, not anti-aliased.

    Source: ``CLIPModel.visual`` in ``wan/modules/animate/clip.py``.
    """
    square = functional.interpolate(pixels, size=(CLIP_SIDE, CLIP_SIDE), mode="bicubic", align_corners=False)
    mean, std = (torch.tensor(each).view(1, 3, 1, 1).to(square) for each in (CLIP_MEAN, CLIP_STD))
    return (square * 0.5 + 0.5 - mean) / std


def stretch_of(image: NDArray[np.uint8], width: int, height: int) -> float:
    """How far the picture's aspect is from the clip's: 0.03 = one of the two is 3 % wider."""
    off: float = image.shape[1] * height / (image.shape[0] * width)
    return max(off, 1.0 / off) - 1.0


def cut_sentence(image: NDArray[np.uint8], width: int, height: int, name: str) -> str:
    """What the user is told about a picture that loses its edges."""
    return (
        f"the {name} is {image.shape[1]} x {image.shape[0]} and the clip {width} x {height}: "
        "it was scaled to cover the clip and its edges were cut off; give it the clip's proportions to keep all of it"
    )
