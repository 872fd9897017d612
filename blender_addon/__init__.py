# SPDX-License-Identifier: GPL-3.0-or-later
"""Wanstage in Blender: the panel, capture, playback and takes.

Registration order matters (properties before panels); it is undone in reverse. Nothing here opens a
connection or touches a file: the first network use is the user's own click on Connect.
"""

from __future__ import annotations

import importlib
import logging

VERSION = "0.1.0"

logger = logging.getLogger(__name__)

MODULES = (
    "translations",
    "preferences",
    "properties",
    "timeline_rows",
    "retarget_properties",
    "operators.connection",
    "operators.generate",
    "operators.models",
    "operators.remote",
    "operators.room",
    "operators.preflight",
    "operators.presets",
    "operators.setup",
    "operators.takes",
    "operators.timeline",
    "operators.choose",
    "operators.cast",
    "operators.compare",
    "operators.deliver",
    "operators.redo",
    "operators.retarget",
    "operators.film",
    "operators.view",
    "thumbnails",
    "film.job",
    "film.check",
    "faces",
    "bonemap_store",
    "framing",
    "panels",
    "cast_panel",
    "preflight_panel",
    "timeline_panel",
    "takes_panel",
    "redo_panel",
    "plane_panel",
    "retarget_panel",
    "film_panel",
    "setup_panel",
    "remote_panel",
    "handlers",
)


def register() -> None:
    """Called by Blender when the add-on is enabled."""
    modules = [importlib.import_module(f".{name}", __package__) for name in MODULES]
    modules[MODULES.index("translations")].own_context(modules)
    for module in modules:
        module.register()


def unregister() -> None:
    """Called by Blender when the add-on is disabled; leaves no timer, handler, socket or class behind."""
    for name in reversed(MODULES):
        importlib.import_module(f".{name}", __package__).unregister()
