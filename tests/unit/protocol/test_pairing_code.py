"""Pairing codes: what is wrong with one is known before any network."""

from __future__ import annotations

import secrets
import string
from pathlib import Path

import pytest
import zmq

from protocol import known, pairing_code
from protocol.connection import Connection
from protocol.errors import ConnectionProblem, PairingRefused
from protocol.pairing_code import PairingCode

KEY = zmq.curve_keypair()[0].decode()
CODE = PairingCode(("192.168.1.20", "render1"), 5555, KEY, secrets.token_hex(16), 1_900_000_000)
LINE = pairing_code.write(CODE)


def sentence(text: str) -> str:
    with pytest.raises(PairingRefused) as caught:
        pairing_code.read(text)
    return str(caught.value)


def test_comes_back_however_it_was_pasted() -> None:
    assert pairing_code.read(LINE) == CODE
    assert pairing_code.read(f"  '{LINE.upper()}'\n") == CODE
    assert pairing_code.read(f"{LINE[:40]}\n  {LINE[40:]}") == CODE
    assert CODE.endpoints() == ("tcp://192.168.1.20:5555", "tcp://render1:5555")
    assert CODE.secret not in repr(CODE)


def test_ipv6() -> None:
    code = PairingCode(("fe80::1", "::1"), 1, KEY, "0" * 32, 5)
    assert pairing_code.read(pairing_code.write(code)).endpoints() == ("tcp://[fe80::1]:1", "tcp://[::1]:1")


@pytest.mark.parametrize("text", ["", "hello", "tcp://127.0.0.1:5555", "anstage:" + LINE])
def test_what_is_no_code_is_told(text: str) -> None:
    assert "no pairing code" in sentence(text)


def test_every_truncation_is_told() -> None:
    for length in range(len("wanstage:"), len(LINE)):
        assert "cut off" in sentence(LINE[:length]) or "mistyped" in sentence(LINE[:length]), length
    assert "cut off" in sentence(LINE[:-1])
    assert "cut off" in sentence(LINE[:-40])


def test_every_mistyped_letter_is_told() -> None:
    alphabet = string.ascii_lowercase + string.digits
    for where in range(len("wanstage:"), len(LINE)):
        for letter in alphabet:
            if letter == LINE[where]:
                continue
            text = LINE[:where] + letter + LINE[where + 1 :]
            try:
                assert pairing_code.read(text) == CODE, f"{where} {letter}"
                # Bits of the last letter that belong to no byte.
                assert where == len(LINE) - 1
            except PairingRefused:
                continue


def test_letters_too_many_are_told() -> None:
    assert "mistyped" in sentence(LINE + "aa")
    assert "mistyped" in sentence(LINE + "aaaaaaaa")


def test_hosts_that_are_none() -> None:
    for host in ("", "a b", "x,y", "tcp://x", "-x", "x/y"):
        with pytest.raises(PairingRefused, match="no host"):
            pairing_code.write(PairingCode((host,), 1, KEY, "0" * 32, 0))
    with pytest.raises(PairingRefused, match="too many"):
        pairing_code.write(PairingCode(tuple(f"a-rather-long-name-{i}" for i in range(12)), 1, KEY, "0" * 32, 0))
    with pytest.raises(PairingRefused, match="--port"):
        pairing_code.write(PairingCode(("x",), 0, KEY, "0" * 32, 0))


def test_backends_are_remembered_by_name(tmp_path: Path) -> None:
    folder = tmp_path / "backends"
    assert known.names(folder) == ()
    one, other = (Connection("tcp://x:1", zmq.curve_keypair()[0].decode()) for _ in range(2))
    assert known.save(folder, "Röhre 3", one) == "R-hre-3"
    assert known.save(folder, "R-hre-3", other) == "R-hre-3-2"
    assert known.save(folder, "another", one) == "R-hre-3", "one of a known key is replaced, not doubled"
    assert known.names(folder) == ("R-hre-3", "R-hre-3-2")
    assert known.path(folder, "R-hre-3").stat().st_mode & 0o777 == 0o600
    known.forget(folder, "R-hre-3")
    with pytest.raises(ConnectionProblem, match="there are: R-hre-3-2"):
        known.forget(folder, "R-hre-3")
    with pytest.raises(ConnectionProblem, match="no backend's name"):
        known.path(folder, "../keys")
