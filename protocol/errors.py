"""The errors of the protocol, one tree; every message is one sentence a person can act on.

    WanstageError
    |- ProtocolError          a message that breaks SPEC.md
    |  |- VersionMismatch     another major version
    |  |- Unsupported         a message type or feature the peer does not know
    |  |- HelloRequired       anything before Hello
    |- RequestError           a well-formed request the backend cannot take
    |  |- InvalidJob          the job spec: what was given, what is allowed
    |  |  |- MalformedSpec    the same, found while decoding (a ProtocolError too)
    |  |- UnknownJob
    |  |- AssetError          missing, oversized or corrupt asset
    |  |- QuotaExceeded       too many jobs, too little disk
    |- ConnectionProblem      cannot reach the backend, or it refused us
    |  |- KeyRefused
    |  |- PairingRefused
    |- JobFailed              the job ended without a result

``code`` is what crosses the wire in an ``ErrorReply``; ``from_code`` gives the class back.
"""

from __future__ import annotations

from typing import ClassVar


class WanstageError(Exception):
    """Base of every error a caller may want to show as it is."""

    code: ClassVar[str] = "error"
    request: int = 0  # the request that it answers, where known: the ``reply_to`` of an ErrorReply
    job_id: str = ""


class ProtocolError(WanstageError):
    """A message that breaks SPEC.md; the connection it came on cannot be trusted."""

    code: ClassVar[str] = "protocol"


class VersionMismatch(ProtocolError):
    """The peer speaks another major version."""

    code: ClassVar[str] = "version_mismatch"


class Unsupported(ProtocolError):
    """A message type or feature that this peer does not know."""

    code: ClassVar[str] = "unsupported"


class HelloRequired(ProtocolError):
    """Anything but ``Hello`` from a peer that has not said hello (or was forgotten)."""

    code: ClassVar[str] = "hello_required"


class RequestError(WanstageError):
    """A well-formed request that the backend cannot take."""

    code: ClassVar[str] = "request"


class InvalidJob(RequestError):
    """The job spec is out of bounds; the message says what was given and what is allowed."""

    code: ClassVar[str] = "invalid_job"


class MalformedSpec(InvalidJob, ProtocolError):
    """A SubmitJob whose spec does not decode: the job is refused, the connection is fine."""


class UnknownJob(RequestError):
    """No such job, or it belongs to another key."""

    code: ClassVar[str] = "unknown_job"


class AssetError(RequestError):
    """An asset is missing, oversized or does not match its hash."""

    code: ClassVar[str] = "asset"


class QuotaExceeded(RequestError):
    """Too many jobs, or not enough disk."""

    code: ClassVar[str] = "quota"


class ConnectionProblem(WanstageError):
    """The backend cannot be reached, or it went away."""

    code: ClassVar[str] = "connection"


class KeyRefused(ConnectionProblem):
    """The backend answers but our key is not on its list (any more)."""

    code: ClassVar[str] = "key_refused"


class PairingRefused(ConnectionProblem):
    """A pairing code that is none, is damaged, or that the backend does not take (any more)."""

    code: ClassVar[str] = "pairing"


class JobFailed(WanstageError):
    """The job ended without a result; the message is the backend's sentence."""

    code: ClassVar[str] = "job_failed"


def _tree(root: type[WanstageError]) -> dict[str, type[WanstageError]]:
    found = {root.code: root} if "code" in vars(root) else {}
    for child in root.__subclasses__():
        found.update(_tree(child))
    return found


def from_code(code: str, message: str) -> WanstageError:
    """The error a peer reported; an unknown code gives the base class."""
    return _tree(WanstageError).get(code, WanstageError)(message)
