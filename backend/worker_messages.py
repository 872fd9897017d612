"""What the server and its worker processes say to each other: msgpack structs, pixels as one extra part.

Both ends are the same version of this package, so there is no magic and no version here. Never pickle.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct, json, msgpack

from protocol.specs import JobSpec
from wan_models.options import Options

CARD_BROKEN = 4  # exit status of a worker whose graphics card failed in a way that only a new process gets over


class WorkerConfig(Struct, frozen=True):
    """First line of a worker's standard input, as JSON. Keys are Z85; empty where the link is ipc.

    ``warm`` are engines to open before the first job, ``threads`` bounds OpenCV's and torch's (0 = as they like).
    ``options`` are for the engines that have some; its device is the worker's own.
    """

    endpoint: str
    assets: str
    server_key: str = ""
    public: str = ""
    secret: str = ""
    warm: tuple[str, ...] = ()
    threads: int = 0
    options: Options = Options()

    @property
    def asset_folder(self) -> Path:
        """Where the job's assets are."""
        return Path(self.assets)

    def line(self) -> bytes:
        """What is written to the worker."""
        return json.encode(self, enc_hook=str) + b"\n"

    @classmethod
    def read(cls, line: bytes) -> WorkerConfig:
        """What was written."""
        return json.decode(line, type=cls, dec_hook=lambda kind, value: kind(value))


class Note(Struct, frozen=True, tag_field="type"):
    """Base of all messages of this link."""


# ---- server to worker -------------------------------------------------------------------------------


class RunJob(Note, tag="run", frozen=True):
    """Do this job; frames below ``first_frame`` are stored already and need not be sent. ``footage``: the folder of the
    pictures that the task pose looks at, where they are another job's.
    """

    job_id: str
    attempt: int
    spec: JobSpec
    first_frame: int = 0
    footage: str = ""


class CancelRun(Note, tag="cancel", frozen=True):
    """Stop the job soon; ignored when it is not the present one."""

    job_id: str


class Quit(Note, tag="quit", frozen=True):
    """End the process when idle."""


Card = tuple[int, int, int]  # MiB: held by the worker, free, in all
NO_CARD: Card = (0, 0, 0)

# ---- worker to server -------------------------------------------------------------------------------


class WorkerReady(Note, tag="ready", frozen=True):
    """The worker has imported its engines and waits for jobs."""

    pid: int


class RunStarted(Note, tag="started", frozen=True):
    """The request is translated and the engine has accepted it."""

    job_id: str


class StageBegan(Note, tag="stage", frozen=True):
    """``steps`` 0 = of unknown length. ``card``, here and below: see ``worker.card_memory``."""

    job_id: str
    name: str
    steps: int = 0
    card: Card = NO_CARD


class StepMade(Note, tag="step", frozen=True):
    """``step`` counts from 1."""

    job_id: str
    step: int
    steps: int
    card: Card = NO_CARD


class Reading(Note, tag="reading", frozen=True):
    """``done`` of ``total`` bytes of a network's weights are read; the stage waits for them."""

    job_id: str
    what: str
    done: int
    total: int


class PreviewMade(Note, tag="preview", frozen=True):
    """One part: raw RGB8 (height, width, 3)."""

    job_id: str
    index: int
    width: int
    height: int


class FrameMade(Note, tag="frame", frozen=True):
    """One part: the frame, encoded as the spec says."""

    job_id: str
    index: int
    note: str = ""


class Caution(Note, tag="caution", frozen=True):
    """A sentence for the user; the work goes on."""

    job_id: str
    sentence: str


class RunEnded(Note, tag="ended", frozen=True):
    """``outcome`` finished, cancelled or failed (then with ``error`` and ``code``)."""

    job_id: str
    outcome: str
    error: str = ""
    code: str = "none"
    card: Card = NO_CARD


ToWorker = RunJob | CancelRun | Quit
ToServer = WorkerReady | RunStarted | StageBegan | StepMade | Reading | PreviewMade | FrameMade | Caution | RunEnded

_encoder = msgpack.Encoder()
_to_worker: msgpack.Decoder[ToWorker] = msgpack.Decoder(ToWorker)
_to_server: msgpack.Decoder[ToServer] = msgpack.Decoder(ToServer)


def encode(message: ToWorker | ToServer) -> bytes:
    """The first part; pixels follow as a second one."""
    return _encoder.encode(message)


def decode_for_worker(parts: Sequence[bytes | memoryview]) -> ToWorker:
    """What the server said."""
    return _to_worker.decode(parts[0])


def decode_for_server(parts: Sequence[bytes | memoryview]) -> ToServer:
    """What the worker said."""
    return _to_server.decode(parts[0])
