"""Secrets that a user's machine holds are in nothing that is saved, exported or logged."""

from __future__ import annotations

import gzip
import json
import logging
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

PLANTED = {
    "HF_TOKEN": "hf_plantedTokenOfTheHub0123456789",
    "MODELSCOPE_API_TOKEN": "ms-planted-0123-4567-89ab",
    "WANSTAGE_PAIRING": "planted-pairing-secret-77",
    "AWS_SECRET_ACCESS_KEY": "plantedAwsSecret/abcdefghijkl",
}


def secrets(connection: Any) -> list[bytes]:
    """As text, as stored by Python's repr, and in the wide form that some files use."""
    own = [connection.client_secret, connection.client_key, connection.server_key, connection.endpoint]
    assert all(own)
    found = []
    for value in [*own, *PLANTED.values()]:
        found += [value.encode(), value.encode("utf-16-le"), json.dumps(value)[1:-1].encode()]
    return found


def contents(path: Path) -> bytes:
    """A file's bytes; Blender's own compression undone."""
    data = path.read_bytes()
    if data[:4] == b"\x28\xb5\x2f\xfd":
        plain = path.with_suffix(".plain")
        bpy.ops.wm.open_mainfile(filepath=str(path))
        bpy.ops.wm.save_as_mainfile(filepath=str(plain), compress=False, copy=True)
        data += plain.read_bytes()
    return data + gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


def test_nothing_secret_is_written(
    connected: Any, hold: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """The .blend, plain and compressed and with a take under way, its takes, exports, bundle, captured assets, logs."""
    from blender_addon import preferences, state

    for name, value in PLANTED.items():
        monkeypatch.setenv(name, value)
    caplog.set_level(logging.DEBUG)
    looked = secrets(state.now.connection)
    out = tmp_path / "out"
    out.mkdir()
    held = hold(connected, 3)
    held.arrived()
    bpy.ops.wm.save_as_mainfile(filepath=str(out / "under_way.blend"), compress=False, copy=True)
    held.finish()
    for kind in ("MP4", "PNG", "EXR"):
        folder = out / kind.lower()
        folder.mkdir()
        where = {"MP4": str(folder / "take.mp4")}.get(kind, str(folder))
        assert bpy.ops.wanstage.export_take(job_id=held.job, kind=kind, filepath=where) == {"FINISHED"}
    assert bpy.ops.wanstage.capture(filepath=str(out / "shot.wanstage")) == {"FINISHED"}
    bpy.ops.wm.save_as_mainfile(filepath=str(out / "plain.blend"), compress=False)
    bpy.ops.wm.save_as_mainfile(filepath=str(out / "small.blend"), compress=True)
    shutil.copytree(preferences.settings().data, out / "data")
    bpy.ops.wm.open_mainfile(filepath=str(out / "small.blend"))
    files = [path for path in out.rglob("*") if path.is_file()]
    kinds = {path.suffix for path in files}
    assert {".blend", ".json", ".png", ".exr", ".mp4", ".wanstage"} <= kinds, kinds
    spoken = capfd.readouterr()
    told = {"log": caplog.text.encode(), "console": (spoken.out + spoken.err).encode()}
    told |= {str(path): contents(path) for path in files}
    found = [(name, secret) for name, data in told.items() for secret in looked if secret in data]
    assert found == []


def test_what_is_looked_for_would_be_found(connected: Any, tmp_path: Path) -> None:
    """The search itself: a secret that somebody puts on the scene is in the file's bytes."""
    from blender_addon import state

    connected["careless"] = state.now.connection.client_secret
    path = tmp_path / "careless.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(path), compress=True)
    assert any(secret in contents(path) for secret in secrets(state.now.connection))


def test_the_users_preferences_hold_no_secret(addon: Any) -> None:
    """They name files; keys are in the connection file alone."""
    names = [prop.identifier for prop in preferences_class().bl_rna.properties]
    assert not [name for name in names if any(word in name for word in ("secret", "token", "password", "key"))]


def preferences_class() -> Any:
    """The add-on's preferences as Blender knows them."""
    return next(cls for cls in bpy.types.AddonPreferences.__subclasses__() if cls.__name__ == "WANSTAGE_AP_preferences")


@pytest.mark.skipif(os.name == "nt", reason="Windows has access lists instead of modes")
def test_the_connection_file_is_the_users_alone(backend: Any) -> None:
    assert backend.file.stat().st_mode & 0o077 == 0
