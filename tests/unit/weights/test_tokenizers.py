"""Tokenizers from every place where people have them; the tiny one encodes English and Chinese."""

from __future__ import annotations

from pathlib import Path

import pytest
import sentencepiece
import torch
from safetensors.torch import save_file
from transformers import AutoTokenizer

from wan_models.engine import RequestRefused
from wan_models.models import NEGATIVE
from wan_models.weights.tokenizers import read_tokenizer
from wan_models.weights.tokens import VOCABULARY, small_tokenizer, write_tokenizer

TEXTS = ("a woman walks, slow camera move", NEGATIVE, "Ünïcode 🎬", "")


@pytest.fixture(scope="module")
def pieces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SentencePiece model with umT5's special numbers and bytes for what it does not know."""
    folder = tmp_path_factory.mktemp("pieces")
    (folder / "text.txt").write_text("\n".join([NEGATIVE, *TEXTS, "the man runs over the wall"] * 10), encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "text.txt"), model_prefix=str(folder / "spiece"), vocab_size=500, hard_vocab_limit=False,
        byte_fallback=True, pad_id=0, eos_id=1, bos_id=2, unk_id=3, num_threads=1, minloglevel=2,
    )  # fmt: skip
    return folder / "spiece.model"


def test_the_small_tokenizer() -> None:
    tokenizer = small_tokenizer()
    assert len(tokenizer) <= VOCABULARY
    for text in TEXTS[:2]:
        ids = tokenizer(text).input_ids
        assert ids[-1] == 1
        assert 2 not in ids
        assert tokenizer.decode(ids, skip_special_tokens=True).replace(" ", "") == text.replace(" ", "")
    padded = tokenizer(["sea"], padding="max_length", max_length=512, truncation=True, return_tensors="pt")
    assert padded.input_ids.shape == (1, 512)
    assert int(padded.attention_mask.sum()) < 10
    assert padded.input_ids[0, -1] == 0


def test_a_folder_is_read_as_its_file_says(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    ours, theirs = read_tokenizer(tmp_path), AutoTokenizer.from_pretrained(str(tmp_path))
    for text in TEXTS:
        assert ours(text).input_ids == theirs(text).input_ids
    assert (ours.pad_token_id, ours.eos_token_id, ours.unk_token_id) == (0, 1, 2)


def test_sentencepiece_models(pieces: Path, tmp_path: Path) -> None:
    save_file(
        {"spiece_model": torch.frombuffer(bytearray(pieces.read_bytes()), dtype=torch.uint8), "w": torch.zeros(2)},
        str(tmp_path / "umt5.safetensors"),
    )
    reference = sentencepiece.SentencePieceProcessor(model_file=str(pieces))
    for tokenizer in map(read_tokenizer, (pieces, pieces.parent, tmp_path / "umt5.safetensors")):
        for text in TEXTS:
            told = tokenizer([text], padding="max_length", max_length=200, truncation=True, return_tensors="pt")
            wanted = [*reference.encode(text), 1]
            assert told.input_ids[0, : len(wanted)].tolist() == wanted
            assert int(told.attention_mask.sum()) == len(wanted)
        assert tokenizer([NEGATIVE], max_length=8, truncation=True).input_ids[0][-1] == 1


def test_what_is_no_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(RequestRefused, match=r"has no tokenizer: a folder with tokenizer\.json"):
        read_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(RequestRefused, match="cannot be read"):
        read_tokenizer(tmp_path)
    (tmp_path / "spiece.model").write_bytes(b"nothing")
    with pytest.raises(RequestRefused, match="cannot be read"):
        read_tokenizer(tmp_path / "spiece.model")
    save_file({"w": torch.zeros(2)}, str(tmp_path / "umt5.safetensors"))
    with pytest.raises(RequestRefused, match="carries no tokenizer"):
        read_tokenizer(tmp_path / "umt5.safetensors")
