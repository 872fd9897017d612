"""The add-on registered in an empty file, a shot to capture, and a real backend process."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

ROOT = Path(__file__).resolve().parents[3]


def backend_python() -> str:
    """The Python that has the backend: run.py names it, a checkout keeps it in .envs."""
    found = os.environ.get("WANSTAGE_BACKEND_PYTHON") or str(ROOT / ".envs" / "test" / "bin" / "python")
    if not Path(found).is_file():
        pytest.skip(f"no backend Python at {found}: set WANSTAGE_BACKEND_PYTHON")
    return found


@pytest.fixture
def addon(empty_file: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Registered; its data goes to tmp_path."""
    import blender_addon

    monkeypatch.setenv("WANSTAGE_DATA", str(tmp_path / "data"))
    blender_addon.register()
    yield blender_addon
    blender_addon.unregister()


@pytest.fixture
def shot(addon: Any) -> Any:
    """A scene of 9 frames at 16 a second, 128 x 64, a camera that looks at a cube; the test engine."""
    scene = bpy.context.scene
    scene.render.fps, scene.frame_start, scene.frame_end = 16, 1, 9
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    camera.location = (0, 0, 6)
    scene.collection.objects.link(camera)
    scene.camera = camera
    mesh = bpy.data.meshes.new("Box")
    mesh.from_pydata([(-1, -1, 0), (1, -1, 0), (1, 1, 0), (-1, 1, 0)], [], [(0, 1, 2, 3)])
    scene.collection.objects.link(bpy.data.objects.new("Box", mesh))
    own = scene.wanstage
    own.size, own.width, own.height, own.engine, own.model, own.task = "CUSTOM", 128, 64, "test", "test", "i2v"
    return scene


class Backend:
    """A ``wanstage serve`` process, with the test engine if not told otherwise."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder, self.options = folder, options or ("--test-engine",)
        self.file = folder / "connection.json"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait for the ready line."""
        self.folder.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [backend_python(), "-m", "backend.cli", "serve", "--data", str(self.folder), "--connection-file",
                   str(self.file), *self.options]  # fmt: skip
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, env=environment)
        assert self.process.stdout is not None
        assert json.loads(self.process.stdout.readline()), (self.folder / "log").read_text()

    def stop(self) -> None:
        """End it and wait."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(20)
            self.process.stdout.close()
            self.process = None


@pytest.fixture(scope="session")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """One for all tests of the run."""
    made = Backend(tmp_path_factory.mktemp("backend"))
    made.start()
    yield made
    made.stop()


MAKE_TINY = """
import sys
from pathlib import Path
from wan_models.weights.tiny import make_tiny
make_tiny(Path(sys.argv[1]), sys.argv[2:])
"""


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tiny checkpoints of the video models, in the released layout; only read."""
    folder = tmp_path_factory.mktemp("models")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [backend_python(), "-c", MAKE_TINY, str(folder), "wan2.2-animate-14b", "wan2.2-i2v-a14b",
               "wan2.2-ti2v-5b", "wan2.2-s2v-14b"]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


@pytest.fixture(scope="module")
def wan_backend(tmp_path_factory: pytest.TempPathFactory, tiny_models: Path) -> Iterator[Backend]:
    """A backend whose video models are tiny checkpoints in the released layout."""
    made = Backend(tmp_path_factory.mktemp("wan"), "--models", str(tiny_models), "--workers", "cpu:1", "--offline")
    made.start()
    yield made
    made.stop()


@pytest.fixture
def connected(shot: Any, backend: Backend) -> Any:
    """The shot's scene with the add-on connected to the real backend."""
    from blender_addon import state

    assert bpy.ops.wanstage.connect(connection_file=str(backend.file)) == {"FINISHED"}
    assert state.now.connected
    return shot


@pytest.fixture
def chinese(addon: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Blender that is set to Simplified Chinese; the bpy module has no languages, so its look-up is ours."""
    from blender_addon import translations, words

    table = translations.tables()["zh_HANS"]
    look_up = type("Translations", (), {"pgettext_iface": lambda said, context: table.get((context, said), said)})
    app = type("App", (), {"translations": look_up})
    monkeypatch.setattr(words, "bpy", type("Blender", (), {"app": app}))


@pytest.fixture
def refused() -> Callable[..., str]:
    """Calls an operator that must fail and returns its sentence."""

    def call(operator: Any, **options: Any) -> str:
        with pytest.raises(RuntimeError) as caught:
            operator(**options)
        return str(caught.value).removeprefix("Error: ").strip()

    return call
