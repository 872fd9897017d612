"""Sound comes out of files at the moments it went in, and what cannot drive a shot is refused in one sentence."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import av
import numpy as np
import pytest

from tests.unit.sound.making import clicks, onsets, write_sound
from wan_models.engine import RequestRefused
from wan_models.requests import Sound
from wan_models.sound import check_sound, envelope, read_wave
from wan_models.video import write_mp4

SENTENCE = Path(__file__).parents[2] / "fixtures" / "speech" / "sentence.flac"
KINDS = [
    ("a.wav", "pcm_s16le", 44100),
    ("wide.wav", "pcm_s24le", 48000),
    ("old.wav", "pcm_u8", 11025),
    ("float.wav", "pcm_f32le", 96000),
    ("a.flac", "flac", 44100),
    ("a.mp3", "libmp3lame", 44100),
    ("slow.mp3", "libmp3lame", 22050),
    ("a.m4a", "aac", 48000),
    ("a.mov", "aac", 44100),
    ("a.mkv", "aac", 44100),
    ("a.ogg", "libopus", 48000),
    ("a.webm", "libopus", 48000),
]
MOMENTS = [0.5, 3.0, 8.25]


@pytest.mark.parametrize(("name", "codec", "rate"), KINDS)
def test_clicks_come_out_when_they_went_in(tmp_path: Path, name: str, codec: str, rate: int) -> None:
    wave = clicks(MOMENTS, 10.0, rate)
    stereo = name.startswith("a.")
    planes, layout = (np.stack([wave, wave]), "stereo") if stereo else (wave, "mono")
    path = write_sound(tmp_path / name, planes, rate, codec, layout)
    near = 1.1e-3 if path.suffix in (".mkv", ".webm") else 5e-4  # Matroska counts whole milliseconds
    for start in (0.0, 0.3, 2.5, 7.9):
        heard = read_wave(Sound(path, start))
        assert heard.dtype == np.float32
        assert len(heard) / 16000 == pytest.approx(10.0 - start, abs=0.025)  # AAC fills its last 1024 samples
        assert [start + at for at in onsets(heard)] == pytest.approx([m for m in MOMENTS if m > start], abs=near)
    part = read_wave(Sound(path, 2.5), seconds=1.0)
    assert (len(part), part.tolist()) == (16000, read_wave(Sound(path, 2.5))[:16000].tolist())
    check_sound(Sound(path, 2.5), 1.0)


def test_levels_survive_every_sample_format(tmp_path: Path) -> None:
    wave = clicks(MOMENTS, 10.0, 16000)
    for name, codec, _ in KINDS[:5]:
        heard = read_wave(Sound(write_sound(tmp_path / name, wave, 16000, codec)))
        assert np.abs(heard - wave).max() < (0.009 if codec == "pcm_u8" else 1e-4), codec


def test_every_rate_is_resampled_without_aliases(tmp_path: Path) -> None:
    time = np.arange(48000) / 48000
    low, high = (0.5 * np.sin(2 * np.pi * hz * time).astype(np.float32) for hz in (1000, 11000))
    path = write_sound(tmp_path / "a.wav", low + high, 48000, "pcm_f32le")
    heard = read_wave(Sound(path))
    inner = slice(800, -800)
    expected = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)
    assert np.abs(heard - expected)[inner].max() < 1e-3  # 11 kHz is gone: 54 dB down and more


def test_surround_keeps_the_dialogue(tmp_path: Path) -> None:
    planes = np.zeros((6, 8000), np.float32)
    planes[2] = 0.5  # FL FR FC LFE SL SR
    path = write_sound(tmp_path / "a.wav", planes, 16000, "pcm_s16le", "5.1")
    assert read_wave(Sound(path)).mean() == pytest.approx(0.5 / (1 + 2 * 0.7071 + 2 * 0.5), abs=1e-3)
    planes[2], planes[3] = 0, 0.5
    assert np.abs(read_wave(Sound(write_sound(tmp_path / "b.wav", planes, 16000, "pcm_s16le", "5.1")))).max() == 0
    stereo = np.stack([np.full(8000, 0.5, np.float32), np.zeros(8000, np.float32)])
    assert read_wave(Sound(write_sound(tmp_path / "c.wav", stereo, 16000, "pcm_s16le", "stereo"))).mean() == (
        pytest.approx(0.25, abs=1e-3)
    )


def _film(path: Path, sound_from: float) -> Path:
    """One second of pictures, and a click 0.4 s after ``sound_from``, where the sound begins."""
    with av.open(str(path), "w") as container:
        video, audio = container.add_stream("mpeg4", rate=16), container.add_stream("aac", rate=48000, layout="mono")
        video.width = video.height = 64
        video.pix_fmt = "yuv420p"
        for _ in range(32):
            picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
        frame = av.AudioFrame.from_ndarray(clicks([0.4], 1.0, 48000)[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 48000, round(sound_from * 48000)
        container.mux(audio.encode(frame))
        container.mux(audio.encode(None))
    return path


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize("start", [0.0, 0.25, 0.7])
def test_the_sound_of_a_film_is_where_its_picture_is(tmp_path: Path, suffix: str, start: float) -> None:
    film = _film(tmp_path / f"film.{suffix}", 0.5)
    heard = read_wave(Sound(film, start))
    assert [start + at for at in onsets(heard)] == pytest.approx([0.9], abs=1.1e-3)


def test_memory_is_bounded_by_what_was_asked_for(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "long.wav", np.zeros(8000 * 200, np.float32), 8000, "pcm_s16le")
    tracemalloc.start()
    with pytest.raises(RequestRefused, match="is silent from 0 s to 200 s"):
        check_sound(Sound(path), 200)
    read_wave(Sound(path, 190.0), seconds=5.0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2e6


def test_what_cannot_drive_a_shot_is_refused(tmp_path: Path) -> None:
    def refused(sound: Sound, sentence: str) -> None:
        with pytest.raises(RequestRefused, match=sentence) as caught:
            check_sound(sound, 5.0)
        assert "\n" not in str(caught.value)

    short = write_sound(tmp_path / "short.wav", clicks([0.01], 0.05, 16000), 16000, "pcm_s16le")
    refused(
        Sound(short, name="short.wav"), r"^short\.wav has only 0\.050 s of sound from 0 s on; it takes 0\.1 s or more$"
    )
    refused(Sound(SENTENCE, 7.5, "A"), r"^A is 5\.30 s long, so it cannot start at 7\.5 s; choose an earlier start$")
    with pytest.raises(RequestRefused, match="cannot start at"):
        read_wave(Sound(SENTENCE, 5.3))
    text = tmp_path / "text.wav"
    text.write_text("no sound at all\n" * 100)
    refused(Sound(text, name="text.wav"), r"^text\.wav cannot be read as sound \(Invalid data found .*\); use a wav, ")
    refused(Sound(tmp_path / "gone.wav"), r"^the sound cannot be read as sound \(No such file or directory\)")
    text.write_bytes(b"")
    refused(Sound(text), "cannot be read as sound")
    film = tmp_path / "mute.mp4"
    write_mp4(film, [np.zeros((64, 64, 3), np.uint8)] * 4, 16)
    refused(
        Sound(film, name="mute.mp4"),
        r"^mute\.mp4 has no audio track that can be read; choose a sound file, or a film with sound$",
    )


def test_what_the_world_sends(tmp_path: Path) -> None:
    """Tags in old encodings, numbers that are none, and headers that lie."""
    path = write_sound(tmp_path / "a.mp3", clicks([0.5], 1.0, 44100), 44100, "libmp3lame")
    tag = b"TIT2" + (6).to_bytes(4, "big") + b"\0\0" + b"\0\xf5\xe4\xfc\xdf\xff"
    path.write_bytes(b"ID3\x03\0\0\0\0\0" + bytes([len(tag)]) + tag + path.read_bytes())
    assert onsets(read_wave(Sound(path))) == pytest.approx([0.5], abs=1e-3)

    wave = clicks([0.5], 1.0, 16000)
    wave[100], wave[200], wave[300] = np.nan, np.inf, -np.inf
    path = write_sound(tmp_path / "a.wav", wave, 16000, "pcm_f32le")
    assert np.isfinite(read_wave(Sound(path))).all()

    data = bytearray(write_sound(tmp_path / "b.wav", clicks([0.5], 1.0, 16000), 16000, "pcm_s16le").read_bytes())
    data[24:28] = (3).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(RequestRefused, match="says that it has 3 samples a second, so it is damaged"):
        check_sound(Sound(path), 1)
    cut = write_sound(tmp_path / "a.webm", clicks([0.5], 3.0, 48000), 48000, "libopus")
    cut.write_bytes(cut.read_bytes()[:2000])
    with pytest.raises(
        RequestRefused, match=r"^the sound has nothing from 2 s on, so it is damaged; use another copy$"
    ):
        check_sound(Sound(cut, 2.0), 1)


def test_a_playlist_opens_nothing_else(tmp_path: Path) -> None:
    write_sound(tmp_path / "a.wav", clicks([0.5], 1.0, 16000), 16000, "pcm_s16le")
    for text in (f"ffconcat version 1.0\nfile {tmp_path}/a.wav\n", f"#EXTM3U\n#EXTINF:1,\n{tmp_path}/a.wav\n"):
        (tmp_path / "list").write_text(text)
        with pytest.raises(RequestRefused, match="cannot be read as sound"):
            read_wave(Sound(tmp_path / "list"))


@pytest.mark.parametrize(
    ("name", "codec"), [("a.flac", "flac"), ("a.mp3", "libmp3lame"), ("a.m4a", "aac"), ("a.ogg", "libopus")]
)
def test_damage_is_named_where_it_is(tmp_path: Path, name: str, codec: str) -> None:
    noise = np.random.default_rng(1).normal(0, 0.1, 48000 * 10).astype(np.float32)
    path = write_sound(tmp_path / name, noise, 48000, codec)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + len(data) // 10] = np.random.default_rng(2).bytes(len(data) // 10)
    path.write_bytes(data)
    with pytest.raises(
        RequestRefused, match=r"^A is damaged at [45]\.\d\d s; use another copy, or only the part before"
    ):
        read_wave(Sound(path, name="A"))
    with pytest.raises(RequestRefused, match="is damaged at"):
        check_sound(Sound(path), 10)
    assert len(read_wave(Sound(path), seconds=3.0)) == 48000
    assert len(read_wave(Sound(path, 8.0), seconds=1.0)) == 16000


def test_the_envelope_follows_the_voice() -> None:
    wave = read_wave(Sound(SENTENCE))
    loud = envelope(wave, 16000, 16.0, 100)
    assert (loud.dtype, loud.shape) == (np.float32, (100,))
    assert (loud.min(), loud.max()) == (0.0, 1.0)
    assert loud[:3].max() < 0.25  # quiet before the first word
    assert loud[5:80].mean() > 0.5
    assert loud[85:].max() == 0.0  # behind the end
    assert envelope(wave * 0.05, 16000, 16.0, 100) == pytest.approx(loud, abs=0.01)
    assert envelope(np.zeros(16000, np.float32), 16000, 16.0, 16).max() == 0
    click = envelope(clicks([40 / 24], 3.0, 16000), 16000, 24.0, 72)
    assert int(click.argmax()) == 40
