"""Makes tiny_vae.npz: random latents and what TAEHV's own code gives for them (MIT code, not kept here).

    git clone https://github.com/madebyollin/taehv DIR
    python -m tests.unit.pipelines.make_tiny_vae_fixture DIR

The weights are those of ``tiny_weights.tensors``, in its network of the released widths.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from tests.unit.pipelines.tiny_weights import tensors

CLIPS = {16: (12, 3, 5), 48: (12, 2, 3)}
"""Channels: latent frames, height and width."""
HALF, WHOLE = (0, 1, 8, 9, 11), (0, 2)
"""Latent frames that are looked at, of half the clip's width and height, and of the whole."""


def main(folder: Path) -> None:
    """Writes the file beside this one."""
    sys.path.insert(0, str(folder))
    from taehv import TAEHV

    made = {}
    for channels, (count, height, width) in CLIPS.items():
        latents = torch.randn(1, count, channels, height, width, generator=torch.Generator().manual_seed(channels))
        made[f"latents{channels}"] = latents[0].numpy()
        for half in (True, False):
            network = TAEHV(
                None, decoder_space_upscale=(True, True, not half), latent_channels=channels,
                patch_size=2 if channels == 48 else 1,
            )  # fmt: skip
            network.load_state_dict(tensors(channels), strict=False)
            with torch.no_grad():
                video = network.decode_video(latents, show_progress_bar=False)[0]
            # The clip's first frame is latent frame 0's; each of the others begins with frame 4 n - 3.
            chosen = [max(0, 4 * index - 3) for index in (HALF if half else WHOLE)]
            made[f"{'half' if half else 'whole'}{channels}"] = video[chosen].numpy()
    np.savez_compressed(
        Path(__file__).with_name("tiny_vae.npz"), looked_at_half=np.array(HALF), looked_at_whole=np.array(WHOLE), **made
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
