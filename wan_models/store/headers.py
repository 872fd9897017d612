"""What a weight file says of itself, read from its first bytes: cheap enough for a whole model at a server's start."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_MOST_HEADER = 100_000_000
"""Bytes; the safetensors format's own bound."""


class BadFile(ValueError):
    """A file that is not what its name says; the message completes "FILE ..."."""


@dataclass(frozen=True)
class Header:
    """Names and shapes of a safetensors file's tensors, and its free text."""

    shapes: Mapping[str, tuple[int, ...]]
    metadata: Mapping[str, str]


def read_header(path: Path) -> Header:
    """The header of a safetensors file. Raises BadFile when it is none, or shorter than its tensors need."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            first = file.read(8)
            if first == b"version ":
                problem = "is a Git LFS pointer, not the weights: run 'git lfs pull' in its folder"
                raise BadFile(problem)
            length = struct.unpack("<Q", first)[0] if len(first) == 8 else _MOST_HEADER
            if length >= _MOST_HEADER or 8 + length > size:
                problem = f"is no safetensors file or was cut short ({size} bytes)"
                raise BadFile(problem)
            told = json.loads(file.read(length))
        metadata = told.pop("__metadata__", {})
        shapes = {name: tuple(entry["shape"]) for name, entry in told.items()}
        end = max((entry["data_offsets"][1] for entry in told.values()), default=0)
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
        raise BadFile(problem) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, BadFile):
            raise
        problem = "is no safetensors file: its header makes no sense"
        raise BadFile(problem) from error
    if 8 + length + end > size:
        problem = f"was cut short: it has {size} of {8 + length + end} bytes"
        raise BadFile(problem)
    return Header(shapes, metadata)


def gguf_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes (as torch has them) of a GGUF file's tensors. Raises BadFile.

    Needs the gguf package; without it the answer is empty and the name has to do.
    """
    try:
        from gguf import GGUFReader
    except ImportError:
        return {}
    try:
        reader = GGUFReader(path)
    except (OSError, ValueError, KeyError, IndexError) as error:
        problem = f"is no GGUF file or was cut short ({error})"
        raise BadFile(problem) from error
    return {tensor.name: _gguf_shape(reader, tensor) for tensor in reader.tensors}


def _gguf_shape(reader: object, tensor: object) -> tuple[int, ...]:
    # Tensors of more than four dimensions are stored flat, their shape in a field of its own.
    field = getattr(reader, "fields", {}).get(f"comfy.gguf.orig_shape.{getattr(tensor, 'name', '')}")
    if field is not None:
        return tuple(int(field.parts[index][0]) for index in field.data)
    return tuple(int(size) for size in reversed(getattr(tensor, "shape", ())))


def shapes(path: Path) -> Mapping[str, tuple[int, ...]]:
    """Names and shapes of a safetensors or GGUF file; empty for other kinds. Raises BadFile."""
    if path.suffix == ".safetensors":
        return read_header(path).shapes
    return gguf_shapes(path) if path.suffix == ".gguf" else {}
