"""The generators that come with the project: which to use when the user names none, and which to ask for a second
opinion."""

import os
from pathlib import Path

from models.enhancer import Generator, load_generator
from models.loading import read_info

PRETRAINED = Path(__file__).resolve().parents[1] / "checkpoints" / "pretrained"
# the names that train.py gives to the second stage's result and the first one's
STAGES = ("generator", "pretrain")


def shipped(folder: Path = PRETRAINED) -> list[Path]:
    """The generators of the folder. ValueError where it has none."""
    found = [folder / f"{stage}.keras" for stage in STAGES if (folder / f"{stage}.keras").is_file()]
    if not found:
        raise ValueError(f"no generator in {folder}: give one with --checkpoint FILE, or make one with train.py")
    return found


def default_checkpoint(folder: Path = PRETRAINED) -> Path:
    """The shipped generator that its JSON recommends, else the first there is. ValueError where there is none."""
    found = shipped(folder)
    return next((path for path in found if read_info(path).get("recommended") is True), found[0])


def load_second(checkpoint: str | os.PathLike, generator: Generator) -> Generator | None:
    """The other stage's generator beside the one in use, of the same file type; None where there is none that fits."""
    path = Path(checkpoint)
    if path.stem not in STAGES:
        return None
    other = path.with_name(STAGES[1 - STAGES.index(path.stem)] + path.suffix)
    if not other.is_file():
        return None
    second = load_generator(other, generator.precision)
    return second if (second.scale, second.width_px) == (generator.scale, generator.width_px) else None
