"""The weight files of one network in its folder: one file, or shards with or without an index."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

from .headers import BadFile, read_header

_SHARD = re.compile(r"(?P<stem>.+?)-(?P<number>\d{5})-of-(?P<count>\d{5})(?P<rest>[^/]*)\.safetensors")
_STEMS = ("diffusion_pytorch_model", "model")
"""Names that diffusers and transformers give to weights; the official code uses diffusers'."""
_VARIANTS = ("", "bf16", "fp16", "fp32")
"""Best first; any other comes after them."""


class Incomplete(Exception):
    """A folder that is the model but lacks something; the message names the file."""


def variant_of(name: str) -> str:
    """The variant in a file's name: ``model.fp16-00001-of-00002.safetensors`` -> ``fp16``."""
    rest = re.sub(r"-\d{5}-of-\d{5}", "", name)
    for word in ("safetensors", "index", "json", *_STEMS):
        rest = re.sub(rf"(^|[.\-_]){word}(?=[.\-_]|$)", "", rest)
    return rest.strip(".-_")


def rank(name: str) -> tuple[int, str]:
    """A sort key of files that are the same weights: no variant, bf16, fp16, then others."""
    variant = variant_of(name)
    return (_VARIANTS.index(variant) if variant in _VARIANTS else len(_VARIANTS), name)


def weight_files(folder: Path) -> tuple[Path, ...]:
    """The safetensors files of the network in ``folder``, shards in order; no variant before bf16 before fp16.

    Raises Incomplete, naming the first file that is missing or cut short.
    """
    if not folder.is_dir():
        problem = f"the folder {folder} is missing"
        raise Incomplete(problem)
    names = sorted(path.name for path in folder.iterdir() if path.name.startswith(_STEMS))
    sets = {variant: files for variant, files in _sets(folder, names)}
    if not sets:
        problem = f"{folder} has no weights (.safetensors)"
        others = [name for name in names if name.endswith((".bin", ".pt", ".pth"))]
        raise Incomplete(problem + (f", only {others[0]}, which is not read" if others else ""))
    problems = []
    for _, wanted in sorted(sets.items(), key=lambda item: rank(item[1][0])):
        lacking = [name for name in wanted if not (folder / name).is_file()]
        if not lacking:
            return tuple(sound(folder / name) for name in wanted)
        more = f" and {len(lacking) - 1} more of {len(wanted)}" if len(lacking) > 1 else ""
        problems.append(f"{folder / lacking[0]}{more} is missing")
    raise Incomplete(problems[0])


def _sets(folder: Path, names: Iterable[str]) -> Iterable[tuple[str, list[str]]]:
    """(name of the set, its files' names), of whole files, of shard names, of indexes, so that an index wins."""
    names = list(names)
    for name in names:
        shard = _SHARD.fullmatch(name)
        if shard:
            count = int(shard["count"])
            wanted = [f"{shard['stem']}-{n:05d}-of-{count:05d}{shard['rest']}.safetensors" for n in range(1, count + 1)]
            yield f"{variant_of(name)} in {count}", wanted
        elif name.endswith(".safetensors"):
            yield f"{variant_of(name)} in 1", [name]
    for name in names:
        if ".safetensors.index" in name and name.endswith(".json"):
            wanted = _of_index(folder / name)
            yield f"{variant_of(name)} in {len(wanted)}", wanted


def _of_index(path: Path) -> list[str]:
    try:
        wanted = sorted({str(name) for name in json.loads(path.read_bytes())["weight_map"].values()})
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        problem = f"{path} is not a whole index of shards"
        raise Incomplete(problem) from error
    if not wanted:
        problem = f"{path} names no shards"
        raise Incomplete(problem)
    return wanted


def sound(path: Path) -> Path:
    """``path``, once its header fits its length. Raises Incomplete."""
    if path.suffix == ".safetensors":
        try:
            read_header(path)
        except BadFile as bad:
            problem = f"{path} {bad}"
            raise Incomplete(problem) from bad
    elif not path.is_file() or path.stat().st_size == 0:
        problem = f"{path} is missing or empty"
        raise Incomplete(problem)
    return path
