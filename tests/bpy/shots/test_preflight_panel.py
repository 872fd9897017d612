"""The findings' buttons lie beside each other only where they can be read."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("bpy", reason="needs the bpy module")


def found(*labels: str, frame: int | None = None) -> Any:
    from blender_addon import finding

    return finding.Finding("a", "warning", "A sentence.", tuple(finding.Fix(label) for label in labels), frame)


@pytest.mark.parametrize(
    ("labels", "frame", "beside"),
    [
        (("Use 832 x 480 and keep the length",), 4, True),
        (("Fix", "Skip"), 4, True),
        (("Use 832 x 480", "Drive No Face"), 4, False),
        (("Use 832 x 480", "Drive No Face"), None, True),
        (("Make It Longer to the End", "Cut"), None, False),
    ],
)
def test_buttons_that_fit(
    addon: Any, monkeypatch: pytest.MonkeyPatch, labels: tuple[str, ...], frame: int | None, beside: bool
) -> None:
    from blender_addon import panels, preflight_panel

    monkeypatch.setattr(panels, "label_px", lambda: 250.0)
    monkeypatch.setattr(panels, "text_px", lambda text, _points: 7.0 * len(text))
    assert preflight_panel._fit_beside(found(*labels, frame=frame)) is beside
