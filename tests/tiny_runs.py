"""Tile folders and settings for training runs that take seconds."""

import csv
import json
from dataclasses import fields
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from data.settings import flag_of
from data.tiles import Row, format_rows
from models.loading import load_archive
from models.recogniser import Shape, build_recogniser
from training.settings import Settings

TILE = (16, 32)
# of a recogniser that is built in no time
SHAPE = Shape((8, 12, 16), (1, 1, 1), 24, 1)
DIGITS = "0123456789"


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


def make_plates(folder: Path) -> Path:
    """Tiles of 32 x 64 with two digits each, and a manifest that says which; the first one has two lines."""
    rows = []
    for split, count in (("train", 40), ("val", 8)):
        for side in ("hr", "lq"):
            (folder / split / side).mkdir(parents=True)
        for number in range(count):
            text, key = f"{number % 10}{number * 7 % 10}", f"{split}{number:02d}"
            tile = np.full((32, 64, 3), 230, np.uint8)
            cv2.putText(tile, text, (6, 27), cv2.FONT_HERSHEY_SIMPLEX, 1.1, (20, 20, 60), 3)
            for side, picture in (("hr", tile), ("lq", tile // 2)):
                Image.fromarray(picture).save(folder / split / side / f"{key}.png")
            rows.append(Row(key, split, f"{key}.jpg", text if number else "1/2", "DE"))
    (folder / "manifest.csv").write_text(format_rows(rows), encoding="utf-8")
    return folder


def make_recogniser(path: Path, shape: Shape = SHAPE) -> Path:
    """The archive of a recogniser that knows the digits by name, and nothing else: nobody has trained it."""
    build_recogniser(len(DIGITS), shape).save(path)
    path.with_suffix(".json").write_text(json.dumps({"characters": DIGITS}), encoding="utf-8")
    return path


def tiny_settings(tiles: Path, run: Path, **changes) -> Settings:
    """Both stages, a few steps each, without workers and downloads."""
    tiny = {
        "pretrain_steps": 3, "adversarial_steps": 3, "batch_size": 4, "filters": 8, "blocks": 1,
        "discriminator_filters": 4, "vgg_weights": "random", "vgg_layer": "block1_conv1",
        "workers": 0, "precision": "float32", "log_every": 2,
        "validate_every": 3, "deterministic": False, "select": "last",
    }  # fmt: skip
    return Settings(tiles=str(tiles), run=str(run), **{**tiny, **changes})


def tiny_part(kind: type, **changes):
    """One part of them."""
    return tiny_settings(changes.pop("tiles", "tiles"), "run", **changes).part(kind)


def as_flags(settings: Settings) -> list[str]:
    """The command line that gives these settings."""
    flags = []
    for each in fields(Settings):
        value = getattr(settings, each.name)
        if each.name == "real":
            flags += [part for folder in value for part in ("--real", folder)]
        elif value != each.default:
            text = "x".join(map(str, value)) if isinstance(value, tuple) else str(value)
            flags += [flag_of(each)] if isinstance(value, bool) else [flag_of(each), text]
    return flags


def read_rows(run: Path) -> list[dict]:
    with open(run / "log.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def final_weights(archive: Path) -> list[np.ndarray]:
    return load_archive(archive).get_weights()
