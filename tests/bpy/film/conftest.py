"""What the add-on's own tests have: registered in an empty file, a shot, a backend process."""

from __future__ import annotations

from tests.bpy.addon.conftest import addon, refused, shot

__all__ = ["addon", "refused", "shot"]
