"""Tile folders and settings for training runs that take seconds."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image

from models.loading import load_archive
from training.settings import Settings

TILE = (16, 32)


def make_tiles(folder: Path, train: int = 12, val: int = 4, scale: int = 1, size: tuple[int, int] = TILE) -> Path:
    """A folder of pairs: soft random pictures, and darker, smaller copies of them."""
    rng = np.random.default_rng(0)
    for split, count in (("train", train), ("val", val)):
        for index in range(count):
            coarse = rng.integers(0, 256, (size[0] // 4, size[1] // 4, 3), dtype=np.uint8)
            hr = np.asarray(Image.fromarray(coarse).resize((size[1], size[0]), Image.Resampling.BICUBIC))
            lq = hr[scale // 2 :: scale, scale // 2 :: scale] // 2
            for side, picture in (("hr", hr), ("lq", lq)):
                path = folder / split / side / f"{split}{index:02d}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(picture).save(path)
    return folder


def tiny_settings(tiles: Path, run: Path, **changes) -> Settings:
    """Both stages, a few steps each, without workers and downloads."""
    tiny = {
        "pretrain_steps": 3, "adversarial_steps": 3, "batch_size": 4, "filters": 8, "blocks": 1,
        "discriminator_filters": 4, "vgg_weights": "random", "vgg_layer": "block1_conv1",
        "workers": 0, "precision": "float32", "log_every": 2,
        "validate_every": 3, "deterministic": False, "select": "last",
    }  # fmt: skip
    return Settings(tiles=str(tiles), run=str(run), **{**tiny, **changes})


def as_flags(settings: Settings) -> list[str]:
    """The command line that gives these settings."""
    from training.settings import SWITCHES, flag_name

    flags = []
    for name, default in vars(Settings()).items():
        value = getattr(settings, name)
        if value != default:
            flags += [flag_name(name)] if isinstance(value, bool) or name in SWITCHES else [flag_name(name), str(value)]
    return flags


def read_rows(run: Path) -> list[dict]:
    with open(run / "log.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def final_weights(archive: Path) -> list[np.ndarray]:
    return load_archive(archive).get_weights()
