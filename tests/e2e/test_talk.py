"""Sound drives a shot, through a real backend: a tiny checkpoint of the released layout, a real spoken sentence."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest

from protocol.assets import AssetFolder
from protocol.client import Client
from protocol.events import Connected
from protocol.specs import DrivePack, JobSpec, Output, Sampler, SoundRef, Talk
from tests.e2e.conftest import Seen, Served, connected
from tests.e2e.drive import picture, scene_pack
from tests.e2e.speech import SENTENCE, lengths, sound_file
from tests.e2e.test_cli import wanstage
from tests.e2e.test_wan import engine_alone, loaded, made, refusal, stages, start
from wan_models.weights.tiny import make_tiny

MODEL = "wan2.2-s2v-14b"
SIDE = 64
PERSON = np.random.default_rng(3).integers(0, 256, (SIDE, SIDE, 3), np.uint8)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    make_tiny(folder, (MODEL,))
    return folder


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Served]:
    served = start(tmp_path_factory.mktemp("talk"), models)
    yield served
    assert served.stop() == 0


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory, served: Served) -> Iterator[Seen]:
    with connected(served, tmp_path_factory.mktemp("mine")) as client:
        yield client


@pytest.fixture(scope="module")
def spoken(seen: Seen) -> SoundRef:
    return SoundRef(seen.folder.add_file(SENTENCE), "sentence.flac")


@pytest.fixture(autouse=True)
def forget(seen: Seen) -> None:
    """Each test looks at its own events."""
    seen.events.clear()


def job(seen: Seen, sound: SoundRef | None, **fields: Any) -> JobSpec:
    told: dict[str, Any] = {
        "width": SIDE,
        "height": SIDE,
        "frames": 5,
        "fps": 16.0,
        "model": MODEL,
        "image": picture(seen.folder, PERSON),
        "sampler": Sampler(steps=1),
        "output": Output("raw"),
        **fields,
    }
    return JobSpec("s2v", engine="wan", sound=sound, **told)


# ---- refused before anything is read ----------------------------------------------------------------


def bad_jobs(seen: Seen, spoken: SoundRef, folder: Path) -> list[tuple[JobSpec, str]]:
    def add(name: str, data: bytes | None = None, start: float = 0.0) -> SoundRef:
        path = folder / name
        if data is not None:
            path.write_bytes(data)
        return SoundRef(seen.folder.add_file(path), name, start)

    sound_file(folder / "mute.wav", 2.0, 0.0)
    sound_file(folder / "short.wav", 0.05)
    return [
        (job(seen, None), "the task s2v needs the sound that drives it"),
        (job(seen, spoken, image=None), "the task s2v needs the picture of the person"),
        (job(seen, add("none.wav", b"no sound at all" * 99)), "none.wav cannot be read as sound"),
        (job(seen, add("mute.wav")), "mute.wav is silent from 0 s to"),
        (job(seen, add("short.wav")), "short.wav has only 0.050 s of sound"),
        (job(seen, msgspec.structs.replace(spoken, start=9.0)), "5.30 s long, so it cannot start at 9 s"),
        (job(seen, spoken, fps=25.0), "makes 16 frames a second, not 25"),
        (job(seen, spoken, width=72), "makes multiples of 64 pixels"),
        (job(seen, spoken, width=1920, height=1088), "at most 921600 in all"),
        (job(seen, spoken, frames=3001), "3000"),
        (job(seen, spoken, talk=Talk(follow_pose=True)), "talk.follow_pose needs a character"),
        (job(seen, spoken, model="wan2.2-t2v-a14b"), "does t2v, not s2v"),
    ]


def test_bad_jobs_get_their_sentence_before_any_weight_is_read(
    seen: Seen, served: Served, spoken: SoundRef, tmp_path: Path
) -> None:
    """First of all tests."""
    for spec, part in bad_jobs(seen, spoken, tmp_path):
        seen.events.clear()
        told = refusal(seen, spec)
        assert part in told
        assert "\n" not in told
        assert "Traceback" not in told
    assert loaded(served) == 0


def test_a_model_without_its_audio_encoder_says_which_folder(tmp_path: Path, models: Path) -> None:
    shutil.copytree(models, tmp_path / "models")
    (encoder,) = (tmp_path / "models").rglob("wav2vec2-large-xlsr-53-english")
    shutil.rmtree(encoder)
    served = start(tmp_path, tmp_path / "models")
    client = Client(served.connection, client_name="e2e talk")
    client.open()
    other = Seen(client, AssetFolder(tmp_path / "mine"))
    told = refusal(other, job(other, SoundRef(other.folder.add_file(SENTENCE))))
    client.close()
    assert served.stop() == 0
    assert "wav2vec2-large-xlsr-53-english" in told
    assert "\n" not in told


def test_welcome_says_what_the_model_takes(served: Served) -> None:
    client = Client(served.connection, client_name="e2e talk")
    client.open()
    other = Seen(client, AssetFolder(served.data.parent / "none"))
    welcome = other.until(lambda: next((e for e in other.events if isinstance(e, Connected)), None)).welcome
    client.close()
    wan = next(engine for engine in welcome.engines if engine.name == "wan")
    info = next(each for each in wan.details if each.name == MODEL)
    assert (info.tasks, info.fps, info.size_step, info.any_frames) == (("s2v",), 16.0, 64, True)
    assert info.missing == ()


# ---- shots ------------------------------------------------------------------------------------------


def test_a_spoken_sentence_becomes_a_movie_with_its_sound(served: Served, tmp_path: Path) -> None:
    """Two clips; the film is as long as the sentence, within one frame."""
    spec, person, movie = tmp_path / "talk.json", tmp_path / "person.png", tmp_path / "talk.mp4"
    told = {"task": "s2v", "engine": "wan", "model": MODEL, "width": SIDE, "height": SIDE, "prompt": "she speaks"}
    spec.write_text(json.dumps({**told, "sampler": {"steps": 1}}))
    cv2.imwrite(str(person), PERSON)
    given = ("--image", person, "--sound", SENTENCE, "--movie", movie, "--json")
    status, lines, text = wanstage("submit", spec, *given, served=served)
    assert status == 0, text
    assert (lines[-1]["frames"], lines[-1]["movie"]) == (85, str(movie))
    assert {line["progress"]["unit"] for line in lines if line.get("progress", {}).get("unit")} == {"MiB"}
    count, pictures, sounds = lengths(movie)
    assert count == 85
    assert abs(pictures - sounds) <= 1 / 16
    assert abs(pictures - 5.3) <= 1 / 16


def test_frames_are_the_engine_s_own(seen: Seen, models: Path, spoken: SoundRef) -> None:
    spec = job(seen, spoken, frames=7)
    mine = seen.submit(spec)
    frames = made(seen, mine)
    assert frames == engine_alone(models, seen.folder, spec)
    assert len(set(frames)) == 7
    assert stages(seen, mine)[-1] == "decode"
    update = seen.state(mine)
    assert update is not None
    assert {"load", "encode", "denoise", "decode", "first_frame", "total"} <= set(update.timings)


def test_another_moment_of_the_sound_is_another_shot(seen: Seen, spoken: SoundRef) -> None:
    jobs = [job(seen, msgspec.structs.replace(spoken, start=start)) for start in (0.0, 0.0, 2.5)]
    same, again, other = (made(seen, seen.submit(each)) for each in jobs)
    assert same == again
    assert same != other


@pytest.fixture(scope="module")
def pack(seen: Seen) -> DrivePack:
    return msgspec.structs.replace(scene_pack(seen.folder, SIDE, SIDE, 5), fps=16.0)


def test_poses_and_the_reference_change_the_shot(seen: Seen, spoken: SoundRef, pack: DrivePack) -> None:
    plain, posed, begun = (
        made(seen, seen.submit(job(seen, spoken, pack=pack, talk=talk)))
        for talk in (Talk(), Talk(follow_pose=True), Talk(start_from_reference=True))
    )
    assert plain != posed
    assert plain != begun


def test_a_cancel_between_two_steps_leaves_the_model_loaded(seen: Seen, served: Served, spoken: SoundRef) -> None:
    worker = served.worker().pid
    mine = seen.submit(job(seen, spoken, sampler=Sampler(steps=1000)))
    seen.until(lambda: (now := seen.state(mine)) and now.progress.stage == "denoise" and now.progress.step >= 1)
    networks = loaded(served)
    seen.client.cancel(mine)
    assert seen.wait_state(mine, "cancelled").progress.frames_done == 0
    assert len(made(seen, seen.submit(job(seen, spoken)))) == 5
    assert served.worker().pid == worker
    assert loaded(served) == networks, "nothing was read again"
