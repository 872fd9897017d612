"""What the add-on says, for those who translate it: ``python packaging/words.py`` with a Python that has bpy.

Prints every sentence and label that ``blender_addon/translations/`` has no words for, in the form of its tables;
``--unused`` prints what the tables have and nothing says any more; ``--all`` every sentence with the place it is from.
Names and descriptions are read from the registered classes, run-time sentences from the literals in the source:
arguments of ``tr``, ``noted`` and the setup's ``Said``, and ``text=`` and ``heading=`` of what panels draw.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ADDON = ROOT / "blender_addon"
DRAWN = {"text", "heading"}
SPOKEN = {"tr", "noted", "Said"}
A_WORD = re.compile(r"[A-Za-z]{2,}")
INHERITED = "Unique name used in the code and scripting"  # and more behind it: the name that every property group has
FIELD = re.compile(r"\{[^{}]*\}")


def sentences() -> dict[str, str]:
    """Every sentence -> where it is first said. The add-on must be registered."""
    found: dict[str, str] = {}
    for where, sentence in (*of_classes(), *of_source(ADDON)):
        if A_WORD.search(FIELD.sub("", sentence)):
            found.setdefault(sentence, where)
    return found


# ---- registered names and descriptions -----------------------------------------------------------------


def of_classes() -> Iterator[tuple[str, str]]:
    """Labels, tooltips and properties of the add-on's registered classes."""
    for kind in classes():
        where, rna = kind.__name__, kind.bl_rna
        if issubclass(kind, _bpy().types.Operator):
            rna = getattr(_bpy().ops.wanstage, kind.bl_idname.partition(".")[2]).get_rna_type()
            yield where, kind.bl_label
            yield where, rna.description
        elif issubclass(kind, (_bpy().types.Panel, _bpy().types.Menu)):
            yield where, kind.bl_label
            yield where, getattr(kind, "bl_description", "")
        names = {name for base in kind.__mro__ for name in getattr(base, "__annotations__", ())}
        yield from of_properties(where, [each for each in rna.properties if each.identifier in names])
    own = [each for each in _bpy().types.WindowManager.bl_rna.properties if each.identifier.startswith("wanstage")]
    yield from of_properties("WindowManager", own)


def of_properties(where: str, properties: list[Any]) -> Iterator[tuple[str, str]]:
    """Names, descriptions and fixed enum items; hidden properties are nobody's."""
    for each in properties:
        if each.is_hidden or each.description.startswith(INHERITED):
            continue
        if each.name != each.identifier:
            yield f"{where}.{each.identifier}", each.name
        yield f"{where}.{each.identifier}", each.description
        for item in getattr(each, "enum_items_static", ()) if each.type == "ENUM" else ():
            yield f"{where}.{each.identifier}.{item.identifier}", item.name
            yield f"{where}.{each.identifier}.{item.identifier}", item.description


def classes() -> list[type]:
    """The registered classes of the add-on, by name."""
    found = {
        name: kind
        for module in modules()
        for name, kind in inspect.getmembers(module, inspect.isclass)
        if name.startswith("WANSTAGE_") and getattr(kind, "is_registered", False)
    }
    return [found[name] for name in sorted(found)]


def modules() -> list[Any]:
    """All modules of the add-on that run inside Blender."""
    package = importlib.import_module("blender_addon")
    names = [info.name for info in pkgutil.walk_packages(package.__path__, "blender_addon.")]
    outside = ("blender_addon.setup.", "blender_addon.protocol")
    return [importlib.import_module(name) for name in names if not name.startswith(outside)]


def _bpy() -> ModuleType:
    return importlib.import_module("bpy")


# ---- run-time sentences --------------------------------------------------------------------------------


def of_source(folder: Path) -> Iterator[tuple[str, str]]:
    """Literals that are said or drawn, in the order of the files."""
    for path in sorted(folder.rglob("*.py")):
        if "translations" in path.parts:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                for literal in of_call(node):
                    yield f"{path.relative_to(folder).as_posix()}:{node.lineno}", literal


def of_call(node: ast.Call) -> Iterator[str]:
    """The sentence of ``tr``, ``noted`` and ``Said``; texts of a layout's widgets."""
    name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
    if name in SPOKEN and node.args:
        yield from literals(node.args[0])
    if isinstance(node.func, ast.Attribute):
        for keyword in node.keywords:
            if keyword.arg in DRAWN:
                yield from literals(keyword.value)


def literals(node: ast.expr) -> Iterator[str]:
    """A literal, or both of ``a if x else b``."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from literals(node.body)
        yield from literals(node.orelse)


def main() -> None:
    """Print what is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--all", action="store_true", help="every sentence, with the place it is from")
    parser.add_argument("--unused", action="store_true", help="what the tables have and nothing says")
    asked = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    addon = importlib.import_module("blender_addon")
    addon.register()
    said = sentences()
    addon.unregister()
    for language, table in importlib.import_module("blender_addon.translations").LANGUAGES.items():
        if asked.unused:
            lines = [f"{sentence!r}," for sentence in table if sentence not in said]
        elif asked.all:
            lines = [f"{sentence!r}: {table.get(sentence, '')!r},  # {said[sentence]}" for sentence in said]
        else:
            lines = [f'{sentence!r}: "",  # {where}' for sentence, where in said.items() if sentence not in table]
        sys.stdout.write("".join(f"{line}\n" for line in (f"# {language}: {len(lines)}", *lines)))


if __name__ == "__main__":
    main()
