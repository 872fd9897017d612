"""A talking shot, its take, and the take's strip, for the tests of both."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import bpy

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "capture"))
import clicks

ROOT = Path(__file__).resolve().parents[3]
SPEECH = ROOT / "tests" / "fixtures" / "speech" / "sentence.flac"
PERSON = ROOT / "examples" / "assets" / "reference_man.png"
TIMEOUT_S = 60.0
TIMES = [0.1, 0.4, 0.75, 1.3, 2.0, 3.5]


def talk(scene: Any, track: Path | None = None) -> Any:
    """A talking shot of 2 s at 24 scene frames a second; the sound from a file, the person from a picture."""
    scene.render.fps, scene.frame_start, scene.frame_end = 24, 11, 58
    own = scene.wanstage
    own.task, own.fps = "s2v", 16.0
    own.person, own.person_file = "file", str(PERSON)
    if track is not None:
        own.sound_from, own.sound_file = "file", str(track)
    return own


def make(scene: Any) -> Any:
    """Generate and wait; the take."""
    from blender_addon import pump

    assert bpy.ops.wanstage.generate() == {"FINISHED"}
    job = scene.wanstage.takes[-1].job_id
    assert pump.run_until([job], TIMEOUT_S)
    take = scene.wanstage.takes[-1]
    assert (take.state, take.problem) == ("finished", "")
    return take


def strip_of(scene: Any, take: Any) -> Any:
    """The take's strip on the sequencer."""
    from blender_addon import soundtrack

    clicks.need_strips()
    found = soundtrack.find(scene, take.job_id)
    assert found is not None
    return found
