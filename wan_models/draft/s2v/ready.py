"""Imported by a worker before its first job: MediaPipe takes a second or two to import, where it is installed."""

from importlib import import_module

from wan_models.pose.face import face_unavailable

from . import generate

if face_unavailable() is None:
    import_module("mediapipe.tasks.python")

__all__ = ["generate"]
