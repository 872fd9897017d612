"""A small T5 tokenizer that needs no file: characters and words of the usual prompts, English and Chinese."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

from transformers import T5Tokenizer

from wan_models.models import ANIMATE2_PROMPT, ANIMATE_PROMPT, NEGATIVE

VOCABULARY = 512
"""Tokens; a text encoder of any size can be used with it."""
_SPECIAL = ("<pad>", "</s>", "<unk>")
"""In the order that transformers' class expects; padding and the end have the released numbers, 0 and 1."""
_ENGLISH = (
    "a person walks through the city at night, wet street, warm light from the shop windows, slow camera move, "
    "cinematic, shallow depth of field. a woman turns her head and smiles at the camera, soft wind in her hair. "
    "the man runs and jumps over the wall; dust, sunlight, long shadows, high detail. two dancers on a stage, "
    "smoke, blue and red light. an old car drives along the coast, the sea is calm, clouds move in the sky. "
    "blurred, static, low quality, worst quality, still picture, subtitles, deformed hands, extra fingers"
)


def _pieces() -> list[tuple[str, float]]:
    """Words and characters of a small text with their log probabilities."""
    words = Counter(f"▁{word}" for word in _ENGLISH.split())
    characters = Counter(NEGATIVE + ANIMATE_PROMPT + ANIMATE2_PROMPT + _ENGLISH.replace(" ", "▁"))
    for code in range(33, 127):
        characters[chr(code)] += 1
    total = words.total() + characters.total()
    room = VOCABULARY - len(_SPECIAL)
    ranked = sorted(characters.items(), key=lambda item: (-item[1], item[0]))
    ranked += sorted(words.items(), key=lambda item: (-item[1], item[0]))
    return [(piece, math.log(count / total)) for piece, count in ranked[:room]]


def small_tokenizer() -> T5Tokenizer:
    """A T5 tokenizer of at most ``VOCABULARY`` tokens; a character that it does not have is unknown (number 2)."""
    special = [(token, 0.0) for token in _SPECIAL]
    return T5Tokenizer(vocab=[*special, *_pieces()], extra_ids=0, model_max_length=512)


def write_tokenizer(folder: Path) -> None:
    """Write the tokenizer as the released repositories have it."""
    small_tokenizer().save_pretrained(str(folder))
