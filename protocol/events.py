"""What a client tells its owner, in the order in which it happened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from .errors import WanstageError
from .messages import Estimate, FrameReady, JobUpdate, PoseReady, PreviewReady, Welcome
from .specs import JobSpec

RequestKind = Literal[
    "hello",
    "ping",
    "have",
    "chunk",
    "submit",
    "attach",
    "detach",
    "cancel",
    "remove",
    "list_jobs",
    "get_spec",
    "estimate",
    "none",
]


@dataclass(frozen=True)
class Connected:
    """The backend said Welcome. ``restarted``: it is another process than the one we spoke to before."""

    welcome: Welcome
    restarted: bool


@dataclass(frozen=True)
class Disconnected:
    """The connection is gone, in a sentence; the client goes on trying and jobs go on at the backend."""

    reason: str


@dataclass(frozen=True)
class Refused:
    """The backend will not have us (key, version); the client does not try again until it is opened again."""

    error: WanstageError


@dataclass(frozen=True)
class UploadProgress:
    """``sent`` of ``total`` bytes of the job's assets are at the backend."""

    job_id: str
    sent: int
    total: int


@dataclass(frozen=True)
class Submitted:
    """The backend has the job; its state follows in a JobChanged."""

    job_id: str


@dataclass(frozen=True)
class JobChanged:
    """The present state of a job."""

    update: JobUpdate


@dataclass(frozen=True)
class FrameArrived:
    """A finished frame; call ``Client.consumed`` with this event once it is written or shown.

    ``data`` lies in ZeroMQ's own memory and keeps it alive for as long as anything refers to it: write or copy it
    soon rather than collect it. ``connection`` counts the connections of this client.
    """

    job_id: str
    index: int
    header: FrameReady
    data: memoryview
    connection: int = 0


@dataclass(frozen=True)
class PreviewArrived:
    """A cheap look at a frame; ``data`` as in FrameArrived, raw RGB8."""

    job_id: str
    header: PreviewReady
    data: memoryview


@dataclass(frozen=True)
class PoseArrived:
    """What a job of the task pose found in one frame, or its pose file (``header.kind``); otherwise as FrameArrived:
    call ``Client.consumed`` with it.
    """

    job_id: str
    index: int
    header: PoseReady
    data: memoryview
    connection: int = 0


@dataclass(frozen=True)
class JobsListed:
    """Answer to ``list_jobs``, newest first."""

    jobs: Sequence[JobUpdate]


@dataclass(frozen=True)
class SpecArrived:
    """Answer to ``get_spec``."""

    job_id: str
    spec: JobSpec


@dataclass(frozen=True)
class Estimated:
    """Answer to ``estimate``; ``request`` is the number that it returned."""

    request: int
    estimate: Estimate


@dataclass(frozen=True)
class RequestDone:
    """A ``detach``, ``cancel`` or ``remove`` was carried out."""

    request: RequestKind
    job_id: str


@dataclass(frozen=True)
class RequestFailed:
    """A request of ours was refused; ``job_id`` is empty when it was about no job."""

    job_id: str
    error: WanstageError
    request: RequestKind = "none"


ClientEvent: TypeAlias = (
    Connected
    | Disconnected
    | Refused
    | UploadProgress
    | Submitted
    | JobChanged
    | FrameArrived
    | PreviewArrived
    | PoseArrived
    | JobsListed
    | SpecArrived
    | Estimated
    | RequestDone
    | RequestFailed
)


def arrived(header: FrameReady | PoseReady, data: memoryview, connection: int) -> FrameArrived | PoseArrived:
    """The event of a numbered result."""
    if isinstance(header, PoseReady):
        return PoseArrived(header.job_id, header.index, header, data, connection)
    return FrameArrived(header.job_id, header.index, header, data, connection)
