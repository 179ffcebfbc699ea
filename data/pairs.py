"""Which pairs of tiles a training step sees, made so that (seed, epoch, index) says everything. No TensorFlow.

The stream of tiles is endless: position p is tile `order(epoch)[p % n]` of epoch `p // n`, augmented and (with a
preset) degraded by a generator seeded with (seed, epoch, tile). A step number alone therefore restores the stream.
"""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from data import augment, degrade
from data.io import to_float, to_uint8
from data.randomise import randomised
from data.tiles import read_tile

# beyond any epoch of training: fixed degradations of their own
VALIDATION_EPOCH = 2**31


@dataclass(frozen=True)
class Pairs:
    """The tiles of one split. Small and picklable: worker processes get a copy and read the pictures themselves.

    hr_urls, lq_urls: sorted by key; lq_urls is empty when the low-quality tiles are made by `preset`, from clean tiles
    that are varied first (`data/randomise.py`) where `randomise` is set. crop: (height, width) of the window of the
    clean tile that is shown, at another place each time; () for the whole tile. caches: files of decoded tiles (one
    .npy per side) instead of pictures.
    """

    keys: tuple[str, ...]
    hr_urls: tuple[str, ...]
    lq_urls: tuple[str, ...] = ()
    preset: str = ""
    scale: int = 1
    augment: bool = False
    randomise: bool = False
    seed: int = 0
    crop: tuple[int, int] = ()
    caches: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.keys)

    def batch(self, first: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Stream positions first .. first + size - 1: lq (size, H/scale, W/scale, 3) and hr (size, H, W, 3), uint8."""
        pairs = [self.pair(*self.at(position)) for position in range(first, first + size)]
        lq, hr = zip(*pairs, strict=True)
        return np.stack(lq), np.stack(hr)

    def at(self, position: int) -> tuple[int, int]:
        """(epoch, tile) at a position of the stream."""
        epoch, place = divmod(position, len(self))
        return epoch, int(order(self.seed, epoch, len(self))[place])

    def pair(self, epoch: int, tile: int) -> tuple[np.ndarray, np.ndarray]:
        """(lq, hr) of one tile as epoch `epoch` shows it, uint8."""
        rng = np.random.default_rng([self.seed, epoch, tile])
        hr = self.read("hr", tile)
        if self.randomise:
            hr = to_uint8(randomised(to_float(hr), rng))
        lq = None if self.preset else self.read("lq", tile)
        if self.augment:
            change = augment.draw(rng, *hr.shape[:2], self.scale)
            hr = to_uint8(augment.apply(to_float(hr), change))
            lq = None if lq is None else to_uint8(augment.apply(to_float(lq), change, self.scale))
        if lq is None:
            lq = to_uint8(degrade.apply(to_float(hr), degrade.sample(rng, self.preset), self.scale))
        return self._window(rng, lq, hr) if self.crop else (lq, hr)

    def _window(self, rng: np.random.Generator, lq: np.ndarray, hr: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Cut after the damage, so that blur brings in what lies outside the window, as it does in a photo."""
        s, (height, width) = self.scale, self.crop
        top, left = (int(rng.integers((side - part) // s + 1)) for side, part in zip(hr.shape, self.crop, strict=False))
        small = lq[top : top + height // s, left : left + width // s]
        return small, hr[top * s : top * s + height, left * s : left * s + width]

    def fixed(self, tile: int) -> tuple[np.ndarray, np.ndarray]:
        """(lq, hr) of one tile for validation: the same every time."""
        return self.pair(VALIDATION_EPOCH, tile)

    def read(self, side: str, tile: int) -> np.ndarray:
        """The stored tile, (H, W, 3) uint8."""
        if side in self.caches:
            return _mapped(self.caches[side])[tile]
        return read_tile((self.hr_urls if side == "hr" else self.lq_urls)[tile])


@lru_cache(maxsize=4)
def order(seed: int, epoch: int, count: int) -> np.ndarray:
    """The order of an epoch: a permutation of range(count)."""
    return np.random.default_rng([seed, epoch, count]).permutation(count)


@lru_cache(maxsize=4)
def _mapped(path: str) -> np.ndarray:
    return np.load(path, mmap_mode="r")
