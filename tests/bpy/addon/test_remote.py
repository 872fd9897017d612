"""A code pasted into the panel: paired, connected over TCP, remembered; nothing secret is anywhere it should not be."""

from __future__ import annotations

import json
import logging
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

from .conftest import ROOT, Backend, backend_python  # noqa: E402 (bpy first)
from .test_setup_card import drawn  # noqa: E402

Refused = Callable[..., str]


def command(backend: Backend, *arguments: str) -> str:
    done = subprocess.run(
        [backend_python(), "-m", "backend.cli", *arguments, "--data", str(backend.folder)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def offer(backend: Backend, *options: str) -> str:
    return str(json.loads(command(backend, "pair", "--json", *options))["code"])


@pytest.fixture
def machine(addon: Any, shot: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """As of Blender with the network off: loopback is always allowed."""
    monkeypatch.setattr("blender_addon.compat.online_allowed", lambda: False)
    return shot


def test_a_pasted_code(
    machine: Any,
    backend: Backend,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from blender_addon import pump, remote, state, wire

    monkeypatch.setenv("BLENDER_USER_CONFIG", str(tmp_path / "config"))
    caplog.set_level(logging.DEBUG)
    line = offer(backend, "--name", "anna")
    secret = wire.pairing_code.read(line).secret
    bpy.context.window_manager.wanstage_code = line
    assert remote.now.sentence == ""
    _save_holds(tmp_path / "pasted.blend", line, secret)
    assert bpy.ops.wanstage.pair() == {"FINISHED"}
    assert state.now.connected
    assert bpy.context.window_manager.wanstage_code == ""
    (name,) = remote.names(tmp_path / "data")
    file = tmp_path / "data" / "backends" / f"{name}.json"
    assert file.stat().st_mode & 0o777 == 0o600
    told = wire.connection.read(file)
    assert told.endpoint.startswith("tcp://127.0.0.1:")
    text = drawn("WANSTAGE_PT_remote")
    assert f"[{name}]" in text
    assert f"Connected to {name}" in drawn("WANSTAGE_PT_connection")
    assert bpy.ops.wanstage.generate() == {"FINISHED"}
    take = machine.wanstage.takes[0]
    assert pump.run_until([take.job_id], 60)
    assert machine.wanstage.takes[0].state == "finished"
    secrets = (line, secret, told.client_secret, told.client_key, told.server_key)
    _save_holds(tmp_path / "after.blend", *secrets)
    _preferences_hold(tmp_path, *secrets)
    assert not any(each in caplog.text for each in (line, secret, told.client_secret))
    logs = (backend.folder / "log").read_text() + (backend.folder / "logs" / "server.log").read_text()
    assert not any(each in logs for each in (line, secret, told.client_secret))
    command(backend, "unpair", "anna")
    assert pump.pump(lambda: state.now.client is None, 20) or state.now.client is None
    assert "pair" in state.now.sentence
    assert bpy.ops.wanstage.forget_backend(name=name) == {"FINISHED"}
    assert not file.exists()


def _save_holds(path: Path, *secrets: str) -> None:
    """None of them is in a saved file."""
    bpy.ops.wm.save_as_mainfile(filepath=str(path), compress=False, copy=True)
    data = path.read_bytes()
    assert not any(each.encode() in data for each in secrets)


def _preferences_hold(folder: Path, *secrets: str) -> None:
    """None of them is in the user's preferences or start-up file."""
    bpy.ops.wm.save_userpref()
    found = [path for path in (folder / "config").rglob("*") if path.is_file()]
    assert "userpref.blend" in [path.name for path in found]
    for path in found:
        data = path.read_bytes()
        assert not any(each.encode() in data for each in secrets), path


def test_two_backends_and_back_to_this_machine(
    machine: Any, backend: Backend, refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from blender_addon import preferences, remote, state

    other = Backend(tmp_path / "other", "--test-engine", "--workers", "cpu:1")
    other.start()
    try:
        assert bpy.ops.wanstage.pair(code=offer(backend)) == {"FINISHED"}
        assert bpy.ops.wanstage.pair(code=offer(other)) == {"FINISHED"}
        first, second = remote.names(tmp_path / "data")
        assert second == f"{first}-2", "two backends of one machine"
        assert preferences.chosen() == second
        at_second = state.now.welcome.server_id
        assert bpy.ops.wanstage.use_backend(name=first) == {"FINISHED"}
        assert state.now.connected
        assert state.now.welcome.server_id != at_second
        assert "No backend of the name nobody" in refused(bpy.ops.wanstage.use_backend, name="nobody")
    finally:
        other.stop()
    bpy.ops.wanstage.disconnect()
    file = tmp_path / "data" / "backends" / f"{second}.json"
    assert "No backend answers for" in refused(bpy.ops.wanstage.use_backend, name=second)
    assert file.is_file(), "a backend that is off is not forgotten, and none is started in its place"
    monkeypatch.setenv("WANSTAGE_CONNECTION", str(backend.file))
    assert bpy.ops.wanstage.use_backend(name="") == {"FINISHED"}
    assert preferences.chosen() == ""
    assert state.now.connected


@pytest.mark.parametrize(
    "spoilt",
    [
        (lambda _: "hello", "This is no pairing code"),
        (lambda line: line[:-30], "cut off"),
        (lambda line: line[:60] + ("a" if line[60] != "a" else "b") + line[61:], "mistyped"),
    ],
    ids=["none", "cut", "mistyped"],
)
def test_damaged_codes_need_no_network(
    machine: Any, backend: Backend, refused: Refused, monkeypatch: pytest.MonkeyPatch, spoilt: tuple[Any, str]
) -> None:
    from blender_addon import remote

    spoil, sentence = spoilt

    line = offer(backend)
    monkeypatch.setattr(remote, "begin", lambda *_: pytest.fail("the network was used"))
    bpy.context.window_manager.wanstage_code = spoil(line)
    assert sentence in remote.now.sentence, "told as soon as it is pasted"
    assert sentence in refused(bpy.ops.wanstage.pair)
    assert sentence in drawn("WANSTAGE_PT_remote")


def test_a_used_code_has_its_sentence(machine: Any, backend: Backend, refused: Refused) -> None:
    line = offer(backend)
    assert bpy.ops.wanstage.pair(code=line) == {"FINISHED"}
    bpy.ops.wanstage.disconnect()
    assert "used already" in refused(bpy.ops.wanstage.pair, code=line)


def test_another_machine_needs_the_network(
    machine: Any, backend: Backend, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = offer(backend, "--host", "192.0.2.7")
    said = refused(bpy.ops.wanstage.pair, code=line)
    assert "192.0.2.7" in said
    assert "switch on Allow Online Access" in said
    monkeypatch.setattr("blender_addon.compat.offline_forced", lambda: True)
    assert "--offline-mode" in refused(bpy.ops.wanstage.pair, code=line)
    both = offer(backend, "--host", "192.0.2.7", "--host", "127.0.0.1")
    assert bpy.ops.wanstage.pair(code=both) == {"FINISHED"}, "the one that is allowed is used"


def test_the_panel_says_what_to_do(machine: Any) -> None:
    text = drawn("WANSTAGE_PT_remote")
    assert "Run 'wanstage pair'" in text
    assert "(wanstage_code)" in text
    assert "[Pair by the Clipboard]" in text
    assert bpy.types.WANSTAGE_PT_remote.bl_options == {"DEFAULT_CLOSED"}
    assert not bpy.ops.wanstage.pair_cancel.poll()
