"""The frame store: whole files only, the disk is never filled, and sentences when it is."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from backend.frames import DiskFull, FrameStore
from protocol.limits import MIB
from protocol.specs import JobSpec, Output

SPEC = JobSpec("t2v", 64, 64, 3, 16.0, output=Output("raw"))
RAW = memoryview(bytes(64 * 64 * 3))
JOB = "a" * 32


def test_write_read_survey_remove(tmp_path: Path) -> None:
    store = FrameStore(tmp_path / "f", 0)
    store.write(JOB, 0, "raw", RAW, "hm")
    store.write(JOB, 1, "raw", RAW)
    assert store.read(JOB, 1, "raw") == bytes(RAW)
    assert store.survey(JOB, SPEC, check=True) == (2, {0: "hm"})
    (tmp_path / "f" / JOB / "000002.raw.tmp").write_bytes(b"half")
    again = FrameStore(tmp_path / "f", 0)
    assert sorted(path.name for path in (tmp_path / "f" / JOB).iterdir()) == ["000000.note", "000000.raw", "000001.raw"]
    again.remove(JOB)
    again.remove(JOB)
    assert list((tmp_path / "f").iterdir()) == []


def test_a_cut_png_is_made_again_with_all_after_it(tmp_path: Path) -> None:
    store = FrameStore(tmp_path / "f", 0)
    spec = JobSpec("t2v", 64, 64, 3, 16.0)
    whole = memoryview(b"\x89PNG...IEND\xaeB`\x82")
    for index, data in enumerate([whole, whole[:9], whole]):
        store.write(JOB, index, "png", data)
    assert store.survey(JOB, spec, check=False)[0] == 3
    assert store.survey(JOB, spec, check=True)[0] == 1
    assert not store.path(JOB, 2, "png").exists()


def test_free_space_is_kept(tmp_path: Path) -> None:
    free = [100 * MIB]
    store = FrameStore(tmp_path / "f", 50 * MIB, free=lambda _: free[0])
    store.room_for(SPEC)
    store.write(JOB, 0, "raw", RAW)
    free[0] = 50 * MIB + 5
    with pytest.raises(DiskFull, match=r"disk full: .* of frames"):
        store.write(JOB, 1, "raw", RAW)
    with pytest.raises(DiskFull, match="an asset"):
        store.room(6, "an asset")


def test_quota_counts_what_is_there_and_what_is_removed(tmp_path: Path) -> None:
    FrameStore(tmp_path / "f", 0).write(JOB, 0, "raw", RAW)
    store = FrameStore(tmp_path / "f", 0, quota=4 * RAW.nbytes)
    store.room_for(SPEC)
    store.write(JOB, 1, "raw", RAW)
    with pytest.raises(DiskFull, match="--max-disk"):
        store.room_for(SPEC)
    store.remove(JOB)
    store.room_for(SPEC)


@pytest.mark.parametrize(("number", "kind"), [(errno.ENOSPC, DiskFull), (errno.EACCES, OSError)])
def test_a_failing_write_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type
) -> None:
    store = FrameStore(tmp_path / "f", 0)

    def fail(self: Path, data: Any) -> int:
        with self.open("wb") as file:
            file.write(bytes(data[:7]))
        raise OSError(number, "no")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(kind):
        store.write(JOB, 0, "raw", RAW)
    assert list((tmp_path / "f" / JOB).iterdir()) == []
