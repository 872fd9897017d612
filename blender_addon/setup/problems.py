"""How a setup ends early."""

from __future__ import annotations


class SetupProblem(Exception):
    """One sentence: what is in the way and what to do about it."""


class Cancelled(Exception):
    """The user pressed Cancel."""
