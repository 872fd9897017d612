"""Bundles: the same bytes for the same job, and nothing else gets in."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from protocol.assets import AssetFolder, asset_id
from protocol.bundle import read_bundle, read_manifest, write_bundle
from protocol.errors import AssetError, InvalidJob, VersionMismatch, WanstageError
from protocol.specs import AssetRef, ImageRef, JobSpec

CONTENT = b"picture" * 1000


@pytest.fixture
def folder(tmp_path: Path) -> AssetFolder:
    return AssetFolder(tmp_path / "mine")


@pytest.fixture
def theirs(tmp_path: Path) -> AssetFolder:
    return AssetFolder(tmp_path / "theirs")


def spec_of(content: bytes = CONTENT) -> JobSpec:
    image = ImageRef(AssetRef(asset_id(content), len(content)), 64, 64)
    return JobSpec(task="i2v", width=64, height=64, frames=5, fps=16.0, image=image, prompt="a \u2713 walk")


def test_there_and_back(folder: AssetFolder, theirs: AssetFolder, tmp_path: Path) -> None:
    folder.add(CONTENT)
    write_bundle(tmp_path / "shot.zip", spec_of(), folder, {"blender": "5.0", "samples": 3})
    assert read_bundle(tmp_path / "shot.zip", theirs) == spec_of()
    assert theirs.read(asset_id(CONTENT)) == CONTENT
    with zipfile.ZipFile(tmp_path / "shot.zip") as bundle:
        assert bundle.testzip() is None
        assert read_manifest(bundle).extra == {"blender": "5.0", "samples": 3}


def test_equal_jobs_give_equal_bytes(folder: AssetFolder, tmp_path: Path) -> None:
    folder.add(CONTENT)
    write_bundle(tmp_path / "a.zip", spec_of(), folder, {"a": 1, "b": 2})
    write_bundle(tmp_path / "b.zip", spec_of(), folder, {"b": 2, "a": 1})
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_an_asset_that_is_not_there_leaves_no_file(folder: AssetFolder, tmp_path: Path) -> None:
    with pytest.raises(AssetError, match="capture the scene again"):
        write_bundle(tmp_path / "shot.zip", spec_of(), folder)
    assert list(tmp_path.glob("*.zip*")) == []


def sound() -> dict[str, bytes]:
    return {
        f"assets/{asset_id(CONTENT)}": CONTENT,
        "job.json": msgspec.json.encode(spec_of()),
        "manifest.json": b'{"bundle": 1, "protocol": [1, 0]}',
    }


def packed(entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", compression) as bundle:
        for name, data in entries.items():
            bundle.writestr(name, data)
    return target.getvalue()


def without(name: str) -> bytes:
    return packed({key: value for key, value in sound().items() if key != name})


def flipped() -> bytes:
    data = bytearray(packed(sound()))
    where = data.index(CONTENT)
    data[where + 3] ^= 1
    return bytes(data)


def job(change: Callable[[dict[str, object]], None]) -> bytes:
    spec = msgspec.json.decode(sound()["job.json"])
    change(spec)
    return packed({**sound(), "job.json": msgspec.json.encode(spec)})


BAD: dict[str, tuple[bytes, type[WanstageError], str]] = {
    "no zip": (b"PK rubbish", InvalidJob, "is not a bundle"),
    "cut off": (packed(sound())[:-30], InvalidJob, "is not a bundle"),
    "path": (packed({**sound(), "../evil": b"x"}), InvalidJob, "unknown, repeated or too large"),
    "absolute": (packed({**sound(), "/assets/x": b"x"}), InvalidJob, "unknown"),
    "capitals": (packed({**sound(), "assets/" + "A" * 64: b"x"}), InvalidJob, "unknown"),
    "folder": (packed({**sound(), "assets/": b""}), InvalidJob, "unknown"),
    "more": (packed({**sound(), "assets/" + "a" * 64: b"x"}), AssetError, "exactly the assets"),
    "less": (without(f"assets/{asset_id(CONTENT)}"), AssetError, "exactly the assets"),
    "no job": (without("job.json"), InvalidJob, "missing"),
    "no manifest": (without("manifest.json"), InvalidJob, "missing"),
    "compressed": (packed(sound(), zipfile.ZIP_DEFLATED), InvalidJob, "compressed"),
    "damaged": (flipped(), WanstageError, "hash|CRC"),
    "other bytes": (packed({**sound(), f"assets/{asset_id(CONTENT)}": CONTENT[::-1]}), AssetError, "hash"),
    "shorter": (packed({**sound(), f"assets/{asset_id(CONTENT)}": CONTENT[:-1]}), AssetError, "another length"),
    "bad job": (job(lambda spec: spec.update(width=3)), InvalidJob, "width is wrong: expected int >= 64, got 3"),
    "bad json": (packed({**sound(), "job.json": b"{"}), InvalidJob, "not valid JSON"),
    "bad manifest": (packed({**sound(), "manifest.json": b"[]"}), InvalidJob, "manifest.json is damaged"),
    "newer": (packed({**sound(), "manifest.json": b'{"bundle":2,"protocol":[1,0]}'}), VersionMismatch, "update"),
    "protocol": (packed({**sound(), "manifest.json": b'{"bundle":1,"protocol":[2,0]}'}), VersionMismatch, "update"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_bundles_leave_nothing(theirs: AssetFolder, tmp_path: Path, name: str) -> None:
    data, error, problem = BAD[name]
    (tmp_path / "bad.zip").write_bytes(data)
    with pytest.raises(error, match=problem):
        read_bundle(tmp_path / "bad.zip", theirs)
    assert theirs.total_bytes() == 0
    assert list(tmp_path.rglob("evil")) == []


def test_what_was_there_before_stays(theirs: AssetFolder, tmp_path: Path) -> None:
    ref = theirs.add(CONTENT)
    (tmp_path / "bad.zip").write_bytes(BAD["more"][0])
    with pytest.raises(AssetError):
        read_bundle(tmp_path / "bad.zip", theirs)
    assert theirs.has(ref)


def test_a_lying_size_is_noticed(theirs: AssetFolder, tmp_path: Path) -> None:
    data = bytearray(packed(sound()))
    where = data.rindex(b"PK\x01\x02", 0, data.index(b"job.json", data.rindex(b"PK\x01\x02\x14") - 400))
    data[where + 24 : where + 28] = (len(CONTENT) * 1000).to_bytes(4, "little")
    (tmp_path / "bad.zip").write_bytes(bytes(data))
    with pytest.raises(WanstageError):
        read_bundle(tmp_path / "bad.zip", theirs)
    assert theirs.total_bytes() == 0
