"""The add-on's own error: one sentence that a panel can show as it is. No bpy."""

from __future__ import annotations


class UserProblem(Exception):
    """What was given, what is allowed, what to do next, in one sentence."""
