"""umT5's tokenizer as the official code has it, from a folder, a SentencePiece file or ComfyUI's text encoder.

transformers 5's own T5 class is not asked: it builds the tokenizer anew and takes number 2 for what is unknown,
whatever the file says, while transformers 4, which the official code uses, took ``tokenizer.json`` as it is.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast
from transformers.tokenization_utils_sentencepiece import SentencePieceBackend

from wan_models.engine import RequestRefused

from .sources import SafeSource

_SPECIAL = {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
_SPIECE = "spiece_model"
"""The tensor of bytes in ComfyUI's text encoder files."""


class SpieceTokenizer(SentencePieceBackend):
    """T5's tokens by SentencePiece itself: pieces, then the end token."""

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """The tokens with the end token after each text."""
        end = [self.eos_token_id]
        return token_ids_0 + end + (token_ids_1 + end if token_ids_1 else [])


def read_tokenizer(path: Path) -> Any:  # noqa: ANN401 - transformers has no type for all of them
    """The tokenizer at ``path``: a folder with ``tokenizer.json`` or ``spiece.model``, that file, or a text encoder's
    safetensors file with the model in its tensor ``spiece_model``.

    Raises RequestRefused when there is none, or none that can be read.
    """
    try:
        if (path / "tokenizer.json").is_file():
            fast: Any = PreTrainedTokenizerFast
            return fast.from_pretrained(str(path), local_files_only=True, **_SPECIAL)
        if (path / "spiece.model").is_file():
            return _of_pieces(path / "spiece.model")
        if path.suffix == ".model" and path.is_file():
            return _of_pieces(path)
        if path.suffix == ".safetensors":
            return _embedded(path)
    except (OSError, ValueError, RuntimeError) as error:
        if isinstance(error, RequestRefused):
            raise
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        problem = f"the tokenizer {path} cannot be read ({reason}): download it again"
        raise RequestRefused(problem) from error
    problem = f"{path} has no tokenizer: a folder with tokenizer.json or spiece.model is wanted; download it again"
    raise RequestRefused(problem)


def _of_pieces(file: Path) -> Any:  # noqa: ANN401 - as above
    kind: Any = SpieceTokenizer
    return kind(vocab_file=str(file), **_SPECIAL)


def _embedded(path: Path) -> Any:  # noqa: ANN401 - as above
    source = SafeSource((path,))
    if _SPIECE not in source.shapes:
        problem = f"{path} carries no tokenizer: take the file with {_SPIECE} in it, or a tokenizer folder beside it"
        raise RequestRefused(problem)
    with tempfile.TemporaryDirectory() as folder:  # SentencePiece's Python class reads files only
        file = Path(folder) / "spiece.model"
        file.write_bytes(source.tensor(_SPIECE).numpy().tobytes())
        return _of_pieces(file)
