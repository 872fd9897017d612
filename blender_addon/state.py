"""What the add-on knows while it runs: nothing here is saved, nothing here is a Blender object. No bpy.

One module-level ``now`` holds it; ``reset`` closes what is open. Blender reloads files under us, so takes are
found again by job id whenever they are needed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

MAX_FRAMES = 4096  # of one shot
REDRAWS = 2  # of the panels after a change: the second lays out what became shorter in the first

Status = Literal["off", "starting", "connecting", "connected", "lost"]


@dataclass
class Run:
    """A job this Blender follows. ``received`` counts frames on disk without a gap. ``first``: the take's frame (from
    0) that is the job's frame 0; frames before it, and behind a redone part, are there already.
    """

    job_id: str
    folder: Path
    received: int = 0
    first: int = 0
    update: Any = None  # the latest JobUpdate
    upload: tuple[int, int] = (0, 0)  # bytes sent, bytes to send
    problem: str = ""
    shown: int = -1  # sample on the plane
    notes: dict[int, str] = field(default_factory=dict)  # sample -> why the engine doubts it
    submitted: float = 0.0  # time.monotonic()
    captured: bool = False  # whether the shot was captured for it, rather than its drive pack found unchanged
    uploaded_s: float = 0.0  # since submitted, as the next two
    first_frame_s: float = 0.0
    done_s: float = 0.0
    settled: bool = False  # the take has its final state and plane
    final: str = ""  # that state


@dataclass
class CaptureState:
    """A capture that is going on, for the panel."""

    stage: str = ""
    step: int = 0
    steps: int = 0
    warnings: tuple[str, ...] = ()


@dataclass
class CachedPack:
    """A drive pack, the key of everything that it was made from, and its parts. ``last``: the last sample's picture."""

    key: str
    pack: Any
    warnings: tuple[str, ...]
    seconds: float
    parts: frozenset[str] = frozenset()
    last: Any = None


@dataclass
class State:
    """See the fields; the panel reads, ``pump`` and the operators write."""

    status: Status = "off"
    sentence: str = ""
    client: Any = None
    connection: Any = None
    launch: Any = None
    welcome: Any = None
    runs: dict[str, Run] = field(default_factory=dict)
    backlog: deque[Any] = field(default_factory=deque)
    redraws: int = 0  # still to be made, see ``pump``
    resting: bool = False  # nothing is awaited: the pump's next turn may be seconds away
    waiting: Any = None  # follow.Shown, a picture left for the next tick
    sounds: deque[str] = field(default_factory=deque)  # jobs whose sound is due on the sequencer: a tick each
    undo_step: str = ""  # its title: Blender takes its time for one, so that it gets the next tick to itself
    pieces: deque[Iterator[None]] = field(default_factory=deque)  # work too long for one tick: a piece each
    paused: set[str] = field(default_factory=set)
    capture: CaptureState | None = None
    export: CaptureState | None = None  # its stage is the take's name
    batch: str = ""  # such as "Shot 2 of 5", while several are captured
    packs: dict[str, CachedPack] = field(default_factory=dict)  # scene name -> the last pack
    revision: int = 0  # counts edits of the scene's data, see handlers.py
    longest_tick_s: float = 0.0
    removed: set[str] = field(default_factory=set)  # jobs whose files were deleted: undo brings back the row alone

    @property
    def connected(self) -> bool:
        """Whether requests can be made now."""
        return self.status == "connected"

    def is_due(self) -> bool:
        """Whether something waits for a tick of its own."""
        return bool(self.sounds or self.undo_step or self.pieces)

    def drop_due(self) -> None:
        """None of it is due any more: it was about another file."""
        self.undo_step = ""
        self.sounds.clear()
        self.pieces.clear()

    def active(self) -> list[Run]:
        """Jobs whose take is not yet settled."""
        return [run for run in self.runs.values() if not run.settled]


now = State()
leaving: list[Callable[[], None]] = []
"""What else is done when a backend is left."""


def disconnect() -> None:
    """Close the client; jobs go on at the backend and the takes stay as they are."""
    if now.client is not None:
        now.client.close()
    now.client = now.connection = now.launch = now.welcome = None
    now.status, now.sentence = "off", ""
    now.backlog.clear()
    now.waiting = None
    now.runs.clear()
    for each in leaving:
        each()


def reset() -> None:
    """Forget everything, as after a file load or when the add-on is disabled."""
    disconnect()
    now.paused.clear()
    now.packs.clear()
    now.capture = None
    now.drop_due()
    now.revision += 1
