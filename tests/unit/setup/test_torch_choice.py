"""Which build of PyTorch each machine gets."""

from __future__ import annotations

import pytest

from blender_addon.setup.machine import parse_cards
from blender_addon.setup.torch_choice import PYTORCH, SLOW, Card, Machine, choose

ADA = Card("NVIDIA GeForce RTX 4090", 581, 8.9, 24564)
BLACKWELL = Card("NVIDIA GeForce RTX 5090", 581, 12.0, 32607)
PASCAL = Card("NVIDIA GeForce GTX 1080", 581, 6.1, 8192)


@pytest.mark.parametrize(
    ("system", "processor", "card", "index", "label"),
    [
        ("Windows", "AMD64", ADA, f"{PYTORCH}cu130", "PyTorch with CUDA 13.0 for NVIDIA GeForce RTX 4090"),
        ("Windows", "AMD64", BLACKWELL, f"{PYTORCH}cu130", "PyTorch with CUDA 13.0 for NVIDIA GeForce RTX 5090"),
        ("Windows", "AMD64", PASCAL, f"{PYTORCH}cu126", "PyTorch with CUDA 12.6 for NVIDIA GeForce GTX 1080"),
        ("Linux", "x86_64", ADA, "", "PyTorch with CUDA 13.0 for NVIDIA GeForce RTX 4090"),
        ("Linux", "x86_64", PASCAL, f"{PYTORCH}cu126", "PyTorch with CUDA 12.6 for NVIDIA GeForce GTX 1080"),
        ("Linux", "aarch64", ADA, f"{PYTORCH}cu130", "PyTorch with CUDA 13.0 for NVIDIA GeForce RTX 4090"),
    ],
)
def test_with_a_card(system: str, processor: str, card: Card, index: str, label: str) -> None:
    build = choose(Machine(system, processor, (card,)))
    assert (build.index, build.label, build.problem, build.note) == (index, label, "", "")
    assert build.disk_mib > build.load_mib > 1000


@pytest.mark.parametrize(
    ("system", "processor", "index"),
    [("Windows", "AMD64", ""), ("Linux", "x86_64", f"{PYTORCH}cpu"), ("Darwin", "arm64", "")],
)
def test_without_a_card(system: str, processor: str, index: str) -> None:
    build = choose(Machine(system, processor))
    assert (build.index, build.problem, build.note) == (index, "", SLOW)
    assert build.load_mib < 500


def test_an_old_driver_gets_the_old_cuda() -> None:
    old = Card("NVIDIA GeForce RTX 3060", 551, 8.6, 12288)
    assert choose(Machine("Windows", "AMD64", (old,))).index == f"{PYTORCH}cu126"
    assert choose(Machine("Linux", "x86_64", (old,))).index == f"{PYTORCH}cu126"
    unknown = Card("NVIDIA GeForce RTX 3060", 551, 0.0, 12288)
    assert choose(Machine("Windows", "AMD64", (unknown,))).index == f"{PYTORCH}cu126"


def test_the_best_card_decides() -> None:
    assert choose(Machine("Windows", "AMD64", (PASCAL, BLACKWELL))).label.endswith("RTX 5090")


@pytest.mark.parametrize(
    ("machine", "sentence"),
    [
        (
            Machine("Linux", "x86_64", (Card("Tesla T4", 470, 7.5, 15360),)),
            "The driver of Tesla T4 is 470, PyTorch needs 525 or later: update it, then try again",
        ),
        (
            Machine("Windows", "AMD64", (Card("GeForce GTX 680", 581, 3.0, 2048),)),
            "GeForce GTX 680 is too old for PyTorch: choose Draft only, or a remote backend",
        ),
        (
            Machine("Windows", "AMD64", (Card("GeForce RTX 5070", 572, 12.0, 12227),)),
            "GeForce RTX 5070 needs a driver of 580 or later, it has 572: update it, then try again",
        ),
        (
            Machine("Darwin", "x86_64"),
            "PyTorch has no build for Macs with an Intel processor: choose Draft only, or a remote backend",
        ),
    ],
)
def test_no_build(machine: Machine, sentence: str) -> None:
    assert choose(machine).problem == sentence


def test_cards_are_read_from_the_driver() -> None:
    text = "NVIDIA GeForce RTX 4090, 581.29, 24564, 8.9\nTesla K80, 470.1, 11441, [N/A]\n"
    text += "\nNo devices were found\nNVIDIA A100, 535.104.05, 81920\n"
    assert parse_cards(text) == (
        Card("NVIDIA GeForce RTX 4090", 581, 8.9, 24564),
        Card("Tesla K80", 470, 0.0, 11441),
        Card("NVIDIA A100", 535, 0.0, 81920),
    )
