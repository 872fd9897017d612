"""The draft ``s2v``: a reference picture talks as the sound goes, in seconds and on a CPU."""

from .generate import check, generate

__all__ = ["check", "generate"]
