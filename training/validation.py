"""Validation inside a run: the figures of evaluation/ on a fixed choice of validation tiles, and the sample pictures.

The generator is judged as it will be shipped: averaged weights, float32. Pictures are float32 RGB in [0, 1].
"""

from collections.abc import Callable

import numpy as np

from data.dataset import Pairs
from data.io import to_float, to_uint8
from data.tiles import Row
from evaluation.metrics import psnr_db, reading_rates, ssim
from reading.reader import Reader

# rows of the sample picture
SAMPLES = 8
BATCH = 16


def spread_evenly(count: int, limit: int) -> list[int]:
    """At most `limit` indices (0: all) spread over range(count): the same ones every time."""
    if not limit or limit >= count:
        return list(range(count))
    return [index * count // limit for index in range(limit)]


class Validator:
    """Holds the tiles looked at. rows: of the manifest, by key; only needed for reading."""

    def __init__(self, pairs: Pairs, rows: dict[str, Row], limit: int, reading_limit: int) -> None:
        chosen = spread_evenly(len(pairs), limit)
        lq, hr = zip(*(pairs.fixed(tile) for tile in chosen), strict=True)
        self.lq, self.hr = np.stack(lq), np.stack(hr)
        rows_chosen = [rows.get(pairs.keys[tile]) for tile in chosen]
        readable = [i for i, row in enumerate(rows_chosen) if row is not None and row.text]
        self.read = [readable[i] for i in spread_evenly(len(readable), reading_limit)] if reading_limit else []
        self.texts = [rows_chosen[i].text for i in self.read]
        self.countries = [rows_chosen[i].country for i in self.read]
        self.reader = Reader() if self.read else None

    def figures(self, restore: Callable[[np.ndarray], np.ndarray]) -> tuple[dict, np.ndarray]:
        """({"val_psnr_db", "val_ssim", ...}, restored tiles). restore: lq (N, h, w, 3) -> sr (N, H, W, 3) in [0, 1]."""
        parts = [restore(to_float(self.lq[i : i + BATCH])) for i in range(0, len(self.lq), BATCH)]
        sr = np.concatenate(parts)
        figures = {"val_psnr_db": float(psnr_db(sr, self.hr).mean()), "val_ssim": float(ssim(sr, self.hr).mean())}
        if self.reader is not None:
            rates = reading_rates(self.reader.read([sr[i] for i in self.read]), self.texts, self.countries, resamples=0)
            figures |= {f"val_{name}": rates[name]["value"] for name in ("char_acc", "plate_acc")}
        return figures, sr

    def samples(self, sr: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(lq, sr, hr) of the plates that are shown, as uint8."""
        shown = spread_evenly(len(self.lq), SAMPLES)
        return self.lq[shown], to_uint8(sr[shown]), self.hr[shown]
