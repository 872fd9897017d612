"""The setup from beginning to end: check, environment, torch, packages, self-test, draft round trip.

Each step is recorded before and after, so that a killed setup goes on with the step it was in.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from . import machine, packages, payload, pythons, record, torch_choice, trial, verify
from .machine import size
from .problems import SetupProblem
from .process import python_of, run
from .record import CACHE, ENVIRONMENT, LOG, WHEELS, Record
from .report import Reporter
from .said import Said

DRAFT_LOAD_MIB, DRAFT_DISK_MIB = 180, 600  # measured on Linux: 165 and 550
WAN_LOAD_MIB, WAN_DISK_MIB = 60, 600  # besides torch and what Draft needs
TIMES = 2.2  # loaded files are kept beside what they unpack to, until all works
MODELS_NOTE = Said("Wan's weights (tens of GB) are not loaded now: the panel names the command for each model")
SHARES = (("check", 1.0), ("environment", 3.0), ("torch", 60.0), ("packages", 30.0), ("doctor", 3.0), ("draft", 3.0))


@dataclass(frozen=True)
class Plan:
    """What a setup will do here."""

    root: Path
    choice: str
    maker: pythons.Maker
    payload: payload.Payload
    build: torch_choice.Build | None  # None: no torch

    @property
    def load_mib(self) -> int:
        """About so much is loaded."""
        return DRAFT_LOAD_MIB + (WAN_LOAD_MIB + self.build.load_mib if self.build else 0)

    @property
    def disk_mib(self) -> int:
        """About so much of the disk is used in the end."""
        return DRAFT_DISK_MIB + (WAN_DISK_MIB + self.build.disk_mib if self.build else 0)

    @property
    def need_mib(self) -> int:
        """So much must be free before."""
        return int(self.disk_mib + TIMES * self.load_mib)

    def sentences(self) -> list[str]:
        """For the user, before anything is done."""
        of_checkout = self.payload.version == "checkout"
        load, disk = size(self.load_mib), size(self.disk_mib)
        return [
            Said(
                "Makes an environment of its own in {folder} with {maker}: nothing goes into Blender",
                folder=self.root,
                maker=self.maker.label,
            ),
            Said(
                "Installs {backend} with {engines}",
                backend=Said("this checkout's backend")
                if of_checkout
                else Said("backend {version}", version=self.payload.version),
                engines=Said("the Wan engine") if self.build else Said("the Draft engine only"),
            ),
            *(_torch(self.build) if self.build else ()),
            Said("Loads about {load}, then uses about {disk} of the disk", load=load, disk=disk),
        ]

    def told(self) -> dict[str, Any]:
        """For the reader."""
        return {
            "choice": self.choice, "folder": str(self.root), "maker": self.maker.label, "version": self.payload.version,
            "torch": asdict(self.build) if self.build else None, "load_mib": self.load_mib, "disk_mib": self.disk_mib,
            "need_mib": self.need_mib, "sentences": self.sentences(),
        }  # fmt: skip


def _torch(build: torch_choice.Build) -> list[str]:
    """Which PyTorch from where, and what the user should know before."""
    which = Said("{torch} from {index}", torch=build.label, index=build.index) if build.index else build.label
    return [which, *(note for note in (build.note, MODELS_NOTE) if note)]


def make_plan(root: Path, choice: str, python: str = "", with_uv: bool = True) -> Plan:
    """Look at this machine, with no network and nothing written. SetupProblem when it cannot be set up here."""
    found = payload.find()
    build = torch_choice.choose(machine.here()) if choice == "wan" else None
    if build and build.problem:
        raise SetupProblem(build.problem)
    plan = Plan(root, choice, pythons.find(python, with_uv), found, build)
    done = record.load(root)
    if done is None or not done.finished:
        begun = done is not None and done.steps
        machine.check_disk(root, plan.need_mib if not begun else plan.need_mib // 2)
    return plan


class Installer:
    """One run of a plan. Call ``check``, then ``install``; ``repair`` first looks for what is broken."""

    def __init__(self, plan: Plan, reporter: Reporter) -> None:
        self.plan, self.reporter = plan, reporter
        self.root, self.environment = plan.root, plan.root / ENVIRONMENT
        self.record = record.load(plan.root) or Record()
        self.pip = packages.Pip(self.environment, plan.root / CACHE, reporter)
        self.reporter.stages(*(share for share in SHARES if plan.build or share[0] != "torch"))

    def install(self) -> dict[str, Any]:
        """All that is not done yet; what the self-test and the round trip said. SetupProblem, Cancelled."""
        self._begin()
        self._environment()
        build = self.plan.build
        if build:
            self._packages("torch", ["torch"], build.index)
        self._packages("packages", [self.plan.payload.requirement(self.plan.choice)], "")
        self._backend()
        result = self._try_out()
        for name in (WHEELS, CACHE):
            shutil.rmtree(self.root / name, ignore_errors=True)
        self.record.finished, self.record.result, self.record.plans = True, result, {}
        self.record.save(self.root)
        return result

    def repair(self) -> dict[str, Any]:
        """Install anew what is missing or changed, then as ``install``."""
        self.reporter.progress("check", Said("Looking for broken packages"), force=True)
        if not verify.runs(self.environment, self.reporter):
            self.record = Record()
            return self.install()
        found = verify.broken(self.environment, self.reporter)
        self.reporter.line("broken", packages=found)
        torch = found.pop("torch", "")
        found.pop("wanstage", None)
        wanted = [f"{name}=={version}" for name, version in sorted(found.items())]
        if torch:
            self._reinstall([f"torch=={torch}"], self.record.torch_index)
        self._reinstall(wanted, "")
        self.record.steps = {"environment": "done"}
        return self.install()

    def _reinstall(self, wanted: list[str], index: str) -> None:
        if wanted:
            names = ", ".join(wanted)[:60]
            self.reporter.progress("check", Said("Installing again: {names}", names=names), force=True)
            words = ["install", "--quiet", "--ignore-installed", "--no-deps", "--only-binary=:all:", *wanted]
            self.pip(*words, *packages.index_words(index), what=Said("Installing broken packages again"))

    def _begin(self) -> None:
        """What was done for another choice, backend or torch is to be done again."""
        plan, done = self.plan, self.record
        index = plan.build.index if plan.build else ""
        if (done.choice, done.payload, done.torch_index) != (plan.choice, plan.payload.digest, index):
            done.steps = {name: state for name, state in done.steps.items() if name == "environment"}
            done.plans = {}
        done.choice, done.payload, done.version = plan.choice, plan.payload.digest, plan.payload.version
        done.torch, done.torch_index, done.finished = plan.build.label if plan.build else "", index, False
        done.save(self.root)

    def _mark(self, step: str, state: str) -> None:
        self.record.steps[step] = state
        self.record.save(self.root)

    def _environment(self) -> None:
        if self.record.is_done("environment") and python_of(self.environment).exists():
            return
        maker = self.plan.maker
        self.reporter.progress(
            "environment", Said("Making the environment with {maker}", maker=maker.label), force=True
        )
        self.record.steps = {}
        self._mark("environment", "begun")
        try:
            self._make(maker)
        except SetupProblem as problem:
            if not maker.uv:
                raise
            self.reporter.log(str(problem))
            maker = pythons.find(with_uv=False)
            said = Said("uv could not, making it with {maker}", maker=maker.label)
            self.reporter.progress("environment", said, force=True)
            self._make(maker)
        self.reporter.progress("environment", Said("Updating pip"), 0.6, force=True)
        self.pip.renew()
        self.record.maker = maker.label
        self._mark("environment", "done")

    def _make(self, maker: pythons.Maker) -> None:
        shutil.rmtree(self.environment, ignore_errors=True)
        for command in maker.commands(str(self.environment)):
            run(command, self.reporter, Said("Making the environment"))

    def _packages(self, step: str, wanted: list[str], index: str) -> None:
        """Resolve, fetch, install."""
        if self.record.is_done(step):
            return
        again, wheels = self.record.was_interrupted(step), self.root / WHEELS
        self._mark(step, "begun")
        if step not in self.record.plans:
            self.reporter.progress(step, Said("Finding the packages"), force=True)
            found = packages.resolve(self.pip, wanted, index, self.plan.payload.constraints, wheels)
            self.record.plans[step] = packages.plain(found)
            self.record.save(self.root)
        items = [packages.Item(**item) for item in self.record.plans[step]]
        packages.fetch(self.pip, items, wheels, self.reporter, step)
        if items:
            several = Said("Installing {count} packages", count=len(items))
            said = several if len(items) > 1 else Said("Installing {name}", name=items[0].name)
            self.reporter.progress(step, said, 0.92, force=True)
        packages.install(self.pip, items, wheels, again)
        self._mark(step, "done")

    def _backend(self) -> None:
        """The backend itself, over an older one."""
        if self.record.is_done("backend"):
            return
        self.reporter.progress("packages", Said("Installing the backend"), 0.97, force=True)
        self._mark("backend", "begun")
        source = str(self.plan.payload.source)
        words = ["install", "--quiet", "--no-deps", "--ignore-installed", source]
        self.pip(*words, what=Said("Installing the backend"))
        self._mark("backend", "done")

    def _try_out(self) -> dict[str, Any]:
        self.reporter.progress("doctor", Said("The doctor's self-test"), force=True)
        found = trial.doctor(self.environment, self.reporter)
        self.reporter.progress("draft", Said("Five frames of the Draft engine"), force=True)
        trip = trial.draft_trip(self.environment, self.reporter)
        return {
            "python": str(python_of(self.environment)),
            "choice": self.plan.choice,
            "version": self.plan.payload.version,
            "round_trip": found["round_trip"],
            "draft": trip,
            "torch": found.get("torch", {}),
            "warning": trial.card_problem(found, self.plan.choice),
        }


def read(root: Path) -> str:
    """The log of a folder."""
    try:
        return (root / LOG).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
