"""What one client is sent, and in which order, without a socket."""

from __future__ import annotations

from typing import Any

import pytest
import zmq

from backend.jobs import Job
from backend.peers import MAX_REPLIES, Peer, Source
from protocol import limits
from protocol import messages as m
from protocol.codec import decode_server
from protocol.specs import JobSpec, Output

SPEC = JobSpec("t2v", 64, 64, 10, 16.0, output=Output("raw"))


class Tracker:
    """ZeroMQ still holds the message, until ``done`` is set."""

    done = False


class Pipe:
    """Takes ``room`` messages, then says Again."""

    def __init__(self, room: int = 1000) -> None:
        self.room, self.sent, self.trackers = room, [], []

    def send(self, identity: bytes, parts: list[Any], track: bool = False) -> Any:
        if len(self.sent) >= self.room:
            raise zmq.Again
        self.sent.append(decode_server(parts)[0])
        self.trackers.append(Tracker())
        return self.trackers[-1] if track else None

    def kinds(self) -> list[str]:
        return [type(message).__name__ for message in self.sent]


def jobs(*numbers: int) -> dict[str, Job]:
    made = {f"{n:032x}": Job(f"{n:032x}", "me", SPEC, 0.0, "running") for n in numbers}
    for job in made.values():
        job.frames_done = 10
    return made


def peer_of(known: dict[str, Job]) -> tuple[Peer, Source]:
    peer = Peer(b"id", "me", "s" * 32, 0.0)
    for job_id in known:
        peer.follow(job_id, 0)
    return peer, Source(known.get, lambda job: job.update(0, 0.0), lambda job, index: bytes([index]) * 100)


def test_frames_wait_for_credit_and_overdraw_by_one() -> None:
    peer, source = peer_of(jobs(1))
    pipe = Pipe()
    assert peer.flush(pipe, source) is False
    assert pipe.sent == []
    peer.grant(150)
    peer.flush(pipe, source)
    assert [message.index for message in pipe.sent] == [0, 1]
    assert peer.credit == -50
    peer.grant(50)
    peer.flush(pipe, source)
    assert len(pipe.sent) == 2
    peer.grant(1)
    peer.flush(pipe, source)
    assert len(pipe.sent) == 3


def test_control_comes_first_and_jobs_take_turns() -> None:
    known = jobs(1, 2)
    peer, source = peer_of(known)
    peer.grant(100_000)
    for job in known.values():
        peer.job_changed(job)
        peer.job_changed(job)
    peer.reply(m.Pong(reply_to=3))
    pipe = Pipe()
    assert peer.flush(pipe, source) is True
    assert pipe.kinds() == ["Pong", "JobUpdate", "JobUpdate"] + ["FrameReady"] * 8
    assert [message.job_id[-1] for message in pipe.sent[3:]] == list("12121212")
    while peer.flush(pipe, source):
        pass
    assert pipe.kinds().count("FrameReady") == 20


def test_only_the_latest_preview_waits() -> None:
    peer, source = peer_of(jobs(1))
    pipe = Pipe()
    for index in range(3):
        peer.preview(m.PreviewReady("1".zfill(32), index, 1, 1), memoryview(b"abc"))
    peer.flush(pipe, source)
    for index in range(3, 6):
        peer.preview(m.PreviewReady("1".zfill(32), index, 1, 1), memoryview(b"abc"))
        peer.flush(pipe, source)
    assert [message.index for message in pipe.sent] == [2]
    assert peer.waiting
    pipe.trackers[0].done = True
    peer.flush(pipe, source)
    assert [message.index for message in pipe.sent] == [2, 5]
    assert not peer.waiting


def test_a_full_pipe_loses_nothing() -> None:
    peer, source = peer_of(jobs(1))
    peer.grant(100_000)
    peer.reply(m.Pong(reply_to=1))
    pipe = Pipe(room=3)
    with pytest.raises(zmq.Again):
        peer.flush(pipe, source)
    assert peer.waiting
    pipe.room = 1000
    while peer.flush(pipe, source):
        pass
    assert pipe.kinds() == ["Pong"] + ["FrameReady"] * 10
    assert [message.index for message in pipe.sent[1:]] == list(range(10))
    assert not peer.waiting


def test_who_never_reads_is_given_up() -> None:
    peer, _ = peer_of({})
    for number in range(MAX_REPLIES + 1):
        assert not peer.hopeless
        peer.reply(m.Pong(reply_to=number))
    assert peer.hopeless


def test_the_balance_is_bounded() -> None:
    peer, _ = peer_of({})
    for _ in range(5):
        peer.grant(limits.MAX_CREDIT_BYTES)
    assert peer.credit == limits.MAX_CREDIT_BYTES
