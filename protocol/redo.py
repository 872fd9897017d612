"""Which frames of a clip a job must bring along when only a part of the clip is made again (SPEC.md, "Redo").

Standard library only.
"""

from __future__ import annotations


def needed(first: int, last: int, frames: int, *, overlap: int, character: int = 0) -> tuple[int, ...]:
    """Rising frame numbers (from 0) of a clip of ``frames`` whose part ``first`` to ``last`` is made again.

    Round about the part ``overlap`` frames on each side, one at least, where the clip has them, for what goes on from
    them; within it as many at each end, which the new frames are blended with; for a character all of the part.
    """
    reach = max(overlap, 1)
    before = range(max(first - reach, 0), first)
    behind = range(last + 1, min(last + 1 + reach, frames))
    if character:
        within = set(range(first, last + 1))
    else:
        within = {*range(first, min(first + reach, last + 1)), *range(max(last + 1 - reach, first), last + 1)}
    return (*before, *sorted(within), *behind)
