"""Make the next picture of a track on a thread while the present one is used: NumPy and OpenCV leave it a core."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, overload

from numpy.typing import NDArray

Picture = NDArray[Any]


class Ahead(Sequence[Picture]):
    """The same pictures as ``maps``, which is asked by one thread only; one picture ahead, so memory stays bounded.

    What ``maps`` raises is raised where its picture is used.
    """

    def __init__(self, maps: Sequence[Picture]) -> None:
        self._maps = maps
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ahead")
        self._next: tuple[int, Future[Picture]] | None = None

    def __len__(self) -> int:
        return len(self._maps)

    @overload
    def __getitem__(self, index: int) -> Picture: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Picture]: ...
    def __getitem__(self, index: int | slice) -> Picture | Sequence[Picture]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        at = range(len(self))[index]
        if self._next is None or self._next[0] != at:
            self._next = (at, self._thread.submit(self._maps.__getitem__, at))
        picture = self._next[1].result()
        if at + 1 < len(self):
            self._next = (at + 1, self._thread.submit(self._maps.__getitem__, at + 1))
        return picture
