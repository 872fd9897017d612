"""The server: one thread, one poll loop over the ROUTER, the key check and the workers' sockets. Never torch."""

from __future__ import annotations

import contextlib
import logging
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import zmq

from protocol import limits, messages
from protocol.assets import AssetFolder
from protocol.codec import Buffer, decode_client, encode
from protocol.connection import Connection
from protocol.errors import HelloRequired, KeyRefused, ProtocolError, Unsupported, WanstageError
from wan_models.registry import engine_infos

from . import worker_messages as wm
from .estimates import Estimates
from .frames import FrameStore, stored_as
from .handlers import Handlers, error_reply, paired, welcome
from .jobs import Job
from .lifetime import ConnectionFile, Keys, Listening, Lock, reachable
from .models import Models
from .pairing import Door
from .peers import Peer, Source
from .scheduler import Scheduler
from .settings import Settings
from .store import JobStore
from .supervisor import Fleet, Supervisor, bound_endpoint, threads_each
from .zap import ZapHandler

log = logging.getLogger(__name__)

DOMAIN = b"wanstage"
ANONYMOUS = "anonymous"  # the User-Id of everybody with --insecure-loopback
IDLE_MS, BUSY_MS, UNSENT_MS = 500, 50, 10
RECEIVE_BATCH = 64
ROUTER_HWM = 256  # messages a client; credit is the flow control, this the safety net
COPY_BELOW = 64 * 1024
KEEP_ASSETS_S, PRUNE_EVERY_S = 86400.0, 3600.0


class Server:
    """Owns everything; ``run`` until ``stop`` is called (from a signal handler, say) or idle for long enough."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        """Bind and read the disk. Raises SettingsProblem, AlreadyServed, zmq.ZMQError (address in use), OSError."""
        settings.check()
        self._settings, self._clock = settings, clock
        self._stopping = False
        self._idle_since = clock()
        self._prune_at = clock()
        self._peers: dict[bytes, Peer] = {}
        self.server_id = uuid.uuid4().hex
        settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.ExitStack() as undo:
            self._lock = Lock(settings.data, settings.connection_file)
            undo.callback(self._lock.release)
            self._keys = Keys(settings.data)
            self._door = Door(self._keys, settings.data / "keys", clock)
            self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
            undo.callback(self._context.destroy, linger=0)
            self._zap = ZapHandler(self._context)
            self._router = self._bind()
            self._compose()
            undo.pop_all()
        self._wake, self._waker = socket.socketpair()  # a signal alone leaves ZeroMQ's poll waiting
        self._wake.setblocking(False)
        self._waker.setblocking(False)
        self._poller = zmq.Poller()
        self._poller.register(self._wake, zmq.POLLIN)
        self._poller.register(self._router, zmq.POLLIN)
        self._poller.register(self._zap.socket, zmq.POLLIN)

    def _bind(self) -> zmq.Socket[bytes]:
        settings, router = self._settings, self._context.socket(zmq.ROUTER)
        router.linger = 0
        router.router_mandatory = True
        router.maxmsgsize = settings.max_part_bytes
        router.sndhwm = router.rcvhwm = ROUTER_HWM
        router.heartbeat_ivl, router.heartbeat_timeout, router.heartbeat_ttl = 2000, 6000, 6000
        router.handshake_ivl = 5000
        router.copy_threshold = COPY_BELOW
        router.ipv6 = "[" in settings.bind
        if not settings.insecure_loopback:
            router.curve_server = True
            router.curve_secretkey = self._keys.server.secret.encode()
            router.zap_domain = DOMAIN
        router.bind(settings.bind)
        return router

    def _compose(self) -> None:
        settings, data = self._settings, self._settings.data
        self._engines = engine_infos(testing=settings.test_engine)
        self._assets = AssetFolder(data / "assets")
        self._frames = FrameStore(data / "frames", settings.min_free_bytes, settings.max_disk_bytes)
        self._store = JobStore(data / "jobs.sqlite")
        fleet = Fleet(
            data / "assets",
            data / "logs",
            tuple(row.name for row in self._engines if not (row.missing or row.on_card or row.aside)),
            threads_each(len(settings.workers)),
            tuple(row.name for row in self._engines if not row.missing and row.on_card),
            settings.models,
        )
        aside = tuple(row.name for row in self._engines if row.aside and not row.missing)
        self._supervisor = Supervisor(self._context, self._zap, settings.workers, fleet, aside=bool(aside))
        self._scheduler = Scheduler(
            self._store,
            self._frames,
            self._supervisor,
            max_attempts=settings.max_attempts,
            grace_s=settings.cancel_grace_s,
            engines=self._engines,
            clock=self._clock,
        )
        self._scheduler.listener = self
        self._models = Models(settings.models, self._engines)
        about = (self._engines, self._models)
        self._estimates = Estimates(self._scheduler, self._assets, *about, options=settings.models)
        self._handlers = Handlers(self._scheduler, self._assets, self._frames, *about, estimates=self._estimates)
        self._source = Source(self._scheduler.peek, self._handlers.update, self._read_frame)

    # ---- lifetime -----------------------------------------------------------------------------------

    @property
    def endpoint(self) -> str:
        """Where clients connect."""
        return bound_endpoint(self._router)

    def announce(self) -> list[Path]:
        """Start the workers and write the connection files; returns their paths, the local client's first."""
        self._scheduler.tick()
        settings, keys = self._settings, self._keys
        secure = not settings.insecure_loopback
        near, far = (reachable(self.endpoint, host) for host in ("127.0.0.1", socket.gethostname()))
        content = keys.connection(near) if secure else Connection(near)
        paths = [settings.connection_file]
        for name in settings.new_clients:
            paths.append(settings.connection_file.with_name(f"connection-{name}.json"))
            ConnectionFile(paths[-1], keys.connection(far, keys.add_client(name)))
        self._door.refresh()
        self._zap.allow(DOMAIN, self._door.allowed)
        self._zap.let_knock(lambda domain: domain == DOMAIN and self._door.knocking)
        self._file = ConnectionFile(settings.connection_file, content)
        Listening(self.endpoint, secure).write(settings.data)
        return paths

    def stop(self) -> None:
        """Leave the loop now. Safe in a signal handler."""
        self._stopping = True
        with contextlib.suppress(OSError):  # closed already, or full of such bytes
            self._waker.send(b"s")

    def run(self) -> None:
        """Serve; returns after ``stop`` or after idling, with everything closed and what ran queued again."""
        try:
            while not self._stopping and not self._idle_too_long():
                self._turn()
        finally:
            self._close()

    def _close(self) -> None:
        self._file.remove()
        Listening.gone(self._settings.data)
        self._scheduler.shelve()
        self._supervisor.stop()
        self._store.close()
        self._context.destroy(linger=200)
        self._lock.release()
        self._wake.close()
        self._waker.close()
        log.info("the backend has stopped")

    def _idle_too_long(self) -> bool:
        if self._peers or self._scheduler.unfinished:
            self._idle_since = self._clock()
        limit = self._settings.idle_exit_s
        return limit is not None and self._clock() - self._idle_since >= limit

    # ---- the loop -----------------------------------------------------------------------------------

    def _turn(self) -> None:
        more = self._deliver()
        with self._workers_polled():
            waiting = any(peer.waiting for peer in self._peers.values())
            busy = self._scheduler.unfinished or self._estimates.waiting
            timeout = 0 if more else UNSENT_MS if waiting else BUSY_MS if busy else IDLE_MS
            events = dict(self._poller.poll(timeout))
        self._look_at_the_door()
        if self._zap.socket in events:
            self._zap.answer()
        if self._router in events:
            self._receive()
        for slot in self._supervisor.slots:
            if slot.socket in events:
                for message, pixels in slot.receive():
                    self._scheduler.hear(slot, message, pixels)
        self._estimates.turn(lambda peer, error, request: peer.reply(error_reply(error, request)))
        self._expire()
        self._prune_assets()
        self._scheduler.tick()

    @contextlib.contextmanager
    def _workers_polled(self) -> Iterator[None]:
        """Workers come and go with their sockets, so they are registered for one poll only."""
        sockets = [slot.socket for slot in self._supervisor.slots if slot.socket is not None]
        for each in sockets:
            self._poller.register(each, zmq.POLLIN)
        yield
        for each in sockets:
            self._poller.unregister(each)

    def _receive(self) -> None:
        for _ in range(RECEIVE_BATCH):
            try:
                frames = self._router.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            try:
                self._take(frames[0].bytes, _user(frames), [frame.buffer for frame in frames[1:]])
            except Exception:  # a bug that one client's message finds must not end the others' connections
                log.exception("a message could not be handled")

    def _take(self, identity: bytes, user: str, parts: list[Buffer]) -> None:
        try:
            message, buffers = decode_client(parts)
        except ProtocolError as error:
            log.warning("a message of client %s was refused: %s", user[:8], error)
            self._send_loose(identity, encode(error_reply(error, error.request, error.job_id)))
            return
        if isinstance(message, messages.Pair):
            self._pair(identity, user, message)
            return
        if not self._may(user):  # in while a pairing code is open, or unpaired since
            problem = "this backend does not know your key (any more): pair first, by a code of 'wanstage pair'"
            self._send_loose(identity, encode(error_reply(KeyRefused(problem), message.request)))
            return
        if isinstance(message, messages.Hello):
            self._hello(identity, user, message)
            return
        peer = self._peers.get(identity)
        if peer is None:
            problem = "say hello first: this backend does not know the connection (any more)"
            self._send_loose(identity, encode(error_reply(HelloRequired(problem), message.request)))
            return
        peer.last_seen = self._clock()
        if isinstance(message, messages.Goodbye):
            self._send_loose(identity, encode(messages.Done(reply_to=message.request)))
            del self._peers[identity]
            return
        self._handlers.handle(peer, message, buffers)

    def _look_at_the_door(self) -> None:
        """Commands on this machine pair and unpair clients while we run: both take effect at once."""
        if not self._door.refresh():
            return
        self._zap.allow(DOMAIN, self._door.allowed)
        for peer in list(self._peers.values()):
            if not self._may(peer.user):
                log.info("a client (key %s) was unpaired: its connection ends", peer.user[:8])
                del self._peers[peer.identity]
                problem = "this client was unpaired from the backend"
                self._send_loose(peer.identity, encode(error_reply(HelloRequired(problem))))

    def _may(self, user: str) -> bool:
        return self._settings.insecure_loopback or self._door.is_allowed(user)

    def _pair(self, identity: bytes, user: str, asked: messages.Pair) -> None:
        """Let a key in; then it says hello as any other."""
        try:
            if self._settings.insecure_loopback:
                problem = "this backend runs without keys, so there is nothing to pair with"
                raise Unsupported(problem)
            name = self._door.pair(user, asked.secret, asked.name)
        except WanstageError as error:
            log.info("a client (%s) was not paired: %s", asked.client, error)
            self._send_loose(identity, encode(error_reply(error, asked.request)))
            return
        self._zap.allow(DOMAIN, self._door.allowed)
        self._send_loose(identity, encode(paired(name, asked.request)))

    def _hello(self, identity: bytes, user: str, hello: messages.Hello) -> None:
        for old in [each for each in self._peers.values() if (each.session_id, each.user) == (hello.session_id, user)]:
            del self._peers[old.identity]
        peer = Peer(identity, user, hello.session_id, self._clock())
        self._peers[identity] = peer
        log.info("hello from %s (key %s)", hello.client, user[:8])
        peer.reply(welcome(self.server_id, self._models.infos(), self._supervisor.devices, hello.request))

    def _prune_assets(self) -> None:
        """Now and then, forget assets that nobody has asked for in a day and no unended job names."""
        if self._clock() >= self._prune_at:
            self._prune_at = self._clock() + PRUNE_EVERY_S
            freed = self._assets.prune(self._scheduler.assets_in_use(), KEEP_ASSETS_S)
            log.info("%d bytes of old assets were removed", freed)

    def _expire(self) -> None:
        now = self._clock()
        for peer in list(self._peers.values()):
            if now - peer.last_seen > self._settings.client_expiry_s or peer.hopeless:
                log.info("forgetting a client (key %s) that has been silent or does not read", peer.user[:8])
                del self._peers[peer.identity]

    # ---- out ----------------------------------------------------------------------------------------

    def _deliver(self) -> bool:
        """Send to every client what it may get; True when there is more to send at once."""
        more = False
        for peer in list(self._peers.values()):
            try:
                more |= peer.flush(self, self._source)
            except zmq.Again:
                continue  # slow: credit, the next turn or the expiry will tell
            except zmq.ZMQError as error:
                log.info("a client (key %s) is gone: %s", peer.user[:8], error)
                del self._peers[peer.identity]
        return more

    def send(self, identity: bytes, parts: list[Buffer], track: bool = False) -> zmq.MessageTracker | None:
        """See peers.Wire."""
        found = self._router.send_multipart([identity, *parts], zmq.NOBLOCK, copy=False, track=track)
        return found if track else None

    def _send_loose(self, identity: bytes, parts: list[Buffer]) -> None:
        """To somebody we keep no state of: a lost answer is theirs to ask for again."""
        with contextlib.suppress(zmq.ZMQError):
            self.send(identity, parts)

    def _read_frame(self, job: Job, index: int) -> bytes:
        return self._frames.read(job.job_id, index, stored_as(job.spec))

    # ---- from the scheduler -------------------------------------------------------------------------

    def job_changed(self, job: Job) -> None:
        """Tell those who follow the job."""
        for peer in self._peers.values():
            peer.job_changed(job)

    def preview_made(self, job: Job, message: wm.PreviewMade, pixels: memoryview) -> None:
        """Offer the preview to those who follow the job."""
        header = messages.PreviewReady(job.job_id, message.index, message.width, message.height)
        if len(pixels) != message.width * message.height * 3 or len(pixels) > limits.MAX_PART_BYTES:
            return
        for peer in self._peers.values():
            if peer.user == job.owner:
                peer.preview(header, pixels)


def _user(frames: list[zmq.Frame]) -> str:
    try:
        return str(frames[-1].get("User-Id")) or ANONYMOUS
    except zmq.ZMQError:
        return ANONYMOUS
