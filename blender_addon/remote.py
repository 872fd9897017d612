"""Backends on other machines: pairing with one by its code, and those that are remembered. No bpy; nothing here blocks.

The code in the panel's field stays in this module: a property would be saved with the file. The keys that pairing makes
go into a connection file of the user's folder, readable by them alone.
"""

from __future__ import annotations

import logging
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import heard, wire
from .problems import UserProblem

logger = logging.getLogger(__name__)

FOLDER = "backends"


@dataclass
class Now:
    """``code`` is what was pasted; ``sentence`` what became of it, ``failed`` whether that is bad; ``attempt`` goes on.

    ``names`` are the remembered backends, None before they were looked for.
    """

    code: str = ""
    sentence: str = ""
    failed: bool = False
    attempt: Any = None
    folder: Path = Path()
    names: tuple[str, ...] | None = None


now = Now()


def names(data: Path) -> tuple[str, ...]:
    """The remembered backends; the folder is looked into once, and after changes of ours."""
    folder = data / FOLDER
    if now.names is None or now.folder != folder:
        now.folder, now.names = folder, wire.known.names(folder)
    return now.names


def file_of(data: Path, name: str) -> Path:
    """A backend's connection file. Raises UserProblem."""
    try:
        return wire.known.path(data / FOLDER, name)
    except wire.errors.WanstageError as error:
        raise UserProblem(heard.reason(error)) from error


def read(text: str) -> Any:
    """The pairing code in a text. Raises UserProblem with the sentence that says what is wrong with it."""
    try:
        return wire.pairing_code.read(text)
    except wire.errors.WanstageError as error:
        raise UserProblem(heard.reason(error)) from error


def begin(code: Any, endpoints: list[str], client_name: str) -> None:
    """Ask to be let in. Raises UserProblem."""
    stop()
    wish = wire.known.plain(platform.node(), "blender")
    try:
        now.attempt = wire.pairing.Pairing(code, wish, client_name, endpoints=endpoints)
    except wire.errors.WanstageError as error:
        raise UserProblem(heard.reason(error)) from error
    now.sentence, now.failed = "", False


def poll(data: Path) -> tuple[str, Any] | None:
    """The name under which a backend is remembered now, and its connection; None while nothing happened.

    Raises UserProblem when it was not to be; then the attempt is over.
    """
    if now.attempt is None:
        return None
    try:
        found = now.attempt.poll()
        if found is None:
            return None
        now.attempt = None
        name = wire.known.save(data / FOLDER, wire.known.plain(found.host), found.connection)
    except (wire.errors.WanstageError, OSError) as error:
        now.attempt = None
        raise UserProblem(heard.reason(error)) from error
    now.names, now.code = None, ""
    logger.info("paired with %s at %s", name, found.connection.endpoint)
    return name, found.connection


def forget(data: Path, name: str) -> None:
    """Delete a backend's keys here; it goes on knowing ours until it is told to unpair. Raises UserProblem."""
    now.names = None
    try:
        wire.known.forget(data / FOLDER, name)
    except (wire.errors.WanstageError, OSError) as error:
        raise UserProblem(heard.reason(error)) from error


def stop() -> None:
    """Give up an attempt that goes on."""
    if now.attempt is not None:
        now.attempt.close()
        now.attempt = None


def reset() -> None:
    """As when the add-on is disabled."""
    stop()
    now.code, now.sentence, now.failed, now.names = "", "", False, None
