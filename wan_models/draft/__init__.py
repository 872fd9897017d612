"""The draft engine: what a director judges timing and framing by, in seconds, on a CPU, without weights or torch."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from wan_models.engine import RequestRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wan_models.events import Event
    from wan_models.requests import Request

__all__ = ["DraftEngine"]


class _Part(Protocol):
    """What each task's module offers; loaded when first asked for, so that i2v does not pay for animate's libraries."""

    def check(self, request: Request) -> None: ...
    def generate(self, request: Request, cancelled: Callable[[], bool]) -> Iterator[Event]: ...


class DraftEngine:
    """See ``wan_models.engine.Engine``."""

    name: str = "draft"
    models: tuple[str, ...] = ("draft",)
    tasks: tuple[str, ...] = ("animate", "i2v", "s2v")

    def check(self, request: Request) -> None:
        """Raise RequestRefused, one sentence, for what ``generate`` could not do."""
        self._part(request).check(request)
        if request.redo is not None:
            from wan_models import redo

            redo.check(request)

    def generate(self, request: Request, cancelled: Callable[[], bool]) -> Iterator[Event]:
        """Events of the task's own module; every frame exactly once, in order. Of a part of a clip only that is made,
        with the bytes that it has in the whole clip, and put into the clip.
        """
        events = self._part(request).generate(request, cancelled)
        if request.redo is None:
            return events
        from wan_models import redo

        return redo.finished(request, events)

    def _part(self, request: Request) -> _Part:
        if request.task not in self.tasks:
            able = f"{', '.join(self.tasks[:-1])} and {self.tasks[-1]}"
            msg = f"The draft engine cannot do {request.task!r}; it does {able}: choose another model."
            raise RequestRefused(msg)
        if request.model not in self.models:
            msg = f"The draft engine has no model {request.model!r}; its only model is 'draft'."
            raise RequestRefused(msg)
        return cast("_Part", import_module(f"wan_models.draft.{request.task}"))
