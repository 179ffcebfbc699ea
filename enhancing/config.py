"""The settings of enhance.py."""

import os
from dataclasses import dataclass

BATCH_SIZE = 16


@dataclass(frozen=True)
class Config:
    """What to do. corners: four (x, y) in px of each input, or None. strength: 0 to 1, None for the checkpoint's own.
    limit: of pictures, 0 for all."""

    inputs: tuple[str, ...]
    out: str
    checkpoint: str | None = None
    side_by_side: bool = False
    read: bool = False
    uncertainty: bool = False
    burst: bool = False
    corners: tuple[tuple[float, float], ...] | None = None
    workers: int = os.cpu_count() or 1
    batch_size: int = BATCH_SIZE
    precision: str = "auto"
    strength: float | None = None
    limit: int = 0

    def __post_init__(self) -> None:
        for name in ("workers", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name.replace('_', '-')} must be at least 1, got {getattr(self, name)}")
        if self.limit < 0:
            raise ValueError(f"--limit must be at least 0, got {self.limit}")
        if self.strength is not None and not 0 <= self.strength <= 1:
            raise ValueError(f"--strength must lie in 0 to 1, got {self.strength:g}")
