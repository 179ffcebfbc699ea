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

from data.console import say
from data.settings import field, path, run_module
from models.loading import import_keras


@dataclass(frozen=True)
class Settings:
    archives: tuple[str, ...] = field(
        flag="archives", type=path, nargs="+", metavar="FILE", help="generators (.keras), trained on from the same one"
    )
    out: str = field(type=path, metavar="FILE", help="the archive to write (.keras)")


def average(settings: Settings) -> None:
    """Write the mean, and a .json that names its sources. Raises ValueError for files that are missing or of another
    architecture."""
    paths, out = settings.archives, Path(settings.out)
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
    out.parent.mkdir(parents=True, exist_ok=True)
    write_archive(models[0], out, about)
    say(f"{out}: the mean of {len(paths)} generators")


def main(argv: Sequence[str] | None = None) -> int:
    return run_module("training.average", average, Settings, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main())
