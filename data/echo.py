"""Shows each picture of a batch several times, every time among others and in another window: data echoing (Choi et al.
2019, arXiv 1907.05550, there after the augmentation, before the shuffling). For devices that learn faster than batches
are made.
"""

from collections import deque
from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np

# batches of which one is mixed: what is shown again comes back after some `HELD / 2 * times` steps
HELD = 16
# rows that a batch's pictures have beyond those shown
ROOM_PX = 8

Batch = tuple[np.ndarray, np.ndarray]


def echoed(stream: Callable[[int, int], Iterator[Batch]], steps: range, times: int, height: int) -> Iterator[Batch]:
    """(pictures (N, height, W, 3), their answers (N, ...)) of each of `steps`: every picture `times` times, at most
    HELD.

    stream(first, last): batches number first .. last - 1 as they are made, with pictures at least `height` high. The
    steps say which of them are needed, so that an interrupted training goes on with what it would have seen.
    """
    first, last = steps.start // times, -(-steps.stop // times)
    begun = max(0, first - HELD + 1)
    kept: deque[Batch] = deque(maxlen=HELD)
    for number, batch in enumerate(stream(begun, last), start=begun):
        kept.append(batch)
        for step in range(number * times, (number + 1) * times):
            if step in steps:
                yield _mixed(kept, _ages(len(batch[0]), times)[step % times], np.random.default_rng(step), height)


@lru_cache(maxsize=1)
def _ages(size: int, times: int) -> np.ndarray:
    """(times, size): which batch each row of a mixed one is of, counted back from the newest. No age comes twice in a
    column, so that every picture is shown once at each of its ages."""
    ages = np.tile(np.arange(HELD), (size, 1))
    return np.random.default_rng(0).permuted(ages, axis=1)[:, :times].T


def _mixed(kept: deque[Batch], ages: np.ndarray, rng: np.random.Generator, height: int) -> Batch:
    # at the very start there are none so old
    sources = [kept[-1 - min(age, len(kept) - 1)] for age in ages]
    tops = rng.integers(sources[0][0].shape[1] - height + 1, size=len(ages))
    pictures = [source[0][row, top : top + height] for row, (source, top) in enumerate(zip(sources, tops, strict=True))]
    return np.stack(pictures), np.stack([source[1][row] for row, source in enumerate(sources)])
