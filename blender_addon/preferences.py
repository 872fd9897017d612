"""What belongs to this machine and its user: never saved in a .blend.

``settings()`` answers also when the add-on runs from a checkout and Blender keeps no preferences for it
(tests, ``run.py demo``): then the values come from the environment.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import bpy
from bpy.props import FloatProperty, StringProperty

from . import compat, remote, setup_run


@dataclass(frozen=True)
class Settings:
    """``python`` and ``backend_folder`` may be empty: then no local backend can be started."""

    python: str
    backend_folder: str
    connection_file: Path
    data: Path
    cache: Path
    idle_exit_s: float


_chosen = ""  # where Blender keeps no preferences for us


class WANSTAGE_AP_preferences(bpy.types.AddonPreferences):
    """Where the backend is and where files go."""

    bl_idname = __package__

    python: StringProperty(
        name="Backend Python",
        description="The Python that has the Wanstage backend installed; Connect starts it when none is running",
        subtype="FILE_PATH",
    )
    backend_folder: StringProperty(
        name="Backend Folder",
        description="Folder of a Wanstage checkout to run the backend from; empty when it is installed",
        subtype="DIR_PATH",
    )
    connection_file: StringProperty(
        name="Connection File",
        description="Holds the address and keys of the backend; empty uses this machine's own",
        subtype="FILE_PATH",
    )
    backend: StringProperty(
        name="Backend",
        description="Name of the paired backend that Connect connects to; empty is this machine's own",
    )
    data: StringProperty(
        name="Data Folder",
        description="Where captured shots and the local backend's jobs are kept; empty uses Blender's user folder",
        subtype="DIR_PATH",
    )
    idle_exit: FloatProperty(
        name="Stop After",
        description="The local backend ends after so long without a job or a client",
        default=1800.0,
        min=30.0,
        soft_max=86400.0,
        unit="TIME_ABSOLUTE",
        subtype="TIME_ABSOLUTE",
    )

    def draw(self, _context: bpy.types.Context) -> None:
        """Six rows, nothing is looked up."""
        layout = self.layout
        layout.use_property_split = True
        for name in ("python", "backend_folder", "connection_file", "backend", "data", "idle_exit"):
            layout.prop(self, name)


def backend_python() -> str:
    """The Python of the local backend: the user's own choice, else that of the setup; empty when there is none."""
    addon = bpy.context.preferences.addons.get(__package__)
    own = str(getattr(addon.preferences, "python", "") or "") if addon else ""
    return own or os.environ.get("WANSTAGE_BACKEND_PYTHON", "") or setup_run.known_python()


def chosen() -> str:
    """Name of the paired backend that is to be used; empty for this machine's own."""
    addon = bpy.context.preferences.addons.get(__package__)
    return str(getattr(addon.preferences, "backend", "") or "") if addon else _chosen


def choose(name: str) -> None:
    """Use this one from now on."""
    global _chosen  # noqa: PLW0603 - one for the whole Blender, as preferences are
    addon = bpy.context.preferences.addons.get(__package__)
    if addon:
        addon.preferences.backend = name
    _chosen = name


def _file(data: Path, own_file: str) -> Path:
    """A paired backend's connection file, else the user's own, else this machine's."""
    name = chosen()
    if name and name in remote.names(data):
        return remote.file_of(data, name)
    return Path(own_file) if own_file else data / "connection.json"


def settings() -> Settings:
    """The user's settings with defaults filled in; of files, the names of paired backends are looked up once."""
    addon = bpy.context.preferences.addons.get(__package__)
    prefs = addon.preferences if addon else None

    def value(name: str, variable: str) -> str:
        own = str(getattr(prefs, name, "") or "")
        return bpy.path.abspath(own) if own else os.environ.get(variable, "")

    own_data = value("data", "WANSTAGE_DATA")
    data = Path(own_data) if own_data else Path(compat.user_directory(__package__))
    own_file = value("connection_file", "WANSTAGE_CONNECTION")
    return Settings(
        python=value("python", "WANSTAGE_BACKEND_PYTHON") or setup_run.known_python(),
        backend_folder=value("backend_folder", "WANSTAGE_BACKEND_FOLDER"),
        connection_file=_file(data, own_file),
        data=data,
        cache=data / "cache",
        idle_exit_s=float(getattr(prefs, "idle_exit", 1800.0)),
    )


register, _unregister = bpy.utils.register_classes_factory((WANSTAGE_AP_preferences,))


def unregister() -> None:
    """What stood in for preferences is forgotten; they stay."""
    global _chosen  # noqa: PLW0603 - as above
    _chosen = ""
    _unregister()
