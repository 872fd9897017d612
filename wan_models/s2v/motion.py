"""Tokens of what was before a clip: the nearer, the finer (FramePack).

Of 19 latent frames the last has tokens of 2 x 2 latent pixels, the two before it together tokens of 4 x 4, and the
sixteen before those in fours tokens of 8 x 8. (Wan-Video/Wan2.2, ``FramePackMotioner``.)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own habit

LATENTS = 19
"""Latent frames of motion: 73 frames of pictures."""
FRAMES = 73


class FramePacker(nn.Module):
    """The three projections."""

    def __init__(self, inside: int, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv3d(inside, dim, (1, 2, 2), (1, 2, 2))
        self.proj_2x = nn.Conv3d(inside, dim, (2, 4, 4), (2, 4, 4))
        self.proj_4x = nn.Conv3d(inside, dim, (4, 8, 8), (4, 8, 8))

    def forward(self, latents: Tensor) -> Tensor:
        """(b, in, t, h, w), the newest last -> (b, 1.5 * h/2 * w/2, dim), finest first. Older ones than 19 are left
        out; fewer have zeros before them.
        """
        missing = max(0, LATENTS - latents.shape[2])
        latents = F.pad(latents, (0, 0, 0, 0, missing, 0))[:, :, -LATENTS:]
        old, middle, last = latents.split([16, 2, 1], dim=2)
        each = (self.proj(last), self.proj_2x(middle), self.proj_4x(old))
        return torch.cat([tokens.flatten(2).transpose(1, 2) for tokens in each], dim=1)
