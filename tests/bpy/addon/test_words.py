"""Every sentence of the add-on has its Chinese, with the same values in it, and no translation is left over."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

from tests.bpy import tools  # noqa: E402

ROOT = Path(__file__).resolve().parents[3]
FIELD = re.compile(r"\{\{|\}\}|\{[^{}]*\}")
CHINESE = re.compile(r"[\u4e00-\u9fff]")
SAME = {
    "FK",
    "IK",
    "Daz Genesis 8",
    "Daz Genesis 9",
    "Character Creator",
    "VRM (VRoid)",
    "LoRA",
    "LoRAs",
    "Python",
    "PyTorch",
    "PyTorch {version}, {cards}",
    "Wan",
    "{done} MB",
}


@pytest.fixture
def said(addon: Any) -> dict[str, str]:
    """Sentence -> place, as packaging/words.py finds them."""
    return tools.words().sentences()


def tables() -> dict[str, dict[str, str]]:
    from blender_addon import translations

    return translations.LANGUAGES


@pytest.mark.parametrize("language", ["zh_HANS"])
def test_every_sentence_is_translated(said: dict[str, str], language: str) -> None:
    table = tables()[language]
    missing = [f"{where}: {sentence}" for sentence, where in said.items() if sentence not in table]
    assert not missing, f"run packaging/words.py and write the words: {missing}"


@pytest.mark.parametrize("language", ["zh_HANS"])
def test_no_translation_is_left_over(said: dict[str, str], language: str) -> None:
    assert not [sentence for sentence in tables()[language] if sentence not in said]


@pytest.mark.parametrize("language", ["zh_HANS"])
def test_translations_have_the_same_values(language: str) -> None:
    wrong = {
        sentence: told
        for sentence, told in tables()[language].items()
        if sorted(FIELD.findall(sentence)) != sorted(FIELD.findall(told))
    }
    assert not wrong


def test_chinese_is_chinese() -> None:
    plain = [
        sentence for sentence, told in tables()["zh_HANS"].items() if not CHINESE.search(told) and sentence not in SAME
    ]
    assert not plain, "words that are left in English are named in SAME"


def test_blender_is_given_every_language_under_both_names(addon: Any) -> None:
    from blender_addon import translations, words

    given = translations.tables()
    assert set(given) == {"zh_HANS", "zh_CN"}
    for context in ("*", "Operator", words.CONTEXT):
        assert given["zh_CN"][context, "Generate"] == "生成"


def test_names_are_looked_up_in_our_own_context(addon: Any) -> None:
    """Blender's own Face is one of a mesh, its Look is a film's, and its Driven a driver."""
    from blender_addon import cast_properties, words

    assert bpy.types.WANSTAGE_PT_look.bl_translation_context == words.CONTEXT
    assert cast_properties.WANSTAGE_PG_character.bl_rna.properties["face"].translation_context == words.CONTEXT
    assert cast_properties.WANSTAGE_PG_character.bl_rna.properties["role"].translation_context == words.CONTEXT
    assert bpy.ops.wanstage.redo_take.get_rna_type().translation_context == words.CONTEXT


def test_values_are_put_in_after_the_look_up() -> None:
    from blender_addon.words import noted, tr

    assert tr("{count} of {whole} frames", count=2, whole=9) == "2 of 9 frames"
    assert tr(noted("50 {percent} as it is")) == "50 {percent} as it is"
