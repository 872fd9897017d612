"""The client against a small backend over real sockets, with CURVE and an allow-list."""

from __future__ import annotations

import gc
import socket
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
import zmq

from protocol import connection as connection_file
from protocol import messages as m
from protocol.assets import AssetFolder
from protocol.client import Client, new_id
from protocol.connection import Connection
from protocol.errors import ConnectionProblem, KeyRefused, UnknownJob, VersionMismatch
from protocol.events import (
    ClientEvent,
    Connected,
    Disconnected,
    FrameArrived,
    JobsListed,
    Refused,
    RequestDone,
    RequestFailed,
    Submitted,
    UploadProgress,
)
from protocol.specs import ImageRef, JobSpec
from tests.unit.protocol.fake_backend import FakeBackend, run

MINIMAL = Path(__file__).parents[3] / "examples" / "minimal_client.py"


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[FakeBackend]:
    made = FakeBackend(tmp_path / "store")
    yield made
    made.close()


@pytest.fixture
def client(backend: FakeBackend) -> Iterator[Client]:
    made = Client(backend.connection(), client_name="test 1")
    made.open()
    yield made
    made.close()


@pytest.fixture
def folder(tmp_path: Path) -> AssetFolder:
    return AssetFolder(tmp_path / "mine")


def spec_of(folder: AssetFolder, content: bytes = b"picture") -> JobSpec:
    image = ImageRef(folder.add(content), 64, 64)
    return JobSpec(task="i2v", width=64, height=64, frames=5, fps=16.0, image=image)


def frames(events: list[ClientEvent]) -> list[FrameArrived]:
    return [each for each in events if isinstance(each, FrameArrived)]


def has(kind: type) -> Callable[[list[ClientEvent]], bool]:
    return lambda events: any(isinstance(each, kind) for each in events)


def count(kind: type, backend: FakeBackend) -> int:
    return sum(isinstance(each, kind) for each in backend.seen)


def test_submit_upload_and_stream(backend: FakeBackend, client: Client, folder: AssetFolder) -> None:
    job = new_id()
    client.submit(job, spec_of(folder, b"p" * 10_000_000), folder)
    client.attach(job)
    events = run(client, backend, lambda events: len(frames(events)) == 5)
    assert (client.state, client.problem) == ("connected", "")
    assert [bytes(each.data) for each in frames(events)] == [backend.frame(i) for i in range(5)]
    assert Submitted(job) in events
    last = [each for each in events if isinstance(each, UploadProgress)][-1]
    assert last == UploadProgress(job, 10_000_000, 10_000_000)
    assert count(m.PutChunk, backend) >= 3


def test_a_second_take_uploads_nothing(backend: FakeBackend, client: Client, folder: AssetFolder) -> None:
    for _ in range(2):
        backend.seen.clear()
        client.submit(new_id(), spec_of(folder), folder)
        run(client, backend, has(Submitted))
    assert count(m.PutChunk, backend) == 0


def test_without_credit_nothing_more_comes(backend: FakeBackend, client: Client, folder: AssetFolder) -> None:
    slow = Client(backend.connection(), client_name="slow", window=backend.frame_bytes + 1)
    slow.open()
    backend.frames = 20
    job = new_id()
    slow.submit(job, spec_of(folder), folder)
    slow.attach(job)
    events = run(slow, backend, lambda events: len(frames(events)) == 2)  # the window, overdrawn by one message
    slow.list_jobs()
    more = run(slow, backend, has(JobsListed))
    assert frames(more) == []
    for each in frames(events):
        slow.consumed(each)
    assert len(frames(run(slow, backend, lambda events: len(frames(events)) == 2))) == 2
    slow.close()


def test_the_wrong_key_is_refused_in_a_sentence(backend: FakeBackend) -> None:
    stranger = Client(backend.connection(zmq.curve_keypair()), client_name="stranger")
    stranger.open()
    (event,) = run(stranger, backend, has(Refused))
    assert isinstance(event, Refused)
    assert isinstance(event.error, KeyRefused)
    assert stranger.state == "refused"
    assert "does not allow our key" in stranger.problem
    assert stranger.wait(5.0) == []  # at once: there is nothing to wait for
    stranger.close()


def test_the_wrong_server_key_is_explained(backend: FakeBackend) -> None:
    lost = msgspec.structs.replace(backend.connection(), server_key=zmq.curve_keypair()[0].decode())
    client = Client(lost, client_name="lost")
    client.open()
    run(client, backend, lambda _: bool(client.problem))
    assert "hung up on our key" in client.problem
    assert client.state == "connecting"
    client.close()


def test_nobody_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    client = Client(Connection(f"tcp://127.0.0.1:{port}"), client_name="test")
    client.open()
    deadline = time.monotonic() + 10
    while not client.problem and time.monotonic() < deadline:
        client.wait(0.05)
    assert "nobody answers at tcp://127.0.0.1" in client.problem
    assert client.state == "connecting"
    client.close()
    assert client.state == "closed"


@pytest.mark.parametrize("bad", [Connection("nonsense"), Connection("tcp://127.0.0.1:1", "short", "short", "short")])
def test_an_unusable_connection_file(bad: Connection) -> None:
    client = Client(bad, client_name="test")
    with pytest.raises(ConnectionProblem, match="cannot be used"):
        client.open()
    assert client.state == "closed"
    client.close()


def test_another_version_in_the_connection_file() -> None:
    client = Client(Connection("tcp://127.0.0.1:1", version=(2, 0)), client_name="test")
    client.open()
    (event,) = client.poll()
    assert isinstance(event, Refused)
    assert isinstance(event.error, VersionMismatch)
    client.close()


def test_a_backend_that_goes_silent_is_given_up_then_found_again(backend: FakeBackend, folder: AssetFolder) -> None:
    now = [0.0]
    client = Client(backend.connection(), client_name="test", clock=lambda: now[0])
    client.open()
    run(client, backend, has(Connected))
    backend.mute = True

    def silence(events: list[ClientEvent]) -> bool:
        now[0] += 0.7
        return has(Disconnected)(events)

    run(client, backend, silence)
    assert client.state == "lost"
    assert "said nothing" in client.problem
    backend.mute = False
    now[0] += 40
    (event,) = run(client, backend, has(Connected))
    assert event == Connected(client.welcome, restarted=False)
    client.close()


def test_a_restart_in_the_middle_of_the_frames(backend: FakeBackend, folder: AssetFolder) -> None:
    now = [0.0]
    client = Client(backend.connection(), client_name="test", window=2 * backend.frame_bytes, clock=lambda: now[0])
    client.open()
    backend.frames = 9
    job = new_id()
    client.submit(job, spec_of(folder), folder)
    client.attach(job)
    events = run(client, backend, lambda events: len(frames(events)) == 2)
    backend.restart()
    events += run(client, backend, has(Disconnected))
    now[0] += 40

    def all_frames(more: list[ClientEvent]) -> bool:
        for each in frames(more)[len(eaten) :]:
            client.consumed(each)
            eaten.append(each.index)
        return len(frames(events + more)) == 9

    eaten: list[int] = []
    more = run(client, backend, all_frames)
    assert [each.index for each in frames(events + more)] == list(range(9))
    assert any(isinstance(each, Connected) and each.restarted for each in more)
    client.close()


def test_an_upload_resumes_after_a_restart(backend: FakeBackend, folder: AssetFolder) -> None:
    now = [0.0]
    client = Client(backend.connection(), client_name="test", clock=lambda: now[0])
    client.open()
    content = bytes(range(256)) * 40_000
    spec = spec_of(folder, content)
    assert spec.image
    job = new_id()
    client.submit(job, spec, folder)
    events = run(client, backend, lambda _: backend.folder.partial(spec.image.asset.id) > 0)  # type: ignore[union-attr]
    assert not has(Submitted)(events)
    have = backend.folder.partial(spec.image.asset.id)
    backend.restart()
    backend.seen.clear()
    run(client, backend, has(Disconnected))
    now[0] += 40
    run(client, backend, has(Submitted))
    first = next(each for each in backend.seen if isinstance(each, m.PutChunk))
    assert first.offset == have > 0
    assert backend.folder.read(spec.image.asset.id) == content
    client.close()


def test_a_gap_is_healed(backend: FakeBackend, client: Client, folder: AssetFolder) -> None:
    backend.skip_once = {2}
    job = new_id()
    client.submit(job, spec_of(folder), folder)
    client.attach(job)
    events = run(client, backend, lambda events: len(frames(events)) == 5)
    assert [each.index for each in frames(events)] == [0, 1, 2, 3, 4]
    assert count(m.Attach, backend) == 2


def test_requests(backend: FakeBackend, client: Client, folder: AssetFolder) -> None:
    job = new_id()
    client.submit(job, spec_of(folder), folder)
    run(client, backend, has(Submitted))
    client.cancel(job)
    assert RequestDone("cancel", job) in run(client, backend, has(RequestDone))
    client.remove(job)
    assert RequestDone("remove", job) in run(client, backend, has(RequestDone))
    client.attach(new_id())
    (failed,) = run(client, backend, has(RequestFailed))
    assert isinstance(failed, RequestFailed)
    assert isinstance(failed.error, UnknownJob)


def test_frames_outlive_the_poll_that_brought_them(backend: FakeBackend, client: Client, folder: AssetFolder) -> None:
    job = new_id()
    client.submit(job, spec_of(folder), folder)
    client.attach(job)
    events = frames(run(client, backend, lambda events: len(frames(events)) == 5))
    client.close()
    assert [bytes(each.data) for each in events] == [backend.frame(i) for i in range(5)]


def test_close_and_open_again(backend: FakeBackend, client: Client) -> None:
    run(client, backend, has(Connected))
    client.close()
    client.close()
    assert client.poll() == []
    client.open()
    run(client, backend, has(Connected))


def test_a_client_that_is_dropped_closes_itself(backend: FakeBackend) -> None:
    client = Client(backend.connection(), client_name="dropped")
    client.open()
    run(client, backend, has(Connected))
    wires = client._wires
    client.itself = client  # type: ignore[attr-defined]
    del client
    gc.collect()
    assert wires.link is None
    assert wires._context is None


def test_poll_does_not_block(client: Client) -> None:
    started = time.perf_counter()
    for _ in range(20):
        client.poll()
    assert time.perf_counter() - started < 2.0


def test_without_encryption_on_loopback(tmp_path: Path) -> None:
    backend = FakeBackend(tmp_path / "plain", curve=False)
    client = Client(backend.connection(), client_name="benchmark")
    client.open()
    run(client, backend, has(Connected))
    client.close()
    backend.close()


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    rows = zlib.compress(bytes(height * (1 + 3 * width)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def start_minimal(backend: FakeBackend, tmp_path: Path, known: Connection) -> subprocess.Popen[str]:
    connection_file.write(tmp_path / "connection.json", known)
    (tmp_path / "picture.png").write_bytes(png(64, 96))
    command = [sys.executable, str(MINIMAL), "connection.json", "picture.png", "a walk", "out"]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, cwd=tmp_path, stdout=pipe, stderr=subprocess.STDOUT, text=True)
    deadline = time.monotonic() + 60
    while process.poll() is None:
        assert time.monotonic() < deadline
        backend.step()
        backend.router.poll(10)
    return process


def test_the_minimal_client(backend: FakeBackend, tmp_path: Path) -> None:
    backend.frames = 17
    backend.encoding = "png"
    process = start_minimal(backend, tmp_path, backend.connection())
    output = process.communicate()[0]
    assert process.returncode == 0, output
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"{i:04d}.png" for i in range(17)]
    assert "finished" in output
    assert len(MINIMAL.read_text(encoding="utf-8").splitlines()) < 100


def test_the_minimal_client_says_what_is_wrong(backend: FakeBackend, tmp_path: Path) -> None:
    backend.refuse = m.ErrorReply("invalid_job", "the shot is too dark: light it")
    process = start_minimal(backend, tmp_path, backend.connection())
    assert process.communicate()[0].endswith("the shot is too dark: light it\n")
    assert process.returncode == 1
