"""What a checkpoint's config.json says of the network. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RELEASED: Mapping[str, Any] = {
    "model_type": "s2v",
    "dim": 5120,
    "ffn_dim": 13824,
    "num_heads": 40,
    "num_layers": 40,
    "freq_dim": 256,
    "text_len": 512,
    "in_dim": 16,
    "out_dim": 16,
    "eps": 1e-6,
    "audio_dim": 1024,
    "num_audio_token": 4,
    "cond_dim": 16,
    "audio_inject_layers": [0, 4, 8, 12, 16, 20, 24, 27, 30, 33, 36, 39],
    "enable_adain": True,
    "adain_mode": "attn_norm",
    "zero_init": True,
    "zero_timestep": True,
    "add_last_motion": True,
    "enable_framepack": True,
    "framepack_drop_mode": "padd",
    "enable_motioner": False,
    "enable_tsm": False,
    "trainable_token_pos_emb": False,
}
"""config.json of Wan-AI/Wan2.2-S2V-14B, without the names of its class and library."""

LEFT_OUT: Mapping[str, Any] = {
    "text_dim": 4096,
    "patch_size": (1, 2, 2),
    "qk_norm": True,
    "cross_attn_norm": True,
    "window_size": (-1, -1),
    "motion_token_num": 1024,
}
"""What that file leaves to the official class's defaults."""

_FREE = frozenset({
    "dim", "ffn_dim", "num_heads", "num_layers", "freq_dim", "text_len", "text_dim", "in_dim", "out_dim", "eps",
    "audio_dim", "num_audio_token", "cond_dim", "audio_inject_layers", "patch_size", "zero_init", "motion_token_num",
})  # fmt: skip
"""Keys of any value; of the others there are variants that were never released and that this network does not have.
``zero_init`` matters for training only, ``motion_token_num`` for the motioner that is switched off.
"""


def completed(config: Mapping[str, Any]) -> dict[str, Any]:
    """All keys, those that are missing as released. Keys that begin with an underscore are left out.

    Raises ValueError for a key or a variant that the network does not know, by name.
    """
    values: dict[str, Any] = {**RELEASED, **LEFT_OUT}
    given = {key: value for key, value in config.items() if not key.startswith("_")}
    for key, value in given.items():
        if key not in values:
            problem = f"{key} is no setting of an S2V network: there are {', '.join(sorted(values))}"
            raise ValueError(problem)
        if key not in _FREE and _plain(value) != _plain(values[key]):
            problem = f"{key} is {value!r}: only the released network's {values[key]!r} is built"
            raise ValueError(problem)
    values |= given
    values["patch_size"] = tuple(values["patch_size"])
    values["audio_inject_layers"] = sorted(values["audio_inject_layers"])
    _check(values)
    return values


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever JSON holds
    return list(value) if isinstance(value, tuple) else value


def _check(values: Mapping[str, Any]) -> None:
    dim, heads, layers = values["dim"], values["num_heads"], values["num_layers"]
    problem = ""
    if dim % heads or dim // heads % 2 or dim % 4:
        problem = f"dim is {dim} for {heads} heads: it must be a multiple of 4, and its share of a head even"
    elif values["patch_size"] != (1, 2, 2):
        problem = f"patch_size is {values['patch_size']}: the motion tokens are made for (1, 2, 2)"
    elif values["cond_dim"] != values["in_dim"]:
        problem = f"cond_dim is {values['cond_dim']}: poses are latents as the pictures are, {values['in_dim']} deep"
    elif not set(values["audio_inject_layers"]) <= set(range(layers)):
        problem = f"audio_inject_layers are {values['audio_inject_layers']}: there are layers 0 to {layers - 1}"
    if problem:
        raise ValueError(problem)
