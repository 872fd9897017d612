"""What the command line shows: JSON lines for programs, rich progress for people."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import msgspec

from protocol.events import FrameArrived, UploadProgress
from protocol.messages import JobUpdate, Progress


class Reporter(Protocol):
    """Told what happens, in order; a context manager so that a progress display ends whatever happens."""

    def __enter__(self) -> Reporter: ...
    def __exit__(self, *_: object) -> None: ...
    def job(self, update: JobUpdate) -> None:
        """The job's present state."""

    def upload(self, progress: UploadProgress) -> None:
        """How much of the job's assets is at the backend."""

    def frame(self, frame: FrameArrived, path: Path) -> None:
        """A frame is on disk."""

    def say(self, sentence: str) -> None:
        """Something the user should know."""

    def jobs(self, updates: Iterable[JobUpdate]) -> None:
        """A list of jobs."""

    def result(self, **facts: object) -> None:
        """How it ended."""


class JsonReporter:
    """One object a line on standard output; ``event`` says what it is."""

    def __enter__(self) -> JsonReporter:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def _line(self, event: str, facts: dict[str, object]) -> None:
        sys.stdout.write(msgspec.json.encode({"event": event, **facts}).decode() + "\n")
        sys.stdout.flush()

    def job(self, update: JobUpdate) -> None:
        """All fields of the update that are not at their default."""
        self._line("job", msgspec.to_builtins(update))

    def upload(self, progress: UploadProgress) -> None:
        """Bytes."""
        self._line("upload", {"job_id": progress.job_id, "sent": progress.sent, "total": progress.total})

    def frame(self, frame: FrameArrived, path: Path) -> None:
        """Index, path and the engine's doubt."""
        self._line(
            "frame", {"job_id": frame.job_id, "index": frame.index, "path": str(path), "note": frame.header.note}
        )

    def say(self, sentence: str) -> None:
        """A note."""
        self._line("note", {"message": sentence})

    def jobs(self, updates: Iterable[JobUpdate]) -> None:
        """One line each."""
        for update in updates:
            self.job(update)

    def result(self, **facts: object) -> None:
        """The last line."""
        self._line("result", facts)


class RichReporter:
    """Bars with rate and time left, on standard error so that output can be piped."""

    def __init__(self) -> None:
        """Shows nothing yet."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        self._console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TextColumn("{task.fields[eta]}"),
            TimeElapsedColumn(),
            console=self._console,
        )
        self._task: Any = None
        self._upload: Any = None

    def __enter__(self) -> RichReporter:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def job(self, update: JobUpdate) -> None:
        """Move the bar."""
        if self._task is None:
            self._task = self._progress.add_task("", total=update.frames, rate="", eta="")
        done, eta = update.progress.frames_done, update.progress.eta_s
        rate = (update.frames - done) / eta if eta else 0.0
        waiting = f" (position {update.position})" if update.position else ""
        stage = update.progress.stage + step_text(update.progress)
        self._progress.update(
            self._task,
            description=_plain(f"{update.label or update.job_id[:8]}: {update.state}{waiting} {stage}"),
            completed=done,
            rate=f"{rate:.1f} frames/s" if rate else "",
            eta=f"{eta:.0f} s left" if eta else "",
        )

    def upload(self, progress: UploadProgress) -> None:
        """A bar of its own, in KiB."""
        total = progress.total // 1024
        if self._upload is None:
            self._upload = self._progress.add_task("upload (KiB)", total=total, rate="", eta="")
        self._progress.update(self._upload, completed=progress.sent // 1024, total=total)

    def frame(self, frame: FrameArrived, path: Path) -> None:
        """Only doubtful frames are worth a line."""
        if frame.header.note:
            self._console.print(f"[yellow]frame {frame.index}[/]: {_plain(frame.header.note)}", highlight=False)

    def say(self, sentence: str) -> None:
        """A line above the bars."""
        self._console.print(sentence, markup=False, highlight=False)

    def jobs(self, updates: Iterable[JobUpdate]) -> None:
        """A table on standard output."""
        from rich.console import Console
        from rich.table import Column, Table

        table = Table(Column("job", no_wrap=True), "label", "task", "engine", "state", "frames", "size", "note")
        for each in updates:
            frames = f"{each.progress.frames_done}/{each.frames}"
            size = f"{each.width}x{each.height}@{each.fps:g}"
            table.add_row(
                each.job_id[:12],
                _plain(each.label),
                each.task,
                each.engine,
                each.state,
                frames,
                size,
                _plain(each.error),
            )
        Console().print(table)

    def result(self, **facts: object) -> None:
        """``message`` when there is one."""
        if facts.get("message"):
            self.say(str(facts["message"]))


def step_text(progress: Progress) -> str:
    """How far the stage is: steps, or the share of an amount and how fast it goes."""
    if not progress.steps:
        return ""
    if not progress.unit:
        return f" {progress.step}/{progress.steps}"
    rate = f", {progress.rate:.0f} {progress.unit}/s" if progress.rate else ""
    return f" {100 * progress.step // progress.steps} %{rate}"


def _plain(text: str) -> str:
    """Text from elsewhere, whose brackets mean nothing to rich."""
    from rich.markup import escape

    return escape(text)


def make_reporter(as_json: bool) -> Reporter:
    """The one asked for."""
    return JsonReporter() if as_json else RichReporter()
