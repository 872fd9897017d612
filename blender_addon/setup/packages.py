"""Packages: which files are needed (pip says), fetched one after the other, then installed without the network.

pip resolves and fetches, so its settings (indexes, proxies, certificates) hold. Each file is checked against the hash
that the index gave, and stays in a folder of ours until the setup is complete: a setup that was killed fetches only
what is missing.
"""

from __future__ import annotations

import concurrent.futures
import hashlib
import json
import os
import re
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .process import python_of, run
from .report import Meter, Reporter
from .said import Said

PIP = "pip>=24.1,<27"  # 24.1 brought --progress-bar raw
SMALL = 8 << 20
PROGRESS = re.compile(r"Progress (\d+) of (\d+)")
ASK_SIZE_S, ASKERS = 10.0, 8


@dataclass(frozen=True)
class Item:
    """A file to fetch: ``size`` in bytes, 0 when the server did not say."""

    name: str
    version: str
    url: str
    sha256: str
    size: int = 0

    @property
    def file(self) -> str:
        """Its file name."""
        return urllib.parse.unquote(urllib.parse.urlsplit(self.url).path.rpartition("/")[2])


class Pip:
    """The environment's own pip, with a cache of ours."""

    def __init__(self, environment: Path, cache: Path, reporter: Reporter) -> None:
        self._python, self._cache, self._reporter = str(python_of(environment)), str(cache), reporter

    def __call__(
        self, *words: str, what: str, on_line: Callable[[str], None] | None = None, codes: tuple[int, ...] = (0,)
    ) -> list[str]:
        """Run it; its output's lines. SetupProblem, Cancelled."""
        command = [self._python, "-m", "pip", "--cache-dir", self._cache, *words]
        return run(command, self._reporter, what, on_line=on_line, codes=codes)

    def renew(self) -> None:
        """Bring pip to a version that tells its progress."""
        self("install", "--quiet", "--upgrade", PIP, what=Said("Updating pip"))


def resolve(pip: Pip, wanted: Sequence[str], index: str, constraints: Path, scratch: Path) -> list[Item]:
    """The files that the environment lacks for ``wanted``, local ones left out; nothing is installed."""
    scratch.mkdir(parents=True, exist_ok=True)
    report = scratch / "report.json"
    report.unlink(missing_ok=True)
    words = ["install", "--dry-run", "--quiet", "--only-binary=:all:", "--report", str(report), *wanted]
    pip(*words, "--constraint", str(constraints), *index_words(index), what=Said("Finding the packages"))
    found = items(json.loads(report.read_text(encoding="utf-8")))
    with concurrent.futures.ThreadPoolExecutor(ASKERS) as pool:
        sizes = list(pool.map(_size, [item.url for item in found]))
    return [Item(item.name, item.version, item.url, item.sha256, size) for item, size in zip(found, sizes, strict=True)]


def items(report: dict[str, Any]) -> list[Item]:
    """The files of pip's installation report, but the backend itself, which is here already."""
    found = []
    for entry in report["install"]:
        name, info = entry["metadata"]["name"], entry["download_info"]
        if name != "wanstage":
            digest = info.get("archive_info", {}).get("hashes", {}).get("sha256", "")
            found.append(Item(name, entry["metadata"]["version"], info["url"], digest))
    return found


def index_words(index: str) -> list[str]:
    """pip's options for an index; none for its default."""
    return ["--index-url", index] if index else []


def _size(url: str) -> int:
    """Bytes as the server tells them; 0 when it does not."""
    request = urllib.request.Request(url.partition("#")[0], method="HEAD")  # noqa: S310 - pip gave the address
    try:
        with urllib.request.urlopen(request, timeout=ASK_SIZE_S) as answer:  # noqa: S310
            return int(answer.headers.get("Content-Length") or 0)
    except (OSError, ValueError):
        return 0


def fetch(pip: Pip, wanted: Sequence[Item], folder: Path, reporter: Reporter, stage: str) -> None:
    """Bring every file into ``folder``; those that are there whole are left alone."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [item for item in wanted if not is_whole(folder / item.file, item.sha256)]
    have = sum((folder / item.file).stat().st_size for item in wanted if item not in missing)
    total = sum(item.size for item in wanted) if all(item.size for item in wanted) else 0
    meter = Meter(total, have)
    large = [[item] for item in missing if item.size > SMALL]
    small = [item for item in missing if item.size <= SMALL]
    for group in [*large, *([small] if small else [])]:
        _fetch_group(pip, group, folder, _Watch(reporter, stage, _title(group), meter))


def _title(group: Sequence[Item]) -> str:
    if len(group) > 1:
        return Said("Loading {count} small packages", count=len(group))
    return Said("Loading {name} {version}", name=group[0].name, version=group[0].version)


class _Watch:
    """Turns pip's raw progress lines into ours."""

    def __init__(self, reporter: Reporter, stage: str, title: str, meter: Meter) -> None:
        self.reporter, self.stage, self.title, self.meter = reporter, stage, title, meter
        self._before, self._current = meter.done, 0

    def line(self, text: str) -> None:
        """A line of pip's."""
        told = PROGRESS.fullmatch(text)
        if told is None:
            return
        done = int(told[1])
        if done < self._current:  # the next file
            self._before += self._current
        self._current = done
        self.show(self._before + done)

    def show(self, done: int) -> None:
        """So many bytes are here."""
        self.meter.add(done, time.monotonic())
        part = 0.9 * done / self.meter.total if self.meter.total else 0.0
        self.reporter.progress(self.stage, self.title, part, self.meter)


def _fetch_group(pip: Pip, group: Sequence[Item], folder: Path, watch: _Watch) -> None:
    before = watch.meter.done
    watch.show(before)
    words = ["download", "--no-deps", "--progress-bar", "raw", "--dest", str(folder)]
    urls = [f"{item.url.partition('#')[0]}#sha256={item.sha256}" if item.sha256 else item.url for item in group]
    pip(*words, *urls, what=watch.title, on_line=watch.line)
    watch.show(before + sum((folder / item.file).stat().st_size for item in group))


def is_whole(path: Path, sha256: str) -> bool:
    """Whether the file is there and is the one that the index named; without a hash it is fetched again."""
    if not sha256 or not path.is_file():
        return False
    found = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            found.update(chunk)
    return found.hexdigest() == sha256


def install(pip: Pip, wanted: Sequence[Item], folder: Path, again: bool) -> None:
    """Install fetched files. ``again``: over what a killed installation left."""
    if not wanted:
        return
    over = ["--ignore-installed"] if again else []
    files = [os.fspath(folder / item.file) for item in wanted]
    pip("install", "--no-index", "--no-deps", "--quiet", *over, *files, what=Said("Installing the packages"))


def plain(wanted: Sequence[Item]) -> list[dict[str, Any]]:
    """For the record."""
    return [asdict(item) for item in wanted]
