"""Specs to requests: arrays arrive as they were, lazily; damaged ones are sentences."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from backend import png
from backend.headers import check_images
from backend.translate import LazyMaps, load_array, load_image, load_sound, to_request
from protocol import specs
from protocol.assets import AssetFolder
from protocol.errors import InvalidJob
from protocol.refs import encode_array
from tests.e2e import drive
from wan_models import requests


@pytest.fixture
def folder(tmp_path: Path) -> AssetFolder:
    return AssetFolder(tmp_path / "assets")


def array(folder: AssetFolder, data: np.ndarray[Any, Any], codec: specs.Codec = "raw") -> specs.ArrayRef:
    kind: Any = f"{data.dtype.kind}{data.dtype.itemsize}"
    return encode_array(folder, np.ascontiguousarray(data), kind, data.shape, codec)


def picture(folder: AssetFolder, pixels: np.ndarray[Any, Any], width: int = 64, height: int = 64) -> specs.ImageRef:
    return specs.ImageRef(folder.add(png.encode(pixels)), width, height)


def test_a_sound_is_its_asset_s_own_file(folder: AssetFolder) -> None:
    asset = folder.add(b"RIFF")
    spec = specs.JobSpec(
        "s2v", 64, 64, 4, 16.0, sound=specs.SoundRef(asset, "a\nline.wav", 1.5), talk=specs.Talk(True, follow_pose=True)
    )
    request = to_request(folder, spec)
    assert request.sound == requests.Sound(folder.path(asset.id), 1.5, "a line.wav")
    assert request.talk == requests.TalkSettings(start_from_reference=True, follow_pose=True)
    assert load_sound(folder, specs.SoundRef(asset)).name == "the sound"
    with pytest.raises(InvalidJob, match="the sound cannot be read: asset 000000000000 is not here"):
        load_sound(folder, specs.SoundRef(specs.AssetRef("0" * 64, 4)))


def test_a_whole_pack_comes_through(folder: AssetFolder) -> None:
    rng = np.random.default_rng(1)
    body = rng.random((2, 20, 5), np.float32)
    depth = [rng.random((64, 64), np.float32) for _ in range(2)]
    depth[0][:3] = np.inf
    person = rng.integers(0, 256, (64, 64, 4), np.uint8)
    eye = np.tile(np.eye(4), (2, 1, 1))
    pack = specs.DrivePack(
        64,
        64,
        2,
        16.0,
        camera=specs.Camera(array(folder, eye), array(folder, np.ones((2, 4))), kind="orthographic"),
        characters=(
            specs.CharacterTrack(
                7, "Ann", array(folder, body, "zlib"), reference=specs.Reference(picture(folder, person), "rig")
            ),
        ),
        depth=tuple(array(folder, each, "zlib") for each in depth),
        look=picture(folder, person[..., :3]),
    )
    request = to_request(folder, specs.JobSpec("animate", 64, 64, 2, 16.0, pack=pack, seed=5))
    assert request.pack is not None
    assert request.pack.camera is not None
    assert request.pack.camera.orthographic
    assert (request.seed, request.pack.characters[0].index) == (5, 7)
    np.testing.assert_array_equal(request.pack.characters[0].pose.body, body)
    np.testing.assert_array_equal(request.pack.depth[1], depth[1])
    np.testing.assert_array_equal(request.pack.depth[0], depth[0])
    assert request.pack.depth[0].dtype == np.float32
    assert len(request.pack.mask) == 0
    reference = request.pack.characters[0].reference
    assert reference is not None
    np.testing.assert_array_equal(reference.image, person)
    np.testing.assert_array_equal(request.pack.look, person[..., :3])


def test_settings_of_the_video_models_come_through(folder: AssetFolder) -> None:
    faces = [np.full((512, 512, 3), value, np.uint8) for value in (10, 20)]
    track = specs.CharacterTrack(
        1,
        "Ann",
        array(folder, np.zeros((2, 20, 5), np.float32)),
        face=tuple(array(folder, each, "zlib") for each in faces),
    )
    request = to_request(
        folder,
        specs.JobSpec(
            "animate",
            64,
            64,
            2,
            16.0,
            pack=specs.DrivePack(64, 64, 2, 16.0, characters=(track,)),
            sampler=specs.Sampler(4, 1.0, 2.0, 5.0, "fast"),
            loras=(specs.Lora("glow", 0.5, "high"), specs.Lora("dim")),
            animate=specs.Animate(5, True, True),
            plan="stream",
        ),
    )
    assert request.pack is not None
    face = request.pack.characters[0].face
    assert [int(face[index][0, 0, 0]) for index in range(len(face))] == [10, 20]
    assert face[1].shape == (512, 512, 3)
    assert request.sampler == requests.SamplerSettings(4, 1.0, 2.0, 5.0, "fast")
    assert request.loras == (requests.Lora("glow", 0.5, "high"), requests.Lora("dim"))
    assert request.animate == requests.AnimateSettings(5, True, True)
    assert request.plan == "stream"


def test_maps_are_read_when_asked_for(folder: AssetFolder) -> None:
    maps = [np.full((64, 64), value, np.uint8) for value in range(3)]
    lazy = LazyMaps(folder, tuple(array(folder, each) for each in maps), "mask")
    assert [int(each[0, 0]) for each in lazy] == [0, 1, 2]
    assert int(lazy[-1][0, 0]) == 2
    assert [int(each[0, 0]) for each in lazy[1:]] == [1, 2]
    with pytest.raises(IndexError):
        lazy[3]
    with pytest.raises(ValueError, match="read-only"):
        lazy[0][0, 0] = 1


def test_the_next_map_is_read_ahead(folder: AssetFolder) -> None:
    """In order: one ahead, no more. A missing one is told when it is asked for, and only then."""
    refs = [array(folder, np.full((64, 64), value, np.uint8)) for value in range(5)]
    folder.remove(refs[3].asset.id)
    lazy = LazyMaps(folder, tuple(refs), "mask")
    found = [lazy[0], lazy[1]]
    assert lazy._ahead is not None
    lazy._ahead[1].result(20)
    folder.remove(refs[2].asset.id)
    found.append(lazy[2])
    assert [int(each[0, 0]) for each in found] == [0, 1, 2]
    assert lazy[1] is found[1], "the last two are kept"
    with pytest.raises(InvalidJob, match="the mask 3 cannot be read"):
        lazy[3]
    assert int(lazy[4][0, 0]) == 4
    with pytest.raises(InvalidJob, match="the mask 2 cannot be read"):
        lazy[2]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32, np.float64, np.int32])
@pytest.mark.parametrize("shape", [(6, 10), (6, 10, 2), (6, 10, 3), (3, 5, 4, 2)])
def test_differences_are_summed(folder: AssetFolder, dtype: type, shape: tuple[int, ...]) -> None:
    """By bits, so that infinities and wrapping come through."""
    bits = np.random.default_rng(0).integers(0, 256, int(np.prod(shape)) * np.dtype(dtype).itemsize, np.uint8)
    given = bits.view(dtype).reshape(shape)
    found = load_array(folder, drive.array(folder, given, "delta"), "map")
    assert (found.dtype, found.shape) == (given.dtype, shape)
    assert found.tobytes() == given.tobytes()


def test_damaged_arrays_and_pictures_are_sentences(folder: AssetFolder) -> None:
    rubbish = folder.add(b"not zlib")
    lazy = LazyMaps(folder, (specs.ArrayRef(rubbish, "u1", (64, 64), "zlib"),), "mask")
    with pytest.raises(InvalidJob, match="the mask 0 cannot be read"):
        lazy[0]
    with pytest.raises(InvalidJob, match="cannot be decoded"):
        load_image(folder, specs.ImageRef(rubbish, 64, 64), "look")
    with pytest.raises(InvalidJob, match="cannot be decoded"):
        load_image(folder, specs.ImageRef(folder.add(b""), 64, 64), "look")
    small = picture(folder, np.zeros((64, 64, 3), np.uint8), width=128)
    with pytest.raises(InvalidJob, match="is 64x64, but the job says 128x64"):
        check_images(folder, specs.JobSpec("i2v", 64, 64, 1, 16.0, image=small))
    with pytest.raises(InvalidJob, match="is 64x64, but the job says 128x64"):
        load_image(folder, small, "first image")
    with pytest.raises(InvalidJob, match="first image cannot be decoded"):
        check_images(folder, specs.JobSpec("i2v", 64, 64, 1, 16.0, image=specs.ImageRef(rubbish, 64, 64)))


def test_a_huge_picture_is_refused_before_it_is_decoded(folder: AssetFolder) -> None:
    _, data = cv2.imencode(".png", np.zeros((4097, 4097), np.uint8))
    bomb = specs.ImageRef(folder.add(data.tobytes()), 4096, 4096)
    with pytest.raises(InvalidJob, match="4096"):
        load_image(folder, bomb, "first image")


def test_what_is_transparent_is_black_where_no_alpha_is_wanted(folder: AssetFolder) -> None:
    picture = np.full((64, 64, 4), 200, np.uint8)
    picture[:32, :, 3], picture[32:, :, 3] = 0, 255
    picture[32:, :32, 3] = 128
    data = cv2.imencode(".png", picture)[1].tobytes()
    found = load_image(folder, specs.ImageRef(folder.add(data), 64, 64), "look")
    assert [int(found[10, 10, 0]), int(found[40, 40, 0]), int(found[40, 10, 0])] == [0, 200, 100]


@pytest.mark.parametrize("shape", [(64, 64), (64, 64, 3), (64, 64, 4)])
@pytest.mark.parametrize("alpha", [False, True])
def test_every_kind_of_picture_becomes_rgb(folder: AssetFolder, shape: tuple[int, ...], alpha: bool) -> None:
    picture = np.full(shape, 40000, np.uint16)
    if picture.ndim == 3:
        picture[..., 3:] = 65535
    _, data = cv2.imencode(".png", picture)
    found = load_image(folder, specs.ImageRef(folder.add(data.tobytes()), 64, 64), "look", alpha)
    assert found.shape == (64, 64, 4 if alpha else 3)
    assert found.dtype == np.uint8
    assert found[0, 0, 0] == 156


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_a_photograph_is_turned_as_its_exif_says(folder: AssetFolder, orientation: int, turns: int) -> None:
    """A camera that lay on its side: the pixels are stored as it lay."""
    stored = np.zeros((96, 64, 3), np.uint8)
    stored[:24] = (250, 30, 30)
    data = cv2.imencode(".jpg", cv2.cvtColor(stored, cv2.COLOR_RGB2BGR))[1].tobytes()
    told = b"Exif\0\0MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    photo = data[:2] + b"\xff\xe1" + struct.pack(">H", len(told) + 2) + told + data[2:]
    found = load_image(folder, specs.ImageRef(folder.add(photo), 64, 96, "image/jpeg"), "reference")
    wanted = np.rot90(stored, turns)
    assert found.shape == wanted.shape
    assert np.abs(found.astype(int) - wanted).mean() < 4
