"""One raw photo -> its pairs of tiles, or the reason why there are none. What each worker of preprocess.py does."""

import hashlib
import zlib
from dataclasses import dataclass, field

import numpy as np

from data import degrade, quality
from data.crop import crop_plate
from data.photos import Photo, UnusablePhoto, annotate, open_photo
from data.tiles import Row, encode_png, tile_url, write_bytes

KEPT, REJECTED, FAILED = "kept", "rejected", "failed"
KEY_CHARACTERS = 60  # of the photo's name in a key: CCPD's are longer than some file systems like


@dataclass(frozen=True)
class Recipe:
    """What decides the tiles. Two runs with the same recipe on the same photos give the same bytes."""

    form: str = "ccpd"
    tile: tuple[int, int] = (96, 192)
    scale: int = 1
    variants: int = 1
    preset: str = "street"
    val: float = 0.05
    test: float = 0.05
    brightness: tuple[float, float] = (0.22, 0.78)
    min_contrast: float = 0.18
    min_sharpness: float = 0.2
    min_plate_width: float = 100
    seed: int = 0


@dataclass(frozen=True)
class Outcome:
    """What became of one photo. verdict: KEPT, REJECTED (a clean photo not good enough as a target) or FAILED."""

    source: str
    stamp: str
    verdict: str
    reason: str = ""
    figures: dict[str, float] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)


def make_pairs(photo: Photo, recipe: Recipe, out: str, split: str | None = None) -> Outcome:
    """Write the photo's tiles below `out`. `split`: from the dataset's own lists; None draws one by the plate's text."""
    try:
        hr, row = _clean_tile(photo, recipe)
    except UnusablePhoto as error:
        return Outcome(photo.source, photo.stamp, FAILED, str(error))
    tile, width_px = hr
    figures = {"brightness": quality.brightness(tile), "contrast": quality.contrast(tile)}
    figures |= {"sharpness": quality.sharpness(tile), "plate_px": width_px}
    figures = {name: round(value, 4) for name, value in figures.items()}
    if reason := _flaw(figures, recipe):
        return Outcome(photo.source, photo.stamp, REJECTED, reason, figures)
    split = split or draw_split(row.text.replace("/", "") or photo.source, recipe)
    rows = [_write_pair(tile, photo, recipe, out, split, row, variant) for variant in range(recipe.variants)]
    return Outcome(photo.source, photo.stamp, KEPT, "", figures, rows)


def _clean_tile(photo: Photo, recipe: Recipe) -> tuple[tuple[np.ndarray, float], Row]:
    known = annotate(photo, recipe.form)
    pixels = open_photo(photo.url)
    height, width = pixels.shape[:2]
    if known is None:
        corners, margin = ((width, height), (0, height), (0, 0), (width, 0)), 0.0
        text, country = photo.text or ("", "")
    else:
        corners, margin, text, country = known.corners, 0.1, known.text, known.country
    try:
        tile, moved, width_px = crop_plate(pixels, corners, recipe.tile, margin)
    except ValueError as error:
        raise UnusablePhoto(str(error).split(" of ")[0]) from None
    points = tuple((float(x), float(y)) for x, y in moved)
    return (tile, width_px), Row("", "", photo.source, text, country, points)


def _flaw(figures: dict[str, float], recipe: Recipe) -> str:
    """Why a tile is no clean target; "" for one that is."""
    low, high = recipe.brightness
    checks = (
        (figures["plate_px"] < recipe.min_plate_width, "plate too small"),
        (figures["brightness"] < low, "too dark"),
        (figures["brightness"] > high, "too bright"),
        (figures["contrast"] < recipe.min_contrast, "too little contrast"),
        (figures["sharpness"] < recipe.min_sharpness, "not sharp"),
    )
    return next((reason for fails, reason in checks if fails), "")


def _write_pair(tile: np.ndarray, photo: Photo, recipe: Recipe, out: str, split: str, row: Row, variant: int) -> Row:
    number = zlib.crc32(photo.source.encode())
    rng = np.random.default_rng([recipe.seed, number, variant])
    steps = degrade.sample(rng, recipe.preset)
    lq = degrade.apply(tile.astype(np.float32) / np.float32(255), steps, recipe.scale)
    name = photo.source.rsplit("/", 1)[-1].rsplit(".", 1)[0][:KEY_CHARACTERS]
    # the number tells photos of one name in two folders, or with two suffixes, apart
    key = f"{name}.{number:08x}.{variant}"
    write_bytes(tile_url(out, split, "hr", key), encode_png(tile))
    write_bytes(tile_url(out, split, "lq", key), encode_png(np.round(lq * 255).astype(np.uint8)))
    return Row(key, split, row.source, row.text, row.country, row.corners, variant, steps)


def draw_split(identity: str, recipe: Recipe) -> str:
    """The split of a plate, from its text (from its file's path where the text is unknown): all photos of one plate fall on
    the same side, and stay there when photos are added."""
    share = int.from_bytes(hashlib.sha256(identity.encode()).digest()[:8], "big") / 2**64
    if share < recipe.test:
        return "test"
    return "val" if share < recipe.test + recipe.val else "train"
