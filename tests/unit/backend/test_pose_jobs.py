"""Jobs of the task pose at the server: their own worker, what is stored, whose frames may be looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from backend.frames import FrameStore, stored_as
from backend.jobs import Job
from backend.peers import _header
from protocol.errors import InvalidJob
from protocol.specs import POSE_COLUMNS, ArrayRef, AssetRef, Camera, JobSpec, Pose, SoundRef, VideoRef
from protocol.validation import validate
from tests.unit.backend.test_jobs import FakeSlot, Studio

FILM = AssetRef("a" * 64, 1000)
SPEC = JobSpec("pose", 1280, 720, 2, 24.0, engine="pose", model="mediapipe", pose=Pose(VideoRef(FILM, "walk.mp4")))
DRAFT = JobSpec("i2v", 64, 64, 2, 24.0, engine="draft")


def test_a_draft_does_not_wait_behind_a_film(tmp_path: Path) -> None:
    plain, aside = FakeSlot(), FakeSlot(aside=True)
    aside.state = "off"
    studio = Studio(tmp_path, plain, aside)
    film = studio.submit(SPEC)
    assert aside.wanted
    assert plain.state == "idle"
    draft = studio.submit(DRAFT)
    assert draft.state == "loading"
    aside.state = "idle"
    studio.scheduler.assign()
    assert film.state == "loading"
    assert aside.told[0].footage == ""


def test_where_nothing_is_kept_aside_a_film_goes_to_the_worker(tmp_path: Path) -> None:
    studio = Studio(tmp_path, FakeSlot())
    assert studio.submit(SPEC).state == "loading"


def test_frames_of_another_job_are_named_by_their_folder(tmp_path: Path) -> None:
    slot = FakeSlot()
    studio = Studio(tmp_path, slot)
    studio.submit(msgspec.structs.replace(SPEC, pose=Pose(of_job="b" * 32)))
    assert slot.told[0].footage.endswith("b" * 32)


def test_results_are_surveyed_and_what_is_not_whole_is_made_again(tmp_path: Path) -> None:
    store = FrameStore(tmp_path, 0)
    job, person = "c" * 32, memoryview(bytes(4 * POSE_COLUMNS))
    store.write(job, 0, "pose", person)
    store.write(job, 1, "pose", memoryview(b""))
    store.write(job, 2, "pose", memoryview(b"PK\x05\x06" + bytes(18)))
    assert stored_as(SPEC) == "pose"
    assert store.survey(job, SPEC, check=True)[0] == SPEC.made == 3
    store.path(job, 2, "pose").write_bytes(b"PK broken")
    assert store.survey(job, SPEC, check=True)[0] == 2
    store.path(job, 0, "pose").write_bytes(b"123")
    assert store.survey(job, SPEC, check=True)[0] == 0


def test_the_last_result_is_the_file() -> None:
    job = Job("d" * 32, "me", SPEC, 0.0)
    headers: list[Any] = [_header(job, index) for index in range(3)]
    assert [each.kind for each in headers] == ["people", "people", "file"]
    assert job.update(0, 0.0).frames == 3


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"pose": None}, "needs what to look at"),
        ({"pose": Pose()}, "either pose.video or pose.of_job"),
        ({"pose": Pose(VideoRef(FILM), of_job="b" * 32)}, "either pose.video or pose.of_job"),
        ({"pose": Pose(VideoRef(AssetRef("a" * 64, 0)))}, "has 0 bytes"),
        ({"task": "t2v"}, "has a pose, which the task t2v does not look at"),
        ({"sound": SoundRef(FILM)}, "does not hear"),
    ],
)
def test_what_makes_no_sense_is_refused(changes: dict[str, Any], sentence: str) -> None:
    validate(SPEC)
    with pytest.raises(InvalidJob, match=sentence):
        validate(msgspec.structs.replace(SPEC, **changes))


def test_a_camera_has_as_many_frames_as_the_job() -> None:
    def camera(frames: int) -> Camera:
        asset = AssetRef("e" * 64, frames * 128)
        inner = AssetRef("f" * 64, frames * 32)
        return Camera(ArrayRef(asset, "f8", (frames, 4, 4)), ArrayRef(inner, "f8", (frames, 4)))

    validate(msgspec.structs.replace(SPEC, pose=Pose(VideoRef(FILM), camera=camera(2))))
    with pytest.raises(InvalidJob, match=r"pose\.camera\.world_from_camera"):
        validate(msgspec.structs.replace(SPEC, pose=Pose(VideoRef(FILM), camera=camera(3))))
