"""Measures how well generators restore plates, by pictures and by reading, and what harm they do.

    python evaluate.py --tiles datasets/tiles --checkpoint checkpoints/mine/{pretrain,generator}.keras

Leaves metrics.json, per_plate.csv, grid.png, by_difficulty.png and report.html in --out. Exit code 0: all well; 1: some
pictures could not be used; 2: nothing could be evaluated.
"""

import argparse
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from data.environment import prepare_libraries
from data.text import printable

PRECISIONS = ("float32", "bfloat16", "auto")
CHECKPOINT_HELP = "generators to compare, .keras or .onnx; without it those in checkpoints/pretrained"
PACKAGES = ("tensorflow", "keras", "numpy", "opencv-python-headless", "rapidocr", "onnxruntime")


@dataclass(frozen=True)
class Config:
    """One of tiles and lq_only is given. checkpoints: empty for the shipped ones. limit: None for all plates.

    strength: None for each checkpoint's own.
    """

    tiles: str | None = None
    lq_only: str | None = None
    checkpoints: tuple[str, ...] = ()
    split: str = "test"
    out: str = "reports/evaluation"
    limit: int | None = None
    ocr: bool = True
    clean_too: bool = False
    vgg_weights: str | None = None
    precision: str = "float32"
    strength: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if bool(self.tiles) == bool(self.lq_only):
            raise ValueError("give either --tiles DIR or --lq-only DIR")
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"--limit must be at least 1, got {self.limit}")
        if self.strength is not None and not 0 <= self.strength <= 1:
            raise ValueError(f"--strength must lie in 0 to 1, got {self.strength:g}")


def main(argv: list[str] | None = None) -> int:
    try:
        config = Config(**vars(_parser().parse_args(argv)))
        metrics = evaluate(config)
    # ConnectionError, of the VGG weights' download, is an OSError
    except (ValueError, OSError) as error:
        print(f"evaluate.py: {printable(error)}", file=sys.stderr)
        return 2
    _print(metrics, Path(config.out))
    return 1 if metrics["failed"] else 0


def evaluate(config: Config) -> dict:
    """Evaluate as `config` says, write the files into its `out`, and return what metrics.json holds.

    Raises ValueError, with what to do, where nothing can be evaluated.
    """
    prepare_libraries()
    from data.labelled import clean_as_input, first_pair, from_lq_only, from_tiles, pick
    from evaluation import report
    from evaluation.generators import by_name, describe, load_fitting
    from evaluation.scoring import Scorer, with_truth_from_clean
    from models.shipped import shipped
    from reading.reader import Reader

    material = from_tiles(config.tiles, config.split) if config.tiles else from_lq_only(config.lq_only)
    plates = pick(material.plates, config.limit, config.seed)
    first = first_pair(plates)
    if config.clean_too:
        # says now, not after all else, where it cannot be done
        clean_as_input([first.plate])
    # as seen from here: reports are passed on, and need not tell where somebody's files lie
    files = by_name(config.checkpoints or [os.path.relpath(path) for path in reversed(shipped())])
    generators = load_fitting(files, first, config.precision, config.strength)
    scorer = Scorer(generators, Reader() if config.ocr else None, _vgg_distance(config.vgg_weights))

    table, failures = _score(scorer, plates)
    if config.ocr and material.truth == "clean side":
        table = with_truth_from_clean(table)
    on_clean = _score(scorer, clean_as_input(table.plates))[0] if config.clean_too else None
    facts = _facts(config, table) | {
        "checkpoints": {name: describe(file, generators[name]) for name, file in files.items()},
        "notes": report.notes(material, table, failures, config.ocr),
        "failed": report.failed(failures),
    }
    metrics = report.collect(table, config.ocr, config.seed, facts, on_clean)
    report.write(Path(config.out), table, metrics, generators, config.ocr)
    return metrics


def _score(scorer, plates: Sequence) -> tuple:
    from tqdm import tqdm

    with tqdm(total=len(plates), unit="plate", desc="evaluating") as bar:
        return scorer.score(plates, bar.update)


def _vgg_distance(weights: str | None):
    if weights is None:
        return None
    from evaluation.scoring import vgg_distance

    return vgg_distance(weights)


def _facts(config: Config, table) -> dict:
    """What was evaluated, how, and with which versions."""
    tiles = {
        "folder": config.tiles or config.lq_only,
        "split": config.split if config.tiles else None,
        "n": len(table.plates),
        "photos": len({plate.group for plate in table.plates}),
    }
    versions = {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}}
    return {"tiles": tiles, "settings": asdict(config), "versions": versions}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _print(metrics: dict, out: Path) -> None:
    from evaluation.html import methods_of
    from evaluation.summary import for_terminal

    print(for_terminal(methods_of(metrics)))
    for note in metrics["notes"]:
        print(printable(note))
    print(f"wrote {printable(out / 'report.html')}, and metrics.json, per_plate.csv and pictures beside it")


def _parser() -> argparse.ArgumentParser:
    formatter = argparse.ArgumentDefaultsHelpFormatter
    parser = argparse.ArgumentParser(
        prog="evaluate.py",
        description=__doc__.split("\n")[0],
        formatter_class=formatter,
        argument_default=argparse.SUPPRESS,
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--tiles", metavar="DIR", help="tile folder of preprocess.py, or any folder with hr/ and lq/")
    source.add_argument(
        "--lq-only", metavar="DIR", help="real plates without clean ones; texts in text.csv (file,text,country)"
    )
    parser.add_argument("--checkpoint", dest="checkpoints", nargs="+", metavar="FILE", help=CHECKPOINT_HELP)
    parser.add_argument("--split", default=Config.split, help="of the tile folder: train, val or test")
    parser.add_argument("--out", default=Config.out, metavar="DIR", help="folder for the results")
    parser.add_argument(
        "--limit", type=int, metavar="N", help="evaluate N plates, drawn at random by the seed, not all"
    )
    parser.add_argument("--no-ocr", dest="ocr", action="store_false", help="leave reading out")
    parser.add_argument("--clean-too", action="store_true", help="see whether clean tiles are left alone, too")
    parser.add_argument("--vgg-weights", metavar="PATH", help="VGG19 weights file, or imagenet: adds the VGG distance")
    parser.add_argument("--precision", choices=PRECISIONS, default=Config.precision, help="of the generators")
    parser.add_argument(
        "--strength", type=float, metavar="F", help="of all generators, as in enhance.py, instead of each one's own"
    )
    parser.add_argument("--seed", type=int, default=Config.seed, help="of --limit and of the confidence intervals")
    return parser


if __name__ == "__main__":
    sys.exit(main())
