"""Measure how well generators restore plates, by pictures and by reading, and what harm they do.

    python evaluate.py --tiles datasets/tiles --checkpoint checkpoints/mine/{pretrain,generator}.keras

leaves metrics.json, per_plate.csv, grid.png, by_difficulty.png and report.html in --out.
Exit code: 0 all well, 1 some pictures could not be used, 2 nothing could be evaluated.
"""

import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from data.console import STOPPED, ended_early, prepare_console, prepare_libraries, say
from data.files import is_path
from data.settings import field, parse, path, require
from models.shipped import check_checkpoint, default_checkpoint, shipped

PACKAGES = ("tensorflow", "keras", "numpy", "opencv-python-headless", "rapidocr", "onnxruntime")


@dataclass(frozen=True)
class Settings:
    tiles: str | None = field(
        None, type=path, metavar="DIR", help="tile folder of preprocess.py, or any folder with hr/ and lq/"
    )
    lq_only: str | None = field(
        None, type=path, metavar="DIR", help="real plates without clean ones; texts in text.csv (file,text,country)"
    )
    tracks: str | None = field(
        None,
        type=path,
        metavar="DIR",
        help="TRACK/FRAME.png, frames of one plate each; texts of the tracks in text.csv",
    )
    checkpoints: tuple[str, ...] = field(
        (), flag="--checkpoint", type=path, nargs="+", metavar="FILE",
        help="generators to compare, .keras or .onnx (default: the shipped ones)",
    )  # fmt: skip
    split: str = field("test", metavar="NAME", help="split of the tile folder: train, val or test")
    out: str = field("reports/evaluation", type=path, metavar="DIR", help="folder for the results")
    limit: int | None = field(None, metavar="N", help="evaluate N plates, drawn at random by the seed, not all")
    ocr: bool = field(True, help="do not read the plates")
    clean_too: bool = field(False, help="put clean tiles through the generators, too: are they left alone?")
    vgg_weights: str | None = field(
        None, type=path, metavar="PATH", help="VGG19 weights file, or imagenet: adds the VGG distance"
    )
    precision: str = field("float32", choices=("float32", "bfloat16", "auto"), help="precision of .keras generators")
    strength: float | None = field(
        None, metavar="F", help="strength of all generators, as in enhance.py, instead of each one's own"
    )
    seed: int = field(0, metavar="N", help="seed of --limit and of the confidence intervals")

    def __post_init__(self) -> None:
        if sum(map(bool, (self.tiles, self.lq_only, self.tracks))) != 1:
            raise ValueError("give either --tiles DIR or --lq-only DIR or --tracks DIR")
        if self.tracks and len(self.checkpoints) > 1:
            raise ValueError("--tracks takes one --checkpoint")
        require(self.limit is None or self.limit >= 1, "--limit", "at least 1", self.limit)
        require(self.strength is None or 0 <= self.strength <= 1, "--strength", "a number of 0 to 1", self.strength)


def main(argv: Sequence[str] | None = None) -> int:
    prepare_console()
    try:
        settings = parse(Settings, __doc__, argv)
        with ended_early():
            if settings.tracks:
                return evaluate_tracks(settings)
            metrics = evaluate(settings)
    # ConnectionError, of the VGG weights' download, is an OSError
    except (ValueError, OSError) as error:
        say(f"evaluate: {error}", error=True)
        return 2
    except KeyboardInterrupt:
        say("evaluate: stopped", error=True)
        return STOPPED
    tell(metrics, Path(settings.out))
    return 1 if metrics["failed"] else 0


def evaluate(settings: Settings) -> dict:
    """Evaluate as the settings say, write the files into `out`, and return what metrics.json holds.

    Raises ValueError, with what to do, where nothing can be evaluated.
    """
    files = checkpoint_files(settings)
    check_folder(settings.tiles or settings.lq_only)

    # what takes its time is loaded once all that can be checked is checked
    prepare_libraries()
    from data.tiles import clean_as_input, first_pair, from_lq_only, from_tiles, pick
    from evaluation import report
    from evaluation.scoring import Scorer, by_name, describe, load_fitting, vgg_distance, with_truth_from_clean
    from models.answerer import answerer_file, load_answerer
    from reading.reader import Reader

    material = from_tiles(settings.tiles, settings.split) if settings.tiles else from_lq_only(settings.lq_only)
    plates = pick(material.plates, settings.limit, settings.seed)
    first = first_pair(plates)
    if settings.clean_too:
        # fails now, not after everything else, where it cannot be done
        clean_as_input([first.plate])
    named = by_name(files)
    generators = load_fitting(named, first, settings.precision, settings.strength)
    prepare_out(settings.out)

    distance = vgg_distance(settings.vgg_weights) if settings.vgg_weights else None
    reader = Reader(keep_steps=True) if settings.ocr else None
    # generators beside one recogniser share it
    found = {name: answerer_file(file) for name, file in named.items()}
    opened = {file: load_answerer(file) for file in {*found.values()} - {None}}
    answerers = {name: opened[file] for name, file in found.items() if opened.get(file)}
    scorer = Scorer(generators, reader, distance, answerers)
    table, failures = score(scorer, plates)
    if settings.ocr and material.truth == "clean side":
        table = with_truth_from_clean(table)
    on_clean = score(scorer, clean_as_input(table.plates))[0] if settings.clean_too else None

    facts = provenance(settings, table) | {
        "checkpoints": {name: describe(file, generators[name]) for name, file in named.items()},
        "notes": report.notes(material, table, failures, settings.ocr),
        "failed": report.failed(failures),
    }
    metrics = report.collect(table, settings.ocr, settings.seed, facts, on_clean)
    report.write(Path(settings.out), table, metrics, generators, settings.ocr, answerers)
    return metrics


def evaluate_tracks(settings: Settings) -> int:
    """How well plates are read from several frames; the exit code. Raises ValueError as `evaluate` does."""
    checkpoint = check_checkpoint((settings.checkpoints or [default_checkpoint(precision=settings.precision)])[0])
    check_folder(settings.tracks)
    prepare_libraries()
    from tqdm import tqdm

    from data.tiles import pick
    from enhancing.examining import make_examiner
    from enhancing.track_scores import find_tracks, for_terminal, score_tracks

    tracks = pick(find_tracks(settings.tracks), settings.limit, settings.seed)
    prepare_out(settings.out)
    examiner = make_examiner(checkpoint, settings.precision, settings.strength, read=True)
    with tqdm(total=len(tracks), unit="track", desc="evaluating") as bar:
        metrics = score_tracks(tracks, examiner, Path(settings.out), bar.update)
    for line in [*for_terminal(metrics).splitlines(), *metrics["failed"]]:
        say(line)
    say(f"wrote metrics.json and tracks.csv in {settings.out}")
    return int(bool(metrics["failed"]))


def checkpoint_files(settings: Settings) -> list[str]:
    """The generators to compare. Raises ValueError for a file that cannot be one."""
    # relative paths: reports are passed on, and need not show where files lie
    given = settings.checkpoints or [os.path.relpath(file) for file in reversed(shipped(precision=settings.precision))]
    for file in given:
        check_checkpoint(file)
    return list(given)


def check_folder(folder: str) -> None:
    if is_path(folder) and not os.path.isdir(folder):
        raise ValueError(f"{folder}: no such folder")


def prepare_out(out: str) -> None:
    """Make the folder, and see that it can be written to. Raises OSError."""
    os.makedirs(out, exist_ok=True)
    with tempfile.TemporaryFile(dir=out):
        pass


def score(scorer, plates: Sequence) -> tuple:
    from tqdm import tqdm

    with tqdm(total=len(plates), unit="plate", desc="evaluating") as bar:
        return scorer.score(plates, bar.update)


def provenance(settings: Settings, table) -> dict:
    """What was evaluated, how, and with which versions."""
    tiles = {
        "folder": settings.tiles or settings.lq_only,
        "split": settings.split if settings.tiles else None,
        "n": len(table.plates),
        "photos": len({plate.group for plate in table.plates}),
    }
    versions = {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}}
    return {"tiles": tiles, "settings": asdict(settings), "versions": versions}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def tell(metrics: dict, out: Path) -> None:
    from evaluation.tables import for_terminal, methods_of

    for line in for_terminal(methods_of(metrics)).splitlines():
        say(line)
    for note in metrics["notes"]:
        say(note)
    say(f"wrote {out / 'report.html'}, and metrics.json, per_plate.csv and pictures beside it")


if __name__ == "__main__":
    sys.exit(main())
