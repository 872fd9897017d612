"""The extension zip, built and installed the way Blender installs extensions, in a Blender of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

ROOT = Path(__file__).resolve().parents[3]
SETUP_SPAWNS = ("machine", "process", "pythons", "trial")

INSTALL = """
import os, sys, bpy
bpy.ops.extensions.package_install_files(filepath=sys.argv[1], repo="user_default", enable_on_install=True)
module = sys.modules["bl_ext.user_default.wanstage"]
import zmq, msgspec
from bl_ext.user_default.wanstage import preferences, wire
assert "extensions" in zmq.__file__ or "site-packages" in zmq.__file__
assert wire.specs.__name__ == "bl_ext.user_default.wanstage.protocol.specs", wire.specs.__name__
assert wire.client.Client
assert "wanstage" in str(preferences.settings().data), preferences.settings()
assert bpy.ops.wanstage.connect.poll()
assert not bpy.ops.wanstage.generate.poll()
bpy.ops.preferences.addon_disable(module="bl_ext.user_default.wanstage")
assert not hasattr(bpy.types.Scene, "wanstage")
print("INSTALLED", preferences.settings().data)
sys.stdout.flush()
os._exit(0)
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zip of run.py's last build, else one made here."""
    built = sorted((ROOT / "dist").glob("wanstage-[0-9.]*.zip"))
    newest = max(path.stat().st_mtime for path in (ROOT / "blender_addon").rglob("*.py"))
    if built and built[-1].stat().st_mtime > newest:
        return built[-1]
    python = os.environ.get("WANSTAGE_BACKEND_PYTHON") or str(ROOT / ".envs" / "test" / "bin" / "python")
    if not Path(python).is_file():
        pytest.skip("no zip in dist and no Python to build one: run 'python3 run.py extension'")
    out = tmp_path_factory.mktemp("dist")
    command = [python, str(ROOT / "packaging" / "build_extension.py"), "--host-only", "--out", str(out)]
    subprocess.run(command, check=True)
    return next(path for path in out.glob("wanstage-*.zip") if "classic" not in path.name)


def test_blender_finds_the_zip_valid(package: Path) -> None:
    scripts = Path(bpy.utils.system_resource("SCRIPTS"))
    tool = scripts / "addons_core" / "bl_pkg" / "cli" / "blender_ext.py"
    done = subprocess.run(
        [sys.executable, str(tool), "validate", str(package)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert package.stat().st_size < 100e6, "the most that extensions may have"


def test_installs_and_registers(package: Path, tmp_path: Path) -> None:
    script = tmp_path / "install.py"
    script.write_text(INSTALL)
    environment = {**os.environ, "BLENDER_USER_RESOURCES": str(tmp_path / "user"), "HOME": str(tmp_path)}
    environment = {name: value for name, value in environment.items() if not name.startswith("WANSTAGE_")}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [sys.executable, str(script), str(package)], cwd=tmp_path, env=environment, capture_output=True, text=True,
        timeout=100, check=False,
    )  # fmt: skip
    assert "INSTALLED" in done.stdout, done.stdout[-3000:] + done.stderr[-3000:]


def test_what_moderators_look_for(package: Path) -> None:
    """Nothing put into Blender's own Python, no path tricks, nothing evaluated, no network of ours outside ``setup``,
    which runs as a process of its own; subprocess only where that, the backend and its environment are started."""
    forbidden = re.compile(r"sys\.path|\beval\(|\bexec\(|import requests|\bpickle\b")
    elsewhere = re.compile(r"urllib|ensurepip|\bpip\b.*install")
    with zipfile.ZipFile(package) as zipped:
        sources = [name for name in zipped.namelist() if name.endswith(".py")]
        found = {name: forbidden.findall(zipped.read(name).decode()) for name in sources}
        outside = [name for name in sources if not name.startswith("setup/")]
        found.update({name: hits for name in outside if (hits := elsewhere.findall(zipped.read(name).decode()))})
        spawning = [name for name in sources if b"import subprocess" in zipped.read(name)]
        assert "bl_info" not in zipped.read("__init__.py").decode()
    assert {name: hits for name, hits in found.items() if hits} == {}
    assert set(spawning) == {"launch.py", "setup_run.py", *(f"setup/{name}.py" for name in SETUP_SPAWNS)}
