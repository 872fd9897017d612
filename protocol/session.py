"""What a client says when, without I/O: handshake, heartbeat, reconnect, requests, credit, attach and resume.

The owner moves messages: it opens a link when ``due()``, reports what happens to it, hands over what was received
and sends what ``next_parts()`` gives. Time comes from the clock it passes in.
"""

from __future__ import annotations

import logging
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from msgspec.structs import replace

from . import FEATURES, VERSION, codec, limits
from . import messages as m
from .assets import AssetSource
from .codec import Buffer
from .errors import KeyRefused, ProtocolError, UnknownJob, Unsupported, VersionMismatch, WanstageError, from_code
from .events import (
    ClientEvent,
    Connected,
    Disconnected,
    Estimated,
    FrameArrived,
    JobChanged,
    JobsListed,
    PoseArrived,
    PreviewArrived,
    Refused,
    RequestDone,
    RequestFailed,
    RequestKind,
    SpecArrived,
    UploadProgress,
    arrived,
)
from .specs import POSE_COLUMNS, JobSpec
from .uploads import Uploads
from .validation import validate

log = logging.getLogger(__name__)

ClientState = Literal["closed", "connecting", "connected", "refused", "lost"]

ANSWER_WITHIN_S = 10.0  # from opening a link to Welcome
BACKOFF_S = (1.0, 32.0)
_MAX_GAPS = 3


@dataclass
class _Request:
    """Something unanswered. ``message`` is kept for those that are sent again after a reconnect."""

    kind: RequestKind
    job_id: str
    message: m.Message | None = None
    repeated: bool = False


@dataclass
class _Follow:
    """A job we are attached to. ``waiting`` is the Attach not answered yet: frames until then are of an older one."""

    next_frame: int
    waiting: int = 0
    end: int | None = None  # known once the job has ended
    gaps: int = 0


class Session:
    """The client's half of a conversation, over as many connections as it takes."""

    def __init__(
        self,
        client_name: str,
        session_id: str,
        *,
        window: int = limits.START_CREDIT_BYTES,
        clock: Callable[[], float],
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.state: ClientState = "closed"
        self.problem = ""
        self.welcome: m.Welcome | None = None
        self.link: Literal["none", "opening", "up"] = "none"
        self._client_name, self._session_id = client_name, session_id
        self._window = max(1, min(window, limits.MAX_CREDIT_BYTES))
        self._clock, self._jitter = clock, jitter
        self._backoff = BACKOFF_S[0]
        self._retry_at = self._answer_by = self._heard = self._pinged = self._busy_until = 0.0
        self._misses = 0
        self._connection = 0
        self._outstanding = self._owed = 0  # bytes received on this connection: not consumed, consumed but not granted
        self._number = 0
        self._requests: dict[int, _Request] = {}
        self._follows: dict[str, _Follow] = {}
        self._out: deque[list[Buffer]] = deque()
        self._events: list[ClientEvent] = []
        self._uploads = Uploads(self._ask, self._on_upload_event, clock)

    # ---- the link -----------------------------------------------------------------------------------

    def open(self) -> None:
        """Begin to connect, also after a refusal."""
        self.state, self.problem = "connecting", ""
        self._backoff, self._retry_at = BACKOFF_S[0], self._clock()

    def close(self) -> None:
        """Say goodbye if anybody listens; what is unfinished stays known for a later ``open``."""
        was = self.state
        self._drop_link()
        self.state, self.problem = "closed", ""
        if was == "connected":
            self._post(m.Goodbye())

    def due(self) -> bool:
        """Whether the owner should open a link now."""
        return self.link == "none" and self.state in {"connecting", "lost"} and self._clock() >= self._retry_at

    def retry_in(self) -> float:
        """Seconds until ``due``; 0 when a link is open."""
        return max(0.0, self._retry_at - self._clock()) if self.link == "none" else 0.0

    def link_opening(self) -> None:
        """The owner opens a link."""
        self.link = "opening"
        self._answer_by = self._clock() + ANSWER_WITHIN_S

    def link_up(self) -> None:
        """The link can carry messages."""
        self.link = "up"
        self._out.clear()
        self._connection += 1
        self._misses = 0
        number = self._new_request("hello", "")
        self._post(m.Hello(self._session_id, self._client_name, VERSION[1], FEATURES, number))

    def link_lost(self, reason: str, *, at_once: bool = False) -> None:
        """The link is gone; try again after the back-off, or ``at_once``."""
        self._drop_link()
        was = self.state
        self.state = "lost" if was in {"connected", "lost"} else "connecting"
        self.problem = reason
        pause = 0.0 if at_once else self._backoff * (0.5 + 0.5 * self._jitter())
        self._retry_at = self._clock() + pause
        self._backoff = min(self._backoff * 2, BACKOFF_S[1])
        if was == "connected":
            self._events.append(Disconnected(reason))

    def refuse(self, error: WanstageError) -> None:
        """The backend will not have us: stay away until opened again."""
        self._drop_link()
        self.state, self.problem = "refused", str(error)
        self._events.append(Refused(error))

    def tick(self) -> None:
        """Look at the clock: call it after everything received was handed over."""
        now = self._clock()
        if self.link != "none" and self.state != "connected" and now > self._answer_by:
            self.link_lost("the backend does not answer: is another program listening there, or is it overloaded?")
        elif self.state == "connected":
            self._heartbeat(now)

    def _heartbeat(self, now: float) -> None:
        interval = self.welcome.ping_after_s if self.welcome else limits.PING_AFTER_S
        interval = _between(interval, 0.1, 60.0)
        if now < self._busy_until or now - max(self._heard, self._pinged, self._busy_until) < interval:
            return
        if self._misses >= limits.PING_MISSES:
            self.link_lost(f"the backend has said nothing for {now - self._heard:.0f} seconds")
            return
        self._misses += 1
        self._pinged = now
        self._ask("ping", "", lambda number: m.Ping(request=number))

    def _drop_link(self) -> None:
        self.link = "none"
        self._out.clear()
        self._requests = {number: each for number, each in self._requests.items() if each.message is not None}
        self._uploads.disconnected()
        self._outstanding = self._owed = 0

    # ---- what the owner wants -----------------------------------------------------------------------

    def submit(self, job_id: str, spec: JobSpec, assets: AssetSource) -> None:
        """Upload what is missing and submit. Raises InvalidJob, as ``validate`` does."""
        validate(spec)
        self._uploads.add(job_id, spec, assets)

    def attach(self, job_id: str, next_frame: int = 0) -> None:
        """Follow a job; a job that is still being uploaded is followed once the backend has it."""
        self._follows[job_id] = _Follow(next_frame)
        if self.state == "connected" and job_id not in self._uploads:
            self._send_attach(job_id)

    def detach(self, job_id: str) -> None:
        """Stop following."""
        self._follows.pop(job_id, None)
        self._ask_kept("detach", job_id, lambda number: m.Detach(job_id=job_id, request=number))

    def cancel(self, job_id: str) -> None:
        """Stop a job, wherever it is: a job that is still being uploaded is simply given up."""
        dropped = self._uploads.drop(job_id)
        if dropped and not dropped.submitted_once:
            self._follows.pop(job_id, None)
            self._events.append(RequestDone("cancel", job_id))
            return
        self._ask_kept("cancel", job_id, lambda number: m.CancelJob(job_id=job_id, request=number))
        if dropped:
            # It may have arrived or not: either is fine.
            self._requests[self._number].repeated = True

    def remove(self, job_id: str) -> None:
        """Delete an ended job and its frames."""
        self._follows.pop(job_id, None)
        self._ask_kept("remove", job_id, lambda number: m.RemoveJob(job_id=job_id, request=number))

    def list_jobs(self, limit: int = 100) -> None:
        """Ask for the jobs of our key."""
        self._ask_kept("list_jobs", "", lambda number: m.ListJobs(limit=limit, request=number))

    def get_spec(self, job_id: str) -> None:
        """Ask for a job's spec."""
        self._ask_kept("get_spec", job_id, lambda number: m.GetSpec(job_id=job_id, request=number))

    def estimate(self, question: m.EstimateJob) -> int:
        """Ask what a job would need; not asked again after a loss. Raises Unsupported, also while not connected."""
        if self.state != "connected" or self.welcome is None or "estimate" not in self.welcome.features:
            problem = "this backend makes no estimates: it is not connected, or older than protocol 1.4"
            raise Unsupported(problem)
        return self._ask("estimate", "", lambda number: replace(question, request=number))

    def forget(self, job_id: str) -> None:
        """Drop everything about a job on this side: its upload, its frames to come, unanswered requests."""
        self._uploads.drop(job_id)
        self._requests = {number: each for number, each in self._requests.items() if each.job_id != job_id}
        if self._follows.pop(job_id, None) and self.state == "connected":
            self._post(m.Detach(job_id=job_id))

    def consumed(self, what: FrameArrived | PoseArrived | int) -> None:
        """A frame (or so many bytes) was written or shown: the backend may send as much again."""
        if isinstance(what, FrameArrived | PoseArrived):
            if what.connection != self._connection:
                return  # its credit ended with its connection
            what = what.data.nbytes
        nbytes = min(what, self._outstanding)
        self._outstanding -= nbytes
        self._owed += nbytes
        if self._owed >= max(1, self._window // 8) and self.state == "connected":
            self._post(m.GrantCredit(nbytes=self._owed))
            self._owed = 0

    # ---- messages -----------------------------------------------------------------------------------

    def take_events(self) -> list[ClientEvent]:
        """What happened since the last call."""
        events = self._events[:]
        self._events.clear()
        return events

    def sending(self) -> bool:
        """Whether ``next_parts`` has something."""
        return bool(self._out) or (self.state == "connected" and self._uploads.can_send())

    def next_parts(self) -> list[Buffer] | None:
        """The next message to send: requests first, then chunks while there is upload credit."""
        if self._out:
            return self._out.popleft()
        if self.state != "connected":
            return None
        chunk = self._uploads.next_chunk(self._number + 1)
        if chunk is None:
            return None
        job_id, message, data = chunk
        self._new_request("chunk", job_id)
        return codec.encode(message, data)

    def on_message(self, parts: Sequence[Buffer]) -> None:
        """One message from the backend. What breaks the protocol costs the connection."""
        try:
            message, buffers = codec.decode_server(parts)
            self._heard, self._misses = self._clock(), 0
            self._dispatch(message, buffers)
        except VersionMismatch as error:
            self.refuse(error)
        except Unsupported as error:
            log.warning("a message was skipped: %s", error)
        except ProtocolError as error:
            log.warning("connection given up: %s", error)
            self.link_lost(f"the backend broke the protocol: {error}")

    def _dispatch(self, message: m.Message, buffers: Sequence[Buffer]) -> None:
        if isinstance(message, m.Welcome):
            self._on_welcome(message)
        elif isinstance(message, m.ErrorReply):
            self._on_error(message)
        elif self.state == "connected":
            handler = self._HANDLERS.get(type(message))
            if handler:
                handler(self, message, buffers)

    def _on_welcome(self, welcome: m.Welcome) -> None:
        request = self._requests.pop(welcome.reply_to, None)
        if request is None or request.kind != "hello":
            return
        restarted = self.welcome is not None and self.welcome.server_id != welcome.server_id
        self.welcome, self.state, self.problem = welcome, "connected", ""
        self._backoff, self._busy_until = BACKOFF_S[0], 0.0
        self._events.append(Connected(welcome, restarted))
        self._post(m.GrantCredit(nbytes=self._window))
        for each in self._requests.values():
            if each.message:
                self._post(each.message)
                each.repeated = True
        self._uploads.connected(welcome.upload_credit, welcome.minor)
        for job_id in list(self._follows):
            if job_id not in self._uploads:
                self._send_attach(job_id)

    def _on_pong(self, message: m.Pong, _: Sequence[Buffer]) -> None:
        self._requests.pop(message.reply_to, None)

    def _on_busy(self, message: m.Busy, _: Sequence[Buffer]) -> None:
        self._busy_until = self._clock() + _between(message.seconds, 0.0, 600.0)

    def _on_missing(self, message: m.AssetsMissing, _: Sequence[Buffer]) -> None:
        if request := self._requests.pop(message.reply_to, None):
            self._uploads.on_missing(request.job_id, message)

    def _on_stored(self, message: m.ChunkStored, _: Sequence[Buffer]) -> None:
        if request := self._requests.pop(message.reply_to, None):
            self._uploads.on_stored(message.reply_to, request.job_id, message)

    def _on_job(self, update: m.JobUpdate, _: Sequence[Buffer]) -> None:
        request = self._requests.pop(update.reply_to, None)
        if request and request.kind == "submit":
            self._uploads.on_submitted(update.job_id)
        self._events.append(JobChanged(update))
        if request and request.kind == "cancel":
            self._events.append(RequestDone("cancel", update.job_id))
        follow = self._follows.get(update.job_id)
        if follow is None:
            return
        if request and request.kind == "submit":
            self._send_attach(update.job_id)
        if update.reply_to and update.reply_to == follow.waiting:
            follow.waiting = 0
        if update.state in m.TERMINAL:
            follow.end = update.frames if update.state == "finished" else update.progress.frames_done
        self._end_follow(update.job_id, follow)

    def _on_frame(self, header: m.FrameReady | m.PoseReady, buffers: Sequence[Buffer]) -> None:
        data = _one_part(header, buffers)
        self._outstanding += data.nbytes
        follow = self._follows.get(header.job_id)
        if follow is None or follow.waiting:
            self.consumed(data.nbytes)  # on its way before a Detach or Attach of ours: nobody waits for it
        elif header.index != follow.next_frame:
            self.consumed(data.nbytes)
            self._on_gap(header, follow)
        else:
            follow.next_frame += 1
            follow.gaps = 0
            self._events.append(arrived(header, data, self._connection))
            self._end_follow(header.job_id, follow)

    def _on_gap(self, header: m.FrameReady | m.PoseReady, follow: _Follow) -> None:
        problem = f"frame {header.index} came where {follow.next_frame} was due"
        log.warning("job %s: %s; attaching again", header.job_id, problem)
        follow.gaps += 1
        if follow.gaps < _MAX_GAPS:
            self._send_attach(header.job_id)
        else:
            del self._follows[header.job_id]
            self._post(m.Detach(job_id=header.job_id))
            self._events.append(RequestFailed(header.job_id, ProtocolError(f"{problem}, again and again"), "attach"))

    def _on_preview(self, header: m.PreviewReady, buffers: Sequence[Buffer]) -> None:
        self._events.append(PreviewArrived(header.job_id, header, _one_part(header, buffers)))

    def _on_jobs(self, message: m.Jobs, _: Sequence[Buffer]) -> None:
        self._requests.pop(message.reply_to, None)
        self._events.append(JobsListed(message.jobs))

    def _on_spec(self, message: m.JobSpecReply, _: Sequence[Buffer]) -> None:
        self._requests.pop(message.reply_to, None)
        self._events.append(SpecArrived(message.job_id, message.spec))

    def _on_estimate(self, message: m.Estimate, _: Sequence[Buffer]) -> None:
        if self._requests.pop(message.reply_to, None):
            self._events.append(Estimated(message.reply_to, message))

    def _on_done(self, message: m.Done, _: Sequence[Buffer]) -> None:
        if request := self._requests.pop(message.reply_to, None):
            self._events.append(RequestDone(request.kind, request.job_id))

    def _on_error(self, reply: m.ErrorReply) -> None:
        request = self._requests.pop(reply.reply_to, None) or _Request("none", reply.job_id)
        error = from_code(reply.code, reply.message)
        job_id = request.job_id or reply.job_id
        if request.kind == "hello" or isinstance(error, VersionMismatch | KeyRefused):
            self.refuse(error)
        elif reply.code == "hello_required":
            self.link_lost("the backend had forgotten this client", at_once=True)
        elif request.kind in {"have", "chunk", "submit"}:
            self._uploads.on_error(reply.reply_to, job_id, request.kind, error)
        elif request.kind in {"remove", "cancel"} and request.repeated and isinstance(error, UnknownJob):
            self._events.append(RequestDone(request.kind, job_id))
        else:
            if request.kind == "attach":
                self._follows.pop(job_id, None)
            self._events.append(RequestFailed(job_id, error, request.kind))

    _HANDLERS: ClassVar[dict[type[m.Message], Callable[[Any, Any, Sequence[Buffer]], None]]] = {
        m.Pong: _on_pong,
        m.Busy: _on_busy,
        m.AssetsMissing: _on_missing,
        m.ChunkStored: _on_stored,
        m.JobUpdate: _on_job,
        m.FrameReady: _on_frame,
        m.PoseReady: _on_frame,
        m.PreviewReady: _on_preview,
        m.Jobs: _on_jobs,
        m.JobSpecReply: _on_spec,
        m.Estimate: _on_estimate,
        m.Done: _on_done,
    }

    # ---- bookkeeping --------------------------------------------------------------------------------

    def _end_follow(self, job_id: str, follow: _Follow) -> None:
        if follow.end is not None and follow.next_frame >= follow.end and not follow.waiting:
            self._follows.pop(job_id, None)

    def _send_attach(self, job_id: str) -> None:
        follow = self._follows[job_id]
        follow.waiting = self._ask(
            "attach", job_id, lambda number: m.Attach(job_id=job_id, next_frame=follow.next_frame, request=number)
        )

    def _on_upload_event(self, event: ClientEvent) -> None:
        if isinstance(event, RequestFailed):
            self._follows.pop(event.job_id, None)
        elif isinstance(event, UploadProgress) and self._events and _same_upload(self._events[-1], event):
            self._events.pop()  # one a poll is enough
        self._events.append(event)

    def _new_request(self, kind: RequestKind, job_id: str) -> int:
        self._number += 1
        self._requests[self._number] = _Request(kind, job_id)
        return self._number

    def _ask(self, kind: RequestKind, job_id: str, build: Callable[[int], m.Message]) -> int:
        number = self._new_request(kind, job_id)
        self._post(build(number))
        return number

    def _ask_kept(self, kind: RequestKind, job_id: str, build: Callable[[int], m.Message]) -> None:
        number = self._new_request(kind, job_id)
        self._requests[number].message = build(number)
        if self.state == "connected":
            self._post(build(number))

    def _post(self, message: m.Message) -> None:
        self._out.append(codec.encode(message))


def _between(value: float, least: float, most: float) -> float:
    return min(most, max(least, value))  # least for NaN: comparisons with it are false


def _same_upload(last: ClientEvent, event: UploadProgress) -> bool:
    return isinstance(last, UploadProgress) and last.job_id == event.job_id


def _one_part(header: m.FrameReady | m.PreviewReady | m.PoseReady, buffers: Sequence[Buffer]) -> memoryview:
    if len(buffers) != 1:
        problem = f"{type(header).__name__} comes with one buffer, {len(buffers)} came"
        raise ProtocolError(problem)
    data = memoryview(buffers[0])
    if isinstance(header, m.PoseReady):
        if header.kind == "people" and data.nbytes % (4 * POSE_COLUMNS):
            problem = f"people of {4 * POSE_COLUMNS} bytes each are due, {data.nbytes} bytes came"
            raise ProtocolError(problem)
        return data
    expected = header.width * header.height * header.channels
    if (isinstance(header, m.PreviewReady) or header.encoding == "raw") and data.nbytes != expected:
        shape = f"{header.width}x{header.height}x{header.channels}"
        problem = f"a raw picture of {shape} has {expected} bytes, {data.nbytes} came"
        raise ProtocolError(problem)
    return data
