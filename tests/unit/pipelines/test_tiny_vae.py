"""Previews through a tiny autoencoder: its own code's numbers, files good and bad, and what a job makes of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.unit.pipelines.tiny_weights import NARROW, tensors, write
from wan_models.engine import RequestRefused
from wan_models.events import Event, FramesDecoded, Preview, Warned
from wan_models.options import Options
from wan_models.pipelines.engine import WanEngine
from wan_models.pipelines.preview import Previews, look
from wan_models.pipelines.tiny_vae import Moments, TinyEye, read_decoder
from wan_models.requests import Request, SamplerSettings
from wan_models.weights.tiny import make_tiny

CPU = torch.device("cpu")
KNOWN = np.load(Path(__file__).with_name("tiny_vae.npz"))
T2V = Request(
    task="t2v", model="wan2.2-t2v-a14b", width=64, height=48, frames=9, fps=16, seed=3, prompt="a dog",
    sampler=SamplerSettings(steps=1),
)  # fmt: skip


def _latents(channels: int, *shape: int) -> Tensor:
    return torch.randn(1, channels, *shape, generator=torch.Generator().manual_seed(5))


def _moments() -> Moments:
    return [0.5] * 16, [2.0] * 16


def _unasked() -> Moments:
    raise AssertionError


def _eye(path: Path, channels: int = 16) -> TinyEye:
    return TinyEye(path, channels, CPU, torch.float32, _unasked)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("models")
    make_tiny(folder, ("wan2.2-t2v-a14b", "wan2.2-ti2v-5b"))
    return folder


@pytest.fixture
def engine(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WanEngine]:
    """Of an empty home: no other files are found."""
    monkeypatch.setenv("HF_HUB_CACHE", str(folder / "hub"))
    monkeypatch.setenv("MODELSCOPE_CACHE", str(folder / "modelscope"))
    monkeypatch.setattr("platformdirs.user_data_dir", lambda *_, **__: str(folder / "data"))
    monkeypatch.delenv("WANSTAGE_MODELS", raising=False)
    engine = WanEngine(Options(folders=(folder,)))
    yield engine
    engine.close()
    for path in (folder / "vae_approx").glob("*"):
        path.unlink()


def _run(engine: WanEngine, request: Request) -> tuple[list[Preview], list[str], np.ndarray]:
    events: list[Event] = list(engine.generate(request, lambda: False))
    frames = np.concatenate([event.frames for event in events if isinstance(event, FramesDecoded)])
    said = [event.sentence for event in events if isinstance(event, Warned)]
    assert engine._opened is not None
    assert engine._opened.parts.eye is None
    return [event for event in events if isinstance(event, Preview)], said, frames


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Files of the released widths, which take a second to make."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("released")
    return {16: write(folder / "taew2_1.pth", tensors(16)), 48: write(folder / "taew2_2.safetensors", tensors(48))}


@pytest.mark.parametrize("channels", [16, 48])
def test_a_frame_is_what_the_authors_code_makes_of_the_whole_clip(channels: int, released: dict[int, Path]) -> None:
    decoder = read_decoder(released[channels])
    latents = torch.from_numpy(KNOWN[f"latents{channels}"]).transpose(0, 1)[None]
    for size in ("half", "whole"):
        for index, known in zip(KNOWN[f"looked_at_{size}"], KNOWN[f"{size}{channels}"], strict=True):
            frame = decoder.frame(latents, int(index), half=size == "half")
            np.testing.assert_allclose(frame.numpy(), known, atol=1e-5)


def test_normalised_latents_go_in_as_they_are_and_rgb_comes_out(released: dict[int, Path]) -> None:
    """The author's files: what the transformer makes, no scale, no shift; [0, 1], first channel red."""
    latents = torch.from_numpy(KNOWN["latents16"]).transpose(0, 1)[None]
    picture = _eye(released[16])(latents, 11)
    assert picture is not None
    assert picture.dtype == np.uint8
    assert np.abs(picture - KNOWN["half16"][-1].transpose(1, 2, 0) * 255.0).max() < 0.51


def test_red_is_red(tmp_path: Path) -> None:
    numbers = tensors(16, NARROW)
    numbers["decoder.22.weight"] = torch.zeros_like(numbers["decoder.22.weight"])
    numbers["decoder.22.bias"] = torch.tensor([1.2, 0.5, -0.1])
    picture = _eye(write(tmp_path / "taew2_1.pth", numbers))(_latents(16, 2, 3, 4), 1)
    assert picture is not None
    assert (picture == [255, 128, 0]).all()


def test_light_files_take_the_large_vaes_latents(tmp_path: Path) -> None:
    numbers, latents = tensors(16, NARROW), _latents(16, 3, 3, 4)
    plain = _eye(write(tmp_path / "taew2_1.safetensors", numbers))
    light = TinyEye(write(tmp_path / "lighttaew2_1.safetensors", numbers), 16, CPU, torch.float32, _moments)
    assert np.array_equal(light(latents, 2), plain(latents * 2.0 + 0.5, 2))
    assert not np.array_equal(light(latents, 2), plain(latents, 2))


@pytest.mark.parametrize(("channels", "side"), [(16, 4), (48, 8)])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 7), (5, 2)])
def test_any_size_gives_half_the_clips(channels: int, side: int, height: int, width: int, tmp_path: Path) -> None:
    eye = _eye(write(tmp_path / "taew.safetensors", tensors(channels, NARROW)), channels)
    preview = Previews(eye=eye, skip=1).take(_latents(channels, 6, height, width))
    assert preview is not None
    assert preview.image.shape == (height * side, width * side, 3)
    assert preview.index == 5


def test_latents_in_front_that_are_no_part_of_the_clip_are_not_seen(tmp_path: Path) -> None:
    eye, latents = _eye(write(tmp_path / "taew.pth", tensors(16, NARROW))), _latents(16, 4, 3, 3)
    first, second = (Previews(eye=eye, skip=skip).take(latents[:, :, 1 - skip :]) for skip in (0, 1))
    assert first is not None
    assert second is not None
    assert np.array_equal(first.image, second.image)


def test_numbers_that_are_none_are_black(tmp_path: Path) -> None:
    picture = _eye(write(tmp_path / "taew.pth", tensors(16, NARROW)))(torch.full((1, 16, 1, 2, 2), float("nan")), 0)
    assert picture is not None
    assert not picture.any()


def test_a_file_of_another_kind_is_named(tmp_path: Path) -> None:
    lacking = tensors(16, NARROW)
    del lacking["decoder.16.conv.2.bias"]
    other = tmp_path / "other.safetensors"
    write(other, {"conv.weight": torch.zeros(3)})
    broken = tmp_path / "taew2_1.pth"
    broken.write_bytes(b"PK not really")
    for path in (write(tmp_path / "lacking.safetensors", lacking), other):
        with pytest.raises(RequestRefused, match=rf"{path.name} is not the decoder of a TAEHV file such as taew2_1"):
            read_decoder(path)
    with pytest.raises(RequestRefused, match=r"taew2_1\.pth cannot be read as a PyTorch file"):
        read_decoder(broken)
    with pytest.raises(RequestRefused, match=r"is for latents of 16 channels, these have 48"):
        _eye(write(tmp_path / "taew2_2.safetensors", tensors(16, NARROW)), 48)


def test_without_memory_previews_go_on_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    eye, latents = _eye(write(tmp_path / "taew2_1.pth", tensors(16, NARROW))), _latents(16, 3, 3, 4)
    error = torch.OutOfMemoryError("CUDA out of memory")
    monkeypatch.setattr(eye._decoder, "frame", _raises(error))
    preview = Previews(eye=eye).take(latents)
    assert preview is not None
    assert np.array_equal(preview.image, look(latents[0, :, 1]))
    assert eye.problem == "there was no memory for taew2_1.pth"
    assert eye(latents, 0) is None
    eye.problem = ""
    monkeypatch.setattr(eye._decoder, "frame", _raises(RuntimeError("a bug")))
    with pytest.raises(RuntimeError, match="a bug"):
        eye(latents, 0)


def _raises(error: Exception):  # noqa: ANN202
    def frame(*_: object) -> Tensor:
        raise error

    return frame


def test_a_job_sees_through_what_is_here_and_its_frames_stay_the_same(engine: WanEngine, folder: Path) -> None:
    before, said, frames = _run(engine, T2V)
    assert ([each.image.shape for each in before], said) == ([(6, 8, 3)], [])
    write(folder / "vae_approx" / "taew2_1.safetensors", tensors(16, NARROW))
    after, said, again = _run(engine, T2V)
    assert ([each.image.shape for each in after], said) == ([(24, 32, 3)], [])
    assert after[0].index == before[0].index
    assert np.array_equal(frames, again)
    assert not _run(engine, T2V.__class__(**{**vars(T2V), "previews": False}))[0]


def test_the_five_billion_model_has_its_own_file(engine: WanEngine, folder: Path) -> None:
    write(folder / "vae_approx" / "taew2_1.safetensors", tensors(16, NARROW))
    request = T2V.__class__(**{**vars(T2V), "model": "wan2.2-ti2v-5b", "height": 64, "frames": 5})
    assert _run(engine, request)[0][0].image.shape == (4, 4, 3)
    write(folder / "vae_approx" / "lighttaew2_2.pth", tensors(48, NARROW))
    assert _run(engine, request)[0][0].image.shape == (32, 32, 3)


def test_a_broken_file_is_one_warning_and_the_rough_preview(engine: WanEngine, folder: Path) -> None:
    path = folder / "vae_approx" / "taew2_1.safetensors"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"no weights")
    previews, said, _ = _run(engine, T2V)
    assert previews[0].image.shape == (6, 8, 3)
    assert len(said) == 1
    assert said[0].startswith(f"previews stay rough: {path} cannot be read as a safetensors file")
