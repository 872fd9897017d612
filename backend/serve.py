"""``wanstage serve``: logging, signals, the ready line, and the exit status."""

from __future__ import annotations

import logging
import os
import signal
import sys
from logging.handlers import RotatingFileHandler
from typing import TextIO

import msgspec
import zmq

from protocol import VERSION
from protocol.errors import WanstageError

from .lifetime import AlreadyServed
from .server import Server
from .settings import Settings

log = logging.getLogger(__name__)

EXIT_SERVED, EXIT_SETTINGS, EXIT_BIND = 5, 2, 6


def serve(settings: Settings) -> int:
    """Run until told to stop. Prints one JSON line when clients may connect."""
    try:
        server = Server(settings)
        _log_to(settings)
        paths = server.announce()
    except zmq.ZMQError as error:
        sys.stderr.write(f"wanstage: cannot listen at {settings.bind}: {error}\n")
        return EXIT_BIND
    except OSError as error:
        sys.stderr.write(f"wanstage: the data folder {settings.data} cannot be used: {error}\n")
        return EXIT_SETTINGS
    except WanstageError as error:
        sys.stderr.write(f"wanstage: {error}\n")
        return EXIT_SERVED if isinstance(error, AlreadyServed) else EXIT_SETTINGS
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: server.stop())
    ready = {
        "ready": True,
        "endpoint": server.endpoint,
        "connection_file": str(paths[0]),
        "other_connection_files": [str(path) for path in paths[1:]],
        "pid": os.getpid(),
        "server_id": server.server_id,
        "version": VERSION,
    }
    sys.stdout.write(msgspec.json.encode(ready).decode() + "\n")
    sys.stdout.flush()
    greet(sys.stderr, server.endpoint, str(paths[0]))
    server.run()
    return 0


def greet(stream: TextIO, endpoint: str, connection_file: str) -> None:
    """Tell a person, if one is looking, what the JSON line tells a program."""
    if stream.isatty():
        stream.write(f"Wanstage is ready at {endpoint} (keys in {connection_file}). Ctrl-C stops it.\n")


def _log_to(settings: Settings) -> None:
    folder = settings.data / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    handler = RotatingFileHandler(folder / "server.log", maxBytes=8 * 1024 * 1024, backupCount=2, encoding="utf-8")
    handlers: list[logging.Handler] = [handler, logging.StreamHandler(sys.stderr)]
    logging.basicConfig(
        level=logging.INFO, handlers=handlers, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True
    )
