"""Where MediaPipe's model files are looked for. They are never downloaded here: ``wanstage models pull`` does that."""

from __future__ import annotations

import os
from pathlib import Path

POSE_MODEL = "pose_landmarker_full.task"
HAND_MODEL = "hand_landmarker.task"
FACE_MODEL = "face_landmarker.task"
ENVIRONMENT = "WANSTAGE_MEDIAPIPE_MODELS"
NAMES = {POSE_MODEL: "pose", HAND_MODEL: "hand", FACE_MODEL: "face"}
"""What the store calls them."""


def folders(explicit: Path | None = None) -> tuple[Path, ...]:
    """Where model files may lie, first wins: a given folder, WANSTAGE_MEDIAPIPE_MODELS, the user's cache."""
    from platformdirs import user_cache_path  # the server looks here too, and starts without it

    named = os.environ.get(ENVIRONMENT)
    cache = user_cache_path("wanstage") / "mediapipe"
    return tuple(folder for folder in (explicit, Path(named) if named else None, cache) if folder is not None)


def find_model(name: str, explicit: Path | None = None) -> Path | None:
    """The model file ``name``, or None. ``explicit`` may be the file itself or its folder."""
    if explicit is not None and explicit.is_file():
        return explicit if explicit.name == name else None
    return next((folder / name for folder in folders(explicit) if (folder / name).is_file()), None)


def how_to_get(name: str) -> str:
    """One sentence for a person who lacks a model file."""
    return f"run 'wanstage models pull {NAMES[name]}', or set {ENVIRONMENT} to the folder that has {name}"
