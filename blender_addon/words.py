"""The add-on's sentences in Blender's own language.

Labels, names and descriptions that are registered with Blender are translated by Blender. Sentences that are put
together from parts are not: they go through ``tr``, which looks up the whole sentence before its values are put in, so
that another language may order them in its own way. The setup, a process of its own, tells sentences and values apart,
and they go through ``spoken`` when they are drawn. Translations are in ``translations/``, one file a language.
"""

from __future__ import annotations

from .setup.said import Said

try:
    import bpy
except ModuleNotFoundError:  # the parts that need no Blender, outside of it: English
    bpy = None

CONTEXT = "Wanstage"
"""Of words that Blender uses for something else, such as Look and Characters."""


def tr(sentence: str, /, **values: object) -> str:
    """``sentence`` in Blender's language, with ``values`` put in for its ``{names}``, as ``str.format`` does.

    ``tr("Take {number} has no frame {frame}.", number=2, frame=17)``: write the sentence as one literal, since the
    tests read the literals to see that every language has it.
    """
    said = bpy.app.translations.pgettext_iface(sentence, CONTEXT) if bpy else sentence
    return said.format(**values) if values else said


def spoken(text: str) -> str:
    """A sentence of the setup in Blender's language, and those that are among its values; other text as it is."""
    if not isinstance(text, Said):
        return text
    return tr(text.sentence, **{name: spoken(value) for name, value in text.values.items()})


def noted(word: str) -> str:
    """``word`` as it is: ``tr`` is given it later, by way of a variable; here the translators find it."""
    return word
