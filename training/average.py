"""Averages the weights of generators that were trained on from the same one.

    python -m training.average checkpoints/before/pretrain.keras checkpoints/after/pretrain.keras --out both.keras

Longer training may gain on rendered plates and lose on real ones; the mean of before and after keeps most of both
(Wortsman et al. 2022, "Robust fine-tuning of zero-shot models", arXiv 2109.01903). Generators that were trained from
different starts cannot be averaged.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.console import prepare_console, say
from data.settings import field, parse, path
from models.loading import import_keras


@dataclass(frozen=True)
class Settings:
    archives: tuple[str, ...] = field(
        flag="archives", type=path, nargs="+", metavar="FILE", help="generators (.keras), trained on from the same one"
    )
    out: str = field(type=path, metavar="FILE", help="the archive to write (.keras)")


def average(paths: Sequence[str], out: str) -> None:
    """Write the mean, and a .json that names its sources. Raises ValueError for files that are missing or of another
    architecture."""
    import_keras()
    # late: keras takes seconds
    from models.shipped import read_info
    from training.networks import as_shipped, load_given, write_archive

    models = [load_given(each, "FILE", "a generator that a run has left") for each in paths]
    shapes = [[(each.path, tuple(each.shape)) for each in model.variables] for model in models]
    for given, own in zip(paths, shapes, strict=True):
        if own != shapes[0]:
            raise ValueError(
                f"{given} has other layers than {paths[0]}: only generators of one architecture can be averaged"
            )
    means = [np.mean(weights, axis=0) for weights in zip(*(model.get_weights() for model in models), strict=True)]
    about = read_info(Path(paths[0])) | {"mean_of": list(paths)}
    # the first one's
    about.pop("validation", None)
    models[0].set_weights(as_shipped(means, about.get("precision", "")))
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    write_archive(models[0], Path(out), about)


def main(argv: Sequence[str] | None = None) -> int:
    prepare_console()
    try:
        settings = parse(Settings, __doc__, argv, prog="python -m training.average")
        average(settings.archives, settings.out)
    except (ValueError, OSError) as error:
        say(f"training.average: {error}", error=True)
        return 2
    say(f"{settings.out}: the mean of {len(settings.archives)} generators")
    return 0


if __name__ == "__main__":
    sys.exit(main())
