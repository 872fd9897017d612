"""Jobs on their way: have?, chunks, submit."""

from __future__ import annotations

import itertools
from pathlib import Path

import msgspec
import pytest

from protocol import codec, limits
from protocol import messages as m
from protocol.assets import asset_id
from protocol.errors import (
    AssetError,
    InvalidJob,
)
from protocol.events import (
    Connected,
    JobChanged,
    RequestDone,
    RequestFailed,
    Submitted,
    UploadProgress,
)
from protocol.specs import AssetRef, JobSpec, KeptFrame, Redo, SoundRef
from tests.unit.protocol.talk import JOB, OTHER, Memory, Talk, spec_of


def test_submit_asks_uploads_submits_attaches() -> None:
    talk = Talk()
    talk.connect()
    content = b"x" * 1000
    talk.session.submit(JOB, spec_of(content), Memory(content))
    talk.session.attach(JOB)
    (have,) = talk.said()
    talk.hear(m.AssetsMissing((m.MissingAsset(asset_id(content), 400),), have.request))
    (chunk,) = talk.said()
    assert (chunk.offset, chunk.asset.nbytes) == (400, 1000)
    talk.hear(m.ChunkStored(asset_id(content), 1000, True, chunk.request))
    (submit,) = talk.said()
    assert submit == m.SubmitJob(JOB, spec_of(content), submit.request)
    talk.hear(m.JobUpdate(JOB, "queued", 3, reply_to=submit.request))
    (attach,) = talk.said()
    assert attach == m.Attach(JOB, 0, attach.request)
    kinds = [type(each) for each in talk.events()]
    assert kinds == [Connected, UploadProgress, Submitted, JobChanged]


def test_nothing_is_uploaded_twice() -> None:
    talk = Talk()
    talk.connect()
    talk.session.submit(JOB, spec_of(b"x"), Memory())
    (have,) = talk.said()
    talk.hear(m.AssetsMissing((), have.request))
    assert [type(each) for each in talk.said()] == [m.SubmitJob]


def test_upload_credit_bounds_what_is_on_its_way() -> None:
    talk = Talk()
    talk.connect(upload_credit=3 << 20)
    content = bytes(20 << 20)
    talk.session.submit(JOB, spec_of(content), Memory(content))
    (have,) = talk.said()
    talk.hear(m.AssetsMissing((m.MissingAsset(asset_id(content)),), have.request))
    on_its_way: dict[int, int] = {}
    most = sent = 0
    while sent < len(content):
        while parts := talk.session.next_parts():
            on_its_way[codec.decode_client(parts)[0].request] = len(parts[2])
        most = max(most, sum(on_its_way.values()))
        number = next(iter(on_its_way))
        sent += on_its_way.pop(number)
        talk.hear(m.ChunkStored(asset_id(content), sent, sent == len(content), number))
    assert 3 << 20 <= most < (3 << 20) + limits.CHUNK_BYTES
    assert [type(each) for each in talk.said()] == [m.SubmitJob]


def test_chunks_shrink_on_a_slow_link() -> None:
    talk = Talk()
    talk.connect()
    content = bytes(30 << 20)
    talk.session.submit(JOB, spec_of(content), Memory(content))
    (have,) = talk.said()
    talk.hear(m.AssetsMissing((m.MissingAsset(asset_id(content)),), have.request))
    waiting = talk.said()
    for _ in range(12):
        talk.now += 3
        talk.hear(m.ChunkStored(waiting[0].asset.id, 0, False, waiting.pop(0).request))
        waiting += talk.said()
    gaps = [b.offset - a.offset for a, b in itertools.pairwise(waiting)]
    assert gaps[-1] == 64 * 1024


def test_an_upload_survives_a_reconnect() -> None:
    talk = Talk()
    talk.connect()
    content = b"y" * 500
    talk.session.submit(JOB, spec_of(content), Memory(content))
    (have,) = talk.said()
    talk.hear(m.AssetsMissing((m.MissingAsset(asset_id(content)),), have.request))
    (old,) = talk.said()
    talk.session.link_lost("gone")
    talk.now += 60
    _, again = talk.connect()
    assert isinstance(again, m.HaveAssets)
    talk.hear(m.ChunkStored(asset_id(content), 500, True, old.request))  # an answer to the dead: nothing happens
    talk.hear(m.AssetsMissing((), again.request))
    assert [type(each) for each in talk.said()] == [m.SubmitJob]


def test_a_submit_without_answer_is_repeated() -> None:
    talk = Talk()
    talk.connect()
    talk.session.submit(JOB, JobSpec(task="t2v", width=64, height=64, frames=1, fps=1.0), Memory())
    assert [type(each) for each in talk.said()] == [m.SubmitJob]
    talk.session.link_lost("gone")
    talk.now += 60
    _, again = talk.connect()
    talk.hear(m.JobUpdate(JOB, "running", 1, reply_to=again.request))
    assert Submitted(JOB) in talk.events()


def test_an_asset_that_went_away_is_asked_for_again_then_given_up() -> None:
    talk = Talk()
    talk.connect()
    talk.session.submit(JOB, spec_of(b"z"), Memory(b"z"))
    for tries in range(3):
        (have,) = talk.said()
        assert isinstance(have, m.HaveAssets), tries
        talk.hear(m.AssetsMissing((), have.request))
        (submit,) = talk.said()
        talk.hear(m.ErrorReply("asset", "it is gone", JOB, submit.request))
    failed = talk.events()[-1]
    assert isinstance(failed, RequestFailed)
    assert isinstance(failed.error, AssetError)
    assert failed.job_id == JOB
    assert talk.said() == []


def test_a_refused_job_does_not_stop_the_next_one() -> None:
    talk = Talk()
    talk.connect()
    for job in (JOB, OTHER):
        talk.session.submit(job, spec_of(b"z"), Memory(b"z"))
        talk.session.attach(job)
    (have,) = talk.said()
    talk.hear(m.ErrorReply("quota", "disk full", reply_to=have.request))
    (have,) = talk.said()
    talk.hear(m.AssetsMissing((), have.request))
    (submit,) = talk.said()
    assert submit.job_id == OTHER
    assert [each.job_id for each in talk.events() if isinstance(each, RequestFailed)] == [JOB]


def test_a_source_that_lies_about_its_length() -> None:
    talk = Talk()
    talk.connect()
    source = Memory(b"z" * 10)
    source.contents[asset_id(b"z" * 10)] = b"short"
    talk.session.submit(JOB, spec_of(b"z" * 10), source)
    (have,) = talk.said()
    talk.hear(m.AssetsMissing((m.MissingAsset(asset_id(b"z" * 10)),), have.request))
    assert talk.said() == []
    assert "should have 10 bytes" in str(talk.events()[-1].error)


def test_cancelling_an_upload_tells_nobody() -> None:
    talk = Talk()
    talk.connect()
    talk.session.submit(JOB, spec_of(b"z"), Memory(b"z"))
    talk.said()
    talk.session.cancel(JOB)
    assert talk.said() == []
    assert talk.events()[-1] == RequestDone("cancel", JOB)


def test_an_empty_asset_takes_one_chunk() -> None:
    talk = Talk()
    talk.connect()
    talk.session._uploads.add(JOB, spec_of(b""), Memory(b""))
    (have,) = talk.said()
    talk.hear(m.AssetsMissing((m.MissingAsset(asset_id(b"")),), have.request))
    (chunk,) = talk.said()
    assert isinstance(chunk, m.PutChunk)


def test_an_impossible_job_is_refused_at_once() -> None:
    talk = Talk()
    with pytest.raises(InvalidJob, match="width is wrong"):
        talk.session.submit(JOB, JobSpec(task="t2v", width=1, height=64, frames=1, fps=1.0), Memory())


SPOKEN = msgspec.structs.replace(spec_of(b"picture"), task="s2v", sound=SoundRef(AssetRef(asset_id(b"wave"), 4)))


def test_a_backend_that_would_skip_the_sound_gets_no_job_with_one() -> None:
    """Before anything is uploaded; jobs without a sound go on, and a backend that was updated takes both."""
    talk = Talk()
    talk.connect(minor=1)
    talk.session.submit(JOB, SPOKEN, Memory(b"picture", b"wave"))
    talk.session.submit(OTHER, spec_of(b"picture"), Memory(b"picture"))
    assert [each.assets for each in talk.said() if isinstance(each, m.HaveAssets)] == [(SPOKEN.image.asset,)]
    (failed,) = (each for each in talk.events() if isinstance(each, RequestFailed))
    assert (failed.job_id, type(failed.error)) == (JOB, InvalidJob)
    assert str(failed.error) == (
        "the backend speaks protocol 1.1, which knows no sound: update the backend to one that speaks 1.2"
    )
    newer = Talk()
    newer.connect(minor=2)
    newer.session.submit(JOB, SPOKEN, Memory(b"picture", b"wave"))
    assert [len(each.assets) for each in newer.said() if isinstance(each, m.HaveAssets)] == [2]


def test_a_backend_that_would_make_the_whole_clip_gets_no_job_for_a_part() -> None:
    whole = spec_of(b"picture")
    assert whole.image is not None
    kept = tuple(KeptFrame(frame, whole.image) for frame in range(whole.frames))
    part = msgspec.structs.replace(whole, redo=Redo(0, 0, kept))
    talk = Talk()
    talk.connect(minor=3)
    talk.session.submit(JOB, part, Memory(b"picture"))
    (failed,) = (each for each in talk.events() if isinstance(each, RequestFailed))
    assert str(failed.error) == (
        "the backend speaks protocol 1.3, which cannot make a part of a clip again: update the backend to one that "
        "speaks 1.4"
    )


def test_what_a_newer_client_sends_without_sound_is_what_an_older_backend_took() -> None:
    """But for four fields, which it skips."""
    new = msgspec.to_builtins(spec_of(b"picture"))
    assert (new.pop("sound"), new.pop("talk")) == (None, {"start_from_reference": False, "follow_pose": False})
    assert new.pop("release") is False
    assert new.pop("redo") is None
    assert new.pop("pose") is None
    golden = Path(__file__).parents[2] / "golden" / "submit_job.max.1.1.bin"
    assert set(new) == set(msgspec.msgpack.decode(golden.read_bytes())["spec"])
