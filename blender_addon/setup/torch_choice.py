"""Which build of PyTorch a machine needs: a pure function, so that every machine can be tested on any.

PyTorch 2.12 and 2.13 are built for CUDA 12.6 (compute capability 5.0 to 9.0) and CUDA 13.0 (7.5 and later); source:
the support matrix in RELEASE.md of pytorch/pytorch. NVIDIA's release notes ask a driver of 580 or later for CUDA 13
and 525 (Linux) or 528 (Windows) or later for CUDA 12. The default package index has CPU builds for Windows, and CUDA
13 builds for Linux.
"""

from __future__ import annotations

from dataclasses import dataclass

from .said import Said

PYTORCH = "https://download.pytorch.org/whl/"
NEW_CUDA, OLD_CUDA = "cu130", "cu126"
NEW_DRIVER, OLD_DRIVER = 580, {"Windows": 528, "Linux": 525}
NEW_CAPABILITY, OLD_CAPABILITY, BLACKWELL = 7.5, 5.0, 10.0
SLOW = Said("Without an NVIDIA card a Wan shot takes hours: Draft only, or a remote backend, is the better choice")


@dataclass(frozen=True)
class Card:
    """An NVIDIA card. ``driver``: major version; ``capability``: such as 8.9, 0 when the driver does not say."""

    name: str
    driver: int
    capability: float
    memory_mib: int


@dataclass(frozen=True)
class Machine:
    """``system`` and ``processor`` as ``platform.system()`` and ``platform.machine()`` name them."""

    system: str
    processor: str
    cards: tuple[Card, ...] = ()


@dataclass(frozen=True)
class Build:
    """``index``: where pip looks for torch, empty for its default. ``load_mib`` and ``disk_mib``: about so much.
    ``note``: what the user should know before; ``problem``: why there is no build at all."""

    label: str
    index: str = ""
    load_mib: int = 0
    disk_mib: int = 0
    note: str = ""
    problem: str = ""


def choose(machine: Machine) -> Build:
    """The build for this machine's best card, or for its processor."""
    if machine.system == "Darwin":
        return _mac(machine.processor)
    if not machine.cards:
        return _without_card(machine.system)
    card = max(machine.cards, key=lambda each: (each.capability, each.memory_mib))
    problem = _driver_problem(machine.system, card)
    if problem:
        return Build("", problem=problem)
    old = card.driver < NEW_DRIVER or 0 < card.capability < NEW_CAPABILITY
    return _cuda(machine, card, OLD_CUDA if old else NEW_CUDA)


def _mac(processor: str) -> Build:
    if processor != "arm64":
        problem = Said("PyTorch has no build for Macs with an Intel processor: choose Draft only, or a remote backend")
        return Build("", problem=problem)
    return Build(Said("PyTorch for Apple processors"), load_mib=90, disk_mib=400, note=SLOW)


def _without_card(system: str) -> Build:
    index = f"{PYTORCH}cpu" if system == "Linux" else ""  # Linux' default has 2 GB of CUDA with it
    return Build(Said("PyTorch for the processor, as no NVIDIA card was found"), index, 200, 900, SLOW)


def _cuda(machine: Machine, card: Card, cuda: str) -> Build:
    """On Linux (x86) the default index has the new CUDA; elsewhere PyTorch's own index has both."""
    version = f"{cuda[2:4]}.{cuda[4:]}"
    default = machine.system == "Linux" and machine.processor == "x86_64" and cuda == NEW_CUDA
    load, disk = (2000, 4500) if machine.system == "Windows" else (2400, 6000)
    label = Said("PyTorch with CUDA {version} for {card}", version=version, card=card.name)
    return Build(label, "" if default else PYTORCH + cuda, load, disk)


def _driver_problem(system: str, card: Card) -> str:
    least = OLD_DRIVER.get(system, OLD_DRIVER["Linux"])
    if card.driver < least:
        return Said(
            "The driver of {card} is {driver}, PyTorch needs {least} or later: update it, then try again",
            card=card.name,
            driver=card.driver,
            least=least,
        )
    if 0 < card.capability < OLD_CAPABILITY:
        return Said("{card} is too old for PyTorch: choose Draft only, or a remote backend", card=card.name)
    if card.capability >= BLACKWELL and card.driver < NEW_DRIVER:
        return Said(
            "{card} needs a driver of {least} or later, it has {driver}: update it, then try again",
            card=card.name,
            least=NEW_DRIVER,
            driver=card.driver,
        )
    return ""
