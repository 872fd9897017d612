"""A film's sound: as long as its pictures, and heard with the frame it belongs to."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.unit.sound.making import clicks, onsets, write_sound
from wan_models.engine import RequestRefused
from wan_models.requests import Sound
from wan_models.sound import read_wave, stream_sound
from wan_models.video import write_mp4


def pictures(count: int, flashes: tuple[int, ...] = ()) -> Iterator[NDArray[np.uint8]]:
    """Dark frames, and white ones."""
    for index in range(count):
        yield np.full((32, 48, 3), 230 if index in flashes else 20, np.uint8)


def lengths(path: Path) -> tuple[float, float]:
    """Seconds of the pictures, seconds of the sound, as the file says."""
    with av.open(str(path)) as container:
        return tuple(
            float((s.duration or 0) * s.time_base) for s in (*container.streams.video, *container.streams.audio)
        )


@pytest.mark.parametrize("fps", [16.0, 24.0, 23.976])
@pytest.mark.parametrize(("name", "codec", "rate"), [("a.wav", "pcm_s16le", 44100), ("a.mp3", "libmp3lame", 48000)])
def test_a_flash_and_its_click_stay_together(tmp_path: Path, fps: float, name: str, codec: str, rate: int) -> None:
    flashes, start = (0, 7, 40, 79), 1.25
    wave = clicks([start + frame / fps for frame in flashes], 8.0, rate)
    path = write_sound(tmp_path / name, np.stack([wave, wave * 0.9]), rate, codec, "stereo")
    film = tmp_path / "take.mp4"
    assert write_mp4(film, pictures(80, flashes), fps, Sound(path, start)) == 80
    with av.open(str(film)) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]
        sound = container.streams.audio[0]
        assert (sound.codec_context.name, sound.rate, sound.layout.name) == ("aac", 48000, "stereo")
        seen = [float(f.time) for f in container.decode(video=0) if f.to_ndarray(format="gray").mean() > 128]
    assert seen == pytest.approx([frame / fps for frame in flashes], abs=2e-3)
    assert onsets(read_wave(Sound(film))) == pytest.approx(seen, abs=0.01)
    assert lengths(film) == pytest.approx((80 / fps, 80 / fps), abs=2e-3)
    assert sorted(tmp_path.iterdir()) == sorted([path, film])
    data = film.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_behind_the_sound_it_is_silent(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.wav", clicks([0.5], 1.0, 16000), 16000, "pcm_s16le")
    film = tmp_path / "take.mp4"
    write_mp4(film, pictures(48), 16, Sound(path))
    assert lengths(film) == pytest.approx((3.0, 3.0), abs=1e-3)
    heard = read_wave(Sound(film))
    assert onsets(heard) == pytest.approx([0.5], abs=0.01)
    assert np.abs(heard[int(1.1 * 16000) :]).max() < 1e-3
    with av.open(str(film)) as container:
        assert container.streams.audio[0].layout.name == "mono"
    write_mp4(film, pictures(1), 16, Sound(path))
    assert lengths(film) == pytest.approx((1 / 16, 1 / 16), abs=1e-3)


def test_surround_becomes_stereo(tmp_path: Path) -> None:
    planes = np.zeros((6, 16000), np.float32)  # FL FR FC LFE SL SR
    planes[0], planes[3] = 0.5, 0.9
    path = write_sound(tmp_path / "a.wav", planes, 16000, "pcm_s16le", "5.1")
    (whole,) = [np.concatenate(list(stream_sound(Sound(path), 16000)), axis=1)]
    assert whole.shape == (2, 16000)
    assert whole.mean(axis=1) == pytest.approx([0.5 * 0.7071 / (0.7071 + 1 + 0.5), 0.0], abs=1e-3)


def test_a_sound_that_cannot_be_read_leaves_nothing(tmp_path: Path) -> None:
    bad = tmp_path / "bad.wav"
    bad.write_text("nothing")
    for sound in (Sound(bad), Sound(tmp_path / "gone.wav")):
        with pytest.raises(RequestRefused, match="cannot be read as sound"):
            write_mp4(tmp_path / "take.mp4", pictures(3), 16, sound)
    assert list(tmp_path.iterdir()) == [bad]


def test_a_long_sound_is_never_whole_in_memory(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "long.wav", np.zeros((1, 8000 * 100), np.float32), 8000, "pcm_s16le")
    tracemalloc.start()
    write_mp4(tmp_path / "take.mp4", pictures(60), 1, Sound(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3e6  # 60 s at 48 kHz are 12 MB
    assert lengths(tmp_path / "take.mp4") == pytest.approx((60, 60), abs=1e-3)
