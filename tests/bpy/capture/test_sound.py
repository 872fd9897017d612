"""Sound of a shot: clicks arrive at the moment at which Blender plays them, whatever was trimmed, moved or packed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import clicks
import numpy as np
import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

from blender_addon import capture  # noqa: E402
from blender_addon.capture import sound as capture_sound  # noqa: E402

TIMES = [0.25, 1.0, 1.7, 2.35, 3.1, 4.0, 5.5, 7.25, 9.0]
MS = 0.001


@pytest.fixture
def scene() -> Any:
    """24 frames a second."""
    found = bpy.context.scene
    found.render.fps, found.render.fps_base = 24, 1.0
    return found


def shot(scene: Any, name: str, first: float, seconds: float, source: str = "strip", **more: float) -> bytes:
    return capture.capture_sound(capture.SoundParams(scene.name, source, name, first, seconds, **more))


def same(found: list[tuple[float, int]], wanted: list[tuple[float, int]]) -> None:
    assert [number for _, number in found] == [number for _, number in wanted]
    assert [at for at, _ in found] == pytest.approx([at for at, _ in wanted], abs=MS)


def heard(times: list[float], at: float, seconds: float, low: float = -1e9, high: float = 1e9) -> list[Any]:
    """Clicks of a file that begins ``at`` seconds into the shot, between ``low`` and ``high``."""
    placed = [(at + moment, number) for number, moment in enumerate(times)]
    return [click for click in placed if max(low, 0.0) <= click[0] < min(high, seconds)]


@pytest.mark.parametrize("rate", [(24, 1.0), (25, 1.0), (30, 1.0), (24, 1.001)], ids=str)
def test_a_trimmed_strip(scene: Any, tmp_path: Path, rate: tuple[int, float]) -> None:
    scene.render.fps, scene.render.fps_base = rate
    fps = rate[0] / rate[1]
    strip = clicks.add_strip(scene, clicks.write(tmp_path / "a.wav", TIMES), 37)
    clicks.trim(strip, 20, 60)
    last = 37 + round(10.0 * fps) - 60
    for first, seconds in ((1, 5.0), (60, 3.0), (37, 9.0), (100, 8.0)):
        data = shot(scene, "Line", first, seconds)
        samples, sample_rate = clicks.decode(data)
        assert sample_rate == clicks.RATE
        assert len(samples) == round(seconds * clicks.RATE)
        low, high = ((frame - first) / fps for frame in (57, last))
        same(clicks.find(data), heard(TIMES, (37 - first) / fps, seconds, low, high))


def test_the_click_of_a_frame(scene: Any, tmp_path: Path) -> None:
    """A click at scene frame 61 of a shot that begins at frame 13 is two seconds into the file that is sent."""
    clicks.add_strip(scene, clicks.write(tmp_path / "a.wav", [2.0]), 13)
    same(clicks.find(shot(scene, "Line", 13, 4.0)), [(2.0, 0)])
    same(clicks.find(shot(scene, "Line", 61, 1.0)), [(0.0, 0)])


def mixdown(scene: Any, name: str, first: int, seconds: float, folder: Path) -> bytes:
    """What Blender's own mixdown gives."""
    strip = next(each for each in capture_sound.compat.strips_of(scene) if each.name == name)
    params = capture.SoundParams(scene.name, "strip", name, first, seconds)
    return capture_sound.encode(*capture_sound._mixed_down(scene, strip, params, folder))


@pytest.mark.parametrize("what", ["placed", "trimmed", "hard trim", "offset", "loud", "between frames"])
def test_as_blender_plays_it(scene: Any, tmp_path: Path, what: str) -> None:
    strip = clicks.add_strip(scene, clicks.write(tmp_path / "a.wav", TIMES), 20)
    volume = 1.0
    if what == "trimmed":
        clicks.trim(strip, 31, 17)
    elif what == "hard trim":
        clicks.trim_hard(strip, 12)
    elif what == "offset":
        strip.sound_offset = 0.13
    elif what == "loud":
        strip.volume = volume = 0.5
    elif what == "between frames":
        clicks.move(strip, -30.0)
    found = clicks.find(shot(scene, "Line", 5, 8.0), volume)
    assert len(found) > 3
    same(found, clicks.find(mixdown(scene, "Line", 5, 8.0, tmp_path), volume))


def test_the_mixdown_is_the_strip_alone(scene: Any, tmp_path: Path) -> None:
    """Retimed or animated strips are Blender's to play; other strips and the user's scene stay out of it."""
    strip = clicks.add_strip(scene, clicks.write(tmp_path / "a.wav", TIMES), 25)
    clicks.add_strip(scene, clicks.write(tmp_path / "b.wav", [0.1, 0.6, 1.3]), 1, "Other", 2)
    wanted = clicks.find(shot(scene, "Line", 1, 6.0))
    strip.volume = 0.5
    strip.keyframe_insert("volume", frame=1)
    assert not capture_sound.is_plain(scene, strip)
    before = len(bpy.data.scenes), scene.frame_current, scene.frame_start, scene.frame_end, strip.mute
    same(clicks.find(shot(scene, "Line", 1, 6.0), 0.5), wanted)
    assert before == (len(bpy.data.scenes), scene.frame_current, scene.frame_start, scene.frame_end, strip.mute)


def test_a_strip_of_twice_the_speed(scene: Any, tmp_path: Path) -> None:
    strip = clicks.add_strip(scene, clicks.write(tmp_path / "a.wav", TIMES), 1)
    if bpy.app.version < (5, 1):
        pytest.skip("a script that adds retiming keys crashes this Blender")
    strip.retiming_keys.add(timeline_frame=241)
    strip.retiming_keys[-1].timeline_frame = 121
    strip.pitch_correction = False  # else clicks are smeared
    assert not capture_sound.is_plain(scene, strip)
    found = clicks.find(shot(scene, "Line", 1, 4.5))
    assert [at for at, _ in found][:6] == pytest.approx([moment / 2 for moment in TIMES[:6]], abs=0.005)


def test_a_packed_sound(scene: Any, tmp_path: Path) -> None:
    file = clicks.write(tmp_path / "a.wav", TIMES)
    strip = clicks.add_strip(scene, file, 1)
    strip.sound.pack()
    file.unlink()
    same(clicks.find(shot(scene, "Line", 1, 5.0)), heard(TIMES, 0.0, 5.0))


def test_a_missing_file(scene: Any, tmp_path: Path) -> None:
    file = clicks.write(tmp_path / "a.wav", TIMES)
    clicks.add_strip(scene, file, 1)
    file.unlink()
    with pytest.raises(capture.CaptureProblem, match=r"The sound of Line is not at .*a\.wav"):
        shot(scene, "Line", 1, 5.0)


def test_a_speaker(scene: Any, tmp_path: Path) -> None:
    item = clicks.add_speaker(scene, clicks.write(tmp_path / "a.wav", TIMES, channels=2), 25)
    item.data.volume = 0.5
    data = shot(scene, item.name, 13, 5.0, "speaker")
    assert clicks.decode(data)[0].shape == (5 * clicks.RATE, 2)
    same(clicks.find(data, 0.5), heard(TIMES, 0.5, 5.0))
    item.data.volume, item.data.pitch = 1.0, 2.0
    same(clicks.find(shot(scene, item.name, 25, 3.0, "speaker")), heard([at / 2 for at in TIMES], 0.0, 3.0))
    item.animation_data_clear()
    item.data.pitch = 1.0
    same(clicks.find(shot(scene, item.name, 40, 3.0, "speaker")), heard(TIMES, 0.0, 3.0))


def test_a_file(scene: Any, tmp_path: Path) -> None:
    file = clicks.write(tmp_path / "a.wav", TIMES, rate=16000)
    same(clicks.find(shot(scene, str(file), 100, 12.0, "file")), heard(TIMES, 0.0, 12.0))
    same(clicks.find(shot(scene, str(file), 1, 4.0, "file", skip=1.5)), heard(TIMES, -1.5, 4.0))
    assert len(clicks.decode(shot(scene, str(file), 1, 12.0, "file"))[0]) == 12 * 16000


def test_what_cannot_be_heard(scene: Any, tmp_path: Path) -> None:
    quiet = clicks.write(tmp_path / "quiet.wav", [])
    with pytest.raises(capture.CaptureProblem, match=r"quiet\.wav is silent during the shot"):
        shot(scene, str(quiet), 1, 2.0, "file")
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"no sound at all")
    with pytest.raises(capture.CaptureProblem, match=r"broken\.wav"):
        shot(scene, str(broken), 1, 2.0, "file")
    with pytest.raises(capture.CaptureProblem, match="There is no sound file at"):
        shot(scene, str(tmp_path / "none.wav"), 1, 2.0, "file")
    with pytest.raises(capture.CaptureProblem, match="no sound strip named Ghost"):
        shot(scene, "Ghost", 1, 2.0)


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_pcm_without_blenders_library(width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Blender built without sound reads WAV alone, of any width."""
    import wave

    from blender_addon.capture import waves

    monkeypatch.setattr(waves, "_aud", lambda: None)
    wanted = np.array([[0.0, 0.5], [-0.5, 0.25], [0.75, -1.0]], np.float32)
    codes = np.round(wanted * (2 ** (8 * width - 1) - 1)).astype(np.int64) + (128 if width == 1 else 0)
    data = b"".join(int(code).to_bytes(width, "little", signed=width > 1) for code in codes.ravel())
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(width)
        file.setframerate(8000)
        file.writeframes(data)
    sound = waves.open_sound(tmp_path / "a.wav", "a.wav")
    assert (sound.rate, sound.channels, sound.seconds) == (8000, 2, 3 / 8000)
    assert waves.read(sound, 0.0, 1.0) == pytest.approx(wanted, abs=0.02)
    assert waves.read(sound, 1 / 8000, 1 / 8000) == pytest.approx(wanted[1:2], abs=0.02)
