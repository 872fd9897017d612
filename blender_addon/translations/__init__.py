"""The add-on's words in other languages, given to Blender, which looks them up wherever it draws a name.

One module a language, with one table ``WORDS`` from the English sentence. ``packaging/words.py`` lists what is missing.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType

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


def own_context(modules: Iterable[ModuleType]) -> None:
    """Have Blender look for the labels of these modules' classes in our context first of all: before registration.

    Properties whose names mean something else in Blender say so themselves, by ``translation_context``.
    """
    for kind in {each for module in modules for each in vars(module).values() if isinstance(each, type)}:
        if not kind.__name__.startswith("WANSTAGE_"):
            continue
        if "bl_translation_context" not in vars(kind):
            kind.bl_translation_context = words.CONTEXT


def register() -> None:
    """Give the words to Blender."""
    bpy.app.translations.register(__package__, tables())


def unregister() -> None:
    """Take them back."""
    bpy.app.translations.unregister(__package__)
