"""A model that lies somewhere on this machine, as ``wan_models.store`` hands it to whatever reads its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from wan_models.engine import RequestRefused
from wan_models.rows import ModelRow, PartName

Layout = Literal["diffusers", "original", "single"]


class ModelMissing(RequestRefused):
    """Weights are not there, or not whole: what is missing, where it was looked for, what to do."""


@dataclass(frozen=True)
class Found:
    """Where a model's files are. Every path exists; nothing has been opened but indexes and headers.

    ``layout``: ``diffusers`` = a folder with model_index.json and one folder a part; ``original`` = the layout of the
    official code's repositories (.pth for text encoder, VAE and CLIP, a folder for S2V's audio encoder, original tensor
    names); ``single`` = loose files
    as in a ComfyUI tree (safetensors or GGUF, scaled fp8 perhaps, original or diffusers tensor names), whose folder is
    ``root`` and whose files may lie in several trees.

    ``files``: weight files of every part of the row, shards in order. ``tokenizer``: a folder that transformers can
    read; or a file that carries the SentencePiece model: ``spiece.model`` itself, or the text encoder's safetensors
    file with it in the uint8 tensor ``spiece_model``, as ComfyUI's have it.
    """

    row: ModelRow
    layout: Layout
    root: Path
    files: Mapping[PartName, tuple[Path, ...]]
    tokenizer: Path

    @property
    def nbytes(self) -> int:
        """Bytes of all weight files together."""
        return sum(path.stat().st_size for paths in self.files.values() for path in paths)
