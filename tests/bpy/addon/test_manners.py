"""The add-on's manners, class by class: tooltips, labels, icons, polls that say why, undo, the tab and its order."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

from tests.bpy import tools  # noqa: E402

ROOT = Path(__file__).resolve().parents[3]
ADDON = ROOT / "blender_addon"
ORDER = ["Connection", "Shot", "Characters", "Look", "Generate", "Takes", "Retarget"]
OPEN = {"WANSTAGE_PT_setup"}  # the card of the first run must be seen
HIDDEN_NAMES = {"filepath", "filter_glob", "directory", "files", "remove_name", "remove_active"}  # the file browser's
CHANGE_NOTHING = {
    # that undo has: a connection, a preview, a job, a set-up, the clipboard, a file on disk, the playback, or a preset
    "connect", "disconnect", "attach", "connect_remote", "cancel", "cancel_motion", "cancel_shots", "capture", "check",
    "copy_motion_pull", "copy_pull", "export_take", "find_motion",
    "make_room", "play_take", "setup", "setup_back", "setup_cancel", "setup_copy_log", "setup_remove",
    "setup_repair", "add_preset", "export_bones", "export_motion", "forget_backend", "pair", "pair_cancel",
    "preview_framing", "preview_retarget", "record_pose", "stop_retarget_preview", "use_backend",
}  # fmt: skip
SMALL = {"a", "after", "an", "and", "as", "at", "but", "by", "for", "from", "in", "of", "on", "or", "the", "to", "with"}
LATER_ICONS = {"PLAYHEAD"}  # not in every Blender: the panel looks first


@pytest.fixture
def kinds(addon: Any) -> dict[str, type]:
    """The registered classes by name."""
    return {kind.__name__: kind for kind in tools.words().classes()}


def of(kinds: dict[str, type], base: type) -> dict[str, Any]:
    return {name: kind for name, kind in kinds.items() if issubclass(kind, base)}


def rna(kind: Any) -> Any:
    return getattr(bpy.ops.wanstage, kind.bl_idname.partition(".")[2]).get_rna_type()


def title_case(label: str) -> bool:
    """As Blender writes names: every word begins with a capital, small words inside do not."""
    words = [word for word in re.split(r"[\s,]+", label) if word and word[0].isalpha()]
    return all(word[0].isupper() or (word in SMALL and place > 0) for place, word in enumerate(words))


def test_operators_have_tooltips_and_titles(kinds: dict[str, type]) -> None:
    wrong = []
    for name, kind in of(kinds, bpy.types.Operator).items():
        said = rna(kind).description
        if not said or said.rstrip().endswith("."):
            wrong.append(f"{name}: tooltip {said!r}")
        if not title_case(kind.bl_label):
            wrong.append(f"{name}: label {kind.bl_label!r}")
        if not kind.bl_idname.startswith("wanstage."):
            wrong.append(f"{name}: {kind.bl_idname}")
    assert not wrong


def test_operators_that_change_the_file_can_be_undone(kinds: dict[str, type]) -> None:
    found = of(kinds, bpy.types.Operator).values()
    undone = {kind.bl_idname.partition(".")[2] for kind in found if "UNDO" in getattr(kind, "bl_options", set())}
    every = {kind.bl_idname.partition(".")[2] for kind in found}
    assert every - undone - CHANGE_NOTHING == set(), "add UNDO, or name it in CHANGE_NOTHING"
    assert undone & CHANGE_NOTHING == set()


def test_every_poll_that_refuses_says_why(kinds: dict[str, type], monkeypatch: pytest.MonkeyPatch) -> None:
    """In an empty file: Blender shows the sentence in the grey button's tooltip."""
    silent = {}
    for name, kind in of(kinds, bpy.types.Operator).items():
        poll = getattr(kind, "poll", None)
        if poll is None:
            continue
        said: list[str] = []
        monkeypatch.setattr(kind, "poll_message_set", said.append, raising=False)
        allowed = kind.poll(bpy.context)
        monkeypatch.undo()
        if not allowed and not (said and said[0]):
            silent[name] = said
    assert not silent


def test_properties_have_names_and_tooltips(kinds: dict[str, type]) -> None:
    wrong = []
    for name, kind in kinds.items():
        source = rna(kind) if issubclass(kind, bpy.types.Operator) else kind.bl_rna
        own = {key for base in kind.__mro__ if base.__module__.startswith("blender_addon")
               for key in getattr(base, "__annotations__", ())}  # fmt: skip
        for each in source.properties:
            if each.identifier not in own or each.is_hidden or each.identifier in HIDDEN_NAMES:
                continue
            where = f"{name}.{each.identifier}"
            if each.description.rstrip().endswith("."):
                wrong.append(f"{where}: full stop")
            if each.name != each.identifier and not title_case(each.name):
                wrong.append(f"{where}: {each.name!r}")
            if each.type == "ENUM":
                wrong += [f"{where}.{item.identifier}" for item in each.enum_items_static
                          if item.description.rstrip().endswith(".")]  # fmt: skip
    assert not wrong


def test_what_the_panel_shows_has_a_tooltip(kinds: dict[str, type]) -> None:
    shown = drawn_properties()
    bare = []
    for name, kind in of(kinds, bpy.types.PropertyGroup).items():
        own = [each for each in kind.bl_rna.properties if each.identifier in shown & set(kind.__annotations__)]
        bare += [f"{name}.{each.identifier}" for each in own if not each.description]
    assert not bare


def test_panels_are_in_the_tab_in_the_order_of_work(kinds: dict[str, type]) -> None:
    panels = of(kinds, bpy.types.Panel)
    assert {panel.bl_category for panel in panels.values()} == {"Wanstage"}
    main = sorted((panel for panel in panels.values() if not getattr(panel, "bl_parent_id", "")),
                  key=lambda panel: panel.bl_order)  # fmt: skip
    assert [panel.bl_label for panel in main] == [label for label in ORDER if label in {p.bl_label for p in main}]
    assert len({panel.bl_order for panel in main}) == len(main)
    closed = {name for name, panel in panels.items() if "DEFAULT_CLOSED" in getattr(panel, "bl_options", set())}
    assert {name for name, panel in panels.items() if getattr(panel, "bl_parent_id", "")} - closed <= OPEN
    assert all(title_case(panel.bl_label.rstrip("?")) for panel in panels.values())


def test_panels_that_show_properties_split_them() -> None:
    """By ``split(layout)`` or ``use_property_split``, in the file's draw functions that call ``prop``."""
    bare = []
    for path, tree in trees():
        for kind in (node for node in tree.body if isinstance(node, ast.ClassDef)):
            if not kind.name.startswith("WANSTAGE_PT_"):
                continue
            source = ast.unparse(kind)
            if re.search(r"\b(layout|column)\.prop\(", source) and not re.search(r"use_property_split|split\(", source):
                bare.append(f"{path.name}: {kind.name}")
    assert not bare


def test_icons_are_blenders(addon: Any) -> None:
    known = set(bpy.types.UILayout.bl_rna.functions["label"].parameters["icon"].enum_items.keys())
    wrong = [
        f"{path.name}: {icon}" for path, tree in trees() for icon in icons(tree) if icon not in known | LATER_ICONS
    ]
    assert not wrong


def trees() -> list[tuple[Path, ast.Module]]:
    return [(path, ast.parse(path.read_text(encoding="utf-8"))) for path in sorted(ADDON.rglob("*.py"))]


def icons(tree: ast.Module) -> list[str]:
    """Literals given as ``icon=``, and those of the tables that icons are taken from."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            for keyword in node.keywords:
                if keyword.arg == "icon":
                    found += [each.value for each in ast.walk(keyword.value)
                              if isinstance(each, ast.Constant) and isinstance(each.value, str)
                              and re.fullmatch(r"[A-Z0-9_]{2,}", each.value)]  # fmt: skip
        if isinstance(node, ast.Assign) and any(isinstance(at, ast.Name) and at.id == "ICONS" for at in node.targets):
            found += [each.value for each in getattr(node.value, "values", ()) if isinstance(each, ast.Constant)]
    return found


def drawn_properties() -> set[str]:
    """Names of properties that a panel shows by ``prop``."""
    return {
        node.args[1].value
        for path, tree in trees()
        if path.stem.endswith(("panel", "panels"))
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "prop" and len(node.args) > 1
        and isinstance(node.args[1], ast.Constant)
    }  # fmt: skip
