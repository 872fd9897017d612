"""The worker process: one engine run at a time, at the end of a PAIR socket. Started by the supervisor.

The main thread runs the engine and asks the socket for a cancel between steps; the outbox's thread encodes and sends.
Another thread waits for the end of standard input, which is how the process learns that the server is gone even while
an engine computes.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator
from functools import partial

import zmq

from protocol.assets import AssetFolder
from protocol.errors import JobFailed, WanstageError
from wan_models.engine import Engine, Reports, RequestRefused, out_of_memory
from wan_models.events import Event, FramesDecoded, PoseFound, Preview, StageStarted, StepDone, Warned, WeightsRead
from wan_models.registry import open_engine, preload

from . import worker_messages as wm
from .outbox import EngineMisbehaved, Line, Outbox, Stopped, encode_frame
from .translate import to_request

log = logging.getLogger(__name__)

SEND_HWM = 8  # messages: the engine waits rather than pile frames up when the server is slow
REPORTS_S = 0.2  # seconds between two reports of how much has been read
MIB = 2**20
ORPHANED = 3  # exit status when the server went away


class Worker:
    """Answers RunJob messages until told to quit."""

    def __init__(self, config: wm.WorkerConfig) -> None:
        """Connect to the server that made ``config``."""
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        socket = self._context.socket(zmq.PAIR)
        socket.linger = 1000
        socket.sndhwm = SEND_HWM
        if config.server_key:
            socket.curve_serverkey = config.server_key.encode()
            socket.curve_publickey = config.public.encode()
            socket.curve_secretkey = config.secret.encode()
        socket.connect(config.endpoint)
        self._line = Line(socket)
        self._outbox = Outbox(self._line.send)
        self._assets = AssetFolder(config.asset_folder)
        self._engines: dict[str, Engine] = {}
        self._cancelled: set[str] = set()
        self._quit = False
        self._options, self._threads = config.options, config.threads
        _limit_threads(config.threads)
        for name in config.warm:
            self._warm(name)

    def serve(self) -> None:
        """Wait for jobs and do them."""
        self._outbox.put(wm.WorkerReady(os.getpid()))
        while not self._quit:
            self._outbox.flush()
            message = wm.decode_for_worker(self._line.wait())
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
            engine = open_engine(name, self._options)
            use_card(self._options.device, self._threads)
            self._engines[name] = engine
        return self._engines[name]

    def _control(self, message: wm.ToWorker) -> None:
        if isinstance(message, wm.CancelRun):
            self._cancelled.add(message.job_id)
        elif isinstance(message, wm.Quit):
            self._quit = True

    def _asked_to_stop(self, job_id: str) -> bool:
        while parts := self._line.receive():
            self._control(wm.decode_for_worker(parts))
        return self._quit or job_id in self._cancelled

    def _run(self, run: wm.RunJob) -> None:
        started = time.monotonic()
        outcome, error, code = "finished", "", "none"
        try:
            self._generate(run)
        except Stopped:
            self._outbox.clear()
            outcome = "cancelled"
        except Exception as failure:  # whatever an engine raises ends its job, not the process
            self._outbox.settle()
            outcome, (error, code) = "failed", explain(failure)
            log.exception("job %s failed", run.job_id)
            if card_broken(failure):
                log.critical("the graphics card cannot be used by this process any more: it ends")
                os._exit(wm.CARD_BROKEN)
            if out_of_memory(failure):  # whatever the engine still holds would be missing for the next job
                self._engines.pop(run.spec.engine, None)
        if run.spec.release:
            self._give_back(run.spec.engine)
        if outcome == "failed" or run.spec.release:
            free_card()
        self._cancelled.discard(run.job_id)
        log.info("job %s: %s after %.2f s", run.job_id, outcome, time.monotonic() - started)
        self._outbox.put(wm.RunEnded(run.job_id, outcome, error[:2000], code, card_memory()))

    def _give_back(self, name: str) -> None:
        """Close an engine, so that its weights leave the card and the host; the next job opens it again."""
        close = getattr(self._engines.pop(name, None), "close", None)  # engines that hold nothing have none
        if close is not None:
            close()

    def _generate(self, run: wm.RunJob) -> None:
        stop = partial(self._asked_to_stop, run.job_id)
        engine = self._engine(run.spec.engine)
        request = to_request(self._assets, run.spec, run.footage)
        engine.check(request)
        if stop():
            raise Stopped
        self._outbox.put(wm.RunStarted(run.job_id))
        if isinstance(engine, Reports):
            engine.report = Readings(run.job_id, self._outbox.offer)
        made = 0
        events = engine.generate(request, stop)
        try:
            for event in events:
                made = self._tell(run, event, made, stop)
                if stop():
                    raise Stopped
        finally:
            if isinstance(events, Generator):
                events.close()  # now, not when the error that came is forgotten: it may hold a card's memory
        if stop():
            raise Stopped
        if made != run.spec.made:
            problem = f"the engine {run.spec.engine} made {made} of {run.spec.made} frames: report this as a bug"
            raise EngineMisbehaved(problem)
        self._outbox.flush(stop)

    def _tell(self, run: wm.RunJob, event: Event, made: int, stop: Callable[[], bool]) -> int:
        """Pass the event on; returns how many frames have been made so far."""
        match event:
            case StageStarted():
                self._outbox.put(wm.StageBegan(run.job_id, event.name, event.steps, card_memory()), stop=stop)
            case StepDone():
                self._outbox.put(wm.StepMade(run.job_id, event.step, event.steps, card_memory()), stop=stop)
            case Warned():
                self._outbox.put(wm.Caution(run.job_id, event.sentence), stop=stop)
            case Preview() if run.spec.output.previews:
                height, width = event.image.shape[:2]
                pixels = event.image.copy()  # the engine may reuse its memory, here as in _frames
                self._outbox.put(wm.PreviewMade(run.job_id, event.index, width, height), pixels.tobytes, stop)
            case FramesDecoded():
                return self._frames(run, event, made, stop)
            case PoseFound():
                return self._pose(run, event, made, stop)
        return made

    def _frames(self, run: wm.RunJob, event: FramesDecoded, made: int, stop: Callable[[], bool]) -> int:
        spec = run.spec
        expected = (spec.height, spec.width, 3)
        if event.first != made or event.frames.shape[1:] != expected or made + len(event.frames) > spec.made:
            problem = (
                f"the engine {spec.engine} gave frames {event.frames.shape} from {event.first}, "
                f"expected from {made} as {expected}, {spec.made} in all: report this as a bug"
            )
            raise EngineMisbehaved(problem)
        notes = dict(event.notes)
        for index, frame in enumerate(event.frames, made):
            if index >= run.first_frame:
                message = wm.FrameMade(run.job_id, index, notes.get(index, ""))
                self._outbox.put(message, partial(encode_frame, frame.copy(), spec), stop)
        return made + len(event.frames)

    def _pose(self, run: wm.RunJob, event: PoseFound, made: int, stop: Callable[[], bool]) -> int:
        if event.index != made or event.file != (made == run.spec.frames) or made >= run.spec.made:
            problem = (
                f"the engine {run.spec.engine} gave people of frame {event.index}, {made} is due: report this as a bug"
            )
            raise EngineMisbehaved(problem)
        if made >= run.first_frame:
            data = event.data
            self._outbox.put(wm.FrameMade(run.job_id, made), lambda: data, stop)
        return made + 1


class Readings:
    """Passes on how much of a network has been read: its beginning, its end, and now and then between them."""

    def __init__(self, job_id: str, offer: Callable[[wm.ToServer], None]) -> None:
        self._job_id, self._offer = job_id, offer
        self._what, self._next = "", 0.0

    def __call__(self, event: Event) -> None:
        if not isinstance(event, WeightsRead):
            return
        now = time.monotonic()
        if event.what != self._what or event.done >= event.total or now >= self._next:
            self._what, self._next = event.what, now + REPORTS_S
            self._offer(wm.Reading(self._job_id, event.what, event.done, event.total))


def explain(error: Exception) -> tuple[str, str]:
    """The sentence a user sees and the error code, for whatever ended a run."""
    if isinstance(error, RequestRefused):
        return str(error), "invalid_job"
    if isinstance(error, WanstageError):
        return str(error), error.code
    if out_of_memory(error):
        where = "memory" if isinstance(error, MemoryError) else "memory on the graphics card"
        return f"there was not enough {where} for this job: ask for a smaller picture or fewer frames", "job_failed"
    return f"the engine failed ({type(error).__name__}: {error}): the worker's log has the details", "job_failed"


def card_broken(error: BaseException | None) -> bool:
    """True for errors after which no call to the card works in this process (torch.AcceleratorError and its causes)."""
    while error is not None:
        text = str(error)
        if isinstance(error, RuntimeError) and not out_of_memory(error) and any(each in text for each in _BROKEN):
            return True
        error = error.__cause__ or error.__context__
    return False


_BROKEN = ("CUDA error", "unspecified launch failure", "device-side assert", "CUBLAS_STATUS_", "CUDNN_STATUS_INTERNAL")


def use_card(device: str, threads: int) -> None:
    """Tell torch, if an engine has imported it, its share of the cores (0 = as it likes) and this worker's card.

    Raises JobFailed when torch does not find the card.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        return
    if threads:
        torch.set_num_threads(threads)
    if device == "cpu":
        return
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(device.partition(":")[2] or 0) >= count:
        problem = (
            f"this worker is for {device}, but PyTorch {torch.__version__} finds {count} cards that it can use: "
            "'wanstage doctor' says more; a backend with --workers cpu:1 does without"
        )
        raise JobFailed(problem)
    torch.cuda.set_device(device)


def card_memory() -> wm.Card:
    """MiB of this worker's card: held by this process, free, in all; zeros before torch has used a card."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return wm.NO_CARD
    free, total = torch.cuda.mem_get_info()
    return torch.cuda.memory_reserved() // MIB, free // MIB, total // MIB


def free_card() -> None:
    """Give back what a job held: its frames are gone from the stack, so its tensors can go."""
    torch = sys.modules.get("torch")
    if torch is not None:
        gc.collect()
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()


def _limit_threads(count: int) -> None:
    """OpenCV's threads: one core is left to the outbox, the readers of maps and the server. 0 = as it likes."""
    import cv2

    if count:
        cv2.setNumThreads(count)


def _exit_when_orphaned() -> None:
    while sys.stdin.buffer.read(4096):
        pass
    os._exit(ORPHANED)


def main() -> int:
    """Entry of the process: configuration on the first line of standard input."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the server will tell us
    config = wm.WorkerConfig.read(sys.stdin.buffer.readline())
    threading.Thread(target=_exit_when_orphaned, name="orphan watch", daemon=True).start()
    Worker(config).serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
