"""A client of a Wanstage backend for any Python: no threads, no event loop, nothing that blocks unless asked.

    client = Client(connection.read(path), client_name="mytool 1.0")
    client.open()
    client.submit(job_id := new_id(), spec, folder)
    client.attach(job_id)
    while ...:
        for event in client.wait(1.0):
            match event:
                case FrameArrived(): ...; client.consumed(event)

Everything belongs to the thread that made it. Reconnecting, resuming and uploading go on inside ``poll``.
"""

from __future__ import annotations

import secrets
import time
import weakref
from collections.abc import Callable, Sequence

import zmq

from . import VERSION, limits
from . import messages as m
from .assets import AssetSource
from .codec import Buffer
from .connection import Connection
from .errors import ConnectionProblem, VersionMismatch
from .events import ClientEvent, FrameArrived, PoseArrived
from .link import CLOSE_LINGER_MS, Link
from .session import ClientState, Session
from .specs import JobSpec

POLL_BUDGET_S = 0.008
_SLICE_S = 0.5  # Ctrl-C cannot interrupt a longer wait on Windows
_IDLE_S = 0.01


def new_id() -> str:
    """A new job or session id: 32 hex digits."""
    return secrets.token_hex(16)


def _nbytes(parts: Sequence[Buffer]) -> int:
    return sum(memoryview(part).nbytes for part in parts)


class _Wires:
    """What must be closed, and in which order: the link, then the context if it is ours."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]] | None) -> None:
        self._own = context is None
        self._context = context
        self.link: Link | None = None

    def open_link(self, connection: Connection) -> None:
        self._context = self._context or zmq.Context()
        self.link = Link(self._context, connection)

    def close_link(self) -> None:
        if self.link:
            self.link.close(CLOSE_LINGER_MS)
        self.link = None

    def close(self) -> None:
        self.close_link()
        if self._own and self._context:
            self._context.destroy(linger=CLOSE_LINGER_MS)
            self._context = None


class Client:
    """One conversation with one backend; see the module's example.

    ``bytes_sent`` and ``bytes_received`` count the parts of all messages, over all its connections.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        client_name: str,
        session_id: str | None = None,
        window: int = limits.START_CREDIT_BYTES,
        context: zmq.Context[zmq.Socket[bytes]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``window`` is how many bytes of frames may be on their way, not yet ``consumed``. ``context`` is shared
        when given, else the client has its own. ``session_id`` goes on with an earlier client's conversation."""
        self.connection = connection
        self._wires = _Wires(context)
        # A context that is collected before its sockets hangs for ever, so a dropped client closes them in order.
        weakref.finalize(self, _Wires.close, self._wires)
        self._unsent: list[Buffer] | None = None
        self.bytes_sent = self.bytes_received = 0
        self._session = Session(client_name, session_id or new_id(), window=window, clock=clock)

    @property
    def state(self) -> ClientState:
        """closed, connecting (never connected yet), connected, lost (was connected, trying again), refused."""
        return self._session.state

    @property
    def problem(self) -> str:
        """Why there is no connection, in one sentence; empty when all is well."""
        return self._session.problem

    @property
    def welcome(self) -> m.Welcome | None:
        """What the backend said of itself, last time we were connected."""
        return self._session.welcome

    # ---- life ---------------------------------------------------------------------------------------

    def open(self) -> None:
        """Begin to connect; ``poll`` goes on with it. Raises ConnectionProblem when the connection file is unusable."""
        self.close()
        self._session.open()
        if self.connection.version[0] != VERSION[0]:
            theirs, ours = (".".join(map(str, each)) for each in (self.connection.version, VERSION))
            problem = f"the backend speaks Wanstage protocol {theirs}, this side {ours}: update the older of the two"
            self._session.refuse(VersionMismatch(problem))
            return
        try:
            self._open_link()
        except ConnectionProblem:
            self._session.close()
            raise

    def close(self) -> None:
        """Leave. Jobs go on at the backend; nothing hangs, whatever the state of the connection."""
        self._session.close()
        if self._wires.link:
            self._send()
        self._unsent = None
        self._wires.close()

    def poll(self, budget_s: float = POLL_BUDGET_S) -> list[ClientEvent]:
        """Receive and send for about ``budget_s``, never blocking; what happened since the last call."""
        until = time.perf_counter() + budget_s
        if self._session.due():
            try:
                self._open_link()
            except ConnectionProblem as error:  # such as too many open files: may pass
                self._session.link_lost(str(error))
        if self._wires.link:
            self._exchange(self._wires.link, until)
        if self._session.link == "none":
            self._wires.close_link()
            self._unsent = None
        return self._session.take_events()

    def wait(self, timeout_s: float) -> list[ClientEvent]:
        """As ``poll``, but block until there are events or ``timeout_s`` is over; at once when closed or refused."""
        until = time.monotonic() + timeout_s
        while True:
            events = self.poll()
            left = until - time.monotonic()
            if events or left <= 0 or self.state in {"closed", "refused"}:
                return events
            self._sleep(min(left, _SLICE_S))

    # ---- requests -----------------------------------------------------------------------------------

    def submit(self, job_id: str, spec: JobSpec, assets: AssetSource) -> None:
        """Upload what the backend lacks of ``assets`` and submit; goes on across reconnects.

        Ends in Submitted or RequestFailed. Raises InvalidJob for a spec that no backend could take.
        """
        self._session.submit(job_id, spec, assets)

    def attach(self, job_id: str, next_frame: int = 0) -> None:
        """Follow a job: its changes, previews, and frames from ``next_frame``. May be called right after submit."""
        self._session.attach(job_id, next_frame)

    def detach(self, job_id: str) -> None:
        """Stop following; the job goes on. Ends in RequestDone or RequestFailed."""
        self._session.detach(job_id)

    def cancel(self, job_id: str) -> None:
        """Stop a job. Ends in RequestDone or RequestFailed; JobChanged tells when it has stopped."""
        self._session.cancel(job_id)

    def remove(self, job_id: str) -> None:
        """Delete an ended job and its frames at the backend. Ends in RequestDone or RequestFailed."""
        self._session.remove(job_id)

    def list_jobs(self, limit: int = 100) -> None:
        """Ask for the newest jobs of this key. Ends in JobsListed."""
        self._session.list_jobs(limit)

    def get_spec(self, job_id: str) -> None:
        """Ask for a job's spec. Ends in SpecArrived or RequestFailed."""
        self._session.get_spec(job_id)

    def estimate(self, question: m.EstimateJob) -> int:
        """Ask what a job would need and take; returns the request's number. Ends in Estimated or RequestFailed, or in
        nothing when the connection is lost. Raises Unsupported for a backend that makes none.
        """
        return self._session.estimate(question)

    def forget(self, job_id: str) -> None:
        """Drop everything about a job on this side, without an answer."""
        self._session.forget(job_id)

    def consumed(self, what: FrameArrived | PoseArrived | int) -> None:
        """A frame (or so many bytes of frames) was written or shown: lets the backend send as much again."""
        self._session.consumed(what)

    # ---- the socket ---------------------------------------------------------------------------------

    def _open_link(self) -> None:
        self._wires.open_link(self.connection)
        self._session.link_opening()

    def _exchange(self, link: Link, until: float) -> None:
        down = None
        for event in link.events():
            if event.kind == "up":
                self._session.link_up()
            else:
                down = down or event
        # What came before the end is still worth reading.
        while self._session.link != "none" and (parts := link.receive()) is not None:
            self.bytes_received += _nbytes(parts)
            self._session.on_message(parts)
            if time.perf_counter() > until:
                break
        if self._session.link == "none":
            return
        if down is None:
            self._session.tick()
            self._send(until)
        elif down.kind == "refused":
            self._session.refuse(down.error)
        else:
            self._session.link_lost(str(down.error))

    def _send(self, until: float | None = None) -> None:
        while link := self._wires.link:
            self._unsent = self._unsent or self._session.next_parts()
            if self._unsent is None or not link.send(self._unsent):
                return
            self.bytes_sent += _nbytes(self._unsent)
            self._unsent = None
            if until is not None and time.perf_counter() > until:
                return

    def _sleep(self, seconds: float) -> None:
        link = self._wires.link
        if link is None:
            time.sleep(min(seconds, max(self._session.retry_in(), _IDLE_S)))
        elif self._unsent or not self._session.sending():
            link.wait(seconds, writable=self._unsent is not None)
