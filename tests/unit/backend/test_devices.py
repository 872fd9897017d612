"""Device lists, and what the driver's tool and torch's own file say of cards."""

from __future__ import annotations

import subprocess
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import SimpleNamespace

import pytest

from backend import devices
from backend.devices import Card, cards, parse_workers, torch_cuda, usable_cards
from backend.settings import SettingsProblem

TWO = "0, NVIDIA H100 80GB HBM3, 81559, 80995\n1, Quadro, Old, [N/A], [N/A]\nNo devices were found\n"


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with two cards and a torch for CUDA."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(devices.shutil, "which", lambda _: "nvidia-smi")
    monkeypatch.setattr(devices.subprocess, "run", lambda *_, **__: SimpleNamespace(stdout=TWO))
    monkeypatch.setattr(devices, "torch_cuda", lambda: "13.0")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("cpu", ("cpu:0",)),
        ("cpu:3", ("cpu:0", "cpu:1", "cpu:2")),
        ("cuda:0,cpu:1", ("cuda:0", "cpu:0")),
        ("cpu:1, cuda:1 ,cuda:0,cpu", ("cuda:1", "cuda:0", "cpu:0", "cpu:1")),
        ("cuda:7", ("cuda:7",)),
    ],
)
def test_device_lists(text: str, names: tuple[str, ...]) -> None:
    assert parse_workers(text) == names


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "cuda",
        "cuda:",
        "cuda:x",
        "cuda:0,cuda:0",
        "cuda:0,cuda:00",
        "cpu:0",
        "cpu:x",
        "cpu:65",
        "gpu:0",
        "auto,cpu",
        "cpu:-1",
    ],
)
def test_wrong_device_lists_get_a_sentence(wrong: str) -> None:
    with pytest.raises(SettingsProblem, match="cuda:0,cpu:1"):
        parse_workers(wrong)


@pytest.mark.usefixtures("tool")
def test_auto_is_every_card_and_one_cpu_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cards() == (Card(0, "NVIDIA H100 80GB HBM3", 81559, 80995), Card(1, "Quadro, Old", 0, 0))
    assert parse_workers("auto") == ("cuda:0", "cuda:1", "cpu:0")
    for visible, count in (("1", 1), ("", 0), ("-1", 0), ("0,-1,1", 1), ("0,1,2,3", 2)):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        assert usable_cards() == count
    monkeypatch.setattr(devices, "torch_cuda", lambda: "")
    assert parse_workers("auto") == ("cpu:0",)


@pytest.mark.usefixtures("tool")
@pytest.mark.parametrize("failure", [FileNotFoundError(), subprocess.TimeoutExpired("x", 1.0)])
def test_a_tool_that_fails_finds_nothing(monkeypatch: pytest.MonkeyPatch, failure: Exception) -> None:
    def fail(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setattr(devices.subprocess, "run", fail)
    assert cards() == ()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("cuda: Optional[str] = '12.8'\n", "12.8"),
        ("cuda = '11.7'\n", "11.7"),
        ("cuda: Optional[str] = None\n", ""),
        ("__version__ = '2.13.0+cpu'\n", ""),
    ],
)
def test_cuda_of_torch_is_read_from_its_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, found: str
) -> None:
    (tmp_path / "version.py").write_text(text)
    spec = ModuleSpec("torch", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(devices, "find_spec", lambda _: spec)
    assert torch_cuda() == found
    monkeypatch.setattr(devices, "find_spec", lambda _: None)
    assert torch_cuda() == ""
