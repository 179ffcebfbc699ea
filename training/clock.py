"""How fast a run goes, and which share of the time the device waits for data."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """Counts tiles and seconds between two laps."""

    def __init__(self) -> None:
        self.lap()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Time spent inside counts as waiting for data."""
        start = time.perf_counter()
        yield
        self.waited += time.perf_counter() - start

    def count(self, tiles: int) -> None:
        self.tiles += tiles

    def figures(self) -> dict[str, float]:
        """Of the time since the last lap."""
        seconds = max(time.perf_counter() - self.start, 1e-9)
        return {"tiles_per_second": self.tiles / seconds, "wait_share": self.waited / seconds}

    def lap(self) -> float:
        """Start anew; returns the seconds since the last lap."""
        now = time.perf_counter()
        seconds = now - getattr(self, "start", now)
        self.start, self.tiles, self.waited = now, 0, 0.0
        return seconds
