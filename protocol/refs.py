"""Which assets a job needs, and arrays to assets and back. No numpy: the caller does ``frombuffer``."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator

import msgspec

from . import limits
from .assets import AssetFolder, Bytes
from .errors import AssetError
from .specs import ArrayRef, AssetRef, Codec, DType

ITEM_BYTES: dict[str, int] = {"u1": 1, "u2": 2, "f2": 2, "f4": 4, "f8": 8, "i4": 4}


def asset_refs(value: object) -> Iterator[AssetRef]:
    """Every asset that a spec, a pack or any part of one names, each id once, in the order of the fields."""
    seen: set[str] = set()
    for ref in _walk(value):
        if ref.id not in seen:
            seen.add(ref.id)
            yield ref


def _walk(value: object) -> Iterator[AssetRef]:
    if isinstance(value, AssetRef):
        yield value
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from _walk(getattr(value, name))
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _walk(item)


def array_bytes(dtype: str, shape: tuple[int, ...]) -> int:
    """The bytes of an array: prod(shape) * itemsize. Raises AssetError above MAX_ARRAY_BYTES."""
    nbytes = math.prod(shape) * ITEM_BYTES[dtype]
    if nbytes > limits.MAX_ARRAY_BYTES:
        problem = f"an array of {dtype} {shape} takes {nbytes} bytes, at most {limits.MAX_ARRAY_BYTES} are allowed"
        raise AssetError(problem)
    return nbytes


def encode_array(
    folder: AssetFolder, buffer: Bytes, dtype: DType, shape: tuple[int, ...], codec: Codec = "raw", *, level: int = 1
) -> ArrayRef:
    """Store a C-contiguous little-endian array (anything with the buffer protocol); for ``delta`` the buffer holds
    the differences already (SPEC.md section 12), since making them needs numpy.

    ``level`` 1 (fast) to 9 is zlib's. Raises AssetError when the buffer's length does not match dtype and shape.
    """
    view = memoryview(buffer).cast("B")
    expected = array_bytes(dtype, shape)
    if view.nbytes != expected:
        problem = f"an array of {dtype} {shape} takes {expected} bytes, the buffer has {view.nbytes}"
        raise AssetError(problem)
    asset = folder.add(view if codec == "raw" else zlib.compress(view, level))
    return ArrayRef(asset, dtype, tuple(shape), codec)


def decode_array(ref: ArrayRef, data: Bytes) -> Bytes:
    """The array's bytes, exactly ``prod(shape) * itemsize`` of them; raw arrays come back as given, ``delta`` ones as
    the differences that they hold.

    Raises AssetError for another length, for damaged zlib data, and for data that would unpack to more.
    """
    expected = array_bytes(ref.dtype, ref.shape)
    found = data if ref.codec == "raw" else _inflate(data, expected)
    nbytes = memoryview(found).nbytes
    if nbytes != expected:
        more = "more" if nbytes > expected else str(nbytes)
        problem = (
            f"asset {ref.asset.id[:12]}: an array of {ref.dtype} {ref.shape} takes {expected} bytes, it has {more}"
        )
        raise AssetError(problem)
    return found


def _inflate(data: Bytes, expected: int) -> bytes:
    inflater = zlib.decompressobj()
    try:
        # One byte more than expected: enough to notice a bomb, and to read up to the checksum.
        found = inflater.decompress(data, expected + 1)
    except zlib.error as error:
        problem = f"an array's zlib data is damaged: {error}"
        raise AssetError(problem) from error
    if len(found) == expected and (not inflater.eof or inflater.unused_data):
        problem = "an array's zlib data is cut off or has bytes behind its end"
        raise AssetError(problem)
    return found
