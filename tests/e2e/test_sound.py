"""Sound from a file to frames and a movie, through real processes: the test engine, no torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import psutil
import pytest

from backend.cli import EXIT_REFUSED, main
from backend.translate import to_request
from protocol.assets import AssetFolder
from protocol.bundle import write_bundle
from protocol.errors import InvalidJob
from protocol.messages import TERMINAL
from protocol.specs import AssetRef, JobSpec, Output, SoundRef, Talk
from tests.e2e.conftest import Seen, Served
from tests.e2e.drive import picture
from tests.e2e.speech import SENTENCE, lengths, sound_file
from tests.e2e.test_cli import wanstage
from tests.e2e.test_draft import libraries
from tests.unit.sound.making import clicks, onsets, write_sound
from wan_models.events import FramesDecoded
from wan_models.requests import Sound
from wan_models.sound import envelope, read_wave
from wan_models.testing import TestEngine

FRAMES = 85  # of them at 16 a second
PERSON = np.full((64, 64, 3), 120, np.uint8)
SPEC = {"task": "s2v", "engine": "test", "model": "test", "width": 64, "height": 64, "fps": 16}


def written(folder: Path, **changes: Any) -> tuple[Path, Path]:
    """A spec without frames, and the person's picture."""
    spec, person = folder / "line.json", folder / "person.png"
    spec.write_text(json.dumps({**SPEC, **changes}))
    cv2.imwrite(str(person), PERSON)
    return spec, person


def silent(movie: Path) -> bool:
    with av.open(str(movie)) as opened:
        return not opened.streams.audio


def shown(folder: Path, count: int) -> np.ndarray:
    """How loud each frame says that it is (blue), 0..1."""
    pictures = [cv2.imread(str(folder / f"frame_{index:04d}.png")) for index in range(count)]
    return np.array([each[0, 0, 0] / 255 for each in pictures], np.float32)


# ---- the command line -------------------------------------------------------------------------------


def test_a_spoken_line_becomes_a_shot_as_long_as_it(served: Served, tmp_path: Path) -> None:
    """No frames are told: the sentence's length is the shot's. Every frame is of its own moment."""
    spec, person = written(tmp_path)
    out, movie = tmp_path / "out", tmp_path / "line.mp4"
    told = ("--image", person, "--sound", SENTENCE, "--start-from-reference", "--out", out, "--movie", movie, "--json")
    status, lines, text = wanstage("submit", spec, *told, served=served)
    assert status == 0, text
    assert (lines[-1]["state"], lines[-1]["frames"], lines[-1]["movie"]) == ("finished", FRAMES, str(movie))
    count, pictures, sounds = lengths(movie)
    assert count == FRAMES
    assert abs(pictures - sounds) <= 1 / 16
    assert abs(pictures - 5.3) <= 1 / 16
    heard = envelope(read_wave(Sound(SENTENCE)), 16000, 16.0, FRAMES)
    assert np.abs(shown(out, FRAMES) - heard).max() < 0.01
    assert read_wave(Sound(movie)).std() == pytest.approx(read_wave(Sound(SENTENCE)).std(), rel=0.1)


def test_clicks_are_seen_in_the_movie_when_they_are_heard_in_it(served: Served, tmp_path: Path) -> None:
    """To the frame, from a start that is no whole number of frames; the last click is in the last frame."""
    spec, person = written(tmp_path, frames=32, fps=24)
    movie, click = tmp_path / "clicks.mp4", tmp_path / "clicks.flac"
    moments = [0.02, 0.5, 0.9, 1.3]
    write_sound(click, clicks([0.31 + each for each in moments], 3.0, 44100), 44100, "flac")
    told = ("--image", person, "--sound", click, "--sound-start", "0.31", "--movie", movie)
    status, _, text = wanstage("submit", spec, *told, served=served)
    assert status == 0, text
    heard = onsets(read_wave(Sound(movie)))
    assert heard == pytest.approx(moments, abs=0.005)
    with av.open(str(movie)) as opened:
        blue = np.array([frame.to_ndarray(format="rgb24")[..., 2].mean() for frame in opened.decode(video=0)])
    seen = np.flatnonzero(blue > 100).tolist()
    assert seen == [int(each * 24) for each in moments]


def test_a_movie_alone_and_part_of_the_sound(served: Served, tmp_path: Path) -> None:
    spec, person = written(tmp_path, frames=20)
    movie = tmp_path / "part.mp4"
    told = ("--image", person, "--sound", SENTENCE, "--sound-start", "2.5", "--movie", movie)
    status, _, text = wanstage("submit", spec, *told, served=served)
    assert status == 0, text
    assert "finished: 20 of 20 frames" in text
    count, pictures, sounds = lengths(movie)
    assert (count, pictures) == (20, 1.25)
    assert abs(pictures - sounds) <= 1 / 16
    mine, theirs = read_wave(Sound(movie)), read_wave(Sound(SENTENCE, 2.5), seconds=1.25)
    length = min(len(mine), len(theirs))
    assert np.corrcoef(mine[:length], theirs[:length])[0, 1] > 0.95
    assert sorted(path.name for path in tmp_path.iterdir()) == ["line.json", "part.mp4", "person.png"]


def test_a_movie_that_is_made_later_has_the_sound(served: Served, tmp_path: Path) -> None:
    """From the folder that submit wrote to, or by giving the file again; without either it says that it is silent."""
    folder = AssetFolder(tmp_path / "assets")
    spec = JobSpec(
        "s2v",
        64,
        64,
        16,
        16.0,
        engine="test",
        model="test",
        image=picture(folder, PERSON),
        sound=SoundRef(folder.add_file(SENTENCE), "my line.flac", 1.0),
        talk=Talk(start_from_reference=True),
    )
    write_bundle(tmp_path / "shot.zip", spec, folder)
    out, away = tmp_path / "out", tmp_path / "away"
    status, lines, text = wanstage("submit", tmp_path / "shot.zip", "--out", out, "--json", served=served)
    assert status == 0, text
    job_id = lines[-1]["job_id"]
    assert (out / "sound.flac").read_bytes() == SENTENCE.read_bytes()
    status, lines, text = wanstage("fetch", job_id, "--out", out, "--movie", "--json", served=served)
    assert status == 0, text
    assert lengths(out / "take.mp4")[0] == 16
    status, lines, text = wanstage("fetch", job_id, "--out", away, "--movie", "--json", served=served)
    assert status == 0, text
    assert "the movie is silent: the sound my line.flac is not in" in text
    assert silent(away / "take.mp4")
    status, lines, text = wanstage(
        "fetch", job_id, "--out", away, "--sound", SENTENCE, "--json", "--movie", served=served
    )
    assert status == 0, text
    same = [read_wave(Sound(each / "take.mp4")) for each in (out, away)]
    assert np.array_equal(*same), "the start is the job's own"


def test_wrong_use_is_one_sentence_and_asks_no_backend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANSTAGE_CONNECTION", str(tmp_path / "none.json"))
    spec, person = written(tmp_path)
    quiet = sound_file(tmp_path / "quiet.wav", 2.0, 0.0)
    for told, part in (
        (("--sound", tmp_path / "none.wav"), "none.wav cannot be read: No such file"),
        (("--sound", person), "person.png has no audio track"),
        (("--sound", quiet), "quiet.wav is silent from 0 s to 2 s"),
        (("--sound", SENTENCE, "--sound-start", "9"), "sentence.flac is 5.30 s long, so it cannot start at 9 s"),
        (("--sound", SENTENCE, "--sound-start", "-1"), "sound.start is wrong"),
        (("--sound-start", "1"), "give --sound FILE too"),
        (("--sound", SENTENCE, "--set", "task=t2v"), "the task t2v does not hear"),
        (("--sound", SENTENCE, "--movie"), "give --out DIR, or the movie a name"),
        ((), "the job has no sound to be as long as: give --sound FILE"),
    ):
        assert main(["submit", str(spec), "--image", str(person), *map(str, told)]) == EXIT_REFUSED
        text = capsys.readouterr().err
        assert part in text
        assert text.count("\n") == 1
    with pytest.raises(SystemExit):
        main(["submit", str(spec), "--movie", "here.avi"])
    assert "is no name of a movie" in capsys.readouterr().err


# ---- the backend ------------------------------------------------------------------------------------


def job(seen: Seen, sound: SoundRef | None, **fields: Any) -> JobSpec:
    told = {"engine": "test", "model": "test", "output": Output("raw", previews=False), **fields}
    frames = told.pop("frames", 8)
    return JobSpec("s2v", 64, 64, frames, 16.0, image=picture(seen.folder, PERSON), sound=sound, **told)


def add(seen: Seen, path: Path, name: str = "", start: float = 0.0) -> SoundRef:
    return SoundRef(seen.folder.add_file(path), name, start)


def refusal(seen: Seen, spec: JobSpec) -> str:
    """What is said of a job that the client, the server or the worker refuses."""
    try:
        mine = seen.submit(spec)
    except InvalidJob as error:
        return str(error)
    seen.until(lambda: ((now := seen.state(mine)) and now.state in TERMINAL) or _told(seen))
    now = seen.state(mine)
    return now.error if now else _told(seen)


def _told(seen: Seen) -> str:
    return next((str(event.error) for event in seen.events if hasattr(event, "error")), "")


def test_what_is_no_sound_for_a_shot_is_told_in_one_sentence(seen: Seen, served: Served, tmp_path: Path) -> None:
    from wan_models.video import write_mp4

    film = tmp_path / "film.mp4"
    write_mp4(film, [PERSON] * 4, 16.0)
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"no sound at all, and long enough to be one" * 50)
    tone, mute = sound_file(tmp_path / "tone.wav", 1.0), sound_file(tmp_path / "mute.wav", 1.0, 0.0)
    good = add(seen, tone)
    cases: list[tuple[JobSpec, str]] = [
        (job(seen, None), "the task s2v needs the sound that drives it"),
        (job(seen, SoundRef(AssetRef("0" * 64, 0))), "the job's sound has 0 bytes"),
        (job(seen, SoundRef(good.asset, start=float("nan"))), "the job's sound.start is wrong"),
        (job(seen, add(seen, broken, "broken.wav")), "broken.wav cannot be read as sound"),
        (job(seen, add(seen, film, "film.mp4")), "film.mp4 has no audio track"),
        (job(seen, add(seen, mute, "mute.wav")), "mute.wav is silent from 0 s to 0.5 s"),
        (job(seen, add(seen, sound_file(tmp_path / "s.wav", 0.05), "s.wav")), "s.wav has only 0.050 s of sound"),
        (job(seen, add(seen, tone, "tone.wav", 0.95)), "tone.wav has only 0.050 s of sound from 0.95 s on"),
        (job(seen, add(seen, tone, "two\nlines.wav", 4.0)), "two lines.wav is 1.00 s long, so it cannot start at 4 s"),
        (job(seen, add(seen, tone, "", 4.0)), "the sound is 1.00 s long"),
        (job(seen, good, talk=Talk(follow_pose=True)), "talk.follow_pose needs a character"),
    ]
    for spec, part in cases:
        seen.events.clear()
        told = refusal(seen, spec)
        assert part in told
        assert "\n" not in told
    after = seen.submit(job(seen, good))
    assert len(seen.wait_frames(after, 8)) == 8
    server = libraries(psutil.Process(served.process.pid))
    assert not [name for name in ("torch", "cv2", "numpy", "libav") if name in server], "it only moves bytes"


def test_a_shot_of_one_frame_hears_enough(seen: Seen, tmp_path: Path) -> None:
    tone = add(seen, sound_file(tmp_path / "tone.wav", 1.0))
    assert len(seen.wait_frames(seen.submit(job(seen, tone, frames=1)), 1)) == 1


def test_the_shot_goes_on_behind_the_sound(seen: Seen, tmp_path: Path) -> None:
    mine = seen.submit(job(seen, add(seen, sound_file(tmp_path / "tone.wav", 0.25)), frames=8))
    blue = [frame[2] for frame in seen.wait_frames(mine, 8)]
    assert min(blue[:4]) > 200
    assert blue[4:] == [0] * 4


def test_a_killed_worker_changes_no_byte(seen: Seen, served: Served) -> None:
    spec = job(seen, add(seen, SENTENCE), frames=30, prompt=json.dumps({"delay_s": 0.05}))
    mine = seen.submit(spec)
    seen.wait_frames(mine, 4)
    served.worker().kill()
    events = TestEngine().generate(to_request(seen.folder, spec), lambda: False)
    alone = [event.frames[0].tobytes() for event in events if isinstance(event, FramesDecoded)]
    assert seen.wait_frames(mine, 30) == alone
    assert seen.wait_state(mine, "finished").attempt == 2


def test_weights_that_are_read_are_seen_by_the_client(seen: Seen, tmp_path: Path) -> None:
    """While the engine can say nothing else; the stage that waited goes on."""
    gate = tmp_path / "gate"
    spec = JobSpec(
        "t2v", 64, 64, 2, 16.0, engine="test", model="test", output=Output("raw", previews=False),
        prompt=json.dumps({"weights_mib": 2048, "wait_for": str(gate)}),
    )  # fmt: skip
    mine = seen.submit(spec)
    stage = "load test weights"
    progress = seen.until(lambda: (now := seen.state(mine)) and now.progress.stage == stage and now.progress)
    assert (progress.step, progress.steps, progress.unit) == (1024, 2048, "MiB")
    gate.touch()
    seen.wait_frames(mine, 2)
    assert "load" in seen.wait_state(mine, "finished").timings
