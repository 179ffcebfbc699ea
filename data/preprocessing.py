"""Turns one raw photo into its pairs of tiles, or says why there are none; and sums up what became of all photos.

The first is the work of each worker of preprocess.py: neither a bad photo nor a bad name costs more than that one
photo. The second are counts that add up, report.json and report.png.
"""

import errno
import hashlib
import io
import json
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from dataclasses import field as plain_field

import numpy as np

from data import degrade, quality
from data.ccpd import Annotation, Corners
from data.files import is_utf8, write_bytes
from data.io import encode_png, to_float
from data.photos import Photo, UnusablePhoto, annotate, open_photo
from data.sampler import PRESETS
from data.settings import field, require, size
from data.straighten import check_corners, crop_plate, in_tile, plate_width, straighten
from data.tiles import SCALES, TILE, Row, read_tile, tile_url

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
    """the tiles

    Two runs with the same recipe on the same photos give the same bytes."""

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
        if not is_utf8(photo.source):
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


# --- What became of all photos ----------------------------------------------------------------------------------------

# file names kept for report.json; a million of them would help nobody
NAMES_PER_REASON = 1000
# pairs shown in report.png
SAMPLES, COLUMNS = 12, 4
BINS = 50
# of the figures that are drawn
RANGES = {"brightness": (0, 1), "contrast": (0, 0.5)}


@dataclass
class Summary:
    """Counts of one bucket or of many: additive in any order, and of a size that does not grow with the photos."""

    verdicts: Counter = plain_field(default_factory=Counter)
    # by verdict
    reasons: dict[str, Counter] = plain_field(default_factory=lambda: defaultdict(Counter))
    # by reason
    names: dict[str, list[str]] = plain_field(default_factory=lambda: defaultdict(list))
    # by "verdict figure"
    histograms: dict[str, np.ndarray] = plain_field(default_factory=dict)
    # pairs by split
    splits: Counter = plain_field(default_factory=Counter)
    # (split, key) of a few pairs, chosen by hash
    samples: list[tuple[str, str]] = plain_field(default_factory=list)
    # photos done in this run, not taken over from an earlier one
    new: int = 0
    # photos whose tiles of an earlier run are gone or damaged, and those of them that are not given any more
    lost: int = 0
    gone: int = 0
    # files of an earlier run that no longer say what became of their photos
    damaged: list[str] = plain_field(default_factory=list)

    @classmethod
    def of(cls, outcomes: list[Outcome], damaged: str = "", **counts: int) -> "Summary":
        """counts: new, lost and gone."""
        summary, figures = cls(damaged=[damaged] if damaged else [], **counts), defaultdict(list)
        for outcome in outcomes:
            summary.verdicts[outcome.verdict] += 1
            if outcome.reason:
                summary.reasons[outcome.verdict][outcome.reason] += 1
                summary.names[outcome.reason].append(outcome.source)
            for name, value in outcome.figures.items():
                if name in RANGES:
                    figures[outcome.verdict, name].append(value)
            summary.splits.update(row.split for row in outcome.rows)
        for reason, names in summary.names.items():
            summary.names[reason] = _first_names(names)
        summary.histograms = {
            f"{verdict} {name}": np.histogram(values, BINS, RANGES[name])[0]
            for (verdict, name), values in figures.items()
        }
        summary.samples = _sample([(row.split, row.key) for outcome in outcomes for row in outcome.rows[:1]])
        return summary

    def merge(self, other: "Summary") -> None:
        self.verdicts += other.verdicts
        for verdict, counts in other.reasons.items():
            self.reasons[verdict] += counts
        for reason, names in other.names.items():
            self.names[reason] = _first_names(self.names[reason] + names)
        for name, bins in other.histograms.items():
            self.histograms[name] = self.histograms.get(name, 0) + bins
        self.splits += other.splits
        self.samples = _sample(self.samples + other.samples)
        self.new += other.new
        self.lost += other.lost
        self.gone += other.gone
        self.damaged = _first_names(self.damaged + other.damaged)


def _first_names(names: list[str]) -> list[str]:
    return sorted(names)[:NAMES_PER_REASON]


def _sample(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return sorted(pairs, key=lambda pair: zlib.crc32(pair[1].encode()))[:SAMPLES]


def write_report(
    out: str, summary: Summary, unmatched: list[str], twice: list[str], settings: dict, seconds: float
) -> None:
    """Both files, into the tile folder `out`. unmatched: the rows and lines of lists that name no photo. twice: what is
    listed twice and differently."""
    figures = _figures(summary, unmatched, twice, settings, seconds)
    write_bytes(f"{out}/report.json", to_json(figures, indent=2), durable=True)
    write_bytes(f"{out}/report.png", draw(summary, out))


def to_json(content: object, **options) -> bytes:
    """UTF-8, for people to read. What is not Unicode in a file's name becomes an escape, as JSON has them."""
    return json.dumps(content, ensure_ascii=False, **options).encode("utf-8", "backslashreplace")


def _figures(summary: Summary, unmatched: list[str], twice: list[str], settings: dict, seconds: float) -> dict:
    reasons = {
        reason: {"verdict": verdict, "count": count, "files": summary.names[reason]}
        for verdict, counts in sorted(summary.reasons.items())
        for reason, count in counts.most_common()
    }
    return {
        "photos": dict(summary.verdicts),
        "pairs": dict(sorted(summary.splits.items())),
        "reasons": reasons,
        "listed_but_not_found": {"count": len(unmatched), "names": unmatched[:NAMES_PER_REASON]},
        "listed_twice": {"count": len(twice), "names": twice[:NAMES_PER_REASON]},
        "tiles_lost_and_made_again": summary.lost - summary.gone,
        "tiles_lost_with_their_photos": summary.gone,
        "damaged_parts": summary.damaged,
        "done_in_this_run": summary.new,
        "seconds": round(seconds, 2),
        "photos_per_second": round(summary.new / seconds, 2),
        "settings": settings,
    }


def draw(summary: Summary, out: str) -> bytes:
    """A PNG: histograms of brightness and contrast of kept and rejected plates, and a strip of pairs."""
    # imported late: nothing else here needs matplotlib, which takes a second
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = max(1, -(-len(summary.samples) // COLUMNS))
    figure = plt.figure(figsize=(13, 3.4 + 2.3 * rows), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=(3.4, 2.3 * rows))
    for axes, name, unit in zip(
        upper.subplots(1, 2), ("brightness", "contrast"), ("mean", "standard deviation"), strict=True
    ):
        _histogram(axes, summary, name, unit)
    lower.suptitle("low-quality above, clean below: pairs of some photos", fontsize=10)
    grid = np.atleast_1d(lower.subplots(rows, COLUMNS)).ravel()
    for axes in grid:
        axes.axis("off")
    for axes, (split, key) in zip(grid, summary.samples, strict=False):
        lq, hr = (read_tile(tile_url(out, split, side, key)) for side in ("lq", "hr"))
        axes.imshow(np.concatenate([_enlarged(lq, hr.shape), np.full((4, hr.shape[1], 3), 255, np.uint8), hr]))
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=110)
    plt.close(figure)
    return stream.getvalue()


def _histogram(axes, summary: Summary, name: str, unit: str) -> None:
    edges = np.linspace(*RANGES[name], BINS + 1)
    for verdict, colour in ((KEPT, "tab:green"), (REJECTED, "tab:red")):
        counts = summary.histograms.get(f"{verdict} {name}", np.zeros(BINS, int))
        axes.stairs(counts, edges, fill=True, alpha=0.6, color=colour, label=f"{verdict} ({counts.sum()})")
    axes.set_xlabel(f"{name} of the clean tile ({unit}, pictures in [0, 1])")
    axes.set_ylabel("photos")
    axes.legend()


def _enlarged(lq: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Pixels repeated to the clean tile's size, so that a small tile looks as small as it is."""
    times = shape[0] // lq.shape[0]
    return lq.repeat(times, axis=0).repeat(times, axis=1)
