"""Pictures made ahead on a thread: the same ones, one at a time, errors where they belong."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import pytest

from wan_models.draft.ahead import Ahead


class Track(Sequence[np.ndarray]):
    """Remembers what was asked and by which threads; item 3 is damaged."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.threads: set[int] = set()

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> np.ndarray:  # type: ignore[override]
        self.asked.append(index)
        self.threads.add(threading.get_ident())
        if index == 3:
            raise ValueError("sample 3 is damaged")  # noqa: EM101
        return np.full((2, 2), index)


def test_pictures_come_in_any_order_and_are_made_by_one_thread() -> None:
    track = Track()
    ahead = Ahead(track)
    assert [int(ahead[i][0, 0]) for i in (0, 1, 2, 0, -1)] == [0, 1, 2, 0, 4]
    assert len(ahead) == 5
    assert [int(p[0, 0]) for p in ahead[0:2]] == [0, 1]
    assert len(track.threads) == 1
    assert threading.get_ident() not in track.threads


def test_in_order_each_is_made_once_and_never_more_than_one_ahead() -> None:
    track = Track()
    ahead = Ahead(track)
    for index in range(3):
        assert int(ahead[index][0, 0]) == index
        assert len(track.asked) <= index + 2
    assert track.asked[:3] == [0, 1, 2]


def test_an_error_is_raised_where_its_picture_is_used() -> None:
    ahead = Ahead(Track())
    assert int(ahead[2][0, 0]) == 2
    with pytest.raises(ValueError, match="sample 3 is damaged"):
        ahead[3]
    assert int(ahead[4][0, 0]) == 4
