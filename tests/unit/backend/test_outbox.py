"""The worker's outbox: order, bound, cancel while it is full, failures told once."""

from __future__ import annotations

import threading
import time

import cv2
import numpy as np
import pytest
import zmq

from backend import worker_messages as wm
from backend.outbox import DEPTH, Line, Outbox, Stopped, encode_frame
from protocol.specs import JobSpec, Output

WAIT_S = 20.0


class Wire:
    """Where messages go: a list, behind a gate."""

    def __init__(self) -> None:
        self.sent: list[tuple[wm.ToServer, bytes]] = []
        self.begun = threading.Event()
        self.gate = threading.Event()

    def send(self, parts: list[bytes]) -> None:
        self.begun.set()
        assert self.gate.wait(WAIT_S)
        self.sent.append((wm.decode_for_server(parts), b"".join(parts[1:])))


def frame(index: int) -> wm.FrameMade:
    return wm.FrameMade("job", index)


def test_messages_leave_in_order_with_their_bytes() -> None:
    wire = Wire()
    wire.gate.set()
    outbox = Outbox(wire.send)
    for index in range(20):
        outbox.put(frame(index), lambda index=index: bytes([index]))
        outbox.put(wm.StepMade("job", index + 1, 20))
    outbox.flush()
    expected = [(frame(index), bytes([index])) for index in range(20)]
    assert wire.sent[::2] == expected
    assert [message.step for message, _ in wire.sent[1::2]] == list(range(1, 21))  # type: ignore[union-attr]


def test_a_full_queue_makes_the_engine_wait_but_not_for_a_cancel() -> None:
    wire = Wire()
    outbox = Outbox(wire.send)
    outbox.put(frame(0))
    assert wire.begun.wait(WAIT_S)
    for index in range(1, DEPTH + 1):
        outbox.put(frame(index))
    asked: list[int] = []
    with pytest.raises(Stopped):
        outbox.put(frame(99), stop=lambda: bool(asked.append(1)) or len(asked) == 3)
    with pytest.raises(Stopped):
        outbox.flush(lambda: True)
    threading.Timer(0.05, wire.gate.set).start()
    outbox.clear()
    assert [message for message, _ in wire.sent] == [frame(0)], "what was not begun is dropped"
    outbox.put(wm.RunEnded("job", "cancelled"))
    outbox.flush()
    assert isinstance(wire.sent[-1][0], wm.RunEnded)


def test_a_failure_is_raised_and_nothing_follows_it() -> None:
    wire = Wire()
    wire.gate.set()
    outbox = Outbox(wire.send)

    def broken() -> bytes:
        problem = "no bytes of this frame"
        raise ValueError(problem)

    outbox.put(frame(0), broken)
    with pytest.raises(ValueError, match="no bytes"):
        outbox.flush()
    with pytest.raises(ValueError, match="no bytes"):
        outbox.put(frame(1))
    outbox.settle()
    outbox.put(wm.RunEnded("job", "failed"))
    outbox.flush()
    assert [type(message) for message, _ in wire.sent] == [wm.RunEnded]


def test_a_line_hears_while_it_waits_to_send() -> None:
    """Nobody takes the frames, and a cancel comes through all the same."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    server, socket = context.socket(zmq.PAIR), context.socket(zmq.PAIR)
    server.rcvhwm = socket.sndhwm = 1
    server.bind("inproc://line")
    socket.connect("inproc://line")
    line = Line(socket)
    outbox = Outbox(line.send)
    full = False
    while not full:  # the queue fills only when nothing can be sent any more
        try:
            outbox.put(frame(0), stop=lambda: True)
        except Stopped:
            full = True
    server.send(wm.encode(wm.CancelRun("job")))
    until = time.monotonic() + WAIT_S
    while (heard := line.receive()) is None:
        assert time.monotonic() < until
    assert wm.decode_for_worker(heard) == wm.CancelRun("job")
    drain = threading.Thread(target=outbox.clear)
    drain.start()
    while drain.is_alive():
        if server.poll(10):
            server.recv_multipart()
    context.destroy(linger=0)


def test_frames_are_what_they_were() -> None:
    picture = np.random.default_rng(3).integers(0, 256, (64, 96, 3), np.uint8)
    picture[:32] = 7  # flat parts and noise
    spec = JobSpec("i2v", 96, 64, 1, 16.0)
    found = cv2.imdecode(np.frombuffer(encode_frame(picture, spec), np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(cv2.cvtColor(found, cv2.COLOR_BGR2RGB), picture)
    raw = JobSpec("i2v", 96, 64, 1, 16.0, output=Output("raw"))
    assert encode_frame(picture, raw) == picture.tobytes()
