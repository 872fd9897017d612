"""The one interface between the backend and whatever makes frames. Importing it imports no numpy: a server does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from .events import Event
    from .requests import Request


class RequestRefused(ValueError):
    """The request cannot be done: one sentence with what was given, what is allowed, what to do."""


def out_of_memory(error: BaseException) -> bool:
    """Python's memory, the host's as torch asks for it, or a card's: torch's errors are known without importing it."""
    text = str(error)
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and ("CUDA error: out of memory" in text or "DefaultCPUAllocator" in text))
    )


@runtime_checkable
class Reports(Protocol):
    """What an engine has too that takes long between two events: ``report`` is set by whoever runs it and told what
    cannot wait for the next one (``WeightsRead``), within ``generate``. It returns at once and raises nothing.
    """

    report: Callable[[Event], None]


class Engine(Protocol):
    """Makes frames of requests. One engine lives in one worker process and does one request at a time."""

    name: str
    models: tuple[str, ...]
    tasks: tuple[str, ...]

    def check(self, request: Request) -> None:
        """Raise RequestRefused for what ``generate`` could not do; cheap, before anything is loaded."""

    def generate(self, request: Request, cancelled: Callable[[], bool]) -> Iterator[Event]:
        """Yield events. ``cancelled`` is asked between steps; when true, stop yielding soon and return.

        Every frame 0..frames-1 comes exactly once in FramesDecoded, in order. Of a request with ``redo`` those of the
        part come instead, numbered from 0 and finished (``wan_models.redo.finished``).
        """
