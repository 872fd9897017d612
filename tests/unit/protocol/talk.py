"""A session without sockets: a fake clock and a server whose lines the test writes."""

from __future__ import annotations

from typing import Any

from protocol import codec
from protocol import messages as m
from protocol.assets import asset_id
from protocol.session import Session
from protocol.specs import AssetRef, ImageRef, JobSpec

JOB, OTHER = "1" * 32, "2" * 32
SERVER = "a" * 32


class Memory:
    """Assets in a dict."""

    def __init__(self, *contents: bytes) -> None:
        self.contents = {asset_id(each): each for each in contents}

    def read(self, asset_id: str, offset: int = 0, nbytes: int = -1) -> bytes:
        return self.contents[asset_id][offset:][: nbytes if nbytes >= 0 else None]


class Talk:
    """A session, its clock, and what it said."""

    def __init__(self, window: int = 1 << 20) -> None:
        self.now = 1000.0
        self.session = Session("test", "f" * 32, window=window, clock=lambda: self.now, jitter=lambda: 1.0)

    def connect(self, server_id: str = SERVER, **fields: Any) -> list[m.Message]:
        if self.session.state == "closed":
            self.session.open()
        assert self.session.due()
        self.session.link_opening()
        self.session.link_up()
        (hello,) = self.said()
        assert isinstance(hello, m.Hello)
        self.hear(m.Welcome(server_id, "backend 1", reply_to=hello.request, **fields))
        return self.said()

    def said(self) -> list[m.Message]:
        found = []
        while parts := self.session.next_parts():
            found.append(codec.decode_client(parts)[0])
        return found

    def hear(self, message: m.Message, *buffers: bytes) -> None:
        self.session.on_message(codec.encode(message, *buffers))

    def events(self) -> list[Any]:
        return self.session.take_events()

    def pass_time(self, seconds: float) -> list[m.Message]:
        self.now += seconds
        self.session.tick()
        return self.said()


def spec_of(content: bytes) -> JobSpec:
    image = ImageRef(AssetRef(asset_id(content), len(content)), 64, 64)
    return JobSpec(task="i2v", width=64, height=64, frames=3, fps=16.0, image=image)


def frame(index: int, job: str = JOB, nbytes: int = 64 * 64 * 3) -> tuple[m.FrameReady, bytes]:
    return m.FrameReady(job, index, "png", 64, 64), bytes(nbytes)


def attached(talk: Talk, job: str = JOB, next_frame: int = 0, frames: int = 5) -> None:
    talk.session.attach(job, next_frame)
    (asked,) = talk.said()
    assert isinstance(asked, m.Attach)
    talk.hear(m.JobUpdate(job, "running", frames, reply_to=asked.request))
    talk.events()
