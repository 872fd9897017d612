"""How a setup ends early."""

from __future__ import annotations


class SetupProblem(Exception):
    """What is in the way and what to do about it, in one ``sentence``, kept as it was given: often a ``Said``."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class Cancelled(Exception):
    """The user pressed Cancel."""
