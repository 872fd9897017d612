"""The zips and the listing that the build makes: the same bytes every time, and a repository that Blender reads."""

from __future__ import annotations

import functools
import http.server
import json
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

ROOT = Path(__file__).resolve().parents[3]
NAMES = ("wanstage-0.1.0.zip", "wanstage-0.1.0-classic.zip", "index.json")

INSTALL = """
import os, sys, bpy
bpy.context.preferences.system.use_online_access = True
repos = bpy.context.preferences.extensions.repos
repo = repos.new(name="Ours", module="ours", custom_directory="", remote_url=sys.argv[1])
at = next(index for index, item in enumerate(repos) if item.module == "ours")
bpy.ops.extensions.repo_sync(repo_index=at)
bpy.ops.extensions.package_install(repo_index=at, pkg_id="wanstage", enable_on_install=True)
module = sys.modules["bl_ext.ours.wanstage"]
assert bpy.ops.wanstage.connect.poll()
print("INSTALLED", module.VERSION)
sys.stdout.flush()
os._exit(0)
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``one`` and ``two``: two builds of this system's zips."""
    python = os.environ.get("WANSTAGE_BACKEND_PYTHON") or str(ROOT / ".envs" / "test" / "bin" / "python")
    if not Path(python).is_file():
        pytest.skip(f"no Python to build with at {python}: set WANSTAGE_BACKEND_PYTHON")
    folder = tmp_path_factory.mktemp("built")
    script, wheels = ROOT / "packaging" / "build_extension.py", ROOT / "dist" / "wheels"
    for name in ("one", "two"):
        command = [python, str(script), "--host-only", "--out", str(folder / name), "--wheels", str(wheels)]
        subprocess.run(command, check=True)
    return folder


def blender_ext(*words: str) -> str:
    """Blender's own command for extensions; its output. Fails the test when it fails."""
    tool = Path(bpy.utils.system_resource("SCRIPTS")) / "addons_core" / "bl_pkg" / "cli" / "blender_ext.py"
    done = subprocess.run([sys.executable, str(tool), *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def address(built: Path) -> Iterator[str]:
    """The build's folder on a web server of this machine."""
    serve = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(built / "one"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/index.json"
        server.shutdown()


def test_the_same_sources_give_the_same_bytes(built: Path) -> None:
    for name in NAMES:
        assert (built / "one" / name).read_bytes() == (built / "two" / name).read_bytes(), name


def test_the_zip_carries_the_backend(built: Path) -> None:
    for name, prefix in ((NAMES[0], ""), (NAMES[1], "wanstage/")):
        with zipfile.ZipFile(built / "one" / name) as zipped:
            names = zipped.namelist()
        assert f"{prefix}setup/payload/wanstage-0.1.0-py3-none-any.whl" in names
        assert f"{prefix}setup/payload/constraints.txt" in names
        assert f"{prefix}setup/__main__.py" in names


def test_the_setup_runs_from_the_zip(built: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(built / "one" / NAMES[0]) as zipped:
        zipped.extractall(tmp_path / "addon")
    words = [sys.executable, "-E", "-s", "-B", "-m", "setup", "plan", "--root", str(tmp_path / "root")]
    done = subprocess.run(words, cwd=tmp_path / "addon", capture_output=True, text=True, check=False)
    end = json.loads(done.stdout.splitlines()[-1])
    assert (end["type"], end["result"]["version"]) == ("done", "0.1.0"), done.stdout + done.stderr
    assert not (tmp_path / "root").exists()


def test_the_listing_is_what_blender_would_write(built: Path, tmp_path: Path) -> None:
    (tmp_path / NAMES[0]).write_bytes((built / "one" / NAMES[0]).read_bytes())
    blender_ext("server-generate", "--repo-dir", str(tmp_path))
    assert (tmp_path / "index.json").read_text() == (built / "one" / "index.json").read_text()


def test_blender_lists_the_repository_from_a_web_server(address: str, tmp_path: Path) -> None:
    out = blender_ext("list", "--remote-url", address, "--local-dir", str(tmp_path))
    assert "wanstage(0.1.0)" in out


def test_blender_installs_from_the_repository(address: str, tmp_path: Path) -> None:
    script = tmp_path / "install.py"
    script.write_text(INSTALL)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("WANSTAGE_", "PYTHON"))}
    environment.update(BLENDER_USER_RESOURCES=str(tmp_path / "user"), HOME=str(tmp_path))
    done = subprocess.run(
        [sys.executable, str(script), address], cwd=tmp_path, env=environment, capture_output=True, text=True,
        timeout=100, check=False,
    )  # fmt: skip
    assert "INSTALLED 0.1.0" in done.stdout, done.stdout[-3000:] + done.stderr[-3000:]
