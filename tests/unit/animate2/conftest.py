"""One tiny Animate-2, with enough layers that the one which the unconditional pass leaves out is among them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from torch import Tensor, nn

from wan_models.events import Event, FramesDecoded
from wan_models.memory.plan import Plan
from wan_models.pipelines import animate2
from wan_models.pipelines.animate2 import OFFICIAL, Rules
from wan_models.pipelines.contracts import Eye
from wan_models.pipelines.decode import StreamingVae
from wan_models.pipelines.encodings import encode_text
from wan_models.pipelines.settings import resolve
from wan_models.registry import model_row
from wan_models.requests import DrivePack, Request, SamplerSettings
from wan_models.rows import ModelRow
from wan_models.weights.tiny import build, fill, make_tiny, tiny_config

CPU = torch.device("cpu")
BASE, DISTILLED = "wan2.2-animate-2-14b", "wan2.2-animate-2-14b-distilled"
SEGMENT = 9
LAYERS = 10
SIZE = (64, 48)


@dataclass
class Networks:
    """Of one tiny checkpoint, float32."""

    tokenizer: Any
    text_encoder: Any
    image_encoder: Any
    vae: Any
    transformer: Any
    views: dict[bytes, Tensor] = field(default_factory=dict)

    def view(self, pixels: Tensor) -> Tensor:
        """CLIP's view; this tower is as wide as the released one, so it is not asked twice."""
        key = pixels.numpy().tobytes()
        if key not in self.views:
            with torch.no_grad():
                self.views[key] = self.image_encoder(pixels, output_hidden_states=True).hidden_states[-2]
        return self.views[key]

    def components(self) -> dict[str, Any]:
        """For a stock pipeline."""
        return {name: value for name, value in vars(self).items() if name != "views"}


@dataclass
class TinyParts:
    """The networks as our parts; ``segment`` frames a pass."""

    row: ModelRow
    networks: Networks
    device: torch.device = CPU
    dtype: torch.dtype = torch.float32
    eye: Eye | None = None
    plan: Plan = field(default_factory=Plan)
    seen: list[Tensor] = field(default_factory=list)

    def text(self, prompts: Sequence[str]) -> list[Tensor]:
        with torch.no_grad():
            return [encode_text(self.networks.text_encoder, self.networks.tokenizer, text, CPU) for text in prompts]

    def clip(self, pixels: Tensor) -> Tensor:
        self.seen.append(pixels)
        return self.networks.view(pixels)

    @property
    def vae(self) -> StreamingVae:
        return StreamingVae(self.networks.vae, CPU, torch.float32)

    @contextmanager
    def transformer(self, expert: str = "high") -> Iterator[nn.Module]:
        yield self.networks.transformer

    def room(self) -> None:
        pass


@pytest.fixture(scope="session")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Networks:
    torch.set_num_threads(1)
    folder: Path = make_tiny(tmp_path_factory.mktemp("tiny"), (BASE,))[BASE]
    config = {**tiny_config(model_row(BASE), "transformer"), "num_layers": LAYERS}
    transformer = build("WanAnimate2Transformer3DModel", config)
    fill(transformer, config, 5)
    with torch.no_grad():
        for name, parameter in transformer.named_parameters():
            if name.endswith("norm_q.weight"):
                parameter.mul_(6.0)  # sharp attention: what is attended to must show
    return Networks(
        transformers.AutoTokenizer.from_pretrained(str(folder / "tokenizer")),
        transformers.UMT5EncoderModel.from_pretrained(str(folder / "text_encoder"), dtype=torch.float32),
        transformers.CLIPVisionModel.from_pretrained(str(folder / "image_encoder"), dtype=torch.float32),
        diffusers.AutoencoderKLWan.from_pretrained(str(folder / "vae"), torch_dtype=torch.float32),
        transformer,
    )


@pytest.fixture
def parts(networks: Networks) -> Callable[[str], TinyParts]:
    """By the model's name, segments of 9 frames."""

    def make(model: str = BASE) -> TinyParts:
        return TinyParts(replace(model_row(model), segment=SEGMENT), networks)

    return make


def picture(width: int, height: int, seed: int) -> np.ndarray:
    small = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def render(count: int, size: tuple[int, int] = SIZE) -> list[np.ndarray]:
    return [picture(*size, 100 + index) for index in range(count)]


def request_of(model: str, clay: Sequence[np.ndarray], **more: Any) -> Request:
    """A job of as many frames as ``clay`` has; a reference of twice the size and the same shape."""
    pack = DrivePack(SIZE[0], SIZE[1], len(clay), 24.0, clay=clay)
    values = {
        "task": "animate", "model": model, "width": SIZE[0], "height": SIZE[1], "frames": len(clay), "fps": 24.0,
        "seed": 7, "prompt": "a dog runs", "negative_prompt": "blurry", "image": picture(128, 96, 3), "pack": pack,
        "sampler": SamplerSettings(steps=3), "previews": False,
    }  # fmt: skip
    return Request(**{**values, **more})


def events_of(parts: TinyParts, request: Request, rules: Rules = OFFICIAL, stop: Callable[[], bool] = lambda: False
              ) -> list[Event]:  # fmt: skip
    return list(animate2.generate(parts, request, resolve(parts.row, request), stop, rules))


def frames_in(events: Sequence[Event]) -> np.ndarray:
    """(T, h, w, 3); every frame must be there once, in order."""
    decoded = [event for event in events if isinstance(event, FramesDecoded)]
    firsts = np.cumsum([0, *(len(event.frames) for event in decoded)])
    assert [event.first for event in decoded] == firsts[:-1].tolist()
    return np.concatenate([event.frames for event in decoded])
