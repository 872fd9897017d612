"""What only a card can show: its attention kernels, and features that come from pinned host memory in time."""

from __future__ import annotations

import pytest
import torch

from wan_models.pipelines.animate2_attention import Shape, _run, framed, kernel_for
from wan_models.pipelines.animate2_cache import DrivingCache, HostLayers, layers_on_card

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA card"),
]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_a_fast_kernel_is_found(dtype: torch.dtype) -> None:
    kernel = kernel_for(torch.device("cuda"), dtype, 128)
    assert kernel != "plain"
    q, k, v = torch.randn(3, 1, 300, 4, 128, device="cuda", dtype=dtype).transpose(2, 3).unbind()
    ours, formula = _run(kernel, q, k, v), _run("plain", q, k, v)
    assert torch.allclose(ours.out.float(), formula.out.float(), atol=0.02)
    assert torch.allclose(ours.lse, formula.lse, atol=0.02)


@pytest.mark.parametrize("shape", [Shape(96), Shape(96, -1.3), Shape(96, -1.3, 500)])
def test_half_precision_is_near_to_single(shape: Shape) -> None:
    made = torch.randn(3, 1, 96 * 5, 4, 128, device="cuda").unbind()
    driving = torch.randn(2, 1, 96 * 4, 4, 128, device="cuda").unbind()
    single = framed((made[0], made[1], made[2]), (driving[0], driving[1]), shape)
    q, k, v = (part.bfloat16() for part in made)
    half = framed((q, k, v), (driving[0].bfloat16(), driving[1].bfloat16()), shape)
    assert torch.allclose(half.float(), single, atol=0.03)


@pytest.mark.parametrize("on_card", [0, 3, 8])
def test_features_come_back_as_they_were_stored(on_card: int) -> None:
    """Through several passes, with work between that lets copies and kernels race if they can."""
    device, host = torch.device("cuda"), HostLayers()
    for segment in range(2):
        stored = [torch.randn(2, 1, 2048, 8, 128, device=device, dtype=torch.bfloat16) for _ in range(8)]
        with DrivingCache(8, on_card, host, device) as cache:
            for index, both in enumerate(stored):
                cache.get(index).store(both[0] + 0, both[1] + 0)
            for _ in range(4):
                for skipped in (frozenset[int](), frozenset({5})):
                    cache.skipped = skipped
                    for index in sorted(set(range(8)) - skipped):
                        key, value = cache.get(index).get()
                        torch.matmul(stored[0].flatten(0, 3)[:4096], stored[1].flatten(0, 3)[:4096].T)
                        assert torch.equal(torch.stack([key, value]), stored[index]), (segment, index)


def test_room_on_the_card_is_what_is_free() -> None:
    device = torch.device("cuda")
    assert layers_on_card(40, 1, 0, device) == 40
    assert layers_on_card(40, 10**13, 0, device) == 0
    free, _ = torch.cuda.mem_get_info(device)
    assert 5 < layers_on_card(40, free // 20, 1000, device) < 20
