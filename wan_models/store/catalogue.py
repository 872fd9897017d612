"""What ``wanstage models pull`` can fetch: models of the registry, LoRAs that presets name, a tokenizer, tiny
autoencoders for previews, and the models that find people in films.
"""

from __future__ import annotations

from dataclasses import replace

from wan_models.models import MODELS
from wan_models.rows import ModelRow

from .found import ModelMissing
from .items import Item, KnownLora, Previewer
from .landmarkers import LANDMARKERS

TOKENIZER = "umt5-xxl-tokenizer"
"""The text encoder's tokenizer alone, for loose files (ComfyUI's text encoders as GGUF have none)."""


def _lightning(kind: str, version: str, comfy: str) -> tuple[KnownLora, ...]:
    folder = f"Wan2.2-{kind.upper()}-A14B-4steps-lora-rank64-Seko-{version}"
    return tuple(
        KnownLora(
            name=f"wan2.2-{kind}-lightx2v-4step-{expert}",
            repo="lightx2v/Wan2.2-Lightning",
            paths=(f"{folder}/{expert}_noise_model.safetensors",),
            models=(f"wan2.2-{kind}-a14b",),
            nbytes=1_226_977_424,
            also=(f"wan2.2_{kind}_lightx2v_4steps_lora_{comfy}_{expert}_noise",),
        )
        for expert in ("high", "low")
    )


LORAS: tuple[KnownLora, ...] = (
    *_lightning("t2v", "V1.1", "v1.1"),
    *_lightning("i2v", "V1", "v1"),
    KnownLora(
        name="wan2.2-animate-relighting",
        repo="Wan-AI/Wan2.2-Animate-14B",
        paths=("relighting_lora/adapter_model.safetensors", "relighting_lora.ckpt"),
        models=("wan2.2-animate-14b",),
        nbytes=2_870_000_000,
        also=("WanAnimate_relight_lora_fp16", "wan2.2_animate_14B_relight_lora_bf16"),
    ),
)
"""Repositories and file names as their pages have them (2025); bytes are what the hub said, for a first estimate."""


PREVIEWERS = (
    Previewer("taew2.1", "Sharper previews of all models but the 5B", 16, "taew2_1"),
    Previewer("taew2.2", "Sharper previews of the 5B", 48, "taew2_2"),
)
"""By Ollin Boer Bohan (github.com/madebyollin/taehv); LightX2V's repository has his files beside its own."""


def items() -> tuple[Item, ...]:
    """Everything that can be pulled, models first."""
    tokens = next(row for row in MODELS if row.family == "ti2v")
    return (
        *(_model(row) for row in MODELS),
        *(Item(lora.name, f"LoRA for {', '.join(lora.models)}", lora.repo, lora.licence, lora=lora) for lora in LORAS),
        Item(TOKENIZER, "Tokenizer of the text encoder", tokens.repo, tokens.licence),
        *(Item(tiny.name, tiny.title, tiny.repo, tiny.licence, previewer=tiny) for tiny in PREVIEWERS),
        *(Item(each.name, each.title, each.path, each.licence, landmarker=each) for each in LANDMARKERS),
    )


def _model(row: ModelRow) -> Item:
    """In diffusers' layout where it was released in it."""
    return Item(row.name, row.title, row.repos[0], row.licence, row=row, original=not row.repo)


def in_original_layout(told: Item) -> Item:
    """A model's item in the layout of the official code. Raises ModelMissing when it was not released so."""
    if told.row is None or not told.row.original_repo:
        problem = f"{told.name} exists in one layout only: leave out '--layout original'"
        raise ModelMissing(problem)
    return replace(told, repo=told.row.original_repo, original=True)


def item(name: str) -> Item:
    """The item of that name. Raises ModelMissing with the names there are."""
    there = {each.name: each for each in items()}
    if name not in there:
        problem = f"there is no model or LoRA {name}: there are {', '.join(there)}"
        raise ModelMissing(problem)
    return there[name]
