"""The draft ``animate``: a pose track moves a picture of another person, in seconds and on a CPU."""

from .generate import check, generate

__all__ = ["check", "generate"]
