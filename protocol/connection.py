"""The connection file: where the backend listens and the keys to talk to it.

JSON, readable by its owner alone (0600, in a private directory). Remote use = copy the file.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from . import VERSION
from .errors import ConnectionProblem


class Connection(msgspec.Struct, frozen=True, omit_defaults=True):
    """``endpoint`` tcp://host:port; keys are Z85 text, empty only with ``serve --insecure-loopback``."""

    endpoint: str
    server_key: str = ""
    client_key: str = ""
    client_secret: str = ""
    pid: int = 0
    started: float = 0.0  # seconds since 1970; pid and start time together name a process
    version: tuple[int, int] = VERSION


def write(path: Path, connection: Connection) -> None:
    """Atomically, 0600 from the first byte."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    scratch = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(connection)))
    scratch.replace(path)


def read(path: Path) -> Connection:
    """Raises ConnectionProblem when the file is missing or is not a connection file."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Connection)
    except FileNotFoundError as error:
        problem = f"there is no connection file at {path}: start the backend with 'wanstage serve'"
        raise ConnectionProblem(problem) from error
    except (OSError, msgspec.DecodeError) as error:
        problem = f"{path} cannot be read as a connection file: {error}"
        raise ConnectionProblem(problem) from error
