"""One connected client: who it is, what it follows, what it is owed. Decides what is sent next; sends nothing itself.

Order: answers and news first, then previews (one unsent a job, the latest wins), then frames while there is
credit. All of it is bounded: answers by MAX_REPLIES and MAX_REPLY_BYTES, news and previews by the jobs followed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import zmq

from protocol import limits
from protocol.codec import Buffer, encode
from protocol.messages import FrameReady, JobUpdate, Message, PoseReady, PreviewReady

from .jobs import Job

MAX_REPLIES, MAX_REPLY_BYTES = 4096, 64 * limits.MIB
FRAMES_A_TURN = 8  # sent to one client before the loop looks at other sockets


class Wire(Protocol):
    """How a peer's messages leave. Raises zmq.Again when the client is slow, zmq.ZMQError when it is gone."""

    def send(self, identity: bytes, parts: list[Buffer], track: bool = False) -> zmq.MessageTracker | None:
        """Queue one message; with ``track``, returns what says when ZeroMQ has let go of it."""


@dataclass
class Source:
    """Where a peer looks things up: the job by id, its present update, the bytes of a frame."""

    job: Callable[[str], Job | None]
    update: Callable[[Job], JobUpdate]
    frame: Callable[[Job, int], bytes]


@dataclass
class Peer:
    """``user`` is the authenticated key, ``last_seen`` by the server's clock, ``following`` job -> next frame."""

    identity: bytes
    user: str
    session_id: str
    last_seen: float
    credit: int = 0  # bytes; a client grants its window after Welcome
    following: dict[str, int] = field(default_factory=dict)
    blocked: bool = False  # the last flush found the pipe full
    _replies: deque[list[Buffer]] = field(default_factory=deque)
    _reply_bytes: int = 0
    _news: dict[str, None] = field(default_factory=dict)
    _previews: dict[str, tuple[PreviewReady, memoryview]] = field(default_factory=dict)
    _leaving: dict[str, zmq.MessageTracker] = field(default_factory=dict)

    @property
    def hopeless(self) -> bool:
        """True when so many answers wait that the client cannot be reading."""
        return len(self._replies) > MAX_REPLIES or self._reply_bytes > MAX_REPLY_BYTES

    @property
    def waiting(self) -> bool:
        """True while something is unsent that needs no credit."""
        return self.blocked or bool(self._replies or self._news or self._previews)

    def grant(self, nbytes: int) -> None:
        """The client has consumed so much."""
        self.credit = min(self.credit + nbytes, limits.MAX_CREDIT_BYTES)

    def reply(self, message: Message) -> None:
        """Queue an answer. Raises ProtocolError when it is over the limits."""
        parts = encode(message)
        self._reply_bytes += len(parts[1])
        self._replies.append(parts)

    def job_changed(self, job: Job) -> None:
        """Tell the client soon; changes that come before that are told as one."""
        if job.job_id in self.following:
            self._news[job.job_id] = None

    def preview(self, header: PreviewReady, pixels: memoryview) -> None:
        """Keep the latest preview of a job that the client follows."""
        if header.job_id in self.following:
            self._previews[header.job_id] = (header, pixels)

    def follow(self, job_id: str, next_frame: int) -> None:
        """Send frames from ``next_frame`` on, and news."""
        self.following[job_id] = next_frame

    def unfollow(self, job_id: str) -> None:
        """No more news, previews or frames of this job."""
        self.following.pop(job_id, None)
        self._news.pop(job_id, None)
        self._previews.pop(job_id, None)
        self._leaving.pop(job_id, None)

    def flush(self, wire: Wire, source: Source) -> bool:
        """Send what may be sent; True when more frames could go at once. Raises what ``wire`` raises."""
        self.blocked = True  # until the end is reached without zmq.Again
        while self._replies:
            wire.send(self.identity, self._replies[0])
            self._reply_bytes -= len(self._replies.popleft()[1])
        for job_id in list(self._news):
            job = source.job(job_id)
            if job is not None:
                wire.send(self.identity, encode(source.update(job)))
            del self._news[job_id]
        self._flush_previews(wire)
        more = self._flush_frames(wire, source)
        self.blocked = False
        return more

    def _flush_previews(self, wire: Wire) -> None:
        for job_id, (header, pixels) in list(self._previews.items()):
            leaving = self._leaving.get(job_id)
            if leaving is not None and not leaving.done:
                continue
            tracker = wire.send(self.identity, encode(header, pixels), track=True)
            del self._previews[job_id]
            if tracker is not None:
                self._leaving[job_id] = tracker

    def _flush_frames(self, wire: Wire, source: Source) -> bool:
        """One frame of each job in turn, so that a long job does not hold up the others."""
        sent = 0
        while self.credit > 0 and sent < FRAMES_A_TURN:
            ready = [job for job_id in self.following if (job := source.job(job_id)) and self._has_next(job)]
            if not ready:
                return False
            for job in ready:
                if self.credit > 0:
                    self._send_frame(wire, source, job)
                    sent += 1
        return self.credit > 0

    def _has_next(self, job: Job) -> bool:
        return self.following[job.job_id] < job.frames_done

    def _send_frame(self, wire: Wire, source: Source, job: Job) -> None:
        index = self.following[job.job_id]
        data = source.frame(job, index)
        header = _header(job, index)
        wire.send(self.identity, encode(header, data))
        self.credit -= len(data)
        self.following[job.job_id] = index + 1


def _header(job: Job, index: int) -> FrameReady | PoseReady:
    if job.spec.task == "pose":
        return PoseReady(job.job_id, index, "people" if index < job.spec.frames else "file")
    return FrameReady(
        job_id=job.job_id,
        index=index,
        encoding=job.spec.output.encoding,
        width=job.spec.width,
        height=job.spec.height,
        note=job.notes.get(index, ""),
    )
