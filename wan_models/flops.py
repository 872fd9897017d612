"""How much work a clip is, by arithmetic on a model's row: to scale a time that was measured to another size. No torch.

Only ratios within one model are used, so small terms are left out: projections of the text (512 tokens, once a block),
norms, adapters of faces and sound.
"""

from __future__ import annotations

from wan_models.memory import sizes
from wan_models.rows import ModelRow

_TEXT_TOKENS = 512
_FFN, _LAYERS = 13824, 40  # of the 14B models, where a config says nothing


def forward(row: ModelRow, width: int, height: int, frames: int) -> float:
    """Floating-point operations of one forward of the transformer.

    With n tokens of width d, a feed-forward width f and L blocks: L * (2 n (6 d^2 + 2 d f) + 4 n^2 d + 4 n 512 d), two
    for each multiply-and-add: the projections of self-attention (4 d^2) and the two of cross-attention that work on
    these tokens, the feed-forward layers, self-attention of n by n, cross-attention to the text. So a time grows with
    the square of the tokens where attention is most of it, and with the tokens where it is not.
    """
    config = row.parts["transformer"].config
    d, n = sizes.width(row), sizes.tokens(row, width, height, frames)
    f, layers = int(config.get("ffn_dim", _FFN)), int(config.get("num_layers", _LAYERS))
    linear = 2.0 * n * (6 * d * d + 2 * d * f)
    return layers * (linear + 4.0 * n * n * d + 4.0 * n * _TEXT_TOKENS * d)


def denoising(row: ModelRow, width: int, height: int, frames: int, *, steps: int, guides: bool, passes: int) -> float:
    """Of a whole clip: each step of each pass is a forward, or two where guidance needs one without the prompt too."""
    return forward(row, width, height, frames) * steps * (2 if guides else 1) * passes
