"""What Blender's extension moderators search an add-on's sources for, each place explained or refused.

The list is theirs: ``__file__``, ``sys.path``, processes, network, evaluated text, ``online_access``, ``bl_info``,
absolute imports of the add-on's own package, ``bl_idname`` by name. A new place fails here until it is explained.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NETWORK = frozenset(
    {"socket", "ssl", "http", "urllib", "requests", "ftplib", "smtplib", "asyncio", "webbrowser", "zmq"}
)
PROCESS = frozenset({"subprocess", "multiprocessing", "ctypes"})
EVALUATED = frozenset({"exec", "eval", "compile", "__import__", "input"})
RISKY = frozenset({"pickle", "marshal", "shelve", "pip", "ensurepip", "site", "runpy", "code"})
OWN = "runs as a process of its own, started by the user's click on Set Up"

ALLOWED = {
    "network": {
        "launch.py": "asks the port of a backend on this machine whether it is there",
        "setup/packages.py": f"the size of a package before it is loaded; {OWN}",
        "remote.py": "this machine's own name, which a backend that is paired with writes down; no connection",
        "protocol/pairing.py": "the connection that the user's click on Pair makes",
        "protocol/pairing_code.py": "zmq's own text form of keys; no connection",
        "protocol/client.py": "the connection that the user's click on Connect makes",
        "protocol/link.py": "as protocol/client.py",
    },
    "process": {
        "launch.py": "starts the backend of this machine; asks Windows whether it runs",
        "setup_run.py": "starts the setup, when the user clicks on Set Up",
        "setup/machine.py": f"asks the graphics card's own tool; {OWN}",
        "setup/process.py": f"pip or uv; {OWN}",
        "setup/pythons.py": f"asks a Python for its version; {OWN}",
        "setup/trial.py": f"the first round trip; {OWN}",
    },
    "__file__": {
        "capture/bonemap.py": "reads the bone maps that the extension brings",
        "retarget/rig.py": "reads the maps of known rigs, as capture/bonemap.py",
        "setup/payload.py": f"reads the backend's wheel that the extension brings; {OWN}",
        "setup_run.py": "the folder that the setup's process starts in",
    },
    "online_access": {"compat.py": "the one place that asks; used before each connection and before the setup"},
}


def sources() -> Iterator[tuple[str, ast.Module]]:
    """(name inside the zip, syntax tree) of every Python file that the extension has."""
    for folder, prefix in ((ROOT / "blender_addon", ""), (ROOT / "protocol", "protocol/")):
        for path in sorted(folder.rglob("*.py")):
            name = prefix + path.relative_to(folder).as_posix()
            yield name, ast.parse(path.read_text(encoding="utf-8"), name)


def imported(tree: ast.Module) -> set[str]:
    """First parts of what is imported absolutely."""
    found = {
        alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    return found | {
        (node.module or "").split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and not node.level
    }


def called(tree: ast.Module) -> set[str]:
    return {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}


def named(tree: ast.Module) -> set[str]:
    """Names, attributes as "owner.attribute" and as ".attribute", and texts."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(f".{node.attr}")
            found.add(f"{node.value.id}.{node.attr}" if isinstance(node.value, ast.Name) else "")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
    return found


SEEN = [(name, tree, imported(tree), called(tree), named(tree)) for name, tree in sources()]


def places(what: str) -> set[str]:
    """Files that have it."""
    tests = {
        "network": lambda imports, calls, names: bool(imports & NETWORK),
        "process": lambda imports, calls, names: bool(imports & PROCESS) or {"os.system", "os.startfile"} & names,
        "__file__": lambda imports, calls, names: "__file__" in names,
        "online_access": lambda imports, calls, names: {".online_access", "online_access"} & names,
        "evaluated": lambda imports, calls, names: bool(calls & EVALUATED),
        "risky": lambda imports, calls, names: bool(imports & RISKY),
        "path": lambda imports, calls, names: {"sys.path", "sys.modules", "os.execv", "site.addsitedir"} & names,
        "own name": lambda imports, calls, names: "blender_addon" in imports or "wanstage" in imports,
        "bl_info": lambda imports, calls, names: "bl_info" in names,
    }
    return {name for name, _, imports, calls, names in SEEN if tests[what](imports, calls, names)}


@pytest.mark.parametrize("what", ALLOWED)
def test_each_place_is_explained(what: str) -> None:
    assert places(what) == set(ALLOWED[what])
    assert all(len(reason) > 20 for reason in ALLOWED[what].values())


@pytest.mark.parametrize("what", ["evaluated", "risky", "path", "own name", "bl_info"])
def test_what_is_nowhere(what: str) -> None:
    assert places(what) == set()


def test_preferences_are_found_by_the_package() -> None:
    """``bl_idname = __package__``: as an extension the add-on's module has another name."""
    found = [
        ast.unparse(node.value)
        for _, tree, *_ in SEEN
        for owner in ast.walk(tree)
        if isinstance(owner, ast.ClassDef)
        and any(ast.unparse(base).endswith("AddonPreferences") for base in owner.bases)
        for node in owner.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "bl_idname"
    ]
    assert found == ["__package__"]


def test_import_of_backend_and_models_is_nowhere() -> None:
    """The extension stands alone: what it brings, Blender and its own wheels."""
    foreign = {
        (name, module) for name, _, imports, *_ in SEEN for module in imports & {"backend", "wan_models", "torch"}
    }
    assert foreign == set()


def test_the_manifest_is_what_moderators_ask_for() -> None:
    import tomllib

    told = tomllib.loads((ROOT / "blender_addon" / "blender_manifest.toml").read_text(encoding="utf-8"))
    assert "blender" not in told["name"].lower()
    assert len(told["tagline"]) <= 64
    assert not told["tagline"].endswith(".")
    assert set(told["permissions"]) == {"network", "files"}
    assert all(len(reason) <= 64 and not reason.endswith(".") for reason in told["permissions"].values())
    assert told["license"] == ["SPDX:GPL-3.0-or-later"]
