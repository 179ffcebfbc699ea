"""Turns one raw photo into its pairs of tiles, or says why there are none: the work of each worker of preprocess.py.

Neither a bad photo nor a bad name costs more than that one photo.
"""

import errno
import hashlib
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from dataclasses import field as plain_field

import numpy as np

from data import degrade, quality
from data.ccpd import Annotation, Corners
from data.files import write_bytes
from data.io import encode_png, to_float
from data.photos import Photo, UnusablePhoto, annotate, open_photo
from data.presets import PRESETS
from data.settings import field, require, size
from data.straighten import check_corners, crop_plate, in_tile, plate_width, straighten
from data.tiles import SCALES, TILE, Row, tile_url

KEPT, REJECTED, FAILED = "kept", "rejected", "failed"
TOO_SMALL, NO_PLATE = "plate too small", "no plate found"
# from a photo to the four corners of its surest plate, (4, 2) in CCPD's order, or None
Finder = Callable[[np.ndarray], np.ndarray | None]
# corners up to this many px beyond the photo's border are an error of the detector, not a plate that is cut off
BORDER_PX = 2.0
# around the plate, as a share of its size
MARGIN = 0.1
# of the photo's name in a key: CCPD's are longer than some file systems like
KEY_CHARACTERS = 60
# file systems take names of 255 bytes; the rest of a key and its suffix need some of them
KEY_BYTES = 200
# what file systems say of a name that they cannot take: too long, or with characters that they do not have
UNFIT_NAME = (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL)
SMALLEST_TILE_PX = 16


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the tiles. Two runs with the same recipe on the same photos give the same bytes."""

    form: str = field(
        "ccpd",
        flag="--format",
        choices=("ccpd", "crops", "photos"),
        help="photos as CCPD names them, plate crops, or any photos",
    )
    tile: tuple[int, int] = field(TILE, type=size, metavar="HxW", help="size of the clean tile in pixels")
    straighten: bool = field(
        True, help="cut the plate's surroundings out as they are: tilted plates stay tilted, as in the frozen benchmark"
    )
    scale: int = field(1, choices=SCALES, help="how much smaller the low-quality tile is")
    variants: int = field(1, metavar="N", help="low-quality tiles per clean one")
    preset: str = field("street", choices=sorted(PRESETS), help="how the low-quality tiles are degraded")
    val: float = field(0.05, metavar="F", help="share of plates for validation")
    test: float = field(0.05, metavar="F", help="share of plates for testing")
    brightness: tuple[float, float] = field(
        (0.22, 0.78), nargs=2, metavar=("LO", "HI"), help="least and greatest mean of a clean tile, 0 to 1"
    )
    min_contrast: float = field(0.18, metavar="F", help="least standard deviation of a clean tile, 0 to 0.5")
    min_sharpness: float = field(0.2, metavar="F", help="least sharpness of a clean tile (data/quality.py)")
    min_plate_width: float = field(100, metavar="PX", help="least width of the plate in the photo")
    seed: int = field(0, metavar="N", help="seed of the degradations")

    def __post_init__(self) -> None:
        require(min(self.tile) >= SMALLEST_TILE_PX, "--tile", f"{SMALLEST_TILE_PX} pixels or more", self.tile)
        require(not any(side % self.scale for side in self.tile), "--tile", f"divisible by {self.scale}", self.tile)
        require(self.variants >= 1, "--variants", "1 or more", self.variants)
        require(0 <= self.val <= 1, "--val", "between 0 and 1", self.val)
        require(0 <= self.test <= 1, "--test", "between 0 and 1", self.test)
        require(self.val + self.test <= 1, "--val and --test", "1 or less together", self.val + self.test)
        low, high = self.brightness
        require(low < high, "--brightness", "given as the lower and the higher value", self.brightness)
        require(self.seed >= 0, "--seed", "0 or more", self.seed)


@dataclass(frozen=True)
class Outcome:
    """What became of one photo. verdict: KEPT, REJECTED (a clean photo not good enough as a target) or FAILED.

    sizes: bytes of the clean and of the low-quality tile of each row; () from runs of before they were noted.
    """

    source: str
    stamp: str
    verdict: str
    reason: str = ""
    figures: dict[str, float] = plain_field(default_factory=dict)
    rows: list[Row] = plain_field(default_factory=list)
    sizes: Sequence[tuple[int, int]] = ()


def make_pairs(
    photo: Photo, recipe: Recipe, raw: str, out: str, split: str | None = None, find: Finder | None = None
) -> Outcome:
    """Write the tiles of a photo below `raw` to `out`. `split`: from the dataset's own lists; None draws one by the
    plate. find: needed for the form "photos" alone. Raises OSError when the output cannot be written."""
    try:
        if not _is_utf8(photo.source):
            raise UnusablePhoto("the name is not UTF-8")
        known = annotate(photo, recipe.form)
        # known by the name alone: a photo that will not be used need not be decoded
        if known and (width_px := plate_width(known.corners)) < recipe.min_plate_width:
            return Outcome(photo.source, photo.stamp, REJECTED, TOO_SMALL, {"plate_px": round(width_px, 4)})
        pixels = open_photo(f"{raw}/{photo.source}", recipe.form)
        if recipe.form == "photos" and (known := _found(pixels, photo, find)) is None:
            return Outcome(photo.source, photo.stamp, REJECTED, NO_PLATE)
        tile, corners, width_px = _cut(pixels, known, recipe)
    except UnusablePhoto as error:
        return Outcome(photo.source, photo.stamp, FAILED, str(error))
    figures = vars(quality.measure(tile)) | {"plate_px": width_px}
    figures = {name: round(value, 4) for name, value in figures.items()}
    if reason := _flaw(figures, recipe):
        return Outcome(photo.source, photo.stamp, REJECTED, reason, figures)
    text, country = (known.text, known.country) if known else photo.text or ("", "")
    row = Row("", split or draw_split(text, photo.source, recipe), photo.source, text, country, corners)
    try:
        rows, sizes = _write_pairs(tile, row, recipe, out)
    except OSError as error:
        if error.errno in UNFIT_NAME:
            return Outcome(photo.source, photo.stamp, FAILED, "no tile can have this name", figures)
        raise
    return Outcome(photo.source, photo.stamp, KEPT, "", figures, rows, sizes)


def _is_utf8(name: str) -> bool:
    """Python keeps the bytes of other names as lone surrogates."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _found(pixels: np.ndarray, photo: Photo, find: Finder) -> Annotation | None:
    """What is known of a photo without annotation: the corners of its plate, and what text.csv says."""
    corners = find(pixels)
    if corners is None:
        return None
    limits = pixels.shape[1::-1]
    inside = np.clip(corners, 0, limits)
    near = np.abs(corners - inside).max() <= BORDER_PX
    return Annotation(tuple(map(tuple, (inside if near else corners).tolist())), *(photo.text or ("", "")))


def _cut(pixels: np.ndarray, known: Annotation | None, recipe: Recipe) -> tuple[np.ndarray, Corners, float]:
    """Clean tile, corners in it, and the plate's width in the photo. A crop is a plate from border to border."""
    height, width = pixels.shape[:2]
    whole = ((width, height), (0, height), (0, 0), (width, 0))
    try:
        if known is None:
            tile, moved, width_px = crop_plate(pixels, whole, recipe.tile, margin=0)
        elif recipe.straighten:
            check_corners(known.corners, height, width)
            tile = straighten(pixels, np.array(known.corners), recipe.tile)
            moved, width_px = in_tile(np.array(known.corners), recipe.tile), plate_width(known.corners)
        else:
            tile, moved, width_px = crop_plate(pixels, known.corners, recipe.tile, MARGIN)
    except ValueError as error:
        raise UnusablePhoto(str(error).split(" of ")[0]) from None
    return tile, tuple((float(x), float(y)) for x, y in moved), width_px


def _flaw(figures: dict[str, float], recipe: Recipe) -> str:
    """Why a tile is no clean target; "" for one that is."""
    low, high = recipe.brightness
    checks = (
        (figures["plate_px"] < recipe.min_plate_width, TOO_SMALL),
        (figures["brightness"] < low, "too dark"),
        (figures["brightness"] > high, "too bright"),
        (figures["contrast"] < recipe.min_contrast, "too little contrast"),
        (figures["sharpness"] < recipe.min_sharpness, "not sharp"),
    )
    return next((reason for fails, reason in checks if fails), "")


def _write_pairs(tile: np.ndarray, row: Row, recipe: Recipe, out: str) -> tuple[list[Row], list[tuple[int, int]]]:
    """One pair for each variant, and the sizes of its files; `row` is what the variants have in common."""
    number = zlib.crc32(row.source.encode())
    # tells photos of one name in two folders, or with two suffixes, apart
    mark = hashlib.sha256(row.source.encode()).hexdigest()[:16]
    name = row.source.rsplit("/", 1)[-1].rsplit(".", 1)[0][:KEY_CHARACTERS].replace(":", "_")
    name = name.encode()[:KEY_BYTES].decode(errors="ignore")
    clean, picture = encode_png(tile), to_float(tile)
    rows, sizes = [], []
    for variant in range(recipe.variants):
        steps = degrade.sample(np.random.default_rng([recipe.seed, number, variant]), recipe.preset)
        lq = encode_png(degrade.apply(picture, steps, recipe.scale))
        key = f"{name}.{mark}.{variant}"
        write_bytes(tile_url(out, row.split, "hr", key), clean)
        write_bytes(tile_url(out, row.split, "lq", key), lq)
        rows.append(replace(row, key=key, variant=variant, degradation=steps))
        sizes.append((len(clean), len(lq)))
    return rows, sizes


def draw_split(text: str, source: str, recipe: Recipe) -> str:
    """The split of a plate, from its text (from its file's path where the text is unknown): all photos of one plate
    fall on the same side, however its text is spaced, and stay there when photos are added."""
    identity = "".join(filter(str.isalnum, text)).upper() or source
    share = int.from_bytes(hashlib.sha256(identity.encode()).digest()[:8], "big") / 2**64
    if share < recipe.test:
        return "test"
    return "val" if share < recipe.test + recipe.val else "train"
