"""What each client message does. One method a message; errors of the protocol's tree become ErrorReply."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from backend import RELEASE
from protocol import FEATURES, VERSION, limits, messages
from protocol.assets import AssetFolder
from protocol.codec import Buffer
from protocol.errors import AssetError, InvalidJob, ProtocolError, WanstageError
from protocol.refs import asset_refs
from protocol.specs import JobSpec
from protocol.validation import validate
from wan_models.registry import EngineRow

from .estimates import Estimates
from .frames import FrameStore
from .headers import check_images
from .jobs import Job
from .models import Models
from .peers import Peer
from .scheduler import Scheduler

log = logging.getLogger(__name__)


class Handlers:
    """The requests of clients that have said hello."""

    def __init__(
        self,
        scheduler: Scheduler,
        assets: AssetFolder,
        frames: FrameStore,
        engines: tuple[EngineRow, ...],
        models: Models,
        *,
        estimates: Estimates,
    ) -> None:
        """``engines`` are those that clients may ask for, ``models`` knows what theirs take."""
        self._scheduler, self._assets, self._frames = scheduler, assets, frames
        self._engines = {row.name: row for row in engines}
        self._models = models
        self._table: dict[type[Any], Callable[[Peer, Any, Sequence[Buffer]], messages.Message | None]] = {
            messages.Ping: lambda peer, message, _: messages.Pong(reply_to=message.request),
            messages.HaveAssets: self._have,
            messages.PutChunk: self._chunk,
            messages.SubmitJob: self._submit,
            messages.Attach: self._attach,
            messages.Detach: self._detach,
            messages.CancelJob: self._cancel,
            messages.RemoveJob: self._remove,
            messages.ListJobs: self._list,
            messages.GetSpec: self._spec,
            messages.GrantCredit: self._grant,
            messages.EstimateJob: lambda peer, message, _: estimates.ask(peer, message),
        }

    def handle(self, peer: Peer, message: messages.ClientMessage, buffers: Sequence[Buffer]) -> None:
        """Carry the message out and queue its answer."""
        job_id = getattr(message, "job_id", "")
        try:
            answer = self._table[type(message)](peer, message, buffers)
        except WanstageError as error:
            answer = error_reply(error, message.request, job_id)
        except Exception:  # a bug or a broken disk must not take the other clients down
            log.exception("%s failed", type(message).__name__)
            problem = f"the backend failed at {type(message).__name__}: its log has the details"
            answer = error_reply(WanstageError(problem), message.request, job_id)
        if answer is not None:
            self._reply(peer, answer, message.request)

    def _reply(self, peer: Peer, answer: messages.Message, request: int) -> None:
        try:
            peer.reply(answer)
        except ProtocolError as error:  # an answer that outgrew one message
            peer.reply(error_reply(error, request))

    # ---- assets -------------------------------------------------------------------------------------

    def _have(self, _: Peer, message: messages.HaveAssets, __: Sequence[Buffer]) -> messages.Message:
        for ref in message.assets:
            if self._assets.has(ref):
                self._assets.touch(ref.id)
        missing = tuple(
            messages.MissingAsset(ref.id, self._assets.partial(ref.id))
            for ref in message.assets
            if not self._assets.has(ref)
        )
        return messages.AssetsMissing(missing, reply_to=message.request)

    def _chunk(self, _: Peer, message: messages.PutChunk, buffers: Sequence[Buffer]) -> messages.Message:
        if len(buffers) != 1 or len(buffers[0]) > limits.CHUNK_BYTES:
            problem = f"put_chunk comes with one part of at most {limits.CHUNK_BYTES} bytes"
            raise ProtocolError(problem)
        self._frames.room(len(buffers[0]), "an asset")
        complete = self._assets.append_chunk(message.asset, message.offset, buffers[0])
        have = message.asset.nbytes if complete else self._assets.partial(message.asset.id)
        return messages.ChunkStored(message.asset.id, have, complete, reply_to=message.request)

    # ---- jobs ---------------------------------------------------------------------------------------

    def _submit(self, peer: Peer, message: messages.SubmitJob, _: Sequence[Buffer]) -> messages.Message:
        job = self._scheduler.taken(message.job_id, peer.user)
        if job is None:
            self._check(message.spec)
            self._check_footage(message.spec, peer.user)
            job = self._scheduler.submit(message.job_id, peer.user, message.spec)
        return self.update(job, message.request)

    def _check(self, spec: JobSpec) -> None:
        """All that can be known before the work begins. Raises InvalidJob, AssetError."""
        validate(spec)
        row = self._engines.get(spec.engine)
        if row is None:
            names = ", ".join(self._engines)
            problem = f"there is no engine {spec.engine}: this backend has {names}"
            raise InvalidJob(problem)
        if row.missing:
            raise InvalidJob("; ".join(row.missing))
        if spec.task not in row.tasks:
            problem = f"the engine {row.name} cannot do {spec.task}: it does {', '.join(row.tasks)}"
            raise InvalidJob(problem)
        if spec.model not in row.models:
            problem = f"the engine {row.name} has no model {spec.model}: it has {', '.join(row.models)}"
            raise InvalidJob(problem)
        self._models.check(row, spec)
        absent = [ref for ref in asset_refs(spec) if not self._assets.has(ref)]
        if absent:
            problem = f"{len(absent)} assets of the job are not here ({absent[0].id[:12]} is one): upload them first"
            raise AssetError(problem)
        check_images(self._assets, spec)

    def _check_footage(self, spec: JobSpec, owner: str) -> None:
        """A job whose frames are looked at is of the same key and has them. Raises UnknownJob, InvalidJob."""
        if spec.pose is None or not spec.pose.of_job:
            return
        other = self._scheduler.find(spec.pose.of_job, owner)
        if other.spec.task == "pose" or other.spec.output.encoding != "png":
            problem = f"job {other.job_id[:12]} has no pictures to look at: choose one whose frames are PNG"
            raise InvalidJob(problem)
        if not other.ended or other.frames_done < spec.frames:
            problem = (
                f"job {other.job_id[:12]} is {other.state} and has {other.frames_done} frames, {spec.frames} are to be "
                "looked at: wait for its end, or ask for fewer"
            )
            raise InvalidJob(problem)

    def _attach(self, peer: Peer, message: messages.Attach, _: Sequence[Buffer]) -> messages.Message:
        job = self._scheduler.find(message.job_id, peer.user)
        peer.follow(job.job_id, message.next_frame)
        return self.update(job, message.request)

    def _detach(self, peer: Peer, message: messages.Detach, _: Sequence[Buffer]) -> messages.Message:
        peer.unfollow(message.job_id)
        return messages.Done(reply_to=message.request)

    def _cancel(self, peer: Peer, message: messages.CancelJob, _: Sequence[Buffer]) -> messages.Message:
        job = self._scheduler.find(message.job_id, peer.user)
        self._scheduler.cancel(job)
        return self.update(job, message.request)

    def _remove(self, peer: Peer, message: messages.RemoveJob, _: Sequence[Buffer]) -> messages.Message:
        job = self._scheduler.find(message.job_id, peer.user)
        self._scheduler.remove(job)
        peer.unfollow(job.job_id)
        return messages.Done(reply_to=message.request)

    def _list(self, peer: Peer, message: messages.ListJobs, _: Sequence[Buffer]) -> messages.Message:
        updates, left = [], limits.MAX_BODY_BYTES - 1024
        for job in self._scheduler.list(peer.user, message.limit):
            update = msgspec.structs.replace(self.update(job), warnings=())
            left -= len(msgspec.msgpack.encode(update))
            if left < 0:  # the newest that fit into one message
                break
            updates.append(update)
        return messages.Jobs(tuple(updates), reply_to=message.request)

    def _spec(self, peer: Peer, message: messages.GetSpec, _: Sequence[Buffer]) -> messages.Message:
        job = self._scheduler.find(message.job_id, peer.user)
        return messages.JobSpecReply(job.job_id, job.spec, reply_to=message.request)

    def _grant(self, peer: Peer, message: messages.GrantCredit, _: Sequence[Buffer]) -> None:
        peer.grant(message.nbytes)

    def update(self, job: Job, reply_to: int = 0) -> messages.JobUpdate:
        """The job's present state as a message."""
        return job.update(self._scheduler.position(job), self._scheduler.now(), reply_to)


def error_reply(error: WanstageError, reply_to: int = 0, job_id: str = "") -> messages.ErrorReply:
    """The error as a message."""
    return messages.ErrorReply(error.code, str(error)[:4000], job_id, reply_to)


def welcome(
    server_id: str, engines: tuple[messages.EngineInfo, ...], devices: tuple[str, ...], reply_to: int
) -> messages.Welcome:
    """The answer to Hello."""
    return messages.Welcome(
        server_id=server_id,
        backend=f"wanstage {RELEASE}",
        minor=VERSION[1],
        features=FEATURES,
        engines=engines,
        devices=devices,
        reply_to=reply_to,
    )


def paired(name: str, reply_to: int) -> messages.Paired:
    """The answer to Pair."""
    return messages.Paired(name, f"wanstage {RELEASE}", socket.gethostname()[:200], VERSION[1], reply_to)
