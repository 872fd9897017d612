"""The VAE in chunks gives the bits of the VAE at once."""

from __future__ import annotations

import pytest
import torch
from diffusers import AutoencoderKLWan

from wan_models.memory.load import build
from wan_models.pipelines.decode import Caches, StreamingVae
from wan_models.pipelines.parking import cache_bytes
from wan_models.pipelines.warming import beginnings

CPU = torch.device("cpu")
MULT = [1, 1, 1, 1]
SMALL = {"base_dim": 8, "z_dim": 16, "dim_mult": MULT, "num_res_blocks": 1}
LARGE = {
    "base_dim": 8, "decoder_base_dim": 8, "z_dim": 48, "dim_mult": MULT, "num_res_blocks": 1, "is_residual": True,
    "in_channels": 12, "out_channels": 12, "patch_size": 2, "scale_factor_spatial": 16,
    "latents_mean": [0.1] * 48, "latents_std": [0.7] * 48,
}  # fmt: skip


@pytest.fixture(scope="module", params=[SMALL, LARGE], ids=["wan21", "wan22"])
def vae(request: pytest.FixtureRequest) -> AutoencoderKLWan:
    torch.set_num_threads(1)
    torch.manual_seed(3)
    return AutoencoderKLWan(**request.param).eval()


def _latents(vae: AutoencoderKLWan, frames: int) -> torch.Tensor:
    return torch.randn(1, vae.config.z_dim, frames, 4, 6, generator=torch.Generator().manual_seed(1))


def _scaled(vae: AutoencoderKLWan, latents: torch.Tensor) -> torch.Tensor:
    shape = (1, -1, 1, 1, 1)
    return latents * torch.tensor(vae.config.latents_std).view(shape) + torch.tensor(vae.config.latents_mean).view(
        shape
    )


def _whole(vae: AutoencoderKLWan, latents: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return vae.decode(_scaled(vae, latents), return_dict=False)[0]


@pytest.mark.parametrize("park", [False, True])
def test_decoded_chunks_have_the_bits_of_the_whole(vae: AutoencoderKLWan, park: bool) -> None:
    latents = _latents(vae, 4)
    chunks = list(StreamingVae(vae, CPU, torch.float32, park=park).decode(latents))
    assert [chunk.shape[2] for chunk in chunks] == [1, 4, 4, 4]
    assert torch.equal(torch.cat(chunks, 2), _whole(vae, latents))


def test_frames_behind_those_that_nobody_wants_have_the_same_bits(vae: AutoencoderKLWan) -> None:
    latents = _latents(vae, 21)[..., :2, :2]
    whole = _whole(vae, latents)
    for skip in (1, 2, 5, 11, 18, 20):
        chunks = list(StreamingVae(vae, CPU, torch.float32, park=skip % 2 == 0).decode(latents, skip))
        assert [chunk.shape[2] for chunk in chunks] == [0] * skip + [4] * (21 - skip)
        assert torch.equal(torch.cat(chunks, 2), whole[:, :, 1 + 4 * (skip - 1) :])


@pytest.mark.parametrize(("depth", "begins"), [(1, [0, 9, 14, 16]), (2, [0, 5, 12, 15])])
def test_layers_see_no_more_of_the_past_than_they_reach_back_to(depth: int, begins: list[int]) -> None:
    """The numbers for two residual blocks a level and one more, as released: by hand from the layers' kernels."""
    torch.manual_seed(5)
    vae = AutoencoderKLWan(base_dim=4, z_dim=16, dim_mult=[1, 2, 4, 4], num_res_blocks=depth).eval()
    assert beginnings(vae.decoder, 19) == begins
    worked = [0] * 4
    for number, block in enumerate(vae.decoder.up_blocks):
        block.register_forward_hook(lambda *_, number=number: worked.__setitem__(number, worked[number] + 1))
    latents = _latents(vae, 21)[..., :2, :2]
    wanted = torch.cat(list(StreamingVae(vae, CPU, torch.float32).decode(latents, 19)), 2)
    assert worked == [21 - begin for begin in begins]
    assert torch.equal(wanted, _whole(vae, latents)[:, :, -8:])


@pytest.mark.parametrize("frames", [1, 3])
def test_what_a_decode_parks_is_known_before(vae: AutoencoderKLWan, frames: int) -> None:
    latents, seen = _latents(vae, frames), []

    def look(caches: Caches) -> None:
        seen.append([each.nbytes for each in caches if isinstance(each, torch.Tensor)])

    list(StreamingVae(vae, CPU, torch.float32, seen=look).decode(latents))
    skeleton = build("AutoencoderKLWan", dict(vae.config))
    assert cache_bytes(skeleton, latents.shape, torch.float32) == seen[:2]
    assert all(sizes == seen[-1] for sizes in seen[1:])


def test_a_chunk_is_out_before_the_next_is_begun(vae: AutoencoderKLWan) -> None:
    worked: list[int] = []
    handle = vae.decoder.register_forward_hook(lambda _module, _inputs, out: worked.append(out.shape[2]))
    chunks = StreamingVae(vae, CPU, torch.float32).decode(_latents(vae, 3))
    assert worked == []
    for done in ([1], [1, 4], [1, 4, 4]):
        next(chunks)
        assert worked == done
    handle.remove()


def test_encoded_chunks_have_the_bits_of_the_whole(vae: AutoencoderKLWan) -> None:
    ours = StreamingVae(vae, CPU, torch.float32)
    size = 4 * ours.spatial
    pixels = torch.rand(1, 3, 9, size, size, generator=torch.Generator().manual_seed(2)) * 2 - 1
    with torch.no_grad():
        mu = vae.encode(pixels).latent_dist.mode()
    shape = (1, -1, 1, 1, 1)
    mean, std = (torch.tensor(each).view(shape) for each in (vae.config.latents_mean, vae.config.latents_std))
    assert torch.equal(ours.encode(pixels), (mu - mean) / std)


def test_a_decode_given_up_leaves_the_vae_as_it_was(vae: AutoencoderKLWan) -> None:
    ours, latents = StreamingVae(vae, CPU, torch.float32), _latents(vae, 3)
    before = _whole(vae, latents)
    half_way = ours.decode(latents)
    next(half_way)
    other = ours.decode(latents)
    first = next(other)
    half_way.close()
    assert torch.equal(torch.cat([first, *other], 2), before)
    assert torch.equal(_whole(vae, latents), before)


def test_no_gradients_and_the_callers_mode_is_kept(vae: AutoencoderKLWan) -> None:
    chunks = StreamingVae(vae, CPU, torch.float32).decode(_latents(vae, 2))
    chunk = next(chunks)
    assert not chunk.requires_grad
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("frames", [0, 2, 4, 80])
def test_only_clips_of_4n_plus_1_frames(vae: AutoencoderKLWan, frames: int) -> None:
    with pytest.raises(ValueError, match=f"4n \\+ 1 frames, not {frames}"):
        StreamingVae(vae, CPU, torch.float32).encode(torch.zeros(1, 3, frames, 32, 32))


def test_chunks_of_another_length_are_refused(vae: AutoencoderKLWan) -> None:
    with pytest.raises(ValueError, match="chunk 0 has 4 frames: the first must have 1, the others 4"):
        StreamingVae(vae, CPU, torch.float32).encode_chunks([torch.zeros(1, 3, 4, 32, 32)])
