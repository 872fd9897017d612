"""Memory plans: which parts stay on the card, which come to it when they work, and in which precision. No torch here.

Bytes throughout; GB in sentences are 1e9.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

from wan_models.engine import RequestRefused
from wan_models.rows import ModelRow

from . import sizes

PlanName = Literal["resident", "resident-fp8", "swap", "swap-fp8", "stream", "stream-fp8"]
Weights = Literal["bf16", "fp8"]
Source = Literal["pinned", "pageable", "mapped"]
ORDER: tuple[PlanName, ...] = ("resident", "swap", "stream", "resident-fp8", "swap-fp8", "stream-fp8")
"""The order of preference: as the weights are, then fp8; within these the fastest first."""
_SMALLER: tuple[PlanName, ...] = ("resident", "swap", "resident-fp8", "swap-fp8", "stream", "stream-fp8")
_VAES = (("float32", 0), ("bfloat16", 0), ("bfloat16", 512))
"""Precision and tile side in pixels of the VAE, the exact one first."""
MARGIN = 300 * sizes.MIB
"""Card memory left alone beside 4 % of what a plan needs: fragmentation, cuBLAS and cuDNN work spaces."""


@dataclass(frozen=True)
class Need:
    """One line of a plan: a part or a piece of work, its bytes on the card while it works and on the host always."""

    what: str
    card: int
    host: int = 0
    note: str = ""


@dataclass(frozen=True)
class Plan:
    """Where a model's parts are.

    resident: the transformers stay on the card. swap: one network on the card at a time, the others on the host.
    stream: blocks come from the host while their predecessors work; ``resident_blocks`` of each transformer's blocks
    are on the card while it works (None = all). ``weights``: how block weights are stored. ``together``: networks need
    not leave the card for one another. ``text_stream``: the text encoder's layers come one by one. ``keep_text``: it
    stays on the host after its work, else it is forgotten. ``source``: what streamed weights are read from: pinned or
    ordinary host memory, or the files themselves. ``vae_tile``: side in pixels of the VAE's tiles, 0 = none.
    ``reference_on_host``: Animate-2's keys and values of the driving segment stay on the host.
    """

    name: PlanName = "resident"
    weights: Weights = "bf16"
    resident_blocks: int | None = None
    together: bool = True
    text_stream: bool = False
    keep_text: bool = False
    source: Source = "pinned"
    vae: Literal["float32", "bfloat16"] = "float32"
    vae_tile: int = 0
    reference_on_host: bool = False
    needs: tuple[Need, ...] = ()
    card: int = 0
    host: int = 0

    @property
    def lossless(self) -> bool:
        """Whether frames are those of every other lossless plan."""
        return self.weights == "bf16" and self.vae == "float32" and not self.vae_tile


@dataclass(frozen=True)
class Shot:
    """What is to be made of which model."""

    row: ModelRow
    width: int
    height: int
    frames: int


@dataclass(frozen=True)
class Free:
    """Free bytes: of the card, of the host, and how much of the host may be pinned."""

    card: int
    host: int
    pinnable: int


def choose(
    row: ModelRow,
    *,
    width: int,
    height: int,
    frames: int,
    free_card: int,
    free_host: int,
    wanted: str = "auto",
    pinnable: int | None = None,
) -> Plan:
    """The fastest plan that fits, lossless ones first; or ``wanted``, if it fits. Sizes in bytes; ``pinnable``: four
    fifths of the free host memory when not given.

    Raises RequestRefused: which plan would fit, or how much memory is needed.
    """
    shot = Shot(row, width, height, frames)
    free = Free(free_card, free_host, free_host * 4 // 5 if pinnable is None else pinnable)
    if wanted == "auto":
        plan = _best(shot, free)
        if plan is not None:
            return plan
        raise RequestRefused(_nothing_fits(shot, free))
    if wanted not in get_args(PlanName):
        problem = f"there is no plan {wanted}: there are auto, {', '.join(ORDER)}"
        raise RequestRefused(problem)
    name = next(name for name in ORDER if name == wanted)
    plan = fitted(shot, name, free)
    if plan is None:
        raise RequestRefused(_wanted_does_not_fit(shot, name, free))
    return plan


def _best(shot: Shot, free: Free) -> Plan | None:
    """Whole weights before fp8, exact VAEs before others, then by speed; weights mapped from their files last."""
    for names in (ORDER[:3], ORDER[3:]):
        for vae, tile in _VAES:
            for name in names:
                plan = _if_it_fits(shot, _shaped(name, vae, tile), free)
                if plan is not None:
                    return plan
    return fitted(shot, "stream", free)


def fitted(shot: Shot, name: PlanName, free: Free) -> Plan | None:
    """The plan of this name with as many blocks on the card as there is room for; None if it does not fit. Where the
    host lacks room for streaming whole weights, they are mapped from their files.
    """
    for vae, tile in _VAES:
        plan = _if_it_fits(shot, _shaped(name, vae, tile), free)
        if plan is None and name == "stream":
            plan = _if_it_fits(shot, replace(_shaped(name, vae, tile), source="mapped"), free)
        if plan is not None:
            return plan
    return None


def _if_it_fits(shot: Shot, plan: Plan, free: Free) -> Plan | None:
    plan = _completed(shot, plan, free)
    fits = plan.card <= free.card and plan.host <= free.host
    return _with_text_kept(shot, plan, free) if fits else None


def smallest(shot: Shot, name: PlanName) -> Plan:
    """The plan of this name at its least card memory."""
    return _completed(shot, _shaped(name, *_VAES[-1]), Free(0, 0, 0))


def next_smaller(plan: Plan) -> PlanName | None:
    """The plan to try when this one ran out of memory; None after the smallest."""
    later = _SMALLER[_SMALLER.index(plan.name) + 1 :]
    return later[0] if later else None


def describe(plan: Plan) -> str:
    """A table of gigabytes for people."""
    kind = "lossless" if plan.lossless else f"lossy: {losses(plan)}"
    lines = [f"plan {plan.name} ({kind})", f"{'':24}{'card GB':>9}{'host GB':>9}"]
    lines += [
        f"{need.what:24}{need.card / 1e9:9.1f}{need.host / 1e9:9.1f}  {need.note}".rstrip() for need in plan.needs
    ]
    lines.append(f"{'most at a time':24}{plan.card / 1e9:9.1f}{plan.host / 1e9:9.1f}")
    return "\n".join(lines)


def losses(plan: Plan) -> str:
    """What makes a plan's frames differ from those of whole weights; empty for a lossless one."""
    reasons = []
    if plan.weights == "fp8":
        reasons.append("block weights in fp8 (e4m3, a scale a row)")
    if plan.vae == "bfloat16":
        reasons.append("the VAE works in bfloat16")
    if plan.vae_tile:
        reasons.append(f"the VAE works in tiles of {plan.vae_tile} px, blended at their seams")
    return "; ".join(reasons)


def _shaped(name: PlanName, vae: str, tile: int) -> Plan:
    kind, _, fp8 = name.partition("-")
    return Plan(
        name=name,
        weights="fp8" if fp8 else "bf16",
        resident_blocks=0 if kind == "stream" else None,
        together=kind == "resident",
        vae="float32" if vae == "float32" else "bfloat16",
        vae_tile=tile,
    )


def _completed(shot: Shot, plan: Plan, free: Free) -> Plan:
    """Fill in what depends on the free memory, and the sums."""
    row = shot.row
    one = sizes.blocks(row, plan.weights)
    networks = 2 if "transformer_2" in row.parts else 1
    cache = sizes.reference_cache(row, shot.width, shot.height, shot.frames)
    stay = networks * one.whole + sizes.part(row, "vae", _element(plan)) if plan.together else 0
    if plan.resident_blocks is not None:
        plan = _with_blocks(shot, plan, one, cache, free)
    kept = _on_card(plan, one)
    denoise = (stay or kept) + sizes.work(row, shot.width, shot.height, shot.frames)
    on_host = bool(cache) and denoise + cache > _usable(free.card)
    plan = replace(plan, reference_on_host=on_host)
    text = sizes.part(row, "text_encoder") + sizes.TEXT_WORK
    if stay + text > _usable(free.card):
        plan, text = replace(plan, text_stream=True), sizes.text_streamed(row) + sizes.TEXT_WORK
    held = 0 if plan.together else networks * one.whole
    if plan.source == "mapped":
        held = networks * one.rest + 2 * one.unit
    needs = [Need("text encoder", stay + text, 0, "its layers one by one" if plan.text_stream else "")]
    if "image_encoder" in row.parts:
        needs.append(Need("image encoder", stay + sizes.part(row, "image_encoder", 4) + sizes.CLIP_WORK))
    if "audio_encoder" in row.parts:
        hearing = sizes.part(row, "audio_encoder", 4) + sizes.audio_work(row, shot.frames)
        needs.append(Need("audio encoder", stay + hearing))
    needs.append(Need("denoising", denoise + (0 if on_host else cache), held + (cache if on_host else 0), _note(plan)))
    needs.append(_vae_need(shot, plan, stay))
    card = max(need.card for need in needs)
    return replace(
        plan,
        needs=tuple(needs),
        card=card + card // 25 + MARGIN,
        host=sum(need.host for need in needs),
        source=plan.source if plan.source == "mapped" or held <= free.pinnable else "pageable",
    )


def _with_blocks(shot: Shot, plan: Plan, one: sizes.Blocks, cache: int, free: Free) -> Plan:
    """As many blocks on the card as there is room for; the number that streams is even (two slots take turns)."""
    work = sizes.work(shot.row, shot.width, shot.height, shot.frames)
    least = one.rest + 2 * one.unit + work
    if least + cache <= _usable(free.card):
        least += cache
    spare = _usable(free.card) - least
    blocks = max(0, min(one.count - 2, spare // one.unit))
    return replace(plan, resident_blocks=int(blocks - (one.count - blocks) % 2) if blocks else one.count % 2)


def _on_card(plan: Plan, one: sizes.Blocks) -> int:
    if plan.resident_blocks is None:
        return one.whole
    share = one.all // one.count
    return one.rest + 2 * one.unit + plan.resident_blocks * share


def _vae_need(shot: Shot, plan: Plan, stay: int) -> Need:
    element = _element(plan)
    wide, high = shot.width, shot.height
    if plan.vae_tile:
        wide, high = min(wide, plan.vae_tile), min(high, plan.vae_tile)
    work = sizes.vae_work(shot.row, wide, high, element)
    note = f"{plan.vae}, 4 frames at a time" + (f", tiles of {plan.vae_tile} px" if plan.vae_tile else "")
    host = sizes.carried(shot.row, shot.width, shot.height)
    return Need("VAE", (stay or sizes.part(shot.row, "vae", element)) + work, host, note)


def _with_text_kept(shot: Shot, plan: Plan, free: Free) -> Plan:
    """Keep the text encoder on the host where there is room for twice its size."""
    text = sizes.part(shot.row, "text_encoder")
    if plan.host + 2 * text > free.host:
        return plan
    needs = tuple(replace(n, host=text) if n.what == "text encoder" else n for n in plan.needs)
    return replace(plan, keep_text=True, needs=needs, host=plan.host + text)


def _note(plan: Plan) -> str:
    if plan.resident_blocks is not None:
        where = {"pinned": "pinned memory", "pageable": "ordinary memory", "mapped": "their files"}[plan.source]
        return f"{plan.resident_blocks} blocks on the card, the others stream from {where}, {plan.weights} weights"
    return f"{plan.weights} weights"


def _element(plan: Plan) -> int:
    return 4 if plan.vae == "float32" else 2


def _usable(card: int) -> int:
    """Inverse of the margin."""
    return int((card - MARGIN) / 1.04)


def _wanted_does_not_fit(shot: Shot, name: PlanName, free: Free) -> str:
    least = smallest(shot, name)
    fitting = next((other for other in ORDER if fitted(shot, other, free)), None)
    advice = f"plan {fitting} would fit" if fitting else _nothing_fits(shot, free)
    return f"plan {name} of {_what(shot)} needs {_memory(least)}, {_free(free)}: {advice}"


def _nothing_fits(shot: Shot, free: Free) -> str:
    mapped = replace(_shaped("stream", *_VAES[-1]), source="mapped")
    plans = [*(smallest(shot, name) for name in ORDER), _completed(shot, mapped, Free(0, 0, 0))]
    least = min(plans, key=lambda plan: (plan.host > free.host, plan.card))
    return f"{_what(shot)} needs at least {_memory(least)}, {_free(free)}: choose a smaller size or fewer frames"


def _what(shot: Shot) -> str:
    return f"{shot.row.name} at {shot.width}x{shot.height}, {shot.frames} frames"


def _memory(plan: Plan) -> str:
    return f"{plan.card / 1e9:.1f} GB of the card and {plan.host / 1e9:.1f} GB of the host"


def _free(free: Free) -> str:
    return f"{free.card / 1e9:.1f} GB and {free.host / 1e9:.1f} GB are free"
