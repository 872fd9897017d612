"""Runs inside a window's Blender that has no add-on yet: the sidebar open, and where it is written to
WANSTAGE_GUI_STATE (JSON, renamed into place)."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import bpy

TARGET = Path(os.environ["WANSTAGE_GUI_STATE"])


def note() -> float:
    """What the driver waits for, every tenth of a second."""
    window = bpy.context.window_manager.windows[0]
    area = next(area for area in window.screen.areas if area.type == "VIEW_3D")
    area.spaces[0].show_region_ui = True
    region = next(region for region in area.regions if region.type == "UI")
    now = sys.modules.get("wanstage.state")
    seen = {
        "region": [region.x, region.y, region.width, region.height],
        "window": [window.width, window.height],
        "installed": "wanstage" in bpy.context.preferences.addons,
        "status": now.now.status if now else "",
    }
    part = TARGET.with_suffix(".part")
    part.write_text(json.dumps(seen))
    part.replace(TARGET)
    return 0.1


bpy.app.timers.register(note, first_interval=0.3)
