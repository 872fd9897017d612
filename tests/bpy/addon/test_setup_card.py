"""The setup from inside Blender: the card, its operators, a whole draft-only setup with the real package index."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")


@pytest.fixture
def root(addon: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A setup folder of the test's own, and nothing known of a backend."""
    from blender_addon import setup_run

    monkeypatch.setenv("WANSTAGE_SETUP", str(tmp_path / "setup"))
    monkeypatch.delenv("WANSTAGE_BACKEND_PYTHON", raising=False)
    monkeypatch.setattr(setup_run, "card", setup_run.Card())
    monkeypatch.setattr("blender_addon.compat.online_allowed", lambda: True)
    yield tmp_path / "setup"
    if setup_run.card.running is not None and setup_run.card.running.process is not None:
        setup_run.card.running.process.kill()
        setup_run.card.running.process.wait(10)


class Sheet:
    """A layout that writes down what is drawn."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def label(self, text: str = "", **_options: Any) -> None:
        self.told.append(text)

    def operator(self, name: str, text: str = "", **_options: Any) -> Any:
        self.told.append(f"[{text or name}]")
        return type("Told", (), {})()

    def prop(self, _data: Any, name: str, **_options: Any) -> None:
        self.told.append(f"({name})")

    def progress(self, factor: float, text: str) -> None:
        self.told.append(f"{factor:.2f} {text}")

    def row(self, **_options: Any) -> Sheet:
        return self

    column = row


def ask(command: str, *options: str) -> None:
    """Run it to its end, as the operators start it."""
    from blender_addon import preferences, pump, setup_run
    from blender_addon.setup import machine

    setup_run.start(command, preferences.settings().data, machine.default_root(), *options)
    assert pump.pump(lambda: setup_run.card.running is None, 30)


def drawn(name: str) -> str:
    """The panel's text, as its own code draws it."""
    sheet = Sheet()
    panel = getattr(bpy.types, name)
    panel.draw(type("Panel", (), {"layout": sheet})(), bpy.context)
    return " ".join(sheet.told)


def test_the_card_is_there_while_no_backend_is_known(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = bpy.types.WANSTAGE_PT_setup
    assert card.poll(bpy.context)
    assert not bpy.types.WANSTAGE_PT_local.poll(bpy.context)
    text = drawn("WANSTAGE_PT_setup")
    assert "No backend is set up on this machine yet" in text
    assert "[Set Up]" in text
    monkeypatch.setenv("WANSTAGE_BACKEND_PYTHON", "/usr/bin/python3")
    assert not card.poll(bpy.context)
    assert not root.exists()


def test_the_plan_comes_first_and_loads_nothing(root: Path) -> None:
    assert bpy.ops.wanstage.setup(ask=True, wait=30) == {"FINISHED"}
    text = drawn("WANSTAGE_PT_setup")
    assert "Makes an environment of its own" in text
    assert "[Install]" in text
    assert not root.exists()
    assert bpy.ops.wanstage.setup_back() == {"FINISHED"}
    assert "[Set Up]" in drawn("WANSTAGE_PT_setup")


def test_a_chinese_panel_tells_the_plan_and_the_problem(root: Path, chinese: None, refused: Any) -> None:
    """The setup's own process says them; what is the machine's (folders, versions, errors) stays as it is."""
    from blender_addon import setup_run

    assert bpy.ops.wanstage.setup(ask=True, wait=30) == {"FINISHED"}
    text = drawn("WANSTAGE_PT_setup").replace(" ", "")
    assert f"在{root}中建立独立环境：不会向Blender安装任何内容" in text
    assert "将安装此源码目录的后端（仅草稿引擎）" in text
    assert "约需下载180MB，之后约占用磁盘600MB" in text
    assert setup_run.card.plan is not None
    assert setup_run.card.plan["sentences"][0].startswith("Makes an environment of its own"), "told in English"

    none = str(root / "none")
    assert f"{none} 不是能在此运行的 Python（FileNotFoundError）：请安装 uv，或" in refused(
        bpy.ops.wanstage.setup, ask=True, python=none, wait=30
    )
    assert "不是能在此运行的Python" in drawn("WANSTAGE_PT_setup").replace(" ", "")
    ask("remove")
    assert f"{root}中没有Wanstage的安装：没有移除任何内容" in drawn("WANSTAGE_PT_setup").replace(" ", "")


def test_a_chinese_panel_tells_the_progress_and_the_record(
    root: Path, chinese: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from blender_addon import setup_run
    from blender_addon.setup.record import Record
    from blender_addon.setup.said import Said, apart

    running = setup_run.card.running = setup_run.Running("install", root, root, None, 0)
    for text, shown in (
        (Said("Loading {name} {version}", name="torch", version="2.13.0"), "下载 torch 2.13.0"),
        ("Loading torch 2.13.0", "Loading torch 2.13.0"),  # as an older setup tells it
    ):
        told = {"type": "progress", "stage": "torch", "text": text, "total": 3 << 20, "done": 2 << 20}
        running._take(json.dumps(apart(told)).encode())
        assert shown in drawn("WANSTAGE_PT_setup")
    told = {"type": "problem", "sentence": Said("{what} failed ({reason}): try again, or copy the log and ask",
                                                what=Said("Updating pip"), reason="ERROR: no")}  # fmt: skip
    running._take(json.dumps(apart(told)).encode())
    setup_run._finish(running, running.end)
    assert "更新pip失败（ERROR:no）：请重试，或复制日志求助" in drawn("WANSTAGE_PT_setup").replace(" ", "")

    label = Said("PyTorch with CUDA {version} for {card}", version="13.0", card="RTX 4090")
    found = Record(choice="wan", version="0.1.0", maker="uv", torch=label, finished=True)
    monkeypatch.setattr(setup_run, "known", lambda: found)
    assert "PyTorch（CUDA13.0），用于RTX4090" in drawn("WANSTAGE_PT_local").replace(" ", "")
    found.torch = "PyTorch with CUDA 13.0 for RTX 4090"
    assert "PyTorch with CUDA 13.0 for RTX 4090" in drawn("WANSTAGE_PT_local")


def test_offline_is_said_before_anything(root: Path, refused: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blender_addon.compat.online_allowed", lambda: False)
    said = refused(bpy.ops.wanstage.setup)
    assert said.startswith("The setup loads the backend's packages and Blender may not use the network: switch on")
    monkeypatch.setattr("blender_addon.compat.offline_forced", lambda: True)
    assert "--offline-mode" in refused(bpy.ops.wanstage.setup_repair)
    assert not root.exists()
    assert bpy.ops.wanstage.setup(ask=True, wait=30) == {"FINISHED"}, "looking needs no network"


def test_problems_are_sentences(root: Path, refused: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    said = refused(bpy.ops.wanstage.setup, folder=str(tmp_path / "file" / "deeper"), wait=30)
    assert "cannot be written" in said
    said = refused(bpy.ops.wanstage.setup, python=str(tmp_path / "file"), wait=30)
    assert "is not a Python that runs here" in said
    said = refused(bpy.ops.wanstage.setup_remove, wait=30)
    assert "nothing was removed" in said
    assert bpy.ops.wanstage.setup_copy_log.poll()


def test_a_remote_backend_is_connected_by_its_file(root: Path, backend: Any, refused: Any) -> None:
    from blender_addon import pump, state

    assert "connection file" in refused(bpy.ops.wanstage.connect_remote, filepath=str(root / "none.json"))
    assert bpy.ops.wanstage.connect_remote(filepath=str(backend.file)) == {"FINISHED"}
    assert pump.pump(lambda: state.now.connected, 20)
    assert not bpy.types.WANSTAGE_PT_setup.poll(bpy.context)
    assert not bpy.ops.wanstage.setup_remove.poll()


@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the backend outlives its Popen
def test_a_whole_setup(root: Path, refused: Any, tmp_path: Path) -> None:
    """Cancelled while it loads, gone on with, connected to, repaired, removed."""
    from blender_addon import preferences, pump, setup_run, state

    assert bpy.ops.wanstage.setup() == {"FINISHED"}
    assert not bpy.ops.wanstage.setup.poll(), "one at a time"
    running = setup_run.card.running
    assert pump.pump(lambda: running.progress.stage == "packages" and running.progress.done > 0, 120)
    assert "[wanstage.setup_cancel]" in drawn("WANSTAGE_PT_setup")
    assert bpy.ops.wanstage.setup_cancel() == {"FINISHED"}
    assert pump.pump(lambda: setup_run.card.running is None, 30)
    assert setup_run.card.sentence.startswith("Cancelled")
    assert "[Go On with the Setup]" in drawn("WANSTAGE_PT_setup")

    assert bpy.ops.wanstage.setup(wait=200) == {"FINISHED"}
    result = setup_run.card.result
    assert result["round_trip"]["ok"]
    assert result["draft"]["frames"] == 5
    assert "Draft made 5 frames" in drawn("WANSTAGE_PT_setup").replace("  ", " ")
    assert preferences.settings().python == preferences.backend_python() == result["python"]
    assert bpy.ops.wanstage.connect(wait=40) == {"FINISHED"}
    assert {each.name for each in state.now.welcome.engines} >= {"draft"}
    assert "[Add the Wan Models]" in drawn("WANSTAGE_PT_local")
    assert bpy.ops.wanstage.disconnect() == {"FINISHED"}
    assert bpy.ops.wanstage.setup_copy_log() == {"FINISHED"}

    assert bpy.ops.wanstage.setup_remove(wait=60) == {"FINISHED"}
    assert setup_run.card.sentence.startswith("Removed: ")
    assert not root.exists()
    assert preferences.backend_python() == ""
    assert not [name for name in os.listdir(tmp_path / "data") if name == "setup.cancel"]
