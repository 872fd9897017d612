"""Golden bytes of released messages, and bytes that nobody meant."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocol import codec
from protocol.errors import ProtocolError, Unsupported, VersionMismatch
from protocol.messages import ClientMessage, HaveAssets, Message
from protocol.specs import AssetRef

GOLDEN = Path(__file__).parents[2] / "golden"
_spec = importlib.util.spec_from_file_location("make_golden", GOLDEN / "make_golden.py")
assert _spec is not None
assert _spec.loader is not None
make_golden = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(make_golden)

# A busy machine is slow, which is nothing these tests are about; no database, so that runs leave nothing behind.
FUZZ = settings(deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
FILES = sorted(GOLDEN.glob("*.bin"))
BY_TAG = {make_golden.tag(cls): cls for cls in make_golden.CLASSES}
CASES = [(cls, full) for cls in make_golden.CLASSES for full in (True, False)]


def decode(cls: type[Message], body: bytes) -> Any:
    from_client = cls in ClientMessage.__args__
    return (codec.decode_client if from_client else codec.decode_server)([codec.MAGIC, body])[0]


@pytest.mark.parametrize(("cls", "full"), CASES, ids=lambda each: getattr(each, "__name__", str(each)))
def test_golden(cls: type[Message], full: bool) -> None:
    body = make_golden.newest(cls, full=full).read_bytes()
    made = make_golden.example(cls, full=full)
    assert decode(cls, body) == made
    assert codec.encode(made) == [codec.MAGIC, body]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_messages_of_every_released_version_decode_with_all_they_say(path: Path) -> None:
    cls = BY_TAG[path.name.partition(".")[0]]
    body = path.read_bytes()
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(decode(cls, body)))
    assert _holds(again, msgspec.msgpack.decode(body))


def _holds(new: Any, old: Any) -> bool:
    """``new`` says all that ``old`` says; it may have more fields."""
    if isinstance(old, dict):
        return all(name in new and _holds(new[name], value) for name, value in old.items())
    if isinstance(old, list):
        return len(new) == len(old) and all(map(_holds, new, old))
    return bool(new == old)


def test_every_message_has_its_first_bytes() -> None:
    for cls, full in CASES:
        assert make_golden.newest(cls, full=full) in FILES


@pytest.mark.parametrize("cls", make_golden.CLASSES, ids=lambda cls: cls.__name__)
def test_maximal_messages_carry_every_field(cls: type[Message]) -> None:
    body = msgspec.msgpack.decode(make_golden.newest(cls, full=True).read_bytes())
    fixed = {"frame_ready": {"dtype", "color"}, "preview_ready": {"dtype", "channels", "color"}}  # only one value
    assert set(body) == {"type", *cls.__struct_encode_fields__} - fixed.get(make_golden.tag(cls), set())


def try_decode(parts: list[bytes]) -> None:
    for decoder in (codec.decode_client, codec.decode_server):
        try:
            message, _ = decoder(parts)
        except ProtocolError:
            continue
        codec.encode(message)


@settings(FUZZ, max_examples=300)
@given(st.lists(st.binary(max_size=60), max_size=20))
def test_random_parts_raise_only_protocol_errors(parts: list[bytes]) -> None:
    try_decode(parts)
    try_decode([codec.MAGIC, *parts])


@settings(FUZZ, max_examples=1500)
@given(st.sampled_from(FILES), st.data())
def test_mutated_golden_bytes_raise_only_protocol_errors(path: Path, data: st.DataObject) -> None:
    body = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        where = data.draw(st.integers(0, len(body) - 1))
        match data.draw(st.sampled_from(["set", "cut", "insert"])):
            case "set":
                body[where] = data.draw(st.integers(0, 255))
            case "cut":
                del body[where : where + data.draw(st.integers(1, 8))]
            case _:
                body[where:where] = data.draw(st.binary(min_size=1, max_size=8))
        if not body:
            break
    try_decode([codec.MAGIC, bytes(body)])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x91" * 5000 + b"\x90",
        b"\xdd\x7f\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\x81\xa4type\xa4ping\xc0",
        b"\x81\x91" * 3000,
        b"\x82\xa4type\xaasubmit_job\xa4spec\x81\x91\x01\x02",
    ],
)
def test_bombs(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        codec.decode_client([codec.MAGIC, body])


def test_another_major_version_is_explained() -> None:
    with pytest.raises(VersionMismatch, match="protocol 2, this side 1: update"):
        codec.decode_client([b"WAN\x02", b"\xff\xff"])


def test_unknown_fields_are_skipped_and_unknown_types_are_unsupported() -> None:
    body = msgspec.msgpack.encode({"type": "ping", "request": 3, "colour": [1, {"a": 2}]})
    assert codec.decode_client([codec.MAGIC, body])[0].request == 3
    with pytest.raises(Unsupported) as caught:
        codec.decode_client([codec.MAGIC, msgspec.msgpack.encode({"type": "dance", "request": 9})])
    assert caught.value.request == 9


def test_too_large_a_body_is_refused_both_ways() -> None:
    with pytest.raises(ProtocolError, match="at most"):
        codec.decode_client([codec.MAGIC, bytes(1 << 21)])
    with pytest.raises(ProtocolError, match="at most"):
        codec.encode(HaveAssets((AssetRef("0" * 64, 1),) * 20_000))
