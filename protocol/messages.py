"""Every message of the protocol (SPEC.md section "Messages"), as tagged msgspec structs.

Client messages carry ``request``, a number of the client's choice; what the backend answers carries it as
``reply_to`` (0 = unasked). Buffers ride as extra parts and are described by fields of the message.
New fields have defaults; tags and types never change; nothing is reused.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from . import limits
from .specs import AssetId, AssetRef, Frames, JobSpec, Name, PlanName, Sampler, Side, Task

Secret = Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
JobId = Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
Count = Annotated[int, Meta(ge=0)]
Text = Annotated[str, Meta(max_length=4000)]
JobState = Literal["queued", "loading", "running", "cancelling", "finished", "failed", "cancelled"]
TERMINAL: frozenset[str] = frozenset({"finished", "failed", "cancelled"})


class Message(Struct, frozen=True, tag_field="type", omit_defaults=True):
    """Base of all messages."""


# ---- client to backend ------------------------------------------------------------------------------


class Hello(Message, tag="hello", frozen=True):
    """First message of a connection. ``session_id`` survives reconnects."""

    session_id: JobId
    client: Name  # product and version, for the log
    minor: Count = 0
    features: Annotated[tuple[Name, ...], Meta(max_length=64)] = ()
    request: Count = 0


class Ping(Message, tag="ping", frozen=True):
    """Are you there? Sent after PING_AFTER_S of silence; any message counts as an answer."""

    request: Count = 0


class Goodbye(Message, tag="goodbye", frozen=True):
    """The client leaves; its jobs go on."""

    request: Count = 0


class HaveAssets(Message, tag="have_assets", frozen=True):
    """Which of these are missing?"""

    assets: Annotated[tuple[AssetRef, ...], Meta(max_length=limits.MAX_ASSETS_PER_QUERY)]
    request: Count = 0


class PutChunk(Message, tag="put_chunk", frozen=True):
    """One part: bytes ``offset``.. of the asset. In order for each asset, at most CHUNK_BYTES."""

    asset: AssetRef
    offset: Count
    request: Count = 0


class SubmitJob(Message, tag="submit_job", frozen=True):
    """Idempotent: a known ``job_id`` is answered with its present state."""

    job_id: JobId
    spec: JobSpec
    request: Count = 0


class Attach(Message, tag="attach", frozen=True):
    """Follow a job; frames ``next_frame``.. will be sent while there is credit."""

    job_id: JobId
    next_frame: Count = 0
    request: Count = 0


class Detach(Message, tag="detach", frozen=True):
    """Stop following; the job goes on."""

    job_id: JobId
    request: Count = 0


class CancelJob(Message, tag="cancel_job", frozen=True):
    """Idempotent; a job that has ended stays as it is."""

    job_id: JobId
    request: Count = 0


class RemoveJob(Message, tag="remove_job", frozen=True):
    """Forget an ended job and delete its frames."""

    job_id: JobId
    request: Count = 0


class ListJobs(Message, tag="list_jobs", frozen=True):
    """The jobs of this key, newest first."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 100
    request: Count = 0


class GetSpec(Message, tag="get_spec", frozen=True):
    """The spec of one of our jobs, as submitted."""

    job_id: JobId
    request: Count = 0


class GrantCredit(Message, tag="grant_credit", frozen=True):
    """The client has consumed frames: so many more bytes may be sent."""

    nbytes: Annotated[int, Meta(ge=1, le=limits.MAX_CREDIT_BYTES)]
    request: Count = 0


class Pair(Message, tag="pair", frozen=True):
    """Let the key of this connection in. All that a key which is not on the allow-list may say, instead of ``hello``.

    ``secret`` is the pairing code's; ``name`` what the client would like to be called at the backend.
    """

    secret: Secret
    name: Name
    client: Name
    minor: Count = 0
    request: Count = 0


class EstimateJob(Message, tag="estimate_job", frozen=True):
    """What would such a job need, and how long would it take? ``assets`` are those of the job, as far as known."""

    task: Task
    width: Side
    height: Side
    frames: Frames
    engine: Name = "draft"
    model: Name = "draft"
    sampler: Sampler = Sampler()
    plan: PlanName = "auto"
    start_from_reference: bool = False
    assets: Annotated[tuple[AssetRef, ...], Meta(max_length=limits.MAX_ASSETS_PER_QUERY)] = ()
    request: Count = 0


# ---- backend to client ------------------------------------------------------------------------------


class ModelInfo(Struct, frozen=True, omit_defaults=True):
    """One model of an engine: what it can do and which numbers it takes. ``missing``: no weights, say.

    A clip has ``frame_step`` * n + 1 frames, any number if ``any_frames``, at most ``max_frames`` (0 = no bound of its
    own). Sides are multiples of ``size_step`` pixels, width x height at most ``area``; ``sizes`` are the official ones.
    """

    name: Name
    title: Text = ""
    tasks: tuple[Name, ...] = ()
    fps: float = 16.0
    sizes: tuple[tuple[Count, Count], ...] = ()
    size_step: Count = 1
    area: Count = 0
    frame_step: Count = 1
    any_frames: bool = False
    default_frames: Count = 0
    max_frames: Count = 0
    segment: Count = 0
    steps: Count = 0
    guidance: float = 1.0
    fast: bool = False
    missing: tuple[Text, ...] = ()


class EngineInfo(Struct, frozen=True, omit_defaults=True):
    """One engine the backend can run, and what it lacks (a sentence each; empty = ready)."""

    name: Name
    models: tuple[Name, ...]
    tasks: tuple[Name, ...]
    missing: tuple[Text, ...] = ()
    details: tuple[ModelInfo, ...] = ()


class Welcome(Message, tag="welcome", frozen=True):
    """Answer to ``Hello``. Another ``server_id`` than last time means that the backend restarted."""

    server_id: JobId
    backend: Name
    minor: Count = 0
    features: tuple[Name, ...] = ()
    engines: tuple[EngineInfo, ...] = ()
    devices: tuple[Name, ...] = ()
    ping_after_s: float = limits.PING_AFTER_S
    upload_credit: Count = limits.START_CREDIT_BYTES
    reply_to: Count = 0


class Pong(Message, tag="pong", frozen=True):
    """Answer to ``Ping``."""

    reply_to: Count = 0


class Busy(Message, tag="busy", frozen=True):
    """No answer will come for about so many seconds: not a sign of death."""

    seconds: float
    reason: Text = ""
    reply_to: Count = 0


class MissingAsset(Struct, frozen=True):
    """``have`` bytes are there already: upload from that offset."""

    id: AssetId
    have: Count = 0


class AssetsMissing(Message, tag="assets_missing", frozen=True):
    """Answer to ``HaveAssets``; those not named are there."""

    missing: tuple[MissingAsset, ...]
    reply_to: Count = 0


class ChunkStored(Message, tag="chunk_stored", frozen=True):
    """A chunk is on disk; ``complete`` when the asset is whole and its hash was right. Returns upload credit."""

    id: AssetId
    have: Count
    complete: bool
    reply_to: Count = 0


class Progress(Struct, frozen=True, omit_defaults=True):
    """Where a job is. ``eta_s`` None until there is something to say.

    ``unit`` of ``step`` and ``steps`` where they are an amount (MiB of weights read), ``rate`` how many of it a second.
    ``card_``: MiB of the worker's graphics card: held by it, free, in all; ``card_total`` 0 = it has none.
    """

    stage: Text = ""
    step: Count = 0
    steps: Count = 0
    frames_done: Count = 0
    eta_s: float | None = None
    unit: Text = ""
    rate: float = 0.0
    card_held: Count = 0
    card_free: Count = 0
    card_total: Count = 0


class JobUpdate(Message, tag="job_update", frozen=True):
    """The present state of a job; sent on every change to those attached, and as an answer.

    ``position`` 0 = not waiting, 1 = next. ``timings`` seconds a stage. ``warnings`` are sentences.
    """

    job_id: JobId
    state: JobState
    frames: Count  # numbered results the job will have: its frames, and for the task pose one more, the file
    label: Text = ""
    task: Name = "t2v"
    engine: Name = "draft"
    width: Count = 0
    height: Count = 0
    fps: float = 16.0
    position: Count = 0
    attempt: Count = 0
    progress: Progress = Progress()
    error: Text = ""
    error_code: Name = "none"
    warnings: tuple[Text, ...] = ()
    timings: dict[str, float] = {}
    created: float = 0.0  # seconds since 1970
    reply_to: Count = 0


class FrameReady(Message, tag="frame_ready", frozen=True):
    """One part: one finished frame. Never dropped, in order of ``index``; spends credit.

    ``encoding`` png: the file's bytes. raw: RGB8 (height, width, 3), rows from the top, ``color`` sRGB.
    ``note`` marks a frame the engine is unsure of, in a sentence.
    """

    job_id: JobId
    index: Count
    encoding: Literal["png", "raw"]
    width: Count
    height: Count
    dtype: Literal["u1"] = "u1"
    channels: Literal[3, 4] = 3
    color: Literal["srgb"] = "srgb"
    note: Text = ""
    reply_to: Count = 0


class PreviewReady(Message, tag="preview_ready", frozen=True):
    """One part: raw RGB8 of frame ``index``. Latest wins: older unsent ones are dropped. Costs no credit."""

    job_id: JobId
    index: Count
    width: Count
    height: Count
    dtype: Literal["u1"] = "u1"
    channels: Literal[3] = 3
    color: Literal["srgb"] = "srgb"
    reply_to: Count = 0


class PoseReady(Message, tag="pose_ready", frozen=True):
    """One part: what a job of the task pose has found. Numbered, never dropped, resumed as frames are; spends credit.

    ``kind`` people: those of frame ``index``, f4 (P, POSE_COLUMNS), perhaps none. file: behind the last frame, the
    whole pose file.
    """

    job_id: JobId
    index: Count
    kind: Literal["people", "file"]
    reply_to: Count = 0


class Jobs(Message, tag="jobs", frozen=True):
    """Answer to ``ListJobs``."""

    jobs: tuple[JobUpdate, ...]
    reply_to: Count = 0


class JobSpecReply(Message, tag="job_spec", frozen=True):
    """Answer to ``GetSpec``."""

    job_id: JobId
    spec: JobSpec
    reply_to: Count = 0


class Paired(Message, tag="paired", frozen=True):
    """Answer to ``Pair``: the key is on the list, under ``name``. ``host`` is what the backend's machine is called."""

    name: Name
    backend: Name
    host: Text = ""
    minor: Count = 0
    reply_to: Count = 0


class EstimatePart(Struct, frozen=True, omit_defaults=True):
    """One line of a memory plan: a part or piece of work, its bytes on the card while it works, on the host always."""

    what: Text
    card: Count = 0
    host: Count = 0
    note: Text = ""


class EstimateStage(Struct, frozen=True):
    """Seconds of one stage, as ``timings`` of JobUpdate name them."""

    name: Name
    seconds: float


class SmallerJob(Struct, frozen=True):
    """A job like the one that was asked about, that fits."""

    width: Count
    height: Count
    frames: Count
    plan: Name = "auto"


class Estimate(Message, tag="estimate", frozen=True):
    """Answer to ``EstimateJob``. Bytes throughout; what is not known is empty, 0 or None, never a guess.

    ``problem`` says why the job does not fit, ``smaller`` what would, the nearest first. ``basis`` of the seconds:
    jobs of this very size that ran here, or jobs of the model that ran here scaled to this one, or none.
    """

    too_large: bool = False
    problem: Text = ""
    smaller: tuple[SmallerJob, ...] = ()
    plan: Text = ""
    losses: Text = ""
    parts: tuple[EstimatePart, ...] = ()
    card: Text = ""
    card_needed: Count = 0
    card_free: Count = 0
    card_total: Count = 0
    host_needed: Count = 0
    host_free: Count = 0
    missing: tuple[Text, ...] = ()
    missing_bytes: Count = 0
    seconds: float | None = None
    stages: tuple[EstimateStage, ...] = ()
    basis: Literal["none", "measured", "scaled"] = "none"
    based_on: Text = ""
    jobs_ahead: Count = 0
    upload: Count | None = None
    reply_to: Count = 0


class Done(Message, tag="done", frozen=True):
    """The request was carried out and has nothing to say (``Detach``, ``RemoveJob``, ``Goodbye``)."""

    reply_to: Count = 0


class ErrorReply(Message, tag="error", frozen=True):
    """What went wrong, in one sentence; ``code`` as in protocol/errors.py."""

    code: Name
    message: Text
    job_id: Annotated[str, Meta(pattern="^([0-9a-f]{32})?$")] = ""
    reply_to: Count = 0


ClientMessage = (
    Hello
    | Ping
    | Goodbye
    | HaveAssets
    | PutChunk
    | SubmitJob
    | Attach
    | Detach
    | CancelJob
    | RemoveJob
    | ListJobs
    | GetSpec
    | GrantCredit
    | Pair
    | EstimateJob
)
ServerMessage = (
    Welcome
    | Pong
    | Busy
    | AssetsMissing
    | ChunkStored
    | JobUpdate
    | FrameReady
    | PreviewReady
    | PoseReady
    | Jobs
    | JobSpecReply
    | Paired
    | Estimate
    | Done
    | ErrorReply
)
