"""SPEC.md names everything that the code has."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from protocol import VERSION, errors, limits, specs
from protocol import messages as m

SPEC = (Path(__file__).parents[3] / "protocol" / "SPEC.md").read_text(encoding="utf-8")
MESSAGES = (*get_args(m.ClientMessage), *get_args(m.ServerMessage))
PARTS = [
    each
    for module in (specs, m)
    for each in vars(module).values()
    if isinstance(each, type) and issubclass(each, msgspec.Struct) and not issubclass(each, m.Message)
    if each.__module__ == module.__name__
]


def section(title: str) -> str:
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", SPEC, re.MULTILINE | re.DOTALL)
    assert found, f"SPEC.md has no section {title}"
    return found[1]


@pytest.mark.parametrize("cls", [*MESSAGES, *PARTS], ids=lambda cls: cls.__name__)
def test_every_message_and_every_field(cls: type[msgspec.Struct]) -> None:
    tag = cls.__struct_config__.tag
    text = section(f"`{tag}`" if tag else cls.__name__)
    rows = re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)
    assert rows == list(cls.__struct_fields__)


def test_no_message_is_left_out() -> None:
    declared = {each for each in vars(m).values() if isinstance(each, type) and issubclass(each, m.Message)}
    assert declared - {m.Message} == set(MESSAGES)


def test_every_limit_with_its_value() -> None:
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| ([\d.]+) \|", SPEC, re.MULTILINE))
    known = {name: str(value) for name, value in vars(limits).items() if name.isupper() and name != "MIB"}
    assert rows == known


def test_every_error_code() -> None:
    codes = re.findall(r"^\| `(\w+)` \|", section("13. Errors"), re.MULTILINE)
    assert sorted(codes) == sorted(errors._tree(errors.WanstageError))


def test_every_job_state_and_the_version() -> None:
    states = re.findall(r"^\| `(\w+)` \|", section("8. Jobs"), re.MULTILINE)
    assert states == list(get_args(m.JobState))
    assert f"version {VERSION[0]}.{VERSION[1]}" in SPEC.splitlines()[0]


def test_codes_come_back_as_their_classes() -> None:
    for code, cls in errors._tree(errors.WanstageError).items():
        assert type(errors.from_code(code, "x")) is cls
    assert type(errors.from_code("from_the_future", "x")) is errors.WanstageError
