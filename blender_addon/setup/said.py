"""A sentence and its values told apart, so that the panel can say it in Blender's own language.

Here it is the English text that it reads as: it is compared, logged and printed like any other. To a reader that
translates it goes as ``{"sentence": "Loading {name} {version}", "values": {"name": "torch", "version": "2.13.0"}}``.
"""

from __future__ import annotations

from typing import Any


class Said(str):
    """``Said("Loading {name} {version}", name="torch", version="2.13.0")`` is the text "Loading torch 2.13.0".

    Write the sentence as one literal, since the tests read the literals to see that every language has it. A value is
    a number, what another program or the user calls something (told as it is), or another ``Said``.
    """

    __slots__ = ("sentence", "values")

    sentence: str
    values: dict[str, Any]

    def __new__(cls, sentence: str, /, **values: Any) -> Said:
        """``values`` are put in for the sentence's ``{names}``, as ``str.format`` does; paths and errors as text."""
        kept = {name: value if isinstance(value, str | int | float) else str(value) for name, value in values.items()}
        self = super().__new__(cls, sentence.format(**kept) if kept else sentence)
        self.sentence, self.values = sentence, kept
        return self

    def __deepcopy__(self, _known: dict[int, Any]) -> Said:
        """Itself, as any text."""
        return self


def apart(told: Any) -> Any:
    """``told`` for JSON, with every ``Said`` in it as its sentence and its values."""
    if isinstance(told, Said):
        return {"sentence": told.sentence, "values": apart(told.values)}
    if isinstance(told, dict):
        return {name: apart(value) for name, value in told.items()}
    return [apart(value) for value in told] if isinstance(told, list | tuple) else told


def whole(told: Any) -> Any:
    """What ``apart`` made, back; plain text stays plain text."""
    if isinstance(told, dict):
        found = {name: whole(value) for name, value in told.items()}
        return _said(found["sentence"], found["values"]) if found.keys() == {"sentence", "values"} else found
    return [whole(value) for value in told] if isinstance(told, list) else told


def _said(sentence: Any, values: Any) -> str:
    """A sentence without the values that it needs, as of a damaged record, is shown as it is."""
    try:
        return Said(str(sentence), **values)
    except (LookupError, ValueError, TypeError, AttributeError):
        return str(sentence)
