"""Who is let in by a code, and who is not."""

from __future__ import annotations

from pathlib import Path

import pytest
import zmq

from backend.clients import Clients, UnknownClient
from backend.lifetime import Keys
from backend.pairing import MAX_OPEN, WRONG_ALLOWED, Door, Offers
from protocol.errors import PairingRefused


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def key() -> str:
    return zmq.curve_keypair()[0].decode()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def door(tmp_path: Path, clock: Clock) -> Door:
    return Door(Keys(tmp_path), tmp_path / "keys", clock, clock)


@pytest.fixture
def offers(door: Door, tmp_path: Path, clock: Clock) -> Offers:
    return Offers(tmp_path / "keys", clock)


def refused(door: Door, secret: str, user: str = "") -> str:
    with pytest.raises(PairingRefused) as caught:
        door.pair(user or key(), secret, "wish")
    return str(caught.value)


def test_one_code_lets_one_key_in(door: Door, offers: Offers, tmp_path: Path) -> None:
    assert not door.knocking
    secret, ends = offers.make("", 600)
    assert ends == 1600
    door.refresh()
    assert door.knocking
    user = key()
    assert door.pair(user, secret, "Anna's laptop") == "Anna-s-laptop"
    assert door.is_allowed(user)
    assert not door.knocking
    assert door.pair(user, secret, "again") == "Anna-s-laptop", "a lost answer may be asked for again"
    assert "used already" in refused(door, secret)
    kept = (tmp_path / "keys" / "pairing.json").read_bytes() + (tmp_path / "keys" / "clients.json").read_bytes()
    assert secret.encode() not in kept


def test_names_are_given_once(door: Door, offers: Offers) -> None:
    names = [door.pair(key(), offers.make(name, 60)[0], "local") for name in ("", "anna", "anna")]
    assert names == ["local-2", "anna", "anna-2"]


def test_an_old_code(door: Door, offers: Offers, clock: Clock) -> None:
    secret, _ = offers.make("", 60)
    clock.now += 61
    assert "too old" in refused(door, secret)
    assert not door.knocking


def test_wrong_codes_are_slowed_down_and_then_lock(door: Door, offers: Offers, clock: Clock) -> None:
    secret, _ = offers.make("", 600)
    for turn in range(WRONG_ALLOWED):
        assert ("not one of" if turn + 1 < WRONG_ALLOWED else "all were taken back") in refused(door, "ab" * 16)
        assert "wait a second" in refused(door, secret), "even the right one waits"
        clock.now += 1.1
    assert "tried too often" in refused(door, secret)
    assert not door.knocking
    fresh, _ = offers.make("", 600)
    assert door.pair(key(), fresh, "x") == "x"


def test_commands_are_seen_while_it_runs(door: Door, offers: Offers, tmp_path: Path) -> None:
    user = key()
    name = door.pair(user, offers.make("", 60)[0], "x")
    assert not door.refresh()
    Clients(tmp_path / "keys").remove(name)
    assert door.refresh()
    assert not door.is_allowed(user)
    with pytest.raises(UnknownClient, match="none but the local"):
        Clients(tmp_path / "keys").remove(name)


def test_clients_of_older_versions_stay(door: Door, tmp_path: Path) -> None:
    user = key()
    (tmp_path / "keys" / "clients.json").write_text(f'{{"old": "{user}"}}')
    assert door.refresh()
    assert door.is_allowed(user)


def test_not_too_many_codes(offers: Offers) -> None:
    for _ in range(MAX_OPEN):
        offers.make("", 60)
    with pytest.raises(PairingRefused, match="are open"):
        offers.make("", 60)
