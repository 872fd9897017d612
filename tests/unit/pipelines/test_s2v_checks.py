"""What is refused of a sound-driven shot, in one sentence, by the server and by the engine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from protocol import specs
from tests.unit.pipelines.s2v_shot import ROW, SIDE, hum, picture, request, shot, write_wave
from wan_models.engine import RequestRefused
from wan_models.pipelines.checks import check_asked, check_request, nearest_size
from wan_models.pipelines.s2v_checks import check, person
from wan_models.registry import model_row
from wan_models.requests import Request, Sound, TalkSettings

POSE = TalkSettings(follow_pose=True)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Sound:
    return write_wave(tmp_path_factory.mktemp("sound") / "hum.wav", hum(1.0))


def _refusal(job: Request) -> str:
    try:
        check_asked(ROW, job)
        check(ROW, job)
    except RequestRefused as refused:
        return str(refused)
    pytest.fail("nothing was refused")


def _changed(frames: int = 5, **changes: Any) -> Any:
    """The pack, with its person's fields replaced."""
    pack = shot(frames)
    return replace(pack, characters=(replace(pack.characters[0], **changes),))


@pytest.mark.parametrize("frames", [1, 2, 77, 80, 81, 200])
@pytest.mark.parametrize("pose", [False, True])
def test_any_number_of_frames_passes(sound: Sound, frames: int, pose: bool) -> None:
    job = request(sound, frames, pose=pose)
    check_asked(ROW, job)
    check(ROW, job)


def test_the_released_sizes_pass(sound: Sound) -> None:
    for width, height in ROW.sizes:
        check_request(ROW, request(sound, 5, width=width, height=height))
    assert nearest_size(ROW, 832, 480) == (832, 512)
    assert nearest_size(ROW, 1920, 1080) == (1280, 704)


REFUSED = [
    ({"sound": None}, "s2v needs a sound that drives the shot: choose a sound strip, a speaker or a file"),
    ({"image": None}, "s2v needs a picture of who speaks: choose an image, or capture the shot's look"),
    ({"last_image": picture()}, "does not look at a last image: leave it out"),
    ({"fps": 24.0}, "makes 16 frames a second, not 24: set the job to 16"),
    ({"width": 832, "height": 480}, "multiples of 64 pixels, at most 921600 in all, not 832 x 480: ask for 832 x 512"),
    ({"frames": 3001}, "at most 3000 frames, not 3001"),
    ({"talk": POSE}, "following the pose needs a drive pack with the pose track of a character: capture the shot, or"),
    ({"talk": POSE, "pack": shot(5, characters=())}, "following the pose needs a drive pack with the pose track"),
]
"""Numbers and presence: the server says it before the job is queued."""


@pytest.mark.parametrize(("changes", "sentence"), REFUSED)
def test_what_the_server_can_tell(sound: Sound, changes: dict[str, Any], sentence: str) -> None:
    job = replace(request(sound, 5), **changes)
    assert sentence in _refusal(job)
    with pytest.raises(RequestRefused):
        check_asked(ROW, job)


def test_what_only_the_engine_can_tell(sound: Sound, tmp_path: Path) -> None:
    silent = write_wave(tmp_path / "silent.wav", np.zeros(16000))
    short = write_wave(tmp_path / "short.wav", hum(0.05))
    wrong = tmp_path / "wrong.wav"
    wrong.write_text("no sound", encoding="utf-8")
    grey = np.zeros((4, 4), np.uint8)
    lost = _changed().characters[0].pose
    lost = replace(lost, body=lost.body * np.array([1, 1, 0, 1, 1], np.float32))
    for changes, sentence in (
        ({"sound": silent}, "is silent from 0 s to 0.3125 s"),
        ({"sound": short}, "has only 0.050 s of sound"),
        ({"sound": Sound(wrong)}, "cannot be read as sound"),
        ({"sound": Sound(tmp_path / "none.wav")}, "cannot be read as sound"),
        ({"sound": replace(sound, start=2.0)}, "is 1.00 s long, so it cannot start at 2 s"),
        ({"image": grey}, "the reference image must be uint8 (height, width, 3), not uint8 (4, 4)"),
        ({"image": None, "pack": shot(5, look=grey)}, "the shot's look must be uint8"),
        ({"talk": POSE, "pack": shot(4)}, "the job asks for 5 frames but the shot has 4"),
        ({"talk": POSE, "pack": shot(5, width=128)}, "the shot was captured at 128x64; capture it again"),
        ({"talk": POSE, "pack": shot(5, fps=24.0)}, "captured at 24: capture it again at 16, or leave follow_pose out"),
        ({"talk": POSE, "pack": _changed(pose=lost)}, "no joint of Ada is seen in any of the 5 frames"),
    ):
        job = replace(request(sound, 5), **changes)
        check_asked(ROW, job)
        assert sentence in _refusal(job)


def test_a_broken_pose_matters_only_where_it_is_followed(sound: Sound) -> None:
    check(ROW, request(sound, 5, pack=shot(2, fps=24.0, width=128)))


def test_who_speaks_is_the_image_then_the_look_then_a_reference(sound: Sound) -> None:
    look, image = picture(2), picture(3)
    pack = shot(5)
    cut_out = pack.characters[0].reference
    assert cut_out is not None
    cut_out.image[0, 0, 3] = 0
    for changes, wanted, name in (
        ({"image": image, "pack": replace(pack, look=look)}, image, "reference image"),
        ({"image": None, "pack": replace(pack, look=look)}, look, "shot's look"),
        ({"image": None, "pack": pack}, cut_out.image[..., :3], "reference of Ada"),
    ):
        job = request(sound, 5, **changes)
        check_asked(ROW, job)
        check(ROW, job)
        chosen, called = person(job)
        assert called == name
        assert np.array_equal(chosen[1:], wanted[1:])
    assert chosen[0, 0].max() == 0


def test_the_other_models_do_not_listen() -> None:
    row = model_row("wan2.2-t2v-a14b")
    job = Request("t2v", row.name, 832, 480, 81, 16.0, prompt="a dog", sound=Sound(Path("bark.wav")))
    with pytest.raises(RequestRefused, match="does not listen to sound: leave the sound out, or choose a model that"):
        check_asked(row, job)


def test_the_server_asks_about_the_job_spec_itself() -> None:
    """As the engine about its request: presence of the sound, the picture and the pose."""
    spec = specs.JobSpec("s2v", SIDE, SIDE, 5, 16.0, engine="wan", model=ROW.name)
    with pytest.raises(RequestRefused, match="needs a sound"):
        check_asked(ROW, spec)
    asset = specs.AssetRef("0" * 64, 100)
    heard = specs.SoundRef(asset, "line")
    with pytest.raises(RequestRefused, match="needs a picture"):
        check_asked(ROW, msgspec.structs.replace(spec, sound=heard))
    check_asked(ROW, msgspec.structs.replace(spec, sound=heard, image=specs.ImageRef(asset, SIDE, SIDE)))
