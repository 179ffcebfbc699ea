"""Averages the weights of generators that were trained on from the same one.

    python -m training.average checkpoints/before/pretrain.keras checkpoints/after/pretrain.keras --out both.keras

Longer training may gain on rendered plates and lose on real ones; the mean of before and after keeps most of both
(Wortsman et al. 2022, "Robust fine-tuning of zero-shot models", arXiv 2109.01903). Generators that were trained from
different starts cannot be averaged.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from data.console import prepare_console, say
from data.settings import Parser
from models.loading import import_keras


def average(paths: list[str], out: str) -> None:
    """Write the mean, and a .json that names its sources. Raises ValueError for files that are missing or of another
    architecture."""
    import_keras()
    # late: keras takes seconds
    from models.shipped import read_info
    from training.networks import as_shipped, load_given, write_archive

    models = [load_given(path, "FILE", "a generator that a run has left") for path in paths]
    shapes = [[(each.path, tuple(each.shape)) for each in model.variables] for model in models]
    for path, own in zip(paths, shapes, strict=True):
        if own != shapes[0]:
            raise ValueError(
                f"{path} has other layers than {paths[0]}: only generators of one architecture can be averaged"
            )
    means = [np.mean(weights, axis=0) for weights in zip(*(model.get_weights() for model in models), strict=True)]
    about = read_info(Path(paths[0])) | {"mean_of": paths}
    # the first one's
    about.pop("validation", None)
    models[0].set_weights(as_shipped(means, about.get("precision", "")))
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    write_archive(models[0], Path(out), about)


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(prog="python -m training.average", description=__doc__.split("\n")[0])
    parser.add_argument("archives", nargs="+", metavar="FILE", help="generators (.keras), trained on from the same one")
    parser.add_argument("--out", required=True, metavar="FILE", help="the archive to write (.keras)")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    prepare_console()
    flags = parse(argv)
    try:
        average(flags.archives, flags.out)
    except (ValueError, OSError) as error:
        say(f"training.average: {error}", error=True)
        return 2
    say(f"{flags.out}: the mean of {len(flags.archives)} generators")
    return 0


if __name__ == "__main__":
    sys.exit(main())
