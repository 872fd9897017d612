"""The figure of a real search: a backend with MediaPipe looks at a film of the examples' man."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

from tests.bpy.addon.test_motion import TIMEOUT_S, films, needs_models, poser, scene, search  # noqa: E402

__all__ = ["films", "poser", "scene"]


@needs_models
def test_a_person_as_high_as_a_person_stands_on_the_floor_and_goes_with_the_end(scene: Any, films: Path) -> None:
    from blender_addon import compat, pump
    from blender_addon.film import figure, live

    assert bpy.ops.wanstage.find_motion(film=str(films / "walk.mp4")) == {"FINISHED"}
    own = scene.wanstage_retarget.motion
    assert not compat.is_drawing()
    assert pump.pump(lambda: own.received >= 3, TIMEOUT_S)
    assert compat.is_drawing()
    shown = live._shown[own.job_id]
    assert (shown.film.width, shown.film.height) == (own.width, own.height)
    rows = figure.people(shown.frames[shown.newest])
    assert len(rows) == 1
    places, colours = live.lines(shown, shown.newest, 1.0, np.eye(4))[0]
    assert 1.3 < np.ptp(places[:, 2]) < 2.1, "metres from the soles to the eyes"
    assert places[:, 2].min() == pytest.approx(0.0, abs=0.1)
    assert np.abs(places[:, :2].mean(axis=0)).max() < 0.4
    assert np.median(colours[:, 1]) > np.median(colours[:, 0]), "most of him is surely seen"
    assert search(scene).state == "finished"
    assert not compat.is_drawing()
    assert live._shown == {}
