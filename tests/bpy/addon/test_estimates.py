"""What the backend says of the shot, in the panel and in preflight: asked beside everything else, kept, put right."""

from __future__ import annotations

import time
from typing import Any

import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

GIB = 1 << 30


def answered(scene: Any) -> Any:
    """The estimate of the shot as it is, by the same turns that the window's timer makes."""
    from blender_addon import estimates, pump

    estimates.now.at = 0.0  # what was asked a moment ago does not hold this up
    assert pump.pump(lambda: estimates.of(scene) is not None, 20), estimates.now
    return estimates.of(scene)


@pytest.fixture
def asked(connected: Any) -> Any:
    from blender_addon import estimates

    estimates.forget()
    estimates.now.at = 0.0
    return connected


def findings_of(scene: Any) -> dict[str, Any]:
    from blender_addon import findings

    return {each.id: each for each in findings.of_settings(scene)}


def test_drawing_waits_for_nothing(asked: Any) -> None:
    from blender_addon import estimates

    assert estimates.lines(asked) == [("Estimating", "TIME")]
    answered(asked)
    number = estimates.now.number
    assert estimates.lines(asked) == estimates.lines(asked) != [("Estimating", "TIME")]
    assert estimates.now.number == number, "drawing asks nothing"


def test_the_time_is_known_after_a_run(asked: Any) -> None:
    from blender_addon import estimates, pump

    asked.frame_end = asked.frame_start + 6  # of no other test
    before = answered(asked)
    assert bpy.ops.wanstage.generate() == {"FINISHED"}
    assert pump.run_until([asked.wanstage.takes[0].job_id], 60)
    told = answered(asked)
    assert (told.basis, told.too_large) == ("measured", False)
    assert told is not before
    ((said, icon),) = estimates.lines(asked)
    assert icon == "TIME"
    assert said.startswith("About 0.")
    found = findings_of(asked)["time"]
    assert found.severity == "info"
    assert "measured: " in found.text


def test_settings_that_matter_ask_again_and_no_sooner(asked: Any) -> None:
    from blender_addon import estimates, pump, state

    answered(asked)
    count = len(estimates.now.answers)
    asked.wanstage.prompt = "does not matter"
    assert not estimates.is_asked(asked)
    asked.wanstage.width = 192
    assert estimates.is_asked(asked)
    estimates.now.at = time.monotonic()
    assert not estimates.watch(), "not within half a second of the last question"
    answered(asked)
    assert len(estimates.now.answers) == count + 1
    asked.wanstage.width = 128
    assert estimates.of(asked) is not None, "what was asked before is still known"
    assert not estimates.watch()
    asked.wanstage.use_scene_range, asked.wanstage.frame_start, asked.wanstage.frame_end = False, 5, 4
    assert not estimates.is_asked(asked), "an empty shot is no question"
    assert pump.tick() is not None
    assert state.now.connected


def test_an_older_backend_is_not_asked(asked: Any) -> None:
    import msgspec

    from blender_addon import estimates, state

    state.now.welcome = msgspec.structs.replace(state.now.welcome, features=(), minor=3)
    assert estimates.lines(asked) == []
    assert not estimates.watch()
    assert "memory" not in findings_of(asked)


def test_a_refused_question_is_not_repeated(asked: Any) -> None:
    from blender_addon import estimates

    assert not estimates.is_asked(asked) or estimates.watch()
    estimates.failed("there is no such model")
    assert estimates.lines(asked) == []
    assert not estimates.is_asked(asked)


# ---- what a backend with a card says -----------------------------------------------------------------------


def say(scene: Any, **told: Any) -> Any:
    """As if the backend had answered so."""
    from blender_addon import estimates, wire

    estimate = wire.messages.Estimate(**told)
    estimates.now.answers[estimates.key(scene)] = (time.monotonic(), estimate)
    return estimate


CARD = {"card": "A Card", "card_total": 24 * 10**9, "card_free": 23 * 10**9}


def test_one_line_for_time_and_card(asked: Any) -> None:
    from blender_addon import estimates

    known = {**CARD, "plan": "stream", "card_needed": 18_700_000_000}
    say(asked, seconds=251.0, basis="measured", based_on="3 jobs of this size here", jobs_ahead=2, **known)
    assert [text for text, _ in estimates.lines(asked)] == [
        "About 4 min 10 s, 18.7 of 24.0 GB (streams from memory)", "2 jobs come first"
    ]  # fmt: skip
    found = findings_of(asked)
    assert found["memory"].text == ("Needs 18.7 GB of the card, 23.0 of 24.0 GB are free: streams from memory")
    assert found["memory"].severity == "info"
    say(asked, losses="block weights in fp8", **known)
    assert [text for text, _ in estimates.lines(asked)] == ["18.7 of 24.0 GB (streams from memory); time not known yet"]
    assert findings_of(asked)["memory"].severity == "warning"


def test_what_is_too_large_has_buttons_that_make_it_fit(asked: Any) -> None:
    from blender_addon import estimates, shots, wire

    job = wire.messages.SmallerJob
    problem = "wan2.2 at 128x64, 9 frames needs at least 9.4 GB of the card; 5 frames would fit"
    smaller = (job(128, 64, 5), job(96, 64, 9), job(96, 64, 5), job(128, 64, 9, "stream-fp8"))

    def too_large() -> Any:
        say(asked, too_large=True, problem=problem, smaller=smaller, **CARD)
        return findings_of(asked)["memory"]

    found = too_large()
    assert found.severity == "error"
    assert found.text.startswith("wan2.2 at 128x64")
    assert [fix.label for fix in found.fixes] == [
        "5 Frames", "96 x 64", "96 x 64, 5 Frames", "Plan stream-fp8"
    ]  # fmt: skip
    assert estimates.lines(asked)[0][1] == "ERROR"
    for fix, size, frames, plan in zip(
        found.fixes, ((128, 64), (96, 64), (96, 64), (128, 64)), (5, 9, 5, 9), ("auto", "auto", "auto", "stream-fp8"),
        strict=True,
    ):  # fmt: skip
        asked.frame_end, asked.wanstage.plan = 9, "auto"
        asked.wanstage.width, asked.wanstage.height = 128, 64
        too_large()
        assert bpy.ops.wanstage.fix(finding="memory", how=fix.how) == {"FINISHED"}
        assert (shots.size(asked.wanstage), shots.frame_count(asked)) == (size, frames)
        assert asked.wanstage.plan == plan


def test_what_a_download_would_be(asked: Any) -> None:
    say(asked, missing=("no weights",), missing_bytes=83 * 10**9)
    assert findings_of(asked)["download"].text == "The weights are a download of about 83 GB"
