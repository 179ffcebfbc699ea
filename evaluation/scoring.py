"""Applies every method to every plate and scores the results: pictures in, a table of numbers out.

Methods are, in this order: "input" (the low-quality picture), "baseline" (contrast stretch and unsharp mask), one per
checkpoint by its name, and "clean" where there is a clean side. Pictures are (H, W, 3): uint8 where they are scored, as
a user would get them in a file, float32 in [0, 1] where they are made.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from data import degrade
from data.ccpd import CHINA
from data.degrade import blur_length, sampled_width
from data.io import to_float, to_uint8
from data.quality import luminance
from data.straighten import plate_width
from data.tiles import Failure, Pair, Plate, from_lq_only, from_tiles, load
from evaluation.metrics import CONFIDENT, colour_error, psnr_db, ssim
from models.answerer import Answerer, views_of
from models.enhancer import Generator, enhance, load_generator, resize, restore_each, to_width
from models.loading import import_keras
from reading.answer import INPUT as INPUT_READ
from reading.answer import RECOGNISER as RECOGNISED
from reading.answer import RESULT as RESULT_READ
from reading.answer import Answer, Rule, answer, as_reading, certainty
from reading.matching import comparable, is_readable
from reading.reader import Reader, Reading

INPUT, BASELINE, CLEAN = "input", "baseline", "clean"
PICTURE_FIGURES = ("psnr", "ssim", "colour_error", "redamaged_psnr", "vgg_distance")
# plates whose pictures are in memory at a time
CHUNK = 32
NO_READING = Reading("")
# of the luminance: a few glaring or black pixels do not stop the stretch
STRETCH_PERCENTILES = (1, 99)
# a flatter picture holds noise alone, which a stretch would blow up
MIN_RANGE = 0.05
UNSHARP_SIGMA_PX, UNSHARP_AMOUNT = 2.0, 1.0
VGG_LAYERS = ("block1_conv2", "block2_conv2", "block3_conv4")
# keeps a position without any feature from a division by zero
TINY = 1e-10
# Measures of how hard a plate is; harder is lower, but for blur_length. The effective width is what the plate itself
# had at its worst, the blur length that of straight motion which blurs alike.
DIFFICULTIES = {
    "effective_width": "effective plate width (px)",
    "blur_length": "blur length (px)",
    "brightness": "brightness of the input (0 to 1)",
    "input_psnr": "PSNR of the input (dB)",
}


@dataclass(frozen=True)
class Score:
    """Figures of one picture. None where they cannot be had: no clean side, no manifest, no VGG weights, or no
    reader. answer: of the recogniser, and of the reader before and after; None but for generators."""

    reading: Reading = NO_READING
    psnr: float | None = None
    ssim: float | None = None
    colour_error: float | None = None
    redamaged_psnr: float | None = None
    vgg_distance: float | None = None
    answer: Answer | None = None


@dataclass(frozen=True)
class Table:
    """Scores of all plates: `scores[method][i]` and `difficulty[i]` belong to `plates[i]`."""

    plates: list[Plate]
    scores: dict[str, list[Score]]
    difficulty: list[dict[str, float]]

    def subset(self, indices: Sequence[int]) -> "Table":
        return Table(
            [self.plates[i] for i in indices],
            {method: [scores[i] for i in indices] for method, scores in self.scores.items()},
            [self.difficulty[i] for i in indices],
        )


@dataclass
class Scorer:
    """What scoring needs: the generators by name; a reader, or None to leave reading out; and the VGG distance, or
    None.

    reader: one that keeps its steps answers, too. vgg_distance: two (N, H, W, 3) float32 batches -> (N,). answerers:
    the recognisers of generators that have one.
    """

    generators: dict[str, Generator]
    reader: Reader | None = None
    vgg_distance: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
    answerers: dict[str, Answerer] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._clean_readings: dict[bytes, Reading] = {}

    def score(
        self, plates: Sequence[Plate], advance: Callable[[int], None] = lambda n: None
    ) -> tuple[Table, list[Failure]]:
        """Score all plates; those that cannot be opened come back as failures. `advance(n)` is told of n plates
        done."""
        table, failures = Table([], {}, []), []
        for start in range(0, len(plates), CHUNK):
            chunk = plates[start : start + CHUNK]
            pairs, failed = load(chunk)
            failures += failed
            if pairs:
                self._score_pairs(pairs, table)
            advance(len(chunk))
        return table, failures

    def _score_pairs(self, pairs: list[Pair], table: Table) -> None:
        seen = recognised(pairs, self.generators, self.answerers)
        pictures = render(pairs, self.generators, seen)
        scores = {method: self._score_method(method, pairs, some) for method, some in pictures.items()}
        inputs = scores[INPUT]
        for method in self.generators if inputs[0].reading.steps is not None else ():
            scores[method] = self._with_answers(method, inputs, scores[method], seen.get(method))
        for method, some in scores.items():
            table.scores.setdefault(method, []).extend(some)
        table.difficulty.extend(difficulty_of(pair, score.psnr) for pair, score in zip(pairs, inputs, strict=True))
        table.plates.extend(pair.plate for pair in pairs)

    def _score_method(self, method: str, pairs: list[Pair], pictures: list[np.ndarray]) -> list[Score]:
        readings = self._read(pictures, remember=method == CLEAN)
        distances = self._vgg_distances(method, pairs, pictures)
        return [
            Score(reading, vgg_distance=distance, **_picture_figures(method, pair, picture))
            for pair, picture, reading, distance in zip(pairs, pictures, readings, distances, strict=True)
        ]

    def _with_answers(
        self, method: str, inputs: Sequence[Score], results: Sequence[Score], seen: Sequence[list[Reading]] | None
    ) -> list[Score]:
        rule = Rule.from_info(self.generators[method].info)
        answered = []
        for number, (before, after) in enumerate(zip(inputs, results, strict=True)):
            readings = {INPUT_READ: [before.reading], RESULT_READ: [after.reading]}
            if seen is not None:
                readings |= {RECOGNISED: seen[number]}
            answered.append(replace(after, answer=answer(readings, rule)))
        return answered

    def _read(self, pictures: list[np.ndarray], remember: bool) -> list[Reading]:
        """Readings; of clean tiles every different one once, since the variants of a plate share theirs."""
        if self.reader is None:
            return [NO_READING] * len(pictures)
        if not remember:
            return self.reader.read(pictures)
        digests = [hashlib.blake2b(picture.tobytes(), digest_size=16).digest() for picture in pictures]
        new = {digest: i for i, digest in enumerate(digests) if digest not in self._clean_readings}
        fresh = self.reader.read([pictures[i] for i in new.values()])
        self._clean_readings.update(zip(new, fresh, strict=True))
        return [self._clean_readings[digest] for digest in digests]

    def _vgg_distances(self, method: str, pairs: list[Pair], pictures: list[np.ndarray]) -> list[float | None]:
        if self.vgg_distance is None or method == CLEAN or pairs[0].hr is None:
            return [None] * len(pairs)
        # one by one: the pairs of somebody's own folder may be of several sizes
        batches = ((to_float(p[None]), to_float(pair.hr[None])) for p, pair in zip(pictures, pairs, strict=True))
        return [float(self.vgg_distance(*batch)[0]) for batch in batches]


def recognised(
    pairs: Sequence[Pair], generators: dict[str, Generator], answerers: dict[str, Answerer]
) -> dict[str, list[list[Reading]]]:
    """What the recognisers of generators that have one read in each low-quality picture itself, a reading per view.
    Generators that share a recogniser and a width of their input share its readings, too."""

    @cache
    def read(answerer: Answerer, width_px: int) -> list[list[Reading]]:
        views = [views_of(to_width(to_float(pair.lq), width_px)) for pair in pairs]
        seen = (
            as_reading(each, answerer.characters) for each in answerer.read([view for some in views for view in some])
        )
        return [[next(seen) for _ in some] for some in views]

    return {name: read(answerer, generators[name].width_px) for name, answerer in answerers.items()}


def render(
    pairs: Sequence[Pair], generators: dict[str, Generator], seen: dict[str, list[list[Reading]]]
) -> dict[str, list[np.ndarray]]:
    """The pictures of every method, one per pair. With a clean side they have its size, without one the enhancer's
    own. seen: of `recognised`, by which the strength follows the picture."""
    lq = [to_float(pair.lq) for pair in pairs]
    large = lq if pairs[0].hr is None else [enlarge(each, pair.scale) for each, pair in zip(lq, pairs, strict=True)]
    shown = [_to_working_size(each) for each in lq] if pairs[0].hr is None else large
    pictures = {INPUT: large, BASELINE: [classical(each) for each in shown]}
    for name, generator in generators.items():
        readable = [certainty(some) for some in seen[name]] if name in seen else None
        pictures[name] = _enhance_pairs(generator, pairs, lq, readable)
    if pairs[0].hr is not None:
        pictures[CLEAN] = [pair.hr for pair in pairs]
    return {method: [to_uint8(picture) for picture in some] for method, some in pictures.items()}


def _enhance_pairs(
    generator: Generator, pairs: Sequence[Pair], lq: list[np.ndarray], readable: list[float] | None
) -> list[np.ndarray]:
    """Tiles of the generator's own size go in unchanged; others are scaled to that size, and the results to the clean
    side's, if there is one."""
    if pairs[0].hr is None:
        return enhance(generator, lq, readable=readable)
    width = generator.width_px if "tile" in generator.info else None
    if all(pair.scale == generator.scale and width in (None, pair.hr.shape[1]) for pair in pairs):
        return restore_each(generator, lq, readable=readable)
    enhanced = enhance(generator, lq, readable=readable)
    return [resize(sr, *pair.hr.shape[:2]) for sr, pair in zip(enhanced, pairs, strict=True)]


def known_pairs(folder: str, reader: Reader) -> tuple[list[Pair], list[Failure]]:
    """The pictures of a folder of real ones whose text, of one line, is known: from its text.csv, or, of pairs in lq/
    and hr/, what the reader is sure of in hr. Raises ValueError where there are none."""
    if not Path(folder).is_dir():
        raise ValueError(f"{folder}: no such folder")
    paired = all((Path(folder) / side).is_dir() for side in ("lq", "hr"))
    pairs, failures = load((from_tiles(folder, "") if paired else from_lq_only(folder)).plates)
    if paired:
        readings = zip(pairs, reader.read([pair.hr for pair in pairs]), strict=True)
        pairs = [_with_text(pair, reading.text) for pair, reading in readings if reading.confidence > CONFIDENT]
    pairs = [pair for pair in pairs if is_readable(pair.plate.text, pair.plate.country)]
    if not pairs:
        raise ValueError(f"{folder}: no picture with a text; expected text.csv (file,text,country), or lq/ and hr/")
    return pairs, failures


def _with_text(pair: Pair, text: str) -> Pair:
    return replace(pair, plate=replace(pair.plate, text=text, country="" if text.isascii() else CHINA))


def with_truth_from_clean(table: Table) -> Table:
    """The same table with the clean side's readings as the plates' texts, for folders that carry none."""
    texts = [comparable(score.reading.text, country="") for score in table.scores[CLEAN]]
    plates = [replace(plate, text=text) for plate, text in zip(table.plates, texts, strict=True)]
    return replace(table, plates=plates)


def _picture_figures(method: str, pair: Pair, picture: np.ndarray) -> dict[str, float]:
    """Those that can be had of PSNR, SSIM and colour error against the clean side, and the PSNR of the picture damaged
    again, as the manifest says, against the input."""
    figures = {}
    if pair.hr is not None and method != CLEAN:
        measures = {"psnr": psnr_db, "ssim": ssim, "colour_error": colour_error}
        figures |= {name: float(of(picture[None], pair.hr[None])[0]) for name, of in measures.items()}
    if pair.hr is not None and pair.plate.steps is not None:
        again = degrade.apply(to_float(picture), pair.plate.steps, pair.scale)
        figures["redamaged_psnr"] = float(psnr_db(again[None], pair.lq[None])[0])
    return figures


def _to_working_size(picture: np.ndarray) -> np.ndarray:
    """Small pictures enlarged to the width that a generator would give them; larger ones as they are."""
    resized = to_width(picture)
    return resized if resized.size > picture.size else picture


def classical(picture: np.ndarray) -> np.ndarray:
    """Stretch the luminance to the whole range, the same for all colours, then sharpen."""
    low, high = np.percentile(luminance(picture), STRETCH_PERCENTILES)
    stretched = np.clip((picture - low) / max(high - low, MIN_RANGE), 0, 1).astype(np.float32)
    blurred = cv2.GaussianBlur(stretched, (0, 0), UNSHARP_SIGMA_PX)
    return np.clip(stretched + UNSHARP_AMOUNT * (stretched - blurred), 0, 1)


def enlarge(picture: np.ndarray, scale: int) -> np.ndarray:
    """Bicubic enlargement by `scale`; the picture itself for scale 1."""
    if scale == 1:
        return picture
    height, width = picture.shape[:2]
    enlarged = cv2.resize(picture, (width * scale, height * scale), interpolation=cv2.INTER_CUBIC)
    return np.clip(enlarged, 0, 1)


def vgg_distance(weights: str) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """A distance in VGG19's features: two (N, H, W, 3) float32 batches in [0, 1] -> (N,), 0 for equal ones.

    As LPIPS without its learned weights (Zhang et al. 2018, arXiv 1801.03924, Eq. 1, w = 1). weights: a file, or
    "imagenet".

    Deviations: VGG19 for VGG16, and three of its layers for five, since the tiles are small.
    """
    import_keras()
    from losses import build_features

    networks = [build_features(weights, layer) for layer in VGG_LAYERS]

    def distance(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        each = [_between(network, first, second) for network in networks]
        return np.mean(each, axis=0)

    return distance


def _between(network, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Squared distance of the unit feature vectors, averaged over positions, (N,)."""
    features = network.predict_on_batch(np.concatenate([first, second]))
    # the network stops before the activation
    features = np.maximum(np.asarray(features, np.float32), 0)
    units = features / np.sqrt((features**2).sum(axis=-1, keepdims=True) + TINY)
    squares = (units[: len(first)] - units[len(first) :]) ** 2
    return squares.sum(axis=-1).mean(axis=(1, 2))


def difficulty_of(pair: Pair, input_psnr: float | None) -> dict[str, float]:
    """The measures that can be had for one plate: without a manifest no blur length, without a clean side no PSNR."""
    measures = {"brightness": float(to_float(pair.lq).mean())}
    if input_psnr is not None:
        measures["input_psnr"] = input_psnr
    plate = pair.plate
    if pair.hr is None:
        measures["effective_width"] = float(pair.lq.shape[1])
    elif plate.steps is not None:
        width = plate_width(plate.corners) if plate.corners else pair.hr.shape[1]
        measures["effective_width"] = float(sampled_width(plate.steps, width))
        measures["blur_length"] = float(blur_length(plate.steps))
    return measures


def by_name(files: Sequence[str]) -> dict[str, str]:
    """A short name for each file: its stem, with as many folders in front as make it unique."""
    named: dict[str, str] = {}
    for file in dict.fromkeys(files):
        parts = Path(file).with_suffix("").parts
        names = ["/".join(parts[-depth:]) for depth in range(1, len(parts) + 1)] + [str(file)]
        named[next(name for name in names if name not in named and name not in (INPUT, BASELINE, CLEAN))] = file
    return named


def load_fitting(
    files: dict[str, str], first: Pair, precision: str = "float32", strength: float | None = None
) -> dict[str, Generator]:
    """Load the generators by name and check that they fit the plates, of which `first` is one.

    Tiles with a manifest must have the size that a generator was trained on; other pictures are brought to that size.
    ValueError names the file that is wrong, and why.
    """
    generators = {name: load_generator(file, precision, strength) for name, file in files.items()}
    if first.hr is not None and first.plate.steps is not None:
        for name, generator in generators.items():
            _check_fit(files[name], generator, first)
    return generators


def _check_fit(file: str, generator: Generator, pair: Pair) -> None:
    here, stored = pair.hr.shape[:2], generator.info.get("tile")
    trained = tuple(stored) if isinstance(stored, list) and len(stored) == 2 else here
    if (generator.scale, trained) != (pair.scale, here):
        raise ValueError(
            f"checkpoint {file} is for scale {generator.scale} and tiles of {trained[0]} x {trained[1]}, but these "
            f"are of scale {pair.scale} and {here[0]} x {here[1]}: make fitting ones with preprocess.py --scale "
            f"{generator.scale} --tile {trained[0]}x{trained[1]}"
        )


def describe(file: str, generator: Generator) -> dict:
    return {
        "file": str(file),
        "sha256": hashlib.sha256(Path(file).read_bytes()).hexdigest(),
        "backend": generator.backend.name,
        "precision": generator.backend.precision,
        "scale": generator.scale,
        "strength": generator.strength,
        "info": generator.info,
    }
