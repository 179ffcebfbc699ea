"""Finds the tiles of a run and checks them before anything slow starts. No TensorFlow."""

import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from data.dataset import Pairs
from data.files import check_name, reserve
from data.io import PictureError, picture_size
from data.tiles import SCALES, open_tiles

# in a folder without splits, one key in this many is kept for validation
HELD_OUT_EVERY = 20
# the discriminator halves the tile four times
DIVISOR = 16


def find_pairs(
    folder: str,
    preset: str = "",
    scale: int = 1,
    seed: int = 0,
    crop: tuple[int, int] = (),
    augment: bool = False,
    randomise: bool = False,
) -> tuple[Pairs, Pairs | None]:
    """(tiles for training, tiles for validation, None where there are none) of a tile folder.

    preset: "" takes the damaged tiles of the folder; another one needs the clean tiles alone, and damages them so that
    they are `scale` times smaller. crop, augment, randomise: of the tiles for training, see `Pairs`. Raises ValueError
    where there are none for training, and for tiles that are no pairs of one size.
    """
    train, val = (open_tiles(folder, split, clean_only=bool(preset)).pairs for split in ("train", "val"))
    # a plain folder of pairs, without splits
    if train and train == val:
        val = tuple(pair for pair in train if _is_held_out(pair.key))
        train = tuple(pair for pair in train if not _is_held_out(pair.key))
    if not train:
        raise ValueError(f"--tiles {folder} holds no tiles for training; make some with preprocess.py")
    pairs = _checked(train, preset, scale, seed)
    crop = check_crop(crop, tile_size(pairs.hr_urls[0]))
    pairs = replace(pairs, augment=augment, randomise=randomise, crop=crop)
    return pairs, _checked(val, preset, scale, seed) if val else None


def check_crop(crop: tuple[int, int], tile: tuple[int, int]) -> tuple[int, int]:
    """Raises ValueError for a window larger than the tile, or of a size that the networks cannot take."""
    if crop and (crop[0] > tile[0] or crop[1] > tile[1] or crop[0] % DIVISOR or crop[1] % DIVISOR):
        raise ValueError(
            f"--crop must divide by {DIVISOR} and fit into the tiles of {tile[0]}x{tile[1]}, got {crop[0]}x{crop[1]}"
        )
    return crop


def _is_held_out(key: str) -> bool:
    return zlib.crc32(key.encode("utf-8", "surrogateescape")) % HELD_OUT_EVERY == 0


def _checked(found: tuple, preset: str, scale: int, seed: int) -> Pairs:
    keys, hr_urls, lq_urls = zip(*found, strict=True)
    for url in (*hr_urls, *lq_urls):
        check_name(url)
    if preset:
        pairs = Pairs(keys, hr_urls, preset=preset, scale=scale, seed=seed)
        check_size(pairs, hr_urls, tile_size(hr_urls[0]))
        return pairs
    pairs = Pairs(keys, hr_urls, lq_urls, scale=_scale(scale, lq_urls[0], hr_urls[0]), seed=seed)
    height, width = tile_size(hr_urls[0])
    check_size(pairs, hr_urls, (height, width))
    check_size(pairs, lq_urls, (height // pairs.scale, width // pairs.scale))
    return pairs


def spread_evenly(count: int, limit: int) -> list[int]:
    """At most `limit` indices (0: all) spread over range(count): the same ones every time."""
    if not limit or limit >= count:
        return list(range(count))
    return [index * count // limit for index in range(limit)]


def tile_size(url: str) -> tuple[int, int]:
    """(height, width) from a picture's header."""
    try:
        return picture_size(url)
    except PictureError as error:
        raise ValueError(f"tile {url} cannot be read ({error}); make the tiles anew with preprocess.py") from error


def check_size(pairs: Pairs, urls: tuple[str, ...], expected: tuple[int, int]) -> None:
    """Raises ValueError naming the first tile that has another size, or a size that the networks cannot take."""
    height, width = (side * (pairs.scale if urls is pairs.lq_urls else 1) for side in expected)
    if height % DIVISOR or width % DIVISOR:
        raise ValueError(f"clean tiles must divide by {DIVISOR}, got {height}x{width} ({urls[0]})")
    for url in urls:
        if (size := tile_size(url)) != expected:
            raise ValueError(
                f"all tiles must have one size: expected {expected[0]}x{expected[1]}, got {size[0]}x{size[1]}: {url}"
            )


def _scale(wanted: int, lq_url: str, hr_url: str) -> int:
    lq, hr = tile_size(lq_url), tile_size(hr_url)
    scale = hr[0] // lq[0] if lq[0] else 0
    if scale not in SCALES or (lq[0] * scale, lq[1] * scale) != hr:
        raise ValueError(
            f"the low-quality tile must be 1, 2, 4 or 8 times smaller than the clean one, got {lq[0]}x{lq[1]} and "
            f"{hr[0]}x{hr[1]}: {lq_url}"
        )
    if wanted not in (1, scale):
        raise ValueError(f"--scale {wanted} contradicts the tiles, whose low-quality side is 1/{scale} of the clean")
    return scale


def cache_tiles(pairs: Pairs, folder: Path) -> Pairs:
    """Decode every tile once into one file per side, which all worker processes map into memory together.

    Raises OSError where the disk has no room for them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    caches = {}
    for side in ("hr",) if pairs.preset else ("hr", "lq"):
        path = folder / f"{side}.npy"
        shape = pairs.read(side, 0).shape
        stored = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(len(pairs), *shape))
        reserve(path, "--cache")
        with ThreadPoolExecutor() as pool:
            for tile, picture in enumerate(pool.map(partial(pairs.read, side), range(len(pairs)))):
                stored[tile] = picture
        stored.flush()
        caches[side] = str(path)
    return replace(pairs, caches=caches)
