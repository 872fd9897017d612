"""Tiny autoencoders for previews: where they are found, and as something to pull."""

from __future__ import annotations

from pathlib import Path

import pytest

from wan_models.options import Options
from wan_models.store import ModelMissing, find_previewer
from wan_models.store.catalogue import item
from wan_models.store.inventory import entry


def _put(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"12")
    return path


def test_none_is_found_where_none_is(home: Path) -> None:
    for name in ("taew2_2_super.safetensors", "taehv.pth", "lightvaew2_2.safetensors", "taew2_2.txt", "mytaew2_2.pth"):
        _put(home / "ComfyUI" / "models" / "vae_approx" / name)
    assert find_previewer(48, Options(folders=(home / "ComfyUI",))) is None
    assert find_previewer(16, Options(folders=(home / "ComfyUI",))) is None
    assert find_previewer(5, Options()) is None


@pytest.mark.parametrize(
    "place",
    [
        "ComfyUI/models/vae_approx/taew2_1.safetensors", "ComfyUI/vae_approx/TAEW2_1.pth",
        "ComfyUI/models/vae/lighttaew2_1.safetensors", "ComfyUI/lighttaew2_1.pth",
        "ComfyUI/taehv/safetensors/taew2_1.safetensors", "data/models/taew2.1/taew2_1.safetensors",
        "data/models/vae_approx/taew2_1.pth", "modelscope/models/lightx2v/Autoencoders/taew2_1.safetensors",
        "hub/models--lightx2v--Autoencoders/snapshots/abc/taew2_1.safetensors",
    ],
)  # fmt: skip
def test_found_where_people_have_them(home: Path, place: str) -> None:
    path = _put(home / place)
    options = Options(folders=(home / "ComfyUI", home / "not-there"))
    assert find_previewer(16, options) == path
    assert find_previewer(48, options) is None
    told = entry(item("taew2.1"), options)
    assert (told.kind, told.folder, told.nbytes, told.problem) == ("previewer", str(path), 2, "")


def test_the_authors_own_goes_first_and_the_users_folder_before_others(home: Path) -> None:
    models = home / "ComfyUI" / "models" / "vae_approx"
    _put(home / "data" / "models" / "taew2.2" / "taew2_2.safetensors")
    options = Options(folders=(home / "ComfyUI",))
    for name in ("lighttaew2_2.pth", "lighttaew2_2.safetensors", "taew2_2.pth", "taew2_2.safetensors"):
        path = _put(models / name)
        assert find_previewer(48, options) == path


def test_a_file_that_the_user_named_is_found(home: Path) -> None:
    path = _put(home / "taew2_1.pth")
    assert find_previewer(16, Options(folders=(path,))) == path


def test_to_pull(home: Path) -> None:
    told = item("taew2.2")
    there = ["README.md", "taew2_2.pth", "taew2_2.safetensors", "lighttaew2_2.safetensors", "Wan2.2_VAE.safetensors"]
    assert told.wanted(there) == ["taew2_2.safetensors"]
    with pytest.raises(ModelMissing, match=r"lightx2v/Autoencoders has no taew2_2\.safetensors any more"):
        told.wanted(there[:2])
    missing = entry(told, Options())
    assert (missing.folder, missing.expected) == ("", 22_700_000)
    assert missing.problem == "taew2.2 is not here: run 'wanstage models pull taew2.2'"
