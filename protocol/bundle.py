"""Bundles: one zip with a job and all its assets (SPEC.md section "Bundles"). Equal jobs give equal bytes."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

import msgspec

from . import VERSION, limits
from .assets import AssetFolder
from .errors import AssetError, InvalidJob, VersionMismatch
from .refs import asset_refs
from .specs import AssetRef, JobSpec
from .validation import parse_spec, validate

_ASSET = re.compile(r"assets/([0-9a-f]{64})")
_TEXTS = ("job.json", "manifest.json")
_PIECE = 1024 * 1024
_EPOCH = (1980, 1, 1, 0, 0, 0)
MAX_BUNDLE_BYTES = 64 * 1024 * limits.MIB


class Manifest(msgspec.Struct, frozen=True):
    """``bundle`` is the version of the file format; ``extra`` is the writer's own."""

    bundle: int
    protocol: tuple[int, int]
    extra: dict[str, str | int | float | bool | None] = {}


def write_bundle(
    path: Path, spec: JobSpec, folder: AssetFolder, extra: Mapping[str, str | int | float | bool | None] | None = None
) -> None:
    """Write the job and its assets to ``path``, atomically.

    Raises InvalidJob for a spec that no backend could take, AssetError when an asset is not in ``folder``.
    """
    validate(spec)
    refs = sorted(asset_refs(spec), key=lambda ref: ref.id)
    for ref in refs:
        if not folder.has(ref):
            problem = f"asset {ref.id[:12]} of {ref.nbytes} bytes is not in the asset folder: capture the scene again"
            raise AssetError(problem)
    manifest = Manifest(1, VERSION, dict(sorted((extra or {}).items())))
    scratch = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with zipfile.ZipFile(scratch, "w", zipfile.ZIP_STORED) as bundle:
            for ref in refs:
                with bundle.open(_entry(f"assets/{ref.id}", ref.nbytes), "w") as target, folder.open(ref.id) as source:
                    while piece := source.read(_PIECE):
                        target.write(piece)
            bundle.writestr(_entry("job.json"), msgspec.json.format(msgspec.json.encode(spec)))
            bundle.writestr(_entry("manifest.json"), msgspec.json.format(msgspec.json.encode(manifest)))
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def read_bundle(path: Path, folder: AssetFolder) -> JobSpec:
    """The job of a bundle; its assets are added to ``folder``.

    Raises InvalidJob, AssetError or VersionMismatch for a file that is not a sound bundle; then nothing of it is kept.
    """
    try:
        with zipfile.ZipFile(path) as bundle:
            entries = _checked_entries(bundle)
            read_manifest(bundle)
            spec = parse_spec(_text(bundle, "job.json"))
            wanted = {ref.id: ref for ref in asset_refs(spec)}
            if wanted.keys() != entries.keys():
                problem = "the bundle does not hold exactly the assets that its job names: write it again"
                raise AssetError(problem)
            _unpack(bundle, entries, wanted, folder)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        problem = f"{path.name} is not a bundle, or it is damaged: {error}"
        raise InvalidJob(problem) from error
    return spec


def read_manifest(bundle: zipfile.ZipFile) -> Manifest:
    """The manifest of an open bundle. Raises InvalidJob, or VersionMismatch for a newer one than this side knows."""
    try:
        manifest = msgspec.json.decode(_text(bundle, "manifest.json"), type=Manifest)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        problem = f"the bundle's manifest.json is damaged: {error}"
        raise InvalidJob(problem) from error
    if manifest.bundle != 1 or manifest.protocol[0] != VERSION[0]:
        theirs = f"{manifest.bundle} for protocol {manifest.protocol[0]}"
        problem = (
            f"the bundle has format {theirs}, this side reads format 1 for protocol {VERSION[0]}: update the older"
        )
        raise VersionMismatch(problem)
    return manifest


def _entry(name: str, nbytes: int = 0) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.create_system = 3  # else the bytes would depend on the system they were written on
    entry.external_attr = 0o600 << 16
    entry.file_size = nbytes
    return entry


def _checked_entries(bundle: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    found: dict[str, zipfile.ZipInfo] = {}
    texts: list[str] = []
    for entry in bundle.infolist():
        match = _ASSET.fullmatch(entry.filename)
        if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size or entry.flag_bits & 1:
            _refuse(f"the entry {entry.filename[:80]!r} is compressed or encrypted")
        if match and match[1] not in found and entry.file_size <= limits.MAX_ASSET_BYTES:
            found[match[1]] = entry
        elif entry.filename in _TEXTS and entry.filename not in texts and entry.file_size <= 4 * limits.MAX_BODY_BYTES:
            texts.append(entry.filename)
        else:
            _refuse(f"the entry {entry.filename[:80]!r} is unknown, repeated or too large")
    if len(texts) != len(_TEXTS):
        _refuse("job.json or manifest.json is missing")
    if len(found) > limits.MAX_ASSETS_PER_JOB or sum(each.file_size for each in found.values()) > MAX_BUNDLE_BYTES:
        _refuse(f"it has more than {limits.MAX_ASSETS_PER_JOB} assets or {MAX_BUNDLE_BYTES} bytes")
    return found


def _unpack(
    bundle: zipfile.ZipFile, entries: dict[str, zipfile.ZipInfo], wanted: dict[str, AssetRef], folder: AssetFolder
) -> None:
    new = [ref for ref in wanted.values() if not folder.has(ref)]
    try:
        for ref in new:
            if entries[ref.id].file_size != ref.nbytes:
                problem = f"asset {ref.id[:12]} of the bundle has another length than its job says"
                raise AssetError(problem)
            with bundle.open(entries[ref.id]) as source:
                _copy(source, ref, folder)
    except BaseException:
        for ref in new:
            folder.remove(ref.id)
        raise


def _copy(source: IO[bytes], ref: AssetRef, folder: AssetFolder) -> None:
    for offset, piece in _pieces(source):
        folder.append_chunk(ref, offset, piece)
    if ref.nbytes == 0:
        folder.append_chunk(ref, 0, b"")


def _pieces(source: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while piece := source.read(_PIECE):
        yield offset, piece
        offset += len(piece)


def _text(bundle: zipfile.ZipFile, name: str) -> bytes:
    with bundle.open(name) as file:
        return file.read(4 * limits.MAX_BODY_BYTES)


def _refuse(problem: str) -> None:
    sentence = f"this is not a bundle that can be read: {problem}"
    raise InvalidJob(sentence)
