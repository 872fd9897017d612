"""A backend small enough to be read: one ROUTER, real sockets, no threads; the test calls ``step``."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import zmq
from zmq.utils import z85

from protocol import codec
from protocol import messages as m
from protocol.assets import AssetFolder
from protocol.client import Client, new_id
from protocol.connection import Connection
from protocol.errors import WanstageError
from protocol.events import ClientEvent


class FakeBackend:
    """Serves jobs whose frames are ``frame(index)``; knobs make it misbehave."""

    def __init__(self, folder: Path, *, curve: bool = True, frames: int = 5) -> None:
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.folder = AssetFolder(folder)
        self.frames = frames
        self.frame_bytes = 64 * 64 * 3
        self.server_id = new_id()
        self.seen: list[m.Message] = []
        self.jobs: dict[str, m.JobUpdate] = {}
        self.credit: dict[bytes, int] = {}
        self.attached: dict[tuple[bytes, str], int] = {}
        self.mute = False
        self.skip_once: set[int] = set()
        self.upload_credit = 1 << 24
        self.encoding: Literal["png", "raw"] = "raw"
        self.refuse: m.ErrorReply | None = None
        self.keys = zmq.curve_keypair()
        self.client_keys = zmq.curve_keypair()
        self.curve = curve
        self.zap = self.context.socket(zmq.REP) if curve else None
        if self.zap:
            self.zap.bind("inproc://zeromq.zap.01")
        self.bind("tcp://127.0.0.1:0")

    def bind(self, endpoint: str) -> None:
        self.router = self.context.socket(zmq.ROUTER)
        self.router.linger = 0
        self.router.router_mandatory = True
        if self.curve:
            self.router.curve_server = True
            self.router.curve_publickey, self.router.curve_secretkey = self.keys
            self.router.zap_domain = b"wan"
        deadline = time.monotonic() + 10
        while True:
            try:
                self.router.bind(endpoint)
                break
            except zmq.ZMQError:  # the closed socket lets go of the port a moment later
                assert time.monotonic() < deadline
                self.router.poll(10)
        self.endpoint = self.router.last_endpoint.decode()

    def restart(self) -> None:
        """As another process on the same port, which knows nobody."""
        self.stop()
        self.server_id = new_id()
        self.bind(self.endpoint)

    def stop(self) -> None:
        self.router.close(linger=0)
        self.credit.clear()
        self.attached.clear()

    def close(self) -> None:
        self.context.destroy(linger=0)

    def connection(self, client_keys: tuple[bytes, bytes] | None = None) -> Connection:
        if not self.curve:
            return Connection(self.endpoint)
        public, secret = client_keys or self.client_keys
        return Connection(self.endpoint, self.keys[0].decode(), public.decode(), secret.decode())

    # ---- one turn -----------------------------------------------------------------------------------

    def step(self) -> None:
        if self.zap:
            self._answer_zap(self.zap)
        if self.router.closed:
            return
        while self.router.poll(0):
            identity, *parts = self.router.recv_multipart()
            if self.mute:
                continue
            try:
                message, buffers = codec.decode_client(parts)
                self.seen.append(message)
                self._answer(identity, message, buffers)
            except WanstageError as error:
                self.reply(identity, m.ErrorReply(error.code, str(error), reply_to=getattr(message, "request", 0)))
        self._stream()

    def _answer_zap(self, zap: zmq.Socket[bytes]) -> None:
        while zap.poll(0):
            version, number, _, _, _, _, key = zap.recv_multipart()
            known = z85.encode(key) == self.client_keys[0]
            code, text = (b"200", b"OK") if known else (b"400", b"unknown key")
            zap.send_multipart([version, number, code, text, b"me", b""])

    def reply(self, identity: bytes, message: m.Message, *buffers: bytes) -> None:
        try:
            self.router.send_multipart([identity, *codec.encode(message, *buffers)])
        except zmq.ZMQError as error:  # a client that is gone asks again when it comes back, as with the real backend
            if error.errno != zmq.EHOSTUNREACH:
                raise
            self.credit.pop(identity, None)
            for key in [key for key in self.attached if key[0] == identity]:
                del self.attached[key]

    def _answer(self, identity: bytes, message: Any, buffers: Any) -> None:
        to = message.request
        if isinstance(message, m.Hello):
            self.credit[identity] = 0
            self.reply(identity, m.Welcome(self.server_id, "fake 1", upload_credit=self.upload_credit, reply_to=to))
        elif identity not in self.credit:
            self.reply(identity, m.ErrorReply("hello_required", "say hello first", reply_to=to))
        else:
            self._answer_known(identity, message, buffers, to)

    def _answer_known(self, identity: bytes, message: Any, buffers: Any, to: int) -> None:
        match message:
            case m.Ping():
                self.reply(identity, m.Pong(to))
            case m.GrantCredit():
                self.credit[identity] += message.nbytes
            case m.HaveAssets():
                lacking = [ref for ref in message.assets if not self.folder.has(ref)]
                found = tuple(m.MissingAsset(ref.id, self.folder.partial(ref.id)) for ref in lacking)
                self.reply(identity, m.AssetsMissing(found, to))
            case m.PutChunk():
                whole = self.folder.append_chunk(message.asset, message.offset, buffers[0])
                have = message.asset.nbytes if whole else self.folder.partial(message.asset.id)
                self.reply(identity, m.ChunkStored(message.asset.id, have, whole, to))
            case m.SubmitJob() if self.refuse:
                self.reply(identity, m.ErrorReply(self.refuse.code, self.refuse.message, message.job_id, to))
            case m.SubmitJob():
                self.jobs.setdefault(message.job_id, m.JobUpdate(message.job_id, "finished", self.frames))
                self.reply(identity, self._job(message.job_id, to))
            case m.Attach():
                answer = self._job(message.job_id, to)
                self.attached[identity, message.job_id] = message.next_frame
                self.reply(identity, answer)
            case m.ListJobs():
                self.reply(identity, m.Jobs(tuple(self.jobs.values()), to))
            case m.CancelJob():
                self.reply(identity, self._job(message.job_id, to))
            case m.Detach() | m.RemoveJob():
                self.attached.pop((identity, message.job_id), None)
                self.reply(identity, m.Done(to))
            case m.Goodbye():
                self.credit.pop(identity, None)  # it does not wait for the answer

    def _job(self, job_id: str, to: int) -> m.Message:
        known = self.jobs.get(job_id)
        if known is None:
            return m.ErrorReply("unknown_job", f"there is no job {job_id}", job_id, to)
        return m.JobUpdate(job_id, known.state, known.frames, reply_to=to)

    def frame(self, index: int) -> bytes:
        return bytes([index % 256]) * self.frame_bytes

    def _stream(self) -> None:
        for key in list(self.attached):
            while self.attached.get(key, self.frames) < self.frames and self.credit.get(key[0], 0) > 0:
                self._send_frame(*key)

    def _send_frame(self, identity: bytes, job_id: str) -> None:
        index = self.attached[identity, job_id]
        if index in self.skip_once:
            self.skip_once.discard(index)
            index += 1
        self.attached[identity, job_id] = index + 1
        self.credit[identity] -= self.frame_bytes
        self.reply(identity, m.FrameReady(job_id, index, self.encoding, 64, 64), self.frame(index))


def run(
    client: Client, backend: FakeBackend, until: Callable[[list[ClientEvent]], bool], *, seconds: float = 20.0
) -> list[ClientEvent]:
    """Turn both until ``until(all events)``; fails after ``seconds``."""
    events: list[ClientEvent] = []
    deadline = time.monotonic() + seconds
    while not until(events):
        assert time.monotonic() < deadline, f"{client.state}: {client.problem}; {events[-5:]}"
        backend.step()
        events += client.wait(0.01)
    return events
