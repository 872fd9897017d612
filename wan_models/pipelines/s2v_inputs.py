"""What Wan2.2-S2V is given of a request: the picture of who speaks, what is heard, and the pose to follow.

Source: ``wan/speech2video.py`` of Wan2.2, and ``examples/pose.mp4`` there for how a pose is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wan_models.control.skeleton import draw_pose
from wan_models.requests import DrivePack, Request, Sound
from wan_models.s2v.hearing import features
from wan_models.sound import read_wave

from .animate_inputs import seen
from .contracts import Parts, to_pixels
from .decode import STRIDE
from .pictures import covering, cut_sentence, stretch_of
from .s2v_checks import CUT, moved, person

FPS = 16.0
"""Frames a second that the network was trained to see and hear."""


def reference(request: Request) -> tuple[Tensor, str]:
    """Pixels (1, 3, 1, H, W) of who speaks, and what the user should know about them, or nothing.

    Scaled to cover the shot and cut at the centre. (The official code matches the shorter side only, so a picture
    narrower than the shot gets black bars.)
    """
    image, name = person(request)
    sentence = ""
    if stretch_of(image, request.width, request.height) > CUT:
        sentence = cut_sentence(image, request.width, request.height, name)
    return covering(image, request.width, request.height), sentence


def heard(parts: Parts, sound: Sound, frames: int, total: int, drop: int) -> Tensor:
    """What the network hears at each of ``total`` frames of all clips: float32 (1, 25, width, total) on the CPU.

    The first ``drop`` of them are not used, so that the shot's frame k is the network's frame k + ``drop``; it hears
    what sounds at k / 16 seconds. (The official code lets it hear (k + ``drop``) / 16: pictures three frames early.)
    Nothing is heard behind the last of the shot's ``frames``.
    """
    wave = read_wave(sound, seconds=frames / FPS)
    return features(parts.hear(wave), total, fps=FPS, lead=drop / FPS)


class Drawings:
    """The pose of one person, drawn for each frame of all clips: uint8 (n, H, W, 3), black behind the shot's end.

    As Animate's drawing with red and blue exchanged, which is how the official example of a pose video for this model
    shows them. The shot's frame k is the network's frame k + ``drop``, as with the sound.
    """

    def __init__(self, pack: DrivePack, frames: int, drop: int) -> None:
        """``frames`` of the pack are followed."""
        self._pack, self._frames, self._drop = pack, frames, drop
        self._pose = moved(pack).pose

    def clip(self, first: int, length: int) -> Iterator[Tensor]:
        """Pixels of the network's frames ``first``.. as the VAE takes them: its first one, then all, four each."""
        yield to_pixels(self._drawn(first))
        for place in range(first, first + length, STRIDE):
            yield to_pixels(np.stack([self._drawn(place + each) for each in range(STRIDE)]))

    def _drawn(self, place: int) -> NDArray[np.uint8]:
        t = max(place - self._drop, 0)
        height, width = self._pack.height, self._pack.width
        if t >= self._frames:
            return np.zeros((height, width, 3), np.uint8)
        pose = self._pose
        left, right = (None if hand is None else seen(hand[t]) for hand in (pose.left_hand, pose.right_hand))
        return draw_pose(seen(pose.body[t]), left, right, height=height, width=width)[..., ::-1].copy()


def no_pose(latents: Tensor, frames: int) -> Tensor:
    """Latents of no pose at all, for ``frames`` latent frames of the size of ``latents``: zeros, not those of black."""
    return torch.zeros_like(latents[:, :, :1]).repeat(1, 1, frames, 1, 1)
