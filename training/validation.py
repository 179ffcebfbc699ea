"""Validation inside a run: the figures of evaluation/ on a fixed choice of validation tiles and on real pictures, the
sample pictures, and the weights that ship by these figures.

The generator is judged as it will be shipped: averaged weights unless told otherwise, the last or the best, in float32.
Pictures are float32 RGB in [0, 1]. Since rendered tiles may say little about real pictures, `--real` names folders:

    DIR/NAME + DIR/text.csv (file,text,country)    pictures whose texts are known
    DIR/{lq,hr}/NAME                               pairs; what the reader reads in hr, and is sure of, is the text

Every real picture is prepared as in use: straightened by the corners of its surest plate, or whole where there is none
or where `find_plates` says so (`models.detector`). They are for validation alone; nothing is trained on them.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from data.dataset import Pairs
from data.io import to_float, to_uint8
from data.straighten import straighten
from data.tiles import Failure, Row, read_manifest, spread_evenly
from evaluation.metrics import harm, psnr_db, reading_rates, ssim
from evaluation.scoring import known_pairs
from models.detector import SHIPPED, Detector, Located, find_plates, load_detector
from models.enhancer import Generator, from_model, restore, restore_each, to_working_size
from models.loading import in_policy
from reading.matching import match
from reading.reader import Reader
from training.networks import as_shipped, write_archive
from training.settings import WatchSettings

REAL_FIGURES = ("char_acc", "plate_acc", "flip_rate", "confidently_wrong")


@dataclass(frozen=True)
class RealPictures:
    """The pictures of one folder. tiles: as the generator takes them, (h, w, 3) float32 in [0, 1]. right: whether the
    reader reads each one right before enhancing."""

    name: str
    tiles: list[np.ndarray]
    texts: list[str]
    countries: list[str]
    right: list[bool]
    reader: Reader

    def columns(self) -> list[str]:
        """The names of the figures, as in log.csv."""
        return [f"real_{self.name}_{figure}" for figure in REAL_FIGURES]

    def figures(self, generator: Generator) -> dict[str, float]:
        """Column -> figure: characters and plates read right; of the plates read right before, the share read wrong now
        (None where there are none); the share read wrong by a reader that is sure of it."""
        readings = self.reader.read([to_uint8(sr) for sr in restore_each(generator, self.tiles)])
        matches = [match(*each) for each in zip([r.text for r in readings], self.texts, self.countries, strict=True)]
        harmed = harm(self.right, [m.right for m in matches], [r.confidence for r in readings], resamples=0)
        found = [
            float(np.mean([m.char_rate for m in matches])),
            float(np.mean([m.right for m in matches])),
            harmed["flip_rate"]["value"],
            harmed["confidently_wrong"]["value"],
        ]
        return dict(zip(self.columns(), found, strict=True))


def open_all(folders: Sequence[str], generator: Generator) -> tuple[list[RealPictures], list[str]]:
    """The folders of --real, as the generator will be shown them, and a line on each. Raises ValueError for one that
    holds no picture with a text, and for two of one name."""
    names = [Path(folder).resolve().name for folder in folders]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"--real: two folders are called {twice[0]}, and so would their columns in log.csv")
    if not folders:
        return [], []
    reader, detector = Reader(), load_detector() if SHIPPED.exists() else None
    opened = [_open(*each, generator, reader, detector) for each in zip(names, folders, strict=True)]
    found, lines = [real for real, _ in opened], []
    for real, failures in opened:
        unused = f"; {len(failures)} cannot be used, the first: {failures[0].reason}" if failures else ""
        share = f"{100 * np.mean(real.right):.0f} % are read as they are"
        lines.append(f"real pictures {real.name}: {len(real.tiles)}, of which {share}{unused}")
    return found, lines


def _open(
    name: str, folder: str, generator: Generator, reader: Reader, detector: Detector | None
) -> tuple[RealPictures, list[Failure]]:
    try:
        pairs, failures = known_pairs(folder, reader)
    except ValueError as error:
        raise ValueError(f"--real {error}") from error
    texts, countries = [pair.plate.text for pair in pairs], [pair.plate.country for pair in pairs]
    tiles = [to_working_size(generator, to_float(_as_in_use(pair.lq, generator, detector))) for pair in pairs]
    read = [reading.text for reading in reader.read([to_uint8(tile) for tile in tiles])]
    right = [match(*each).right for each in zip(read, texts, countries, strict=True)]
    return RealPictures(name, tiles, texts, countries, right, reader), failures


def _as_in_use(picture: np.ndarray, generator: Generator, detector: Detector | None) -> np.ndarray:
    located = Located((), whole=True) if detector is None else find_plates(picture, detector)
    if located.whole or not located.plates:
        return picture
    corners = located.plates[0].corners
    return straighten(picture, corners, generator.tile_for(corners))


# --- Validation tiles, and the weights that ship ----------------------------------------------------------------------

# rows of the sample picture
SAMPLES = 8
BATCH = 16
# the share of characters that are read, mean of the folders of --real
REAL = "real_char_acc"
# what --select goes by
CHOSEN_BY = {"psnr": "val_psnr_db", "char_acc": "val_char_acc", "real": REAL}


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


def make_validator(tiles: str, pairs: Pairs, watch: WatchSettings) -> Validator:
    """The validation tiles, with their texts where the manifest in the folder `tiles` has any to be read."""
    rows = {row.key: row for row in read_manifest(tiles)} if watch.reading_limit else {}
    return Validator(pairs, rows, watch.validation_limit, watch.reading_limit)


def choose_selection(wanted: str, validator: Validator | None) -> tuple[str, str]:
    """(what chooses the weights that are shipped: a value of --select; why it is not the wanted one, or "")."""
    if wanted in ("last", "real"):
        return wanted, ""
    if validator is None:
        return "last", f"--select {wanted}: there are no validation tiles, so that the last weights are shipped"
    if wanted == "char_acc" and not validator.read:
        return "psnr", "--select char_acc: no validation tile has a text that could be read, so that PSNR chooses"
    return wanted, ""


class ShippedWeights:
    """The weights of a stage that ship: validates the current ones, remembers the best by --select, and writes them.

    validator: None without validation tiles, and in workers that are not the chief. about: for the JSON beside
    archives."""

    def __init__(self, trainer, validator: Validator | None, select: str, about: dict) -> None:
        self.trainer, self.validator, self.select, self.about = trainer, validator, select, about
        self.model = in_policy(trainer.generator, "float32")
        self.real: list[RealPictures] = []
        self.forget_best()

    def watch(self, folders: Sequence[str]) -> list[str]:
        """Score these folders of real pictures, too; returns a line on each."""
        self.real, lines = open_all(folders, self._generator())
        return lines

    def validates(self) -> bool:
        return self.validator is not None or bool(self.real)

    def columns(self) -> list[str]:
        """The figures of real pictures, as in log.csv."""
        return [column for pictures in self.real for column in pictures.columns()]

    def _generator(self) -> Generator:
        """The model as it will be used."""
        return replace(from_model(self.model), width_px=self.about["tile"][1], window_px=self.about["window_px"])

    def forget_best(self) -> None:
        """A new stage begins."""
        self.best, self.best_weights, self.figures = -math.inf, [], {}

    def current_weights(self) -> list[np.ndarray]:
        averages = self.trainer.averages
        return [np.asarray(v, np.float32) for v in (averages.values if averages else self.trainer.g_variables)]

    def chosen_weights(self) -> list[np.ndarray]:
        """The best by --select so far, else the current ones."""
        return self.best_weights or self.current_weights()

    def validate(self) -> tuple[dict, tuple | None]:
        """(figures, (lq, sr, hr) samples or None) of the current weights; remembers them if they are the best."""
        weights = self.current_weights()
        self._set_weights(weights)
        figures, samples = {}, None
        if self.validator is not None:
            generator = from_model(self.model)
            figures, sr = self.validator.figures(lambda lq: restore(generator, lq))
            samples = self.validator.samples(sr)
        figures |= self._real_figures()
        figure = figures.get(CHOSEN_BY.get(self.select, ""))
        if self.select == "last":
            self.figures = figures
        elif figure is not None and figure > self.best:
            self.best, self.best_weights, self.figures = figure, weights, figures
        return figures, samples

    def _real_figures(self) -> dict:
        figures = {}
        for pictures in self.real:
            figures |= pictures.figures(self._generator())
        if self.real:
            figures[REAL] = float(np.mean([figures[pictures.columns()[0]] for pictures in self.real]))
        return figures

    def _set_weights(self, weights: list[np.ndarray]) -> None:
        """What is validated is what ships. A built-in recogniser's weights are no part of these: they never change."""
        weights = as_shipped(weights, self.about["precision"])
        for variable, weight in zip(self.model.trainable_variables, weights, strict=True):
            variable.assign(weight)

    def write(self, path: Path, stage: str, steps: int, warnings: list[str]) -> None:
        """The archive and the JSON beside it."""
        self._set_weights(self.chosen_weights())
        about = {**self.about, "stage": stage, "steps": steps, "validation": self.figures, "warnings": warnings}
        write_archive(self.model, path, about)
