"""The asset folder: content-addressed, atomic, resumable; and arrays in it."""

from __future__ import annotations

import errno
import hashlib
import os
import zlib
from pathlib import Path
from typing import Any

import pytest

from protocol import limits
from protocol.assets import AssetFolder, asset_id
from protocol.errors import AssetError, QuotaExceeded
from protocol.refs import array_bytes, asset_refs, decode_array, encode_array
from protocol.specs import ArrayRef, AssetRef, CharacterTrack, DrivePack, ImageRef, JobSpec

CONTENT = bytes(range(256)) * 40


@pytest.fixture
def folder(tmp_path: Path) -> AssetFolder:
    return AssetFolder(tmp_path / "assets")


def files(folder: AssetFolder) -> list[str]:
    return sorted(path.name for path in folder.root.glob("*/*"))


def test_the_id_is_blake2b_256() -> None:
    assert asset_id(b"abc") == hashlib.blake2b(b"abc", digest_size=32).hexdigest()
    assert asset_id(b"abc") == "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"


@pytest.mark.parametrize("data", [b"", b"abc", bytearray(b"abc"), memoryview(b"abcdef")[::1]])
def test_add_and_read(folder: AssetFolder, data: Any) -> None:
    ref = folder.add(data)
    assert ref == AssetRef(asset_id(data), len(data))
    assert folder.has(ref)
    assert folder.read(ref.id) == bytes(data)
    assert folder.nbytes(ref.id) == len(data)
    with folder.open(ref.id) as file:
        assert file.read() == bytes(data)


def test_added_twice_is_kept_once(folder: AssetFolder, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    assert folder.add(CONTENT) == folder.add(CONTENT) == folder.add_file(tmp_path / "file")
    assert files(folder) == [asset_id(CONTENT)]
    assert folder.total_bytes() == len(CONTENT)


def test_parts_of_an_asset(folder: AssetFolder) -> None:
    ref = folder.add(CONTENT)
    assert folder.read(ref.id, 10, 5) == CONTENT[10:15]
    assert folder.read(ref.id, len(CONTENT) - 2, 100) == CONTENT[-2:]


@pytest.mark.parametrize(
    "bad", ["", "..", "../../etc/passwd", "A" * 64, "a" * 63, "a" * 65, "a" * 64 + "\n", "/" + "a" * 63, "\u0661" * 64]
)
def test_only_ids_become_paths(folder: AssetFolder, bad: str) -> None:
    for call in (folder.path, folder.read, folder.open, folder.partial, folder.remove, folder.nbytes):
        with pytest.raises(AssetError, match="is not an asset id"):
            call(bad)
    with pytest.raises(AssetError):
        folder.append_chunk(AssetRef(bad, 1), 0, b"x")
    assert not folder.root.exists()


def test_missing_assets_say_so(folder: AssetFolder) -> None:
    absent = "0" * 64
    assert not folder.has(AssetRef(absent, 1))
    assert folder.partial(absent) == 0
    for call in (folder.read, folder.open, folder.nbytes):
        with pytest.raises(AssetError, match="is not here: upload it again"):
            call(absent)
    folder.remove(absent)


def test_an_asset_of_another_length_is_not_it(folder: AssetFolder) -> None:
    ref = folder.add(CONTENT)
    assert not folder.has(AssetRef(ref.id, ref.nbytes + 1))


# ---- uploads ----------------------------------------------------------------------------------------


def test_an_upload_in_chunks(folder: AssetFolder) -> None:
    ref = AssetRef(asset_id(CONTENT), len(CONTENT))
    assert not folder.append_chunk(ref, 0, CONTENT[:4000])
    assert folder.partial(ref.id) == 4000
    assert not folder.has(ref)
    assert folder.append_chunk(ref, 4000, memoryview(CONTENT)[4000:])
    assert folder.has(ref)
    assert (folder.partial(ref.id), files(folder)) == (0, [ref.id])


def test_an_upload_goes_on_in_another_process(folder: AssetFolder) -> None:
    ref = AssetRef(asset_id(CONTENT), len(CONTENT))
    folder.append_chunk(ref, 0, CONTENT[:4000])
    again = AssetFolder(folder.root)
    assert again.partial(ref.id) == 4000
    assert again.append_chunk(ref, 4000, CONTENT[4000:])
    assert again.read(ref.id) == CONTENT


def test_chunks_may_overlap_and_repeat(folder: AssetFolder) -> None:
    ref = AssetRef(asset_id(CONTENT), len(CONTENT))
    folder.append_chunk(ref, 0, CONTENT[:4000])
    assert not folder.append_chunk(ref, 0, CONTENT[:4000])
    assert not folder.append_chunk(ref, 3000, CONTENT[3000:5000])
    assert folder.partial(ref.id) == 5000
    assert folder.append_chunk(ref, 5000, CONTENT[5000:])
    assert folder.append_chunk(ref, 5000, CONTENT[5000:])


def test_a_gap_says_where_to_go_on(folder: AssetFolder) -> None:
    ref = AssetRef(asset_id(CONTENT), len(CONTENT))
    folder.append_chunk(ref, 0, CONTENT[:100])
    with pytest.raises(AssetError, match="send from 100"):
        folder.append_chunk(ref, 200, CONTENT[200:300])
    assert folder.partial(ref.id) == 100


def test_a_wrong_hash_is_thrown_away(folder: AssetFolder) -> None:
    ref = AssetRef(asset_id(CONTENT), len(CONTENT))
    with pytest.raises(AssetError, match="do not have this hash"):
        folder.append_chunk(ref, 0, bytes(len(CONTENT)))
    assert files(folder) == []
    assert folder.append_chunk(ref, 0, CONTENT)


def test_more_bytes_than_announced(folder: AssetFolder) -> None:
    ref = AssetRef(asset_id(CONTENT), 50)
    with pytest.raises(AssetError, match="has 50 bytes"):
        folder.append_chunk(ref, 0, CONTENT)
    assert files(folder) == []


def test_too_large_an_asset(folder: AssetFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_ASSET_BYTES", 100)
    (tmp_path / "file").write_bytes(bytes(101))
    for call in (
        lambda: folder.add(bytes(101)),
        lambda: folder.add_file(tmp_path / "file"),
        lambda: folder.append_chunk(AssetRef("0" * 64, 101), 0, b""),
    ):
        with pytest.raises(AssetError, match="at most 100 bytes"):
            call()
    assert folder.total_bytes() == 0


def test_an_empty_asset_is_one_empty_chunk(folder: AssetFolder) -> None:
    ref = AssetRef(asset_id(b""), 0)
    assert folder.append_chunk(ref, 0, b"")
    assert folder.has(ref)


def test_many_uploads_at_once(folder: AssetFolder) -> None:
    contents = [os.urandom(100) for _ in range(100)]
    refs = [AssetRef(asset_id(each), 100) for each in contents]
    for ref, content in zip(refs, contents, strict=True):
        folder.append_chunk(ref, 0, content[:50])
    assert len(folder._hashes) <= 64
    assert all(folder.append_chunk(ref, 50, each[50:]) for ref, each in zip(refs, contents, strict=True))


def test_a_full_disk_leaves_what_was_there(folder: AssetFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    ref = AssetRef(asset_id(CONTENT), len(CONTENT))
    folder.append_chunk(ref, 0, CONTENT[:1000])
    truth = Path.open

    class Full:
        def __init__(self, file: Any) -> None:
            self.file = file

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

        def write(self, data: bytes) -> None:
            self.file.write(bytes(data)[:10])
            self.file.flush()
            raise OSError(errno.ENOSPC, "no space left")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", lambda self, mode="r": Full(truth(self, mode)))
        with pytest.raises(QuotaExceeded, match="disk that holds the assets is full"):
            folder.append_chunk(ref, 1000, CONTENT[1000:])
    assert folder.partial(ref.id) == 1000
    assert folder.append_chunk(ref, 1000, CONTENT[1000:])


# ---- housekeeping -----------------------------------------------------------------------------------


def test_prune_keeps_what_is_named_and_what_is_young(folder: AssetFolder) -> None:
    kept, old, young = folder.add(b"kept"), folder.add(b"old"), folder.add(b"young")
    folder.append_chunk(AssetRef("0" * 64, 100), 0, b"half")
    for each in (kept, old):
        os.utime(folder.path(each.id), (1, 1))
    os.utime(folder.root / "partial" / ("0" * 64), (1, 1))
    assert folder.unlisted({kept.id}) == {old.id, young.id}
    assert folder.prune({kept.id}, min_age_s=3600) == len(b"old") + len(b"half")
    assert set(folder.ids()) == {kept.id, young.id}
    assert folder.prune(set()) == len(b"kept") + len(b"young")
    assert files(folder) == []


def test_touch_makes_young(folder: AssetFolder) -> None:
    ref = folder.add(b"x")
    os.utime(folder.path(ref.id), (1, 1))
    folder.touch(ref.id)
    assert folder.prune(set(), min_age_s=3600) == 0


# ---- references and arrays --------------------------------------------------------------------------


def test_every_asset_of_a_job_once() -> None:
    def ref(number: int) -> AssetRef:
        return AssetRef(f"{number:064x}", 1)

    def array(number: int) -> ArrayRef:
        return ArrayRef(ref(number), "u1", (1,))

    track = CharacterTrack(1, "Ann", array(5), left_hand=array(6), face=(array(7), array(7)))
    pack = DrivePack(64, 64, 2, 16.0, characters=(track,), clay=(array(1), array(2)), mask=(array(2), array(3)))
    spec = JobSpec("animate", 64, 64, 2, 16.0, image=ImageRef(ref(9), 64, 64), pack=pack)
    assert [int(each.id, 16) for each in asset_refs(spec)] == [9, 5, 6, 7, 1, 2, 3]
    assert list(asset_refs(ref(4))) == [ref(4)]
    assert list(asset_refs("nothing")) == []


@pytest.mark.parametrize("codec", ["raw", "zlib"])
def test_arrays_come_back(folder: AssetFolder, codec: Any) -> None:
    data = memoryview(bytes(range(48))).cast("f", (3, 4))
    ref = encode_array(folder, data, "f4", (3, 4), codec)
    assert bytes(decode_array(ref, folder.read(ref.asset.id))) == bytes(data)


def test_a_buffer_of_another_length(folder: AssetFolder) -> None:
    with pytest.raises(AssetError, match="takes 48 bytes, the buffer has 47"):
        encode_array(folder, bytes(47), "f4", (3, 4))


def test_a_strided_buffer_is_not_copied_silently(folder: AssetFolder) -> None:
    with pytest.raises(TypeError):
        encode_array(folder, memoryview(bytes(48))[::2], "u1", (24,))


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (zlib.compress(bytes(1 << 24)), "it has more"),
        (zlib.compress(bytes(9)), "it has 9"),
        (zlib.compress(bytes(10))[:-3], "cut off"),
        (zlib.compress(bytes(10)) + b"x", "cut off or has bytes behind"),
        (b"rubbish", "damaged"),
        (b"", "it has 0"),
    ],
)
def test_bad_zlib(data: bytes, problem: str) -> None:
    ref = ArrayRef(AssetRef("0" * 64, len(data)), "u1", (10,), "zlib")
    with pytest.raises(AssetError, match=problem):
        decode_array(ref, data)


def test_arrays_too_large_for_any_map() -> None:
    ref = ArrayRef(AssetRef("0" * 64, 1), "f8", (1 << 20,) * 5, "zlib")
    with pytest.raises(AssetError, match="at most"):
        decode_array(ref, b"")
    assert array_bytes("f4", (limits.MAX_SIDE, limits.MAX_SIDE)) == limits.MAX_ARRAY_BYTES
