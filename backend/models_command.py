"""``wanstage models list | pull | verify | path | rm | make-tiny``.

With ``--json`` one JSON object a line, whose ``event`` says what it is. Exit status as in ``backend.cli``: 0 done,
1 a check failed, 4 refused (one sentence on standard error).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from wan_models.engine import RequestRefused
from wan_models.options import Options

_CHECK_FAILED = 1


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``models`` and its commands."""
    top = commands.add_parser(
        "models", help="models and LoRAs on this machine: list, pull, verify, path, rm, make-tiny"
    )
    kinds = top.add_subparsers(dest="models_command", required=True, metavar="COMMAND")
    _add(kinds, "list", "what there is, what is here, where, how large, under which licence").set_defaults(run=_list)
    pull = _add(kinds, "pull", "download models or LoRAs; continues where it stopped", names="+")
    pull.add_argument("--hub", choices=("huggingface", "modelscope"), default="huggingface")
    pull.add_argument(
        "--layout",
        choices=("diffusers", "original"),
        default="diffusers",
        help="original: the official code's files; of Animate 49 GB instead of 83",
    )
    pull.add_argument("--fast", action="store_true", help="also the LoRAs that the models' presets name")
    pull.add_argument("--again", action="store_true", help="even when the model lies in another folder already")
    pull.set_defaults(run=_pull)
    _add(kinds, "verify", "compare the files with the hub's checksums", names="+").set_defaults(run=_verify)
    _add(kinds, "path", "print where a model or LoRA lies", names="1").set_defaults(run=_path)
    rm = _add(kinds, "rm", "delete what 'models pull' downloaded; folders of your own stay", names="+")
    rm.set_defaults(run=_remove)
    tiny = kinds.add_parser("make-tiny", help="write tiny random models in the released layout, for tests and demos")
    tiny.add_argument("folder", type=Path, metavar="DIR")
    tiny.add_argument("names", nargs="*", metavar="NAME", help="default: every model")
    tiny.add_argument("--layout", choices=("diffusers", "original"), default="diffusers")
    tiny.add_argument("--json", action="store_true")
    tiny.set_defaults(run=_make_tiny)


def _add(kinds: Any, name: str, text: str, names: str = "") -> argparse.ArgumentParser:  # noqa: ANN401 - argparse's own
    parser: argparse.ArgumentParser = kinds.add_parser(name, help=text)
    if names:
        parser.add_argument("names", nargs=names if names == "+" else 1, metavar="NAME", help="see 'models list'")
    parser.add_argument(
        "--models",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="a folder with models: diffusers, original or ComfyUI layout (also $WANSTAGE_MODELS); may be repeated",
    )
    parser.add_argument("--offline", action="store_true", help="never ask a hub")
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of text for people")
    return parser


def _options(told: argparse.Namespace) -> Options:
    return Options(folders=tuple(told.models), offline=told.offline)


def _line(event: str, **facts: object) -> None:
    sys.stdout.write(msgspec.json.encode({"event": event, **facts}).decode() + "\n")
    sys.stdout.flush()


def _items(told: argparse.Namespace) -> list[Any]:
    from wan_models.store.catalogue import in_original_layout, item

    items = [item(name) for name in told.names]
    if getattr(told, "layout", "") == "original":
        items = [in_original_layout(each) for each in items]
    if getattr(told, "fast", False):
        rows = [each.row for each in items if each.row]
        names = [name for row in rows if row.fast for name, _ in row.fast.loras]
        names += [str(row.extras["relighting_lora"]) for row in rows if "relighting_lora" in row.extras]
        items += [item(name) for name in dict.fromkeys(names)]
    return items


def _list(told: argparse.Namespace) -> int:
    from wan_models.store.catalogue import items
    from wan_models.store.inventory import entry

    entries = [entry(each, _options(told)) for each in items()]
    if told.json:
        for each in entries:
            _line("model", **msgspec.to_builtins(each))
        return 0
    from rich.console import Console
    from rich.table import Column, Table

    heads = (Column("name", no_wrap=True), "here", "layout", Column("GB", justify="right"), "licence",
             Column("where", overflow="fold"))  # fmt: skip
    table = Table(*heads, box=None, pad_edge=False, highlight=False)
    for each in entries:
        size = (
            f"{each.nbytes / 1e9:.{1 if each.nbytes > 1e8 else 3}f}" if each.folder else f"~{each.expected / 1e9:.0f}"
        )
        where = each.folder or ("incomplete" if "not whole" in each.problem else "")
        table.add_row(each.name, "yes" if each.folder else "no", each.layout, size, each.licence, where)
    Console(highlight=False, width=None if sys.stdout.isatty() else 240).print(table)
    for each in entries:
        if "not whole" in each.problem:
            sys.stdout.write(f"{each.problem}\n")
    return 0


def _pull(told: argparse.Namespace) -> int:
    from wan_models.store.hubs import open_hub
    from wan_models.store.landmarkers import pull_landmarker
    from wan_models.store.pull import pull

    options, items = _options(told), _items(told)
    hub = open_hub(told.hub) if any(item.landmarker is None for item in items) else None
    for item in items:
        there = "" if told.again else _elsewhere(item, options)
        if there:
            _say(told, f"{item.name} is here already: {there} (--again downloads it all the same)", item.name, there)
            continue
        with _watch(told, f"{item.name} from {'Google' if item.landmarker or hub is None else hub.name}") as watcher:
            if item.landmarker or hub is None:
                path = pull_landmarker(item, item.landmarker, options, watcher)
            else:
                path = pull(item, hub, options, watcher)
        _say(told, f"{item.name} is whole: {path}", item.name, str(path))
    return 0


def _elsewhere(item: Any, options: Options) -> str:  # noqa: ANN401 - Item, which is imported late
    """Where the item lies already when it was not the store that brought it."""
    from wan_models.store import ModelMissing
    from wan_models.store.pull import where
    from wan_models.store.receipts import receipt

    try:
        return "" if receipt(item.key) else str(where(item, options))
    except ModelMissing:
        return ""


def _say(told: argparse.Namespace, sentence: str, name: str, path: str) -> None:
    if told.json:
        _line("result", name=name, path=path)
    else:
        sys.stdout.write(f"{sentence}\n")


def _verify(told: argparse.Namespace) -> int:
    from wan_models.store.pull import verify

    failed = False
    for item in _items(told):
        with _watch(told, f"checking {item.name}") as watcher:
            checks = list(verify(item, _options(told), watcher))
        for check in checks:
            failed = failed or bool(check.problem)
            if told.json:
                _line("file", path=str(check.path), problem=check.problem, sure=check.sure)
            elif check.problem:
                sys.stdout.write(f"{check.path}: {check.problem}\n")
        unsure = sum(not check.sure for check in checks)
        bad = sum(bool(check.problem) for check in checks)
        if not told.json:
            note = f"; of {unsure} no checksum is known, their lengths agree" if unsure and not bad else ""
            fix = f"; delete them and run 'wanstage models pull {item.name}'" if bad else ""
            sys.stdout.write(f"{item.name}: {len(checks) - bad} of {len(checks)} files are sound{note}{fix}\n")
    return _CHECK_FAILED if failed else 0


def _path(told: argparse.Namespace) -> int:
    from wan_models.store import find_lora
    from wan_models.store.catalogue import items
    from wan_models.store.pull import where

    (name,) = told.names
    item = next((each for each in items() if each.name == name), None)
    path = where(item, _options(told)) if item else find_lora(name, _options(told))
    if told.json:
        _line("result", name=name, path=str(path))
    else:
        sys.stdout.write(f"{path}\n")
    return 0


def _remove(told: argparse.Namespace) -> int:
    from wan_models.store.pull import remove

    for item in _items(told):
        freed = remove(item)
        if told.json:
            _line("result", name=item.name, freed=freed)
        else:
            sys.stdout.write(f"{item.name} is removed: {freed / 1e9:.1f} GB are free again\n")
    return 0


def _make_tiny(told: argparse.Namespace) -> int:
    from wan_models.models import MODELS
    from wan_models.registry import model_row
    from wan_models.weights.tiny import make_tiny

    names = [model_row(name).name for name in told.names]
    if told.layout == "original" and not names:
        names = [row.name for row in MODELS if row.original_repo]
    try:
        made = make_tiny(told.folder, **({"models": names} if names else {}), layout=told.layout)
    except OSError as error:
        problem = f"{told.folder} cannot be written ({error.strerror or error}): choose another folder"
        raise RequestRefused(problem) from error
    for name, folder in made.items():
        if told.json:
            _line("result", name=name, path=str(folder))
        else:
            sys.stdout.write(f"{name}: {folder}\n")
    return 0


class _JsonWatcher:
    """A line at the begin, then at most two a second, with bytes, bytes a second and seconds left."""

    def __init__(self) -> None:
        self._name, self._size, self._first = "", 0, 0
        self._started = self._last = time.monotonic()

    def begin(self, item: Any, files: int, size: int, done: int) -> None:  # noqa: ANN401 - Item, imported late
        self._name, self._size, self._first, self._started = item.name, size, done, time.monotonic()
        _line("begin", name=item.name, files=files, bytes=size, done=done)

    def progress(self, path: str, done: int) -> None:
        now = time.monotonic()
        if now - self._last < 0.5 and done < self._size:
            return
        self._last = now
        rate = (done - self._first) / max(now - self._started, 1e-3)
        left = (self._size - done) / rate if rate > 0 else None
        _line("progress", name=self._name, file=path, done=done, bytes=self._size, bytes_per_s=rate, eta_s=left)


class _RichWatcher:
    """A bar with rate and time left, on standard error."""

    def __init__(self, title: str, progress: Any) -> None:  # noqa: ANN401 - rich, imported late
        self._progress = progress
        self._task = progress.add_task(title, total=None, file="")

    def begin(self, item: Any, files: int, size: int, done: int) -> None:  # noqa: ANN401 - Item, imported late
        self._progress.reset(self._task, total=size, completed=done)

    def progress(self, path: str, done: int) -> None:
        self._progress.update(self._task, completed=done, file=path.rpartition("/")[2])


def _watch(told: argparse.Namespace, title: str) -> AbstractContextManager[Any]:
    return _json_watch() if told.json else _rich_watch(title)


@contextmanager
def _json_watch() -> Iterator[_JsonWatcher]:
    yield _JsonWatcher()


@contextmanager
def _rich_watch(title: str) -> Iterator[_RichWatcher]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
               TimeRemainingColumn(), TextColumn("{task.fields[file]}"))  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield _RichWatcher(title, progress)
