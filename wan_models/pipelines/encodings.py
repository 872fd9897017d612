"""Text as the Wan models want it, and a memory of what was encoded before."""

from __future__ import annotations

import hashlib
import html
import re
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import ftfy
import torch
from torch import Tensor, nn

TEXT_TOKENS = 512
_CACHE_BYTES = 512 * 2**20  # a text is 4 MiB in bf16, a picture's encoding 0.7 MiB


def clean(prompt: str) -> str:
    """The official cleaning: ftfy, HTML entities undone twice, white space collapsed."""
    text = html.unescape(html.unescape(ftfy.fix_text(prompt))).strip()
    return re.sub(r"\s+", " ", text).strip()


def encode_text(encoder: nn.Module, tokenizer: Any, prompt: str, device: torch.device) -> Tensor:  # noqa: ANN401
    """(1, 512, width) in the encoder's precision: padded or cut to 512 tokens, zeros after the last true one.

    The embedding is looked up where it is, which may be the host; the layers work on ``device``.
    """
    tokens = tokenizer(
        [clean(prompt)],
        padding="max_length",
        max_length=TEXT_TOKENS,
        truncation=True,
        add_special_tokens=True,
        return_attention_mask=True,
        return_tensors="pt",
    )
    mask = tokens.attention_mask
    table = encoder.get_input_embeddings()  # type: ignore[operator]
    embedded = table(tokens.input_ids.to(table.weight.device)).to(device)
    hidden: Tensor = encoder(inputs_embeds=embedded, attention_mask=mask.to(device)).last_hidden_state
    hidden[:, int(mask.sum()) :] = 0
    return hidden


class EncodingCache:
    """Encodings by content, on the host, the oldest forgotten first. Tensors come back as they went in.

    One that alone would take half of ``limit`` bytes (a sound of minutes) is not kept.
    """

    def __init__(self, limit: int = _CACHE_BYTES) -> None:
        self._limit = limit
        self._kept: OrderedDict[str, Tensor] = OrderedDict()

    def get(self, key: str, make: Callable[[], Tensor]) -> Tensor:
        """What was kept under the key, else what ``make`` gives, on the host."""
        if key not in self._kept:
            made = make().detach().cpu()
            if made.nbytes > self._limit // 2:
                return made
            self._kept[key] = made
        self._kept.move_to_end(key)
        while len(self._kept) > 1 and sum(tensor.nbytes for tensor in self._kept.values()) > self._limit:
            self._kept.popitem(last=False)
        return self._kept[key]

    def __contains__(self, key: str) -> bool:
        return key in self._kept


def content_key(*items: str | bytes | Tensor) -> str:
    """A hash of texts, bytes and tensors (values, shape and precision)."""
    digest = hashlib.blake2b(digest_size=16)
    for item in items:
        if isinstance(item, Tensor):
            digest.update(f"{item.dtype}{tuple(item.shape)}".encode())
            data: Any = item.detach().cpu().contiguous().view(torch.uint8).numpy()
        else:
            data = item.encode() if isinstance(item, str) else item
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()
