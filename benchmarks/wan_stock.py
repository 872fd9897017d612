"""One forward of diffusers' own networks and of ours on the same card and weights: times, peaks, whether bits agree.

    python benchmarks/wan_stock.py --model wan2.2-animate-14b --size 832x480 [--frames 77] [--resident 0,20] [--compile]

Stock is diffusers 0.42 as its users run it: whole on the card, and block group offload with a stream. Ours is the
network as a plan has it, resident and streamed with some blocks on the card. Random weights of the released shapes;
a forward without guidance, batch 1; CUDA events, median of the runs after a warm-up.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from torch import Tensor, nn

from benchmarks import _report
from wan_models import attention, compiling
from wan_models.memory import sizes
from wan_models.memory.lean import lean_blocks
from wan_models.memory.load import build, fill, move_buffers, onto
from wan_models.memory.machine import GIB
from wan_models.memory.place import Placed, Target, place_transformer
from wan_models.memory.plan import Plan
from wan_models.pipelines.decode import StreamingVae
from wan_models.pipelines.wan_forward import predict
from wan_models.registry import model_row
from wan_models.rows import ModelRow
from wan_models.weights import RandomCheckpoint

CARD = torch.device("cuda:0")
BF16 = torch.bfloat16


def inputs(row: ModelRow, width: int, height: int, frames: int) -> dict[str, Any]:
    """What the transformer is called with."""
    make = torch.Generator(CARD).manual_seed(1)

    def noise(*shape: int, dtype: torch.dtype = BF16) -> Tensor:
        return torch.randn(*shape, generator=make, device=CARD, dtype=dtype)

    config = row.parts["transformer"].config
    stride = 16 if row.family == "ti2v" else 8
    length = sizes.latent_frames(row, frames)
    high, wide = height // stride, width // stride
    given: dict[str, Any] = {
        "hidden_states": noise(1, config["in_channels"], length, high, wide),
        "timestep": torch.tensor([500.0], device=CARD),
        "encoder_hidden_states": noise(1, 512, config["text_dim"]),
        "return_dict": False,
    }
    if row.family == "ti2v":  # one time a token, zero for the first frame's: image to video
        times = torch.full((1, length * (high // 2) * (wide // 2)), 500.0, device=CARD)
        times[:, : (high // 2) * (wide // 2)] = 0
        given["timestep"] = times
    if row.family == "animate":
        given["encoder_hidden_states_image"] = noise(1, 257, config["image_dim"])
        given["pose_hidden_states"] = noise(1, 16, length - 1, high, wide)
        given["face_pixel_values"] = noise(1, 3, frames, 512, 512).clamp(-1, 1)
    return given


def forward(module: Any, given: dict[str, Any], own: bool) -> Tensor:  # noqa: ANN401 - diffusers has no types
    """The network's own forward; ``own``: ours of the 5B, which has one time for each of two groups of tokens. (Ours of
    Animate makes its face's tokens once a segment; here both make them at each forward.)
    """
    if not own or given["timestep"].ndim == 1:
        out: Tensor = module(**given)[0]
        return out
    latents, times = given["hidden_states"], given["timestep"]
    words = module.condition_embedder.text_embedder(given["encoder_hidden_states"])
    held = times.shape[1] // latents.shape[2]
    return predict(module, latents, times[0, -1:], words, positions=module.rope(latents), held=held)


def timed(module: nn.Module, given: dict[str, Any], runs: int, own: bool = False) -> tuple[dict[str, float], Tensor]:
    """Median seconds and peak memory of a forward, and what it gave."""
    torch.cuda.reset_peak_memory_stats()
    seconds = []
    with torch.no_grad():
        for _ in range(runs + 1):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            out = forward(module, given, own)
            end.record()
            torch.cuda.synchronize()
            seconds.append(start.elapsed_time(end) / 1000)
    figures = {
        "seconds": round(statistics.median(seconds[1:]), 3),
        "first_seconds": round(seconds[0], 3),
        "peak_allocated_gib": round(torch.cuda.max_memory_allocated() / GIB, 2),
        "peak_reserved_gib": round(torch.cuda.max_memory_reserved() / GIB, 2),
    }
    return figures, out.float().cpu()


def stock(row: ModelRow, device: torch.device) -> nn.Module:
    """diffusers' network with random numbers."""
    part = row.parts["transformer"]
    module = build(part.cls, part.config)
    fill(module, RandomCheckpoint(row, CARD).tensors("transformer"), BF16, onto(module, device), row.name)
    move_buffers(module, device)
    return module


def ours(row: ModelRow, plan: Plan) -> Placed:
    """The same as a plan has it."""
    part = row.parts["transformer"]
    tensors = RandomCheckpoint(row, CARD).tensors("transformer")
    placed = place_transformer(build(part.cls, part.config), tensors, Target(plan, CARD, BF16, row.name))
    placed.bind()
    return placed


def freed() -> None:
    """Between two networks."""
    gc.collect()
    torch.cuda.empty_cache()


def transformers(told: argparse.Namespace, row: ModelRow) -> dict[str, Any]:
    """All variants of the forward."""
    width, height = (int(side) for side in told.size.split("x"))
    given = inputs(row, width, height, told.frames)
    found: dict[str, Any] = {"tokens": sizes.tokens(row, width, height, told.frames)}
    module = stock(row, CARD)
    found["stock"], wanted = timed(module, given, told.runs)
    del module
    freed()
    if told.offload:
        module = stock(row, torch.device("cpu"))
        module.enable_group_offload(CARD, torch.device("cpu"), "block_level", 1, use_stream=True)
        found["stock_group_offload"], _ = timed(module, given, told.runs)
        del module
        freed()
    found["attention"] = attention.use_attention(CARD)
    plans = {"resident": Plan()}
    for count in filter(None, told.resident.split(",")):
        plans[f"stream_{count}_resident"] = Plan(name="stream", resident_blocks=int(count), together=False)
    if told.fp8:
        plans["stream_fp8"] = Plan(name="stream-fp8", weights="fp8", resident_blocks=0, together=False)
    for name, plan in plans.items():
        placed = ours(row, plan)
        lean_blocks(placed.module)
        found[name], out = timed(placed.module, given, told.runs, own=True)
        error = ((out - wanted).norm() / wanted.norm()).item()
        found[name] |= {"same_bits_as_stock": torch.equal(out, wanted), "relative_difference": error}
        if told.compile and name == "resident":
            compiling.compile_blocks(placed.module)
            found["resident_compiled"], _ = timed(placed.module, given, told.runs, own=True)
        placed.release()
        del placed
        freed()
    return found


def vae(told: argparse.Namespace, row: ModelRow) -> dict[str, Any]:
    """Whole-clip decode by diffusers, and ours in chunks, in both precisions."""
    width, height = (int(side) for side in told.size.split("x"))
    stride, channels = (16, 48) if row.family == "ti2v" else (8, 16)
    make = torch.Generator(CARD).manual_seed(2)
    shape = (1, channels, (told.frames - 1) // 4 + 1, height // stride, width // stride)
    latents = torch.randn(*shape, generator=make, device=CARD)
    found: dict[str, Any] = {}
    for dtype in (BF16, torch.float32):
        found |= _decoders(told, row, latents, dtype)
        freed()
    return found


def _decoders(told: argparse.Namespace, row: ModelRow, latents: Tensor, dtype: torch.dtype) -> dict[str, Any]:
    part = row.parts["vae"]
    module: Any = build(part.cls, part.config)
    fill(module, RandomCheckpoint(row, CARD).tensors("vae"), dtype, onto(module, CARD), "vae")
    name = str(dtype).removeprefix("torch.")
    streamed = StreamingVae(module, CARD, dtype)
    found = {f"ours_{name}": _clocked(lambda: streamed.decode(latents))}
    if told.stock_vae:
        found[f"stock_{name}"] = _clocked(lambda: [module.decode(latents.to(dtype), return_dict=False)[0]])
    return found


@torch.no_grad()
def _clocked(make: Callable[[], Iterable[Tensor]]) -> dict[str, Any]:
    freed()
    torch.cuda.reset_peak_memory_stats()
    start, *ends = (torch.cuda.Event(enable_timing=True) for _ in range(200))
    start.record()
    count = 0
    for count, chunk in enumerate(make(), 1):
        ends[count - 1].record()
        del chunk
    torch.cuda.synchronize()
    return {
        "seconds": round(start.elapsed_time(ends[count - 1]) / 1000, 3),
        "first_chunk_seconds": round(start.elapsed_time(ends[0]) / 1000, 3),
        "chunks": count,
        "peak_allocated_gib": round(torch.cuda.max_memory_allocated() / GIB, 2),
    }


def main() -> None:
    """Measure and write results/wan_stock_MODEL_SIZE.json."""
    parser = argparse.ArgumentParser(description="diffusers' networks and ours on one card")
    parser.add_argument("--model", default="wan2.2-animate-14b")
    parser.add_argument("--size", default="832x480")
    parser.add_argument("--frames", type=int)
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--resident", default="0", help="numbers of blocks that stay on the card when streaming")
    parser.add_argument("--offload", action="store_true", help="diffusers' group offload too")
    parser.add_argument("--fp8", action="store_true")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--vae", action="store_true", help="the VAE's decode instead of the transformer")
    parser.add_argument("--stock-vae", action="store_true")
    told = parser.parse_args()
    row = model_row(told.model)
    told.frames = told.frames or row.default_frames
    figures = vae(told, row) if told.vae else transformers(told, row)
    card = {
        "card": torch.cuda.get_device_name(CARD),
        "torch": torch.__version__,
        "cudnn": torch.backends.cudnn.version(),
    }
    name = f"wan_stock_{row.name.removeprefix('wan2.2-')}_{told.size}" + ("_vae" if told.vae else "")
    _report.write(name, {**card, "frames": told.frames, **figures})


if __name__ == "__main__":
    main()
