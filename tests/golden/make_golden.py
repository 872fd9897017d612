"""Writes the golden bytes: one MessagePack body a file, each message with all its fields and with the fewest.

    python tests/golden/make_golden.py

Files that are there are never changed: they are messages of a released version and must decode for ever. When a message
gains a field, raise the minor version in protocol/__init__.py; the new maximal message then gets a file of its own.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, get_args

import msgspec
from msgspec import inspect

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent.parent))

from protocol import VERSION  # noqa: E402
from protocol.messages import ClientMessage, Message, ServerMessage  # noqa: E402

CLASSES: tuple[type[Message], ...] = (*get_args(ClientMessage), *get_args(ServerMessage))
_TEXTS = {"^[0-9a-f]{32}$": "0123456789abcdef" * 2, "^[0-9a-f]{64}$": "fedcba9876543210" * 4}


def example(cls: type[Message], *, full: bool) -> Message:
    """A message with every field away from its default, or with the least that is allowed."""
    made: Message = _value(inspect.type_info(cls), full, "")
    return made


def _value(kind: Any, full: bool, name: str) -> Any:  # noqa: PLR0911 - one return a kind
    match kind:
        case inspect.StructType():
            fields = [field for field in kind.fields if full or field.required]
            return kind.cls(**{each.name: _value(each.type, full, each.name) for each in fields})
        case inspect.VarTupleType():
            return (_value(kind.item_type, full, name),) * (
                max(kind.min_length or 0, 2) if full else kind.min_length or 0
            )
        case inspect.TupleType():
            return tuple(_value(each, full, name) for each in kind.item_types)
        case inspect.LiteralType():
            return kind.values[-1]
        case inspect.UnionType():
            return _value(next(each for each in kind.types if not isinstance(each, inspect.NoneType)), full, name)
        case inspect.DictType():
            return {"denoise": 12.5, "decode": 3.25}
        case inspect.BoolType():
            return not full if name == "previews" else full
        case inspect.StrType():
            return _text(kind, name)
        case inspect.FloatType():
            return 1.25 if full else 1.0
        case inspect.IntType():
            return (kind.ge or 0) + 77 if full and kind.le is None else _between(kind, full)
        case _:
            raise TypeError(kind)


def _text(kind: inspect.StrType, name: str) -> str:
    patterns = {**_TEXTS, "^([0-9a-f]{32})?$": "0123456789abcdef" * 2}
    return patterns[kind.pattern] if kind.pattern else f"{name} \u2713"


def _between(kind: inspect.IntType, full: bool) -> int:
    least = kind.ge or 0
    return kind.le if full and kind.le is not None else least


def tag(cls: type[Message]) -> str:
    """The message's ``type``."""
    return str(cls.__struct_config__.tag)


def newest(cls: type[Message], *, full: bool) -> Path:
    """The golden bytes of the last version that changed the message."""
    minors = range(VERSION[1], -1, -1)
    return next(path for minor in minors if (path := file_of(cls, full=full, version=(VERSION[0], minor))).exists())


def file_of(cls: type[Message], *, full: bool, version: tuple[int, int]) -> Path:
    """Where the golden bytes of a message are, if that version changed it."""
    return HERE / f"{tag(cls)}.{'max' if full else 'min'}.{version[0]}.{version[1]}.bin"


def main() -> None:
    """Write the files that are not there yet."""
    for cls in CLASSES:
        for full in (True, False):
            body = msgspec.msgpack.encode(example(cls, full=full))
            versions = [(VERSION[0], minor) for minor in range(VERSION[1] + 1)]
            known = [path.read_bytes() for each in versions if (path := file_of(cls, full=full, version=each)).exists()]
            path = file_of(cls, full=full, version=VERSION)
            if body in known or path.exists():
                continue
            path.write_bytes(body)
            print(path.name)  # noqa: T201


if __name__ == "__main__":
    main()
