"""What a worker says, in order, on a thread of its own: frames are encoded and sent while the engine makes the next.

PNG's zlib and ZeroMQ let go of the interpreter, so the two overlap. The queue is short: an engine that is faster
than the encoder, or a server that is slow, makes the engine wait.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import zmq

from protocol.errors import WanstageError
from protocol.specs import JobSpec

from . import png
from . import worker_messages as wm

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DEPTH = 4  # messages: two frames of an engine that says a step after each, four of one that gives them in batches
PATIENCE_S, FULL_S = 0.05, 0.002


class EngineMisbehaved(WanstageError):
    """The engine broke its contract: wrong frame size, gap, too few frames, or pixels that cannot be encoded."""


class Stopped(Exception):
    """What waited was told not to wait any longer."""


class Line:
    """A PAIR socket that two threads share. ZeroMQ allows that behind a lock, which is a full memory barrier."""

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        """``socket`` is connected already and belongs to the line from now on."""
        self._socket, self._lock = socket, threading.Lock()

    def send(self, parts: list[bytes]) -> None:
        """Wait until the other end takes the message, without keeping ``receive`` waiting."""
        while True:
            try:
                with self._lock:
                    self._socket.send_multipart(parts, zmq.NOBLOCK, copy=False)
            except zmq.Again:
                time.sleep(FULL_S)  # outside the lock: a waiting thread gets it only when nobody asks for it at once
            else:
                return

    def receive(self) -> list[bytes] | None:
        """What has come; None when nothing has."""
        with self._lock:
            return self._socket.recv_multipart() if self._socket.poll(0) else None

    def wait(self) -> list[bytes]:
        """The next message; only while nothing is being sent."""
        with self._lock:
            return self._socket.recv_multipart()


class Outbox:
    """A thread that makes the bytes of messages and sends them, first in first out."""

    def __init__(self, send: Callable[[list[bytes]], None]) -> None:
        """``send`` is called on the thread only."""
        self._send = send
        self._queue: queue.Queue[tuple[wm.ToServer, Callable[[], bytes] | None]] = queue.Queue(DEPTH)
        self._failure: Exception | None = None
        threading.Thread(target=self._run, name="outbox", daemon=True).start()

    def put(
        self, message: wm.ToServer, data: Callable[[], bytes] | None = None, stop: Callable[[], bool] | None = None
    ) -> None:
        """Send ``message`` and what ``data`` gives, later. Waits while the queue is full.

        Raises Stopped when ``stop`` says so meanwhile, and what the ``data`` of an earlier message has raised.
        """
        while True:
            self._raise()
            try:
                self._queue.put((message, data), timeout=PATIENCE_S)
            except queue.Full:
                if stop is not None and stop():
                    raise Stopped from None
            else:
                return

    def offer(self, message: wm.ToServer) -> None:
        """Send ``message`` if there is room at once: for what the next one makes good."""
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait((message, None))

    def flush(self, stop: Callable[[], bool] | None = None) -> None:
        """Wait until all is sent. Raises as ``put`` does."""
        with self._queue.all_tasks_done:
            while self._queue.unfinished_tasks:
                self._queue.all_tasks_done.wait(PATIENCE_S)
                if stop is not None and stop():
                    raise Stopped
        self._raise()

    def clear(self) -> None:
        """Forget what has not been begun; returns when nothing is under way, as ``settle`` does."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._queue.get_nowait()
                self._queue.task_done()
        self.settle()

    def settle(self) -> None:
        """Wait until all is sent or given up, and forget what went wrong: a new job may begin."""
        self._queue.join()
        self._failure = None

    def _raise(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        while True:
            message, data = self._queue.get()
            try:
                if self._failure is None:  # nothing may follow a frame that is missing
                    parts = [wm.encode(message)]
                    self._send(parts if data is None else [*parts, data()])
            except Exception as failure:  # told to whoever waits; the thread serves the next job too
                self._failure = failure
            finally:
                self._queue.task_done()


def encode_frame(frame: NDArray[np.uint8], spec: JobSpec) -> bytes:
    """The bytes of one frame (h,w,3): raw RGB8, or a PNG. Raises EngineMisbehaved for a frame that cannot be one."""
    if spec.output.encoding == "raw":
        return frame.tobytes()
    try:
        return png.encode(frame)
    except ValueError as error:
        problem = f"a frame {frame.shape} could not be encoded as PNG: ask for raw frames"
        raise EngineMisbehaved(problem) from error
