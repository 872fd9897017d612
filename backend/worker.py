"""The worker process: one engine run at a time, at the end of a PAIR socket. Started by the supervisor.

The main thread runs the engine and asks the socket for a cancel between steps. A daemon thread waits for the
end of standard input, which is how the process learns that the server is gone even while an engine computes.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

import msgspec
import zmq

from protocol.assets import AssetFolder
from protocol.errors import WanstageError
from protocol.specs import JobSpec
from wan_models.engine import Engine, RequestRefused
from wan_models.events import Event, FramesDecoded, Preview, StageStarted, StepDone, Warned
from wan_models.registry import open_engine, preload

from . import worker_messages as wm
from .translate import to_request

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

log = logging.getLogger(__name__)

SEND_HWM = 8  # messages: the engine waits rather than pile frames up when the server is slow
ORPHANED = 3  # exit status when the server went away


class EngineMisbehaved(WanstageError):
    """The engine broke its contract: wrong frame size, gap, or too few frames."""


class _Cancelled(Exception):
    """The run was told to stop."""


class Worker:
    """Answers RunJob messages until told to quit."""

    def __init__(self, config: wm.WorkerConfig) -> None:
        """Connect to the server that made ``config``."""
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.PAIR)
        self._socket.linger = 1000
        self._socket.sndhwm = SEND_HWM
        if config.server_key:
            self._socket.curve_serverkey = config.server_key.encode()
            self._socket.curve_publickey = config.public.encode()
            self._socket.curve_secretkey = config.secret.encode()
        self._socket.connect(config.endpoint)
        self._assets = AssetFolder(config.asset_folder)
        self._engines: dict[str, Engine] = {}
        self._cancelled: set[str] = set()
        self._quit = False
        for name in config.warm:
            self._warm(name)

    def serve(self) -> None:
        """Wait for jobs and do them."""
        self._send(wm.WorkerReady(os.getpid()))
        while not self._quit:
            message = wm.decode_for_worker(self._socket.recv_multipart())
            if isinstance(message, wm.RunJob):
                self._run(message)
            else:
                self._control(message)

    def _warm(self, name: str) -> None:
        try:
            self._engine(name)
            preload(name)
        except Exception:
            log.exception("engine %s cannot be opened; jobs that ask for it will say why", name)

    def _engine(self, name: str) -> Engine:
        if name not in self._engines:
            self._engines[name] = open_engine(name)
        return self._engines[name]

    def _send(self, message: wm.ToServer, data: bytes | memoryview | None = None) -> None:
        parts = [wm.encode(message)] if data is None else [wm.encode(message), data]
        self._socket.send_multipart(parts, copy=False)

    def _control(self, message: wm.ToWorker) -> None:
        if isinstance(message, wm.CancelRun):
            self._cancelled.add(message.job_id)
        elif isinstance(message, wm.Quit):
            self._quit = True

    def _asked_to_stop(self, job_id: str) -> bool:
        while self._socket.poll(0):
            self._control(wm.decode_for_worker(self._socket.recv_multipart()))
        return self._quit or job_id in self._cancelled

    def _run(self, run: wm.RunJob) -> None:
        started = time.monotonic()
        outcome, error, code = "finished", "", "none"
        try:
            self._generate(run)
        except _Cancelled:
            outcome = "cancelled"
        except Exception as failure:  # whatever an engine raises ends its job, not the process
            outcome, (error, code) = "failed", explain(failure)
            log.exception("job %s failed", run.job_id)
        self._cancelled.discard(run.job_id)
        log.info("job %s: %s after %.2f s", run.job_id, outcome, time.monotonic() - started)
        self._send(wm.RunEnded(run.job_id, outcome, error[:2000], code))

    def _generate(self, run: wm.RunJob) -> None:
        engine = self._engine(run.spec.engine)
        request = to_request(self._assets, run.spec)
        engine.check(request)
        if self._asked_to_stop(run.job_id):
            raise _Cancelled
        self._send(wm.RunStarted(run.job_id))
        made = 0
        for event in engine.generate(request, lambda: self._asked_to_stop(run.job_id)):
            made = self._tell(run, event, made)
            if self._asked_to_stop(run.job_id):
                raise _Cancelled
        if self._asked_to_stop(run.job_id):
            raise _Cancelled
        if made != run.spec.frames:
            problem = f"the engine {run.spec.engine} made {made} of {run.spec.frames} frames: report this as a bug"
            raise EngineMisbehaved(problem)

    def _tell(self, run: wm.RunJob, event: Event, made: int) -> int:
        """Pass the event on; returns how many frames have been made so far."""
        match event:
            case StageStarted():
                self._send(wm.StageBegan(run.job_id, event.name, event.steps))
            case StepDone():
                self._send(wm.StepMade(run.job_id, event.step, event.steps))
            case Warned():
                self._send(wm.Caution(run.job_id, event.sentence))
            case Preview() if run.spec.output.previews:
                height, width = event.image.shape[:2]
                self._send(wm.PreviewMade(run.job_id, event.index, width, height), event.image.tobytes())
            case FramesDecoded():
                return self._frames(run, event, made)
        return made

    def _frames(self, run: wm.RunJob, event: FramesDecoded, made: int) -> int:
        spec = run.spec
        expected = (spec.height, spec.width, 3)
        if event.first != made or event.frames.shape[1:] != expected or made + len(event.frames) > spec.frames:
            problem = (
                f"the engine {spec.engine} gave frames {event.frames.shape} from {event.first}, "
                f"expected from {made} as {expected}, {spec.frames} in all: report this as a bug"
            )
            raise EngineMisbehaved(problem)
        notes = dict(event.notes)
        for index, frame in enumerate(event.frames, made):
            if index >= run.first_frame:
                self._send(wm.FrameMade(run.job_id, index, notes.get(index, "")), encode_frame(frame, spec))
        return made + len(event.frames)


def encode_frame(frame: NDArray[np.uint8], spec: JobSpec) -> bytes:
    """The bytes of one frame (h,w,3): raw RGB8, or a PNG at zlib level 1 (level 6 takes 5 times as long)."""
    import cv2

    if spec.output.encoding == "raw":
        return frame.tobytes()
    done, data = cv2.imencode(".png", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        problem = f"a frame {frame.shape} could not be encoded as PNG: ask for raw frames"
        raise EngineMisbehaved(problem)
    return bytes(data.tobytes())


def explain(error: Exception) -> tuple[str, str]:
    """The sentence a user sees and the error code, for whatever ended a run."""
    if isinstance(error, RequestRefused):
        return str(error), "invalid_job"
    if isinstance(error, WanstageError):
        return str(error), error.code
    if isinstance(error, MemoryError):
        return "there was not enough memory for this job: ask for a smaller picture or fewer frames", "job_failed"
    return f"the engine failed ({type(error).__name__}: {error}): the worker's log has the details", "job_failed"


def _exit_when_orphaned() -> None:
    while sys.stdin.buffer.read(4096):
        pass
    os._exit(ORPHANED)


def main() -> int:
    """Entry of the process: configuration on the first line of standard input."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the server will tell us
    config = msgspec.json.decode(sys.stdin.buffer.readline(), type=wm.WorkerConfig)
    threading.Thread(target=_exit_when_orphaned, name="orphan watch", daemon=True).start()
    Worker(config).serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
