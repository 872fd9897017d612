"""Checkpoints on disk, in whatever layout they were found."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from wan_models.engine import RequestRefused
from wan_models.pipelines.contracts import Checkpoint
from wan_models.rows import PartName
from wan_models.store.found import Found

from .naming import Naming, open_naming
from .networks import tensor_shapes
from .shapes import inferred
from .sources import open_source
from .tokenizers import read_tokenizer


class FileCheckpoint:
    """Implements contracts.Checkpoint over files. They are opened when first read, and read anew each time."""

    def __init__(self, found: Found) -> None:
        self.row = found.row
        self.found = found
        self.identity = _identity(found)
        self._configs: dict[PartName, Mapping[str, Any]] = {}

    def config(self, part: PartName) -> Mapping[str, Any]:
        """From the part's ``config.json``, or the released one with the sizes that the tensors tell.

        Raises RequestRefused.
        """
        if part not in self._configs:
            if self.found.layout == "diffusers":
                self._configs[part] = _config(self.found.files[part][0].parent / "config.json")
            else:
                self._configs[part] = inferred(self.row, part, self._open(part).shapes, self._original_config(part))
        return self._configs[part]

    def tensors(self, part: PartName) -> Iterator[tuple[str, Tensor]]:
        """Every tensor that the part's class wants (a tied one once), nothing else.

        Raises RequestRefused, naming the first tensor that is missing or of another shape, before anything is read.
        """
        wanted = tensor_shapes(self.row.parts[part].cls, self.config(part))
        source = self._open(part)
        self._compare(part, wanted, source.shapes)
        for name, tensor in source.tensors():
            shape = wanted.pop(name, None)  # files may hold tied tensors twice
            if shape is not None:
                yield name, tensor.reshape(shape)

    def nbytes(self, part: PartName) -> int:
        """Bytes of the part's files."""
        return sum(path.stat().st_size for path in self.found.files[part])

    def tokenizer(self) -> Any:  # noqa: ANN401 - as the contract says
        """The tokenizer beside the weights. Raises RequestRefused for one that cannot be read."""
        return read_tokenizer(self.found.tokenizer)

    def _open(self, part: PartName) -> Naming:
        return open_naming(self.row.parts[part].cls, open_source(self.found.files[part]))

    def _original_config(self, part: PartName) -> Mapping[str, Any]:
        """What the official repositories say of a transformer or an audio encoder, beside it; they have nothing on
        other parts.
        """
        path = self.found.files[part][0].parent / "config.json"
        told = part.startswith("transformer") or part == "audio_encoder"
        there = self.found.layout == "original" and told and path.is_file()
        return _config(path) if there else {}

    def _compare(
        self, part: PartName, wanted: Mapping[str, tuple[int, ...]], there: Mapping[str, tuple[int, ...]]
    ) -> None:
        where = self.found.files[part][0]
        missing = sorted(wanted.keys() - there.keys())
        if missing:
            problem = (
                f"{where} lacks {len(missing)} of the {len(wanted)} tensors of {self.row.name}'s {part}, "
                f"{missing[0]} first: it is cut short or another model's; download it again"
            )
            raise RequestRefused(problem)
        for name, shape in wanted.items():
            if _long(there[name]) != _long(shape):
                problem = (
                    f"{where}: {name} is {there[name]} and {self.row.name}'s {part} has {shape}: it is another model's"
                )
                raise RequestRefused(problem)


def open_checkpoint(found: Found) -> Checkpoint:
    """The model's networks, read from its files when they are asked for."""
    return FileCheckpoint(found)


def _long(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Without axes of one, which converters to GGUF leave out or add."""
    return tuple(size for size in shape if size != 1)


def _config(path: Path) -> dict[str, Any]:
    """A ``config.json`` without the notes that libraries leave in it. Raises RequestRefused."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        problem = f"{path} cannot be read ({error.strerror}): download the model again"
        raise RequestRefused(problem) from error
    except ValueError as error:
        problem = f"{path} is not JSON ({error}): download the model again"
        raise RequestRefused(problem) from error
    notes = ("architectures", "model_type", "transformers_version", "torch_dtype", "dtype")
    return {key: value for key, value in told.items() if not key.startswith("_") and key not in notes}


def _identity(found: Found) -> str:
    """Of names, sizes and times of all files: reading 30 GB to tell two files apart would take longer than the job."""
    digest = hashlib.sha256(f"{found.row.name} {found.layout}".encode())
    for part in sorted(found.files):
        for path in found.files[part]:
            stat = path.stat()
            digest.update(f"\0{part}\0{path}\0{stat.st_size}\0{stat.st_mtime_ns}".encode())
    return digest.hexdigest()[:32]
