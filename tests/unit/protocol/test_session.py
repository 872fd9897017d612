"""The session: connecting, heartbeat, frames, requests."""

from __future__ import annotations

from typing import Any

import pytest

from protocol import codec, limits
from protocol import messages as m
from protocol.errors import (
    KeyRefused,
    ProtocolError,
    QuotaExceeded,
    UnknownJob,
    VersionMismatch,
)
from protocol.events import (
    Connected,
    Disconnected,
    FrameArrived,
    JobsListed,
    PreviewArrived,
    Refused,
    RequestDone,
    RequestFailed,
)
from protocol.session import ANSWER_WITHIN_S, Session
from tests.unit.protocol.talk import JOB, OTHER, Talk, attached, frame

# ---- connecting -------------------------------------------------------------------------------------


def test_hello_then_the_window_is_granted() -> None:
    talk = Talk(window=12345)
    assert talk.connect() == [m.GrantCredit(12345)]
    assert talk.session.state == "connected"
    (event,) = talk.events()
    assert event == Connected(talk.session.welcome, restarted=False)


def test_nothing_is_said_before_welcome() -> None:
    talk = Talk()
    talk.session.open()
    talk.session.list_jobs()
    talk.session.cancel(JOB)
    assert talk.said() == []
    kinds = [type(each) for each in talk.connect()]
    assert kinds == [m.GrantCredit, m.ListJobs, m.CancelJob]


def test_no_answer_means_another_try_after_growing_pauses() -> None:
    talk = Talk()
    talk.session.open()
    pauses = []
    for _ in range(8):
        talk.session.link_opening()
        talk.pass_time(ANSWER_WITHIN_S + 0.1)
        assert (talk.session.state, talk.session.link) == ("connecting", "none")
        pauses.append(talk.session.retry_in())
        talk.now += pauses[-1]
        assert talk.session.due()
    assert pauses == [1, 2, 4, 8, 16, 32, 32, 32]
    assert "does not answer" in talk.session.problem


def test_jitter_shortens_a_pause_by_up_to_half() -> None:
    session = Session("test", "f" * 32, clock=lambda: 0.0, jitter=lambda: 0.0)
    session.open()
    session.link_lost("gone")
    assert session.retry_in() == 0.5


@pytest.mark.parametrize("error", [KeyRefused("no"), VersionMismatch("old")])
def test_a_refusal_is_final_until_opened_again(error: Any) -> None:
    talk = Talk()
    talk.session.open()
    talk.session.link_opening()
    talk.session.refuse(error)
    talk.now += 1000
    assert (talk.session.state, talk.session.due(), talk.session.problem) == ("refused", False, str(error))
    assert talk.events() == [Refused(error)]
    talk.session.open()
    assert talk.session.due()


def test_another_major_version_refuses() -> None:
    talk = Talk()
    talk.session.open()
    talk.session.link_opening()
    talk.session.link_up()
    talk.session.on_message([b"WAN\x02", b"?"])
    assert talk.session.state == "refused"
    assert "protocol 2, this side 1" in talk.session.problem


def test_hello_answered_by_an_error_refuses() -> None:
    talk = Talk()
    talk.session.open()
    talk.session.link_opening()
    talk.session.link_up()
    (hello,) = talk.said()
    talk.hear(m.ErrorReply("quota", "too many clients", reply_to=hello.request))
    assert isinstance(talk.events()[0].error, QuotaExceeded)


def test_a_restarted_backend_is_noticed() -> None:
    talk = Talk()
    talk.connect()
    talk.session.link_lost("gone")
    assert isinstance(talk.events()[-1], Disconnected)
    talk.now += 40
    talk.connect("b" * 32)
    assert talk.events()[-1].restarted


def test_close_says_goodbye_and_stays_closed() -> None:
    talk = Talk()
    talk.connect()
    talk.session.close()
    assert talk.said() == [m.Goodbye()]
    talk.now += 100
    assert not talk.session.due()


# ---- heartbeat --------------------------------------------------------------------------------------


def test_pings_after_silence_and_death_after_three_misses() -> None:
    talk = Talk()
    talk.connect()
    assert talk.pass_time(limits.PING_AFTER_S - 0.1) == []
    assert [type(each) for each in talk.pass_time(0.2)] == [m.Ping]
    assert [type(each) for _ in range(2) for each in talk.pass_time(2.1)] == [m.Ping, m.Ping]
    assert talk.session.state == "connected"
    talk.pass_time(2.1)
    assert talk.session.state == "lost"
    assert talk.session.link == "none"
    assert "has said nothing for 8 seconds" in talk.session.problem


def test_any_message_counts_as_an_answer() -> None:
    talk = Talk()
    talk.connect()
    for _ in range(20):
        talk.pass_time(2.1)
        talk.hear(m.Jobs(()))
    assert talk.session.state == "connected"


def test_a_client_that_was_busy_itself_asks_before_it_gives_up() -> None:
    talk = Talk()
    talk.connect()
    assert [type(each) for each in talk.pass_time(500)] == [m.Ping]
    assert talk.session.state == "connected"


def test_busy_is_not_death() -> None:
    talk = Talk()
    talk.connect()
    talk.hear(m.Busy(60.0, "loading"))
    for _ in range(28):
        assert talk.pass_time(2.1) == []
    assert talk.session.state == "connected"
    for _ in range(10):
        talk.pass_time(2.1)
    assert talk.session.state == "lost"


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -5.0])
def test_nonsense_in_busy_does_no_harm(seconds: float) -> None:
    talk = Talk()
    talk.connect()
    talk.hear(m.Busy(seconds))
    for _ in range(400):
        talk.pass_time(2.1)
    assert talk.session.state == "lost"


def test_the_ping_interval_is_the_backends() -> None:
    talk = Talk()
    talk.connect(ping_after_s=10.0)
    assert talk.pass_time(9.9) == []
    assert [type(each) for each in talk.pass_time(0.2)] == [m.Ping]


# ---- frames -----------------------------------------------------------------------------------------


def test_frames_in_order_and_credit_when_consumed() -> None:
    talk = Talk(window=64 * 64 * 3 * 8)
    talk.connect()
    attached(talk)
    for index in range(3):
        talk.hear(*frame(index))
    events = talk.events()
    assert [each.index for each in events] == [0, 1, 2]
    assert talk.said() == []  # received is not consumed
    talk.session.consumed(events[0])
    assert talk.said() == [m.GrantCredit(64 * 64 * 3)]


def test_small_grants_are_gathered() -> None:
    talk = Talk(window=64 * 64 * 3 * 32)
    talk.connect()
    attached(talk, frames=9)
    for index in range(8):
        talk.hear(*frame(index))
    for each in talk.events():
        talk.session.consumed(each)
    assert talk.said() == [m.GrantCredit(64 * 64 * 3 * 4)] * 2


def test_credit_of_an_old_connection_is_void() -> None:
    talk = Talk(window=100)
    talk.connect()
    attached(talk)
    talk.hear(*frame(0))
    (event,) = talk.events()
    talk.session.link_lost("gone")
    talk.now += 60
    talk.connect()
    talk.session.consumed(event)
    talk.session.consumed(99999)
    assert talk.said() == []


def test_a_gap_attaches_again_and_ignores_what_was_on_its_way() -> None:
    talk = Talk(window=100)
    talk.connect()
    attached(talk)
    talk.hear(*frame(0))
    talk.events()
    talk.hear(*frame(2))
    (attach,) = (each for each in talk.said() if isinstance(each, m.Attach))
    assert attach.next_frame == 1
    talk.hear(*frame(3))
    assert [type(each) for each in talk.said()] == [m.GrantCredit]  # ignored, but paid back
    assert talk.events() == []
    talk.hear(m.JobUpdate(JOB, "running", 5, reply_to=attach.request))
    talk.hear(*frame(1))
    assert talk.events()[-1].index == 1


def test_endless_gaps_end() -> None:
    talk = Talk()
    talk.connect()
    attached(talk)
    for _ in range(3):
        talk.hear(*frame(4))
        for each in talk.said():
            if isinstance(each, m.Attach):
                talk.hear(m.JobUpdate(JOB, "running", 5, reply_to=each.request))
    (failed,) = [each for each in talk.events() if isinstance(each, RequestFailed)]
    assert isinstance(failed.error, ProtocolError)


def test_a_reconnect_resumes_at_the_next_missing_frame() -> None:
    talk = Talk()
    talk.connect()
    attached(talk)
    attached(talk, OTHER, frames=1)
    talk.hear(*frame(0))
    talk.hear(*frame(1))
    talk.hear(*frame(0, OTHER))
    talk.hear(m.JobUpdate(OTHER, "finished", 1))
    talk.session.link_lost("gone")
    talk.now += 60
    said = talk.connect()
    assert [(each.job_id, each.next_frame) for each in said if isinstance(each, m.Attach)] == [(JOB, 2)]


@pytest.mark.parametrize(("state", "done", "left"), [("finished", 2, 5), ("failed", 2, 2), ("cancelled", 0, 0)])
def test_an_ended_job_is_followed_until_its_last_frame(state: Any, done: int, left: int) -> None:
    talk = Talk()
    talk.connect()
    attached(talk)
    talk.hear(m.JobUpdate(JOB, state, 5, progress=m.Progress(frames_done=done)))
    for index in range(left):
        assert JOB in talk.session._follows
        talk.hear(*frame(index))
    assert JOB not in talk.session._follows
    assert sum(isinstance(each, FrameArrived) for each in talk.events()) == left


def test_a_job_the_backend_does_not_know() -> None:
    talk = Talk()
    talk.connect()
    talk.session.attach(JOB)
    (asked,) = talk.said()
    talk.hear(m.ErrorReply("unknown_job", "no such job", JOB, asked.request))
    (failed,) = [each for each in talk.events() if isinstance(each, RequestFailed)]
    assert (failed.job_id, type(failed.error), failed.request) == (JOB, UnknownJob, "attach")
    assert JOB not in talk.session._follows


def test_frames_nobody_asked_for_are_paid_back() -> None:
    talk = Talk(window=100)
    talk.connect()
    talk.hear(*frame(7))
    assert talk.said() == [m.GrantCredit(64 * 64 * 3)]
    assert len(talk.events()) == 1


@pytest.mark.parametrize("buffers", [(), (b"1", b"2"), (b"short",)])
def test_a_raw_frame_of_the_wrong_size_costs_the_connection(buffers: tuple[bytes, ...]) -> None:
    talk = Talk()
    talk.connect()
    attached(talk)
    talk.hear(m.FrameReady(JOB, 0, "raw", 64, 64), *buffers)
    assert talk.session.state == "lost"
    assert "broke the protocol" in talk.session.problem


def test_previews_cost_no_credit() -> None:
    talk = Talk(window=100)
    talk.connect()
    talk.hear(m.PreviewReady(JOB, 0, 2, 2), bytes(12))
    assert isinstance(talk.events()[-1], PreviewArrived)
    assert talk.said() == []


# ---- requests ---------------------------------------------------------------------------------------


def test_requests_without_answer_are_repeated_and_a_remove_that_worked_is_done() -> None:
    talk = Talk()
    talk.connect()
    talk.session.remove(JOB)
    talk.session.list_jobs()
    talk.said()
    talk.session.link_lost("gone")
    talk.now += 60
    _, remove, listed = talk.connect()
    talk.hear(m.ErrorReply("unknown_job", "no such job", JOB, remove.request))
    talk.hear(m.Jobs((), listed.request))
    assert talk.events()[-2:] == [RequestDone("remove", JOB), JobsListed(())]


def test_a_first_remove_of_nothing_fails() -> None:
    talk = Talk()
    talk.connect()
    talk.session.remove(JOB)
    talk.hear(m.ErrorReply("unknown_job", "no such job", JOB, talk.said()[0].request))
    assert isinstance(talk.events()[-1], RequestFailed)


def test_a_backend_that_forgot_us_is_greeted_again_at_once() -> None:
    talk = Talk()
    talk.connect()
    attached(talk)
    talk.hear(m.ErrorReply("hello_required", "say hello"))
    assert talk.session.due()
    assert [type(each) for each in talk.connect()] == [m.GrantCredit, m.Attach]


def test_forget_stops_everything() -> None:
    talk = Talk()
    talk.connect()
    attached(talk)
    talk.session.get_spec(JOB)
    talk.said()
    talk.session.forget(JOB)
    assert talk.said() == [m.Detach(JOB)]
    talk.session.link_lost("gone")
    talk.now += 60
    assert [type(each) for each in talk.connect()] == [m.GrantCredit]


def test_unknown_messages_are_skipped_and_garbage_is_not() -> None:
    talk = Talk()
    talk.connect()
    talk.session.on_message([codec.MAGIC, b"\x81\xa4type\xa5dance"])
    assert talk.session.state == "connected"
    talk.session.on_message([codec.MAGIC, b"\xc1"])
    assert talk.session.state == "lost"
