"""Settings, lock, keys, the key check, and worker processes that cannot start."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
import zmq

from backend import supervisor as sv
from backend import worker_messages as wm
from backend.lifetime import AlreadyServed, ConnectionFile, Keys, Lock, reachable, start_time
from backend.private import alone
from backend.serve import greet
from backend.settings import Settings, SettingsProblem, default_connection
from backend.supervisor import MAX_FAILED_STARTS, Fleet, Slot, Supervisor
from backend.zap import ENDPOINT, ZapHandler
from protocol import connection
from wan_models.options import Options

Context = zmq.Context[zmq.Socket[bytes]]


@pytest.fixture
def context() -> Iterator[Context]:
    made: Context = zmq.Context()
    yield made
    made.destroy(linger=0)


@pytest.fixture
def zap(context: Context) -> Iterator[ZapHandler]:
    made = ZapHandler(context)
    yield made
    made.socket.close(linger=0)


# ---- settings ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bind", "loopback"),
    [
        ("tcp://127.0.0.1:*", True),
        ("tcp://[::1]:5555", True),
        ("tcp://0.0.0.0:5555", False),
        ("tcp://*:5555", False),
        ("tcp://127.evil.example:1", False),
        ("tcp://localhost.example:1", False),
    ],
)
def test_only_loopback_may_be_without_keys(tmp_path: Path, bind: str, loopback: bool) -> None:
    settings = Settings(tmp_path, tmp_path / "c.json", bind=bind, insecure_loopback=True)
    assert settings.loopback is loopback
    if loopback:
        settings.check()
    else:
        with pytest.raises(SettingsProblem, match="insecure-loopback"):
            settings.check()


def test_connection_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANSTAGE_CONNECTION", "there.json")
    assert default_connection() == Path("there.json")


def test_the_server_starts_without_heavy_libraries() -> None:
    heavy = "{'torch', 'cv2', 'numpy', 'scipy', 'av', 'rich', 'platformdirs'}"
    code = f"import sys, backend.cli, backend.serve, backend.server; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("bound", "told"),
    [
        ("tcp://0.0.0.0:5555", "tcp://render1:5555"),
        ("tcp://[::]:5555", "tcp://render1:5555"),
        ("tcp://127.0.0.1:5555", "tcp://127.0.0.1:5555"),
        ("tcp://10.0.0.7:5555", "tcp://10.0.0.7:5555"),
    ],
)
def test_clients_are_told_an_address_they_can_reach(bound: str, told: str) -> None:
    assert reachable(bound, "render1") == told


# ---- lock and keys ----------------------------------------------------------------------------------


def test_lock_is_held_by_the_living_and_taken_from_the_dead(tmp_path: Path) -> None:
    lock = Lock(tmp_path, tmp_path / "c.json")
    with pytest.raises(AlreadyServed, match=str(os.getpid())):
        Lock(tmp_path, tmp_path / "c.json")
    lock.release()
    # Another process has our number now: the start time tells.
    (tmp_path / "server.lock").write_bytes(msgspec.json.encode({"pid": os.getpid(), "started": 1.0}))
    Lock(tmp_path, tmp_path / "c.json").release()
    (tmp_path / "server.lock").write_bytes(b"")
    Lock(tmp_path, tmp_path / "c.json").release()
    assert not (tmp_path / "server.lock").exists()


def test_who_starts_at_the_same_moment_waits_and_is_refused(tmp_path: Path) -> None:
    """On a stale lock too: looking at it and taking it is one step."""
    (tmp_path / "server.lock").write_bytes(msgspec.json.encode({"pid": os.getpid(), "started": 1.0}))
    outcome: list[Exception] = []

    def second() -> None:
        try:
            Lock(tmp_path, tmp_path / "second.json")
        except AlreadyServed as error:
            outcome.append(error)

    with alone(tmp_path / "server.lock.guard"):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.2)
        assert thread.is_alive(), "it waits for whoever is at the lock"
        ours = {"pid": os.getpid(), "started": start_time(os.getpid()), "connection_file": "first.json"}
        (tmp_path / "server.lock").write_bytes(msgspec.json.encode(ours))
    thread.join(20)
    assert "first.json" in str(outcome[0])


def test_a_person_is_greeted_and_a_program_is_not() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    pipe, terminal = io.StringIO(), Terminal()
    for stream in (pipe, terminal):
        greet(stream, "tcp://127.0.0.1:5555", "c.json")
    assert pipe.getvalue() == ""
    assert "tcp://127.0.0.1:5555" in terminal.getvalue()


def test_keys_stay_and_are_private(tmp_path: Path) -> None:
    keys = Keys(tmp_path)
    pair = keys.add_client("studio")
    again = Keys(tmp_path)
    assert again.server == keys.server
    assert pair.public.encode() in again.allowed()
    assert len(again.allowed()) == 2
    assert again.connection("tcp://127.0.0.1:1").client_secret == keys.connection("tcp://127.0.0.1:1").client_secret
    assert pair.secret not in "".join(path.read_text() for path in (tmp_path / "keys").iterdir())
    if sys.platform != "win32":
        assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "keys").iterdir()} == {0o600}


def test_connection_file_of_another_server_stays(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    first = ConnectionFile(path, connection.Connection("tcp://127.0.0.1:1"))
    second = ConnectionFile(path, connection.Connection("tcp://127.0.0.1:2"))
    first.remove()
    assert path.exists()
    second.remove()
    second.remove()
    assert not path.exists()


# ---- the key check ----------------------------------------------------------------------------------


def test_zap_matches_domain_and_key(context: Context, zap: ZapHandler) -> None:
    public, _ = zmq.curve_keypair()
    zap.allow(b"wanstage", frozenset({public}))
    asker = context.socket(zmq.REQ)
    asker.connect(ENDPOINT)
    raw = zmq.utils.z85.decode(public)
    for domain, mechanism, key, status in [
        (b"wanstage", b"CURVE", raw, b"200"),
        (b"", b"CURVE", raw, b"400"),
        (b"wanstage", b"CURVE", bytes(32), b"400"),
        (b"wanstage", b"NULL", b"", b"400"),
    ]:
        asker.send_multipart([b"1.0", b"7", domain, b"1.2.3.4", b"", mechanism, key])
        zap.answer()
        reply = asker.recv_multipart()
        assert reply[:3] == [b"1.0", b"7", status]
        assert reply[4] == (public if status == b"200" else b"")
    asker.send_multipart([b"0.9", b"8"])
    zap.answer()
    assert asker.recv_multipart()[2] == b"500"
    asker.close(linger=0)


# ---- workers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("workers", "cores", "threads"), [(1, 1, 1), (1, 2, 1), (1, 8, 7), (2, 8, 3), (16, 8, 1)])
def test_threads_leave_a_core_to_the_rest(workers: int, cores: int, threads: int) -> None:
    assert sv.threads_each(workers, cores) == threads
    assert sv.threads_each(1) >= 1


# ---- workers that cannot start ----------------------------------------------------------------------


def test_circuit_breaker_slows_a_respawn_loop(
    context: Context, zap: ZapHandler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts: list[float] = []

    def dies(self: Slot, now: float) -> None:
        starts.append(now)
        self.state = "starting"

    monkeypatch.setattr(Slot, "start", dies)
    monkeypatch.setattr(Slot, "gone", lambda self: 1 if self.state == "starting" else None)
    fleet = Supervisor(context, zap, ("cpu:0",), Fleet(tmp_path / "assets", tmp_path / "logs", ()))
    for tick in range(600):
        fleet.tick(tick / 10, lambda *_: None)
    fleet.stop()
    assert fleet.slots[0].broken
    assert MAX_FAILED_STARTS < len(starts) <= 8, "a minute of a broken worker is a handful of starts"
    gaps = [later - earlier for earlier, later in pairwise(starts)]
    assert gaps == sorted(gaps)


def test_workers_hear_of_their_device_and_open_their_engines(
    context: Context, zap: ZapHandler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[bytes] = []

    class Process:
        pid, stdin = 1, SimpleNamespace(write=lines.append, flush=lambda: None, close=lambda: None)

        def wait(self, _: float = 0) -> int:
            return 0

    monkeypatch.setattr(Slot, "_spawn", lambda self: Process())
    monkeypatch.setattr(Slot, "gone", lambda self: None)
    options = Options(folders=(tmp_path / "models",), plan="swap", card_gib=24.0)
    told = Fleet(tmp_path / "assets", tmp_path / "logs", ("draft",), 3, ("wan",), options)
    fleet = Supervisor(context, zap, ("cuda:1", "cpu:0"), told)
    assert fleet.devices == ("cuda:1", "cpu:0")
    fleet.tick(0.0, lambda *_: None)
    fleet.stop()
    card, cpu = map(wm.WorkerConfig.read, lines)
    assert (card.warm, card.options) == (("wan",), replace(options, device="cuda:1"))
    assert (cpu.warm, cpu.options) == (("draft",), replace(options, device="cpu"))
    assert card.threads == cpu.threads == 3


def test_without_ipc_the_link_is_tcp_with_keys(
    context: Context, zap: ZapHandler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows: a real worker process says ready over CURVE."""
    monkeypatch.setattr(sv.zmq, "has", lambda name: name != "ipc")
    fleet = Supervisor(context, zap, ("cpu:0",), Fleet(tmp_path / "assets", tmp_path / "logs", ("test",)))
    fleet.tick(0.0, lambda *_: None)
    slot = fleet.slots[0]
    assert slot.socket is not None
    assert sv.bound_endpoint(slot.socket).startswith("tcp://127.0.0.1:")
    poller = zmq.Poller()
    poller.register(zap.socket, zmq.POLLIN)
    poller.register(slot.socket, zmq.POLLIN)
    heard: list[object] = []
    while not heard:
        events = dict(poller.poll(30_000))
        assert events, (tmp_path / "logs" / "worker-cpu0.log").read_text()
        zap.answer()
        heard = [message for message, _ in slot.receive()]
    assert type(heard[0]).__name__ == "WorkerReady"
    fleet.stop()
    assert slot.gone() is None
