"""Pairing between real processes over TCP: the commands, a server that runs, and clients that may not."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zmq

from protocol import codec, connection, pairing_code
from protocol import messages as m
from protocol.connection import Connection
from protocol.errors import ConnectionProblem, KeyRefused, PairingRefused
from protocol.pairing import Pairing
from protocol.pairing_code import PairingCode

from .conftest import ROOT, Seen, Served, job_spec, until


def command(home: Path, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    told = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_DATA_HOME": str(home)}
    return subprocess.run(
        [sys.executable, "-m", "backend.cli", *arguments],
        cwd=ROOT, env=told, input=text, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def offer(served: Served, *options: str) -> str:
    done = command(served.data, "pair", "--data", str(served.data), "--json", *options)
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["code"])


def allow_list(served: Served) -> dict[str, Any]:
    return json.loads((served.data / "keys" / "clients.json").read_text())


def pair(line: str, name: str = "me", **told: Any) -> Any:
    return Pairing(pairing_code.read(line), name, "e2e 1", **told).wait()


def test_by_the_commands(serve: Callable[..., Served], tmp_path: Path) -> None:
    served, home = serve(), tmp_path / "home"
    said = command(home, "pair", "--data", str(served.data), "--minutes", "3")
    assert "one use" in said.stdout
    assert "own machine only" in said.stderr
    line = next(text for text in said.stdout.splitlines() if text.startswith("wanstage:"))
    done = command(home, "connect", "--name", "studio", "--as", "anna", text=f"{line}\n")
    assert done.returncode == 0, done.stderr
    assert "calls this machine anna" in done.stdout
    file = home / "wanstage" / "backends" / "studio.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert command(home, "jobs", "--connection", "studio", "--json").returncode == 0
    assert "anna" in command(home, "clients", "--data", str(served.data)).stdout
    again = command(home, "connect", line)
    assert again.returncode == 3
    assert "used already" in again.stderr
    assert command(home, "unpair", "anna", "--data", str(served.data)).returncode == 0
    refused = command(home, "jobs", "--connection", "studio")
    assert refused.returncode == 3
    assert "pair" in refused.stderr
    _holds_no_secret(served.data, [said.stdout, done.stdout, done.stderr], file)


def _holds_no_secret(data: Path, said: list[str], file: Path) -> None:
    """Neither logs nor output have the code's secret or anybody's private key."""
    told = connection.read(file)
    server = json.loads((data / "keys" / "server.json").read_text())["secret"]
    line = next(text for text in said[0].splitlines() if text.startswith("wanstage:"))
    secret = pairing_code.read(line).secret
    logs = [path.read_text(errors="replace") for path in (data / "logs").rglob("*") if path.is_file()]
    logs.append((data.parent / f"{data.name}.stderr").read_text())
    kept = [path.read_text(errors="replace") for path in (data / "keys").glob("*.json") if path.name != "server.json"]
    for text in (*logs, *said, *kept):
        assert told.client_secret not in text
        assert server not in text
        assert secret not in text
    assert all(line not in text for text in logs)


def test_a_code_before_a_backend_runs(serve: Callable[..., Served], tmp_path: Path) -> None:
    data = tmp_path / "data"
    alone = command(tmp_path, "pair", "--data", str(data))
    assert alone.returncode == 3
    assert "--port" in alone.stderr
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    done = command(tmp_path, "pair", "--data", str(data), "--json", "--port", str(port), "--host", "127.0.0.1")
    line = json.loads(done.stdout)["code"]
    with pytest.raises(ConnectionProblem, match="nobody answers"):
        pair(line)
    serve("--bind", f"tcp://127.0.0.1:{port}")
    assert pair(line).name == "me"


def test_the_paired_may_work_and_the_unpaired_are_dropped(
    serve: Callable[..., Served], join: Callable[..., Seen]
) -> None:
    served = serve()
    found = pair(offer(served, "--name", "anna"))
    assert found.name == "anna"
    seen = join(found.connection)
    job = seen.submit(job_spec())
    seen.wait_state(job, "finished")
    assert command(served.data, "unpair", "anna", "--data", str(served.data)).returncode == 0
    seen.until(lambda: seen.client.state == "refused")
    assert isinstance(seen.wait_error(), KeyRefused)
    assert join(served.connection).until(lambda: True)


def test_strangers_may_do_nothing_but_pair(serve: Callable[..., Served], join: Callable[..., Seen]) -> None:
    served = serve()
    server = served.connection.server_key
    public, secret = (each.decode() for each in zmq.curve_keypair())
    mine = Connection(served.connection.endpoint, server, public, secret)
    assert isinstance(join(mine).wait_error(), KeyRefused)  # no code is open: not even a handshake
    line = offer(served)
    seen = join(mine)
    assert isinstance(seen.wait_error(), KeyRefused)
    assert "pair first" in str(seen.wait_error())
    answers = _said_to(
        mine, m.Hello("0" * 32, "x"), m.ListJobs(request=2), m.HaveAssets((), request=3), m.Ping(request=4)
    )
    assert {each.code for each in answers} == {"key_refused"}
    assert pair(line).name == "me"


def _said_to(to: Connection, *messages: m.Message) -> list[Any]:
    """The answers to messages of a client that does not keep to the rules."""
    context = zmq.Context()
    dealer = context.socket(zmq.DEALER)
    try:
        dealer.linger, dealer.rcvtimeo = 0, 10_000
        dealer.curve_serverkey = to.server_key.encode()
        dealer.curve_publickey, dealer.curve_secretkey = to.client_key.encode(), to.client_secret.encode()
        dealer.connect(to.endpoint)
        for message in messages:
            dealer.send_multipart(codec.encode(message))
        return [codec.decode_server(dealer.recv_multipart())[0] for _ in messages]
    finally:
        dealer.close()
        context.destroy(linger=0)


def test_wrong_old_and_used_codes_get_their_sentences(serve: Callable[..., Served]) -> None:
    served = serve()
    good = pairing_code.read(offer(served))

    def sentence(code: PairingCode, **told: Any) -> str:
        with pytest.raises(PairingRefused) as caught:
            pair(pairing_code.write(code), **told)
        return str(caught.value)

    wrong = msgspec_replace(good, secret="ab" * 16)
    assert "not one of this backend's" in sentence(wrong)
    assert "wait a second" in sentence(wrong)
    offers = served.data / "keys" / "pairing.json"
    listed = json.loads(offers.read_text())
    offer(served)  # another one, so that strangers may still knock
    kept = [{**each, "ends": 1.0} if each == listed[0] else each for each in json.loads(offers.read_text())]
    offers.write_text(json.dumps(kept))
    until(lambda: "too old" in sentence(good), "end of the pause")
    offers.write_text("[]")
    late = good.ends + 1.0
    assert "too old" in sentence(good, today=lambda: late), "told by the clock where the backend does not even listen"
    assert "used already, or taken back" in sentence(good)


def msgspec_replace(code: PairingCode, **told: Any) -> PairingCode:
    from dataclasses import replace

    return replace(code, **told)


def test_nobody_takes_the_backends_place(serve: Callable[..., Served]) -> None:
    """A program at the address that has other keys is told nothing."""
    served = serve()
    code = pairing_code.read(offer(served))
    context = zmq.Context()
    thief = context.socket(zmq.ROUTER)
    try:
        thief.linger = 0
        thief.curve_server = True
        thief.curve_publickey, thief.curve_secretkey = zmq.curve_keypair()
        port = thief.bind_to_random_port("tcp://127.0.0.1")
        stolen = msgspec_replace(code, port=port)
        with pytest.raises(ConnectionProblem, match="another program answers"):
            pair(pairing_code.write(stolen))
        assert not thief.poll(0)
    finally:
        thief.close()
        context.destroy(linger=0)
    # Where one of the hosts is right, it is found.
    both = [f"tcp://127.0.0.1:{port}", served.connection.endpoint]
    assert pair(pairing_code.write(code), endpoints=both).name == "me"


def test_a_backend_without_keys_pairs_with_nobody(serve: Callable[..., Served]) -> None:
    served = serve("--insecure-loopback")
    done = command(served.data, "pair", "--data", str(served.data))
    assert done.returncode == 3
    assert "--insecure-loopback" in done.stderr
    assert _plain(served.connection.endpoint, m.Pair("0" * 32, "me", "x", request=1)).code == "unsupported"


def _plain(endpoint: str, message: m.Message) -> Any:
    context = zmq.Context()
    dealer = context.socket(zmq.DEALER)
    try:
        dealer.linger, dealer.rcvtimeo = 0, 10_000
        dealer.connect(endpoint)
        dealer.send_multipart(codec.encode(message))
        return codec.decode_server(dealer.recv_multipart())[0]
    finally:
        dealer.close()
        context.destroy(linger=0)


def test_a_client_of_1_3_works_and_hears_of_nothing_new(serve: Callable[..., Served]) -> None:
    """Only what 1.3 knew: its hello has no features, and welcome's new values are of fields that it knew."""
    served = serve("--insecure-loopback")
    hello = msgspec.msgpack.encode({"type": "hello", "session_id": "1" * 32, "client": "old", "minor": 3, "request": 1})
    context = zmq.Context()
    dealer = context.socket(zmq.DEALER)
    try:
        dealer.linger, dealer.rcvtimeo = 0, 10_000
        dealer.connect(served.connection.endpoint)
        dealer.send_multipart([codec.MAGIC, hello])
        body = msgspec.msgpack.decode(dealer.recv_multipart()[1])
        assert set(body) <= {"type", "server_id", "backend", "minor", "features", "engines", "devices", "reply_to"}
        assert body["features"] == ["estimate", "pairing"]
    finally:
        dealer.close()
        context.destroy(linger=0)


def test_unpairing_is_heard_by_a_client_that_says_nothing(
    serve: Callable[..., Served], join: Callable[..., Seen]
) -> None:
    served = serve()
    seen = join(pair(offer(served)).connection)
    seen.until(lambda: seen.client.state == "connected")
    command(served.data, "unpair", "me", "--data", str(served.data))
    until(lambda: "me" not in allow_list(served), "empty list")
    began = time.monotonic()
    seen.until(lambda: seen.client.state == "refused")
    assert time.monotonic() - began < 2.0
