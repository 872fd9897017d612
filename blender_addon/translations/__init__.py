"""The add-on's words in other languages, given to Blender, which looks them up wherever it draws a name.

One module a language, with one table ``WORDS`` from the English sentence. ``packaging/words.py`` lists what is missing.
"""

from __future__ import annotations

import bpy

from .. import words
from . import zh_hans

LANGUAGES = {"zh_HANS": zh_hans.WORDS}
"""As Blender names its languages since 4.0 -> table."""
BEFORE = {"zh_HANS": "zh_CN"}
"""The names of the same languages in earlier Blenders."""
CONTEXTS = ("*", "Operator", words.CONTEXT)
"""Blender looks for the labels of operators in a context of their own; ours is for words that mean something else in
Blender, whose own translations come first."""


def tables() -> dict[str, dict[tuple[str, str], str]]:
    """As ``bpy.app.translations.register`` wants it: language -> (context, English) -> translation."""
    found = {}
    for language, table in LANGUAGES.items():
        keyed = {(context, sentence): said for sentence, said in table.items() for context in CONTEXTS}
        found[language] = found[BEFORE[language]] = keyed
    return found


def register() -> None:
    """Give the words to Blender."""
    bpy.app.translations.register(__package__, tables())


def unregister() -> None:
    """Take them back."""
    bpy.app.translations.unregister(__package__)
