"""The add-on's own error: one sentence that a panel can show as it is. No bpy."""

from __future__ import annotations


class UserProblem(Exception):
    """What was given, what is allowed, what to do next, in one sentence."""


def capital(sentence: object) -> str:
    """With a capital: what the protocol and the backend say begins small, the panel's sentences do not."""
    text = str(sentence)
    return text[:1].upper() + text[1:]
