"""Films to poses through real processes and MediaPipe's real models, where this machine has them."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from protocol.assets import AssetFolder
from protocol.client import Client
from protocol.errors import InvalidJob, UnknownJob
from protocol.events import PoseArrived, RequestFailed
from protocol.specs import POSE_COLUMNS, JobSpec, Output, Pose, VideoRef
from tests.e2e.conftest import ROOT, Seen, Served, job_spec
from tests.e2e.test_cli import wanstage
from tests.unit.pose.fakes import film
from wan_models.pose.models import POSE_MODEL
from wan_models.pose.posefile import loads, read

MODELS = Path(os.environ.get("WANSTAGE_MEDIAPIPE_MODELS", "/nowhere"))
HAVE = (MODELS / POSE_MODEL).is_file() and find_spec("mediapipe") is not None
needs_models = pytest.mark.skipif(not HAVE, reason="MediaPipe's models are not on this machine")
FRAMES = 24


def man(count: int = FRAMES) -> list[Any]:
    """The examples' rendered man, who is carried to the right."""
    read_one = cv2.imread(str(ROOT / "examples" / "assets" / "reference_man.png"), cv2.IMREAD_UNCHANGED)
    alpha = read_one[..., 3:] / 255 if read_one.shape[2] == 4 else np.ones_like(read_one[..., :1])
    picture = (read_one[..., 2::-1] * alpha + 90 * (1 - alpha)).astype(np.uint8)
    scale = 320 / picture.shape[0]
    picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    found = []
    for index in range(count):
        image = np.full((360, 480, 3), 90, np.uint8)
        left = min(20 + 3 * index, 480 - picture.shape[1]) if picture.shape[1] < 480 else 0
        image[20 : 20 + picture.shape[0], left : left + picture.shape[1]] = picture[:, :480]
        found.append(image)
    return found


def spec_of(seen: Seen, path: Path, frames: int = FRAMES, **changes: Any) -> JobSpec:
    asset = seen.folder.add(path.read_bytes())
    pose = Pose(VideoRef(asset, path.name), **changes)
    return JobSpec("pose", 480, 360, frames, 24.0, engine="pose", model="mediapipe", pose=pose)


def poses(seen: Seen, job: str) -> list[PoseArrived]:
    return [event for event in seen.events if isinstance(event, PoseArrived) and event.job_id == job]


@needs_models
def test_a_film_becomes_poses_and_a_file_while_drafts_go_on(seen: Seen, tmp_path: Path, served: Served) -> None:
    job = seen.submit(spec_of(seen, film(tmp_path / "walk.mp4", man())))
    draft = seen.submit(job_spec(frames=2))
    assert seen.wait_state(draft, "finished")
    update = seen.wait_state(job, "finished", "failed")
    assert update.state == "finished", update.error
    found = seen.until(lambda: (all_of := poses(seen, job)) and len(all_of) == FRAMES + 1 and all_of)
    assert [each.index for each in found] == list(range(FRAMES + 1))
    people = np.frombuffer(found[FRAMES // 2].data, "<f4").reshape(-1, POSE_COLUMNS)
    assert people[0, 0] == 1.0
    pose = loads(bytes(found[-1].data))
    assert pose.frames == FRAMES
    assert wanstage("fetch", job, "--out", tmp_path / "got", served=served)[0] == 0
    assert (tmp_path / "got" / "pose.npz").read_bytes() == bytes(found[-1].data)
    assert pose.source["name"] == "walk.mp4"
    assert pose.people[0].confidence[FRAMES // 2].max() > 0.5


@needs_models
def test_a_server_that_is_killed_goes_on(seen: Seen, tmp_path: Path) -> None:
    first = Served(tmp_path / "killed")
    client = Client(first.connection, client_name="e2e pose")
    client.open()
    mine = Seen(client, AssetFolder(tmp_path / "other"))
    job = mine.submit(spec_of(mine, film(tmp_path / "walk.mp4", man(36)), frames=36))
    mine.until(lambda: len(poses(mine, job)) >= 3)
    first.kill()
    again = Served(tmp_path / "killed")
    client.close()
    other = Client(again.connection, client_name="e2e pose")
    other.open()
    resumed = Seen(other, mine.folder)
    other.attach(job, next_frame=3)
    try:
        assert resumed.wait_state(job, "finished", "failed").state == "finished"
        found = resumed.until(lambda: len(all_of := poses(resumed, job)) == 34 and all_of)
        assert [each.index for each in found] == list(range(3, 37))
        assert loads(bytes(found[-1].data)).frames == 36
    finally:
        other.close()
        assert again.stop() == 0


@needs_models
def test_a_cancel_ends_it(seen: Seen, tmp_path: Path) -> None:
    job = seen.submit(spec_of(seen, film(tmp_path / "walk.mp4", man(200)), frames=200))
    seen.until(lambda: poses(seen, job))
    seen.client.cancel(job)
    assert seen.wait_state(job, "cancelled", "finished").state == "cancelled"


@needs_models
def test_nobody_in_it_is_a_sentence(seen: Seen, tmp_path: Path) -> None:
    empty = [np.full((360, 480, 3), 60 + index, np.uint8) for index in range(6)]
    job = seen.submit(spec_of(seen, film(tmp_path / "none.mp4", empty), frames=6))
    update = seen.wait_state(job, "finished", "failed")
    assert update.error.startswith("nobody was found in the clip")


@needs_models
def test_the_frames_of_another_job_need_no_upload(seen: Seen) -> None:
    made = seen.submit(job_spec(frames=3, output=Output("png", previews=False)))
    assert seen.wait_state(made, "finished")
    spec = JobSpec("pose", 64, 64, 3, 16.0, engine="pose", model="mediapipe", pose=Pose(of_job=made))
    job = seen.submit(spec)
    assert seen.wait_state(job, "failed", "finished").error.startswith("nobody was found")  # gradients have no people


def test_frames_that_are_not_there_are_refused(seen: Seen) -> None:
    raw = seen.submit(job_spec(frames=2))
    assert seen.wait_state(raw, "finished")
    for of_job, kind in ((raw, InvalidJob), ("0" * 32, UnknownJob)):
        spec = JobSpec("pose", 64, 64, 2, 16.0, engine="pose", model="mediapipe", pose=Pose(of_job=of_job))
        job = seen.submit(spec)
        failed = seen.until(
            lambda job=job: next((e for e in seen.events if isinstance(e, RequestFailed) and e.job_id == job), None)
        )
        assert isinstance(failed.error, kind)


@needs_models
def test_the_command_line(tmp_path: Path) -> None:
    path = film(tmp_path / "walk.mp4", man(12))
    status, lines, said = wanstage("pose", path, "-o", tmp_path / "walk.npz", "--json")
    assert status == 0, said
    assert lines[-1]["event"] == "result"
    pose = read(tmp_path / "walk.npz")
    assert pose.frames == 12
    assert "TypeError" not in said
