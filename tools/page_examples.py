"""Makes the pictures that a visitor can click: rendered and damaged by this project, nobody's plates.

    python -m tools.page_examples --out docs/examples

leaves them there, with examples.json, which page/pictures.py reads.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from data import degrade
from data.files import replacing
from data.io import to_float, to_uint8
from data.settings import Parser
from data.straighten import crop_plate
from data.synthetic.drive import write_drive
from data.synthetic.rendering import render
from page.pictures import INDEX

SEED = 77
# of the JPEGs: little beside the damage, and all of them take less than 300 kB
QUALITY = 93
# numbers of rendered photos whose plates are read easily when clean
CLEAN = (7, 3, 20)
PHOTO = 15
BURST, FRAMES = 10, 5
# of data.synthetic's films: two cars at dusk
FILM_SEED, FILM = 3210, 11
# name: (number of the photo, what is done to its plate)
CROPS = {
    "defocused": (0, [{"stage": "defocus", "radius": 3.0}, {"stage": "noise", "read": 0.01, "shot": 0.02, "seed": 1}]),
    "shaken in the dark": (
        8,
        [
            {"stage": "shake", "length": 9.0, "angle": 20.0, "curl": 0.5, "seed": 3},
            {"stage": "exposure", "stops": -3.0},
            {"stage": "noise", "read": 0.015, "shot": 0.03, "seed": 2},
        ],
    ),
    "few pixels": (
        23,
        [
            {"stage": "gaussian", "sigma": 1.2},
            {"stage": "down", "factor": 3.2},
            {"stage": "jpeg", "quality": 60},
            {"stage": "up"},
        ],
    ),
    "too little left": (
        16,
        [
            {"stage": "defocus", "radius": 5.0},
            {"stage": "down", "factor": 8.0},
            {"stage": "noise", "read": 0.04, "shot": 0.05, "seed": 4},
            {"stage": "up"},
        ],
    ),
}


def make_examples(folder: Path) -> None:
    """Write all of them, and the index."""
    singles = []
    for label, (number, damage) in CROPS.items():
        tile, _, _ = _clean_tile(number)
        name = f"{label.replace(' ', '-')}.jpg"
        _write(folder, name, degrade.apply(tile, damage))
        singles.append({"file": name, "corners": "", "label": label})
    singles.append(_make_photo(folder))
    clean = []
    for number in CLEAN:
        tile, text, country = _clean_tile(number)
        name = f"clean-{number}.jpg"
        _write(folder, name, tile)
        clean.append({"file": name, "text": text, "country": country})
    index = {"singles": singles, "burst": _make_burst(folder), "film": _make_film(folder), "clean": clean}
    (folder / INDEX).write_text(json.dumps(index, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _make_photo(folder: Path) -> dict:
    """A whole photo, a little out of focus, as JPEG coding leaves it."""
    photo, corners, _, _ = render(SEED, PHOTO)
    damaged = degrade.apply(
        to_float(photo), [{"stage": "defocus", "radius": 2.5}, {"stage": "exposure", "stops": -1.0}]
    )
    name = "photo.jpg"
    _write(folder, name, damaged)
    text = " ".join(f"{x:.0f},{y:.0f}" for x, y in corners)
    return {"file": name, "corners": text, "label": "a whole photo"}


def _make_burst(folder: Path) -> list[str]:
    """Frames of one plate, each moved and damaged in its own way."""
    photo, corners, _, _ = render(SEED, BURST)
    names = []
    for frame in range(FRAMES):
        rng = np.random.default_rng([SEED, frame])
        moved = np.clip(corners + rng.uniform(-6, 6, 2), 0, (photo.shape[1], photo.shape[0]))
        tile, _, _ = crop_plate(photo, moved)
        length, angle = rng.uniform(5, 10), rng.uniform(0, 180)
        damage = [
            {"stage": "shake", "length": length, "angle": angle, "curl": 0.4, "seed": frame},
            {"stage": "down", "factor": 2.2},
            {"stage": "exposure", "stops": rng.uniform(-2, 0)},
            {"stage": "noise", "read": 0.04, "shot": 0.04, "seed": frame},
            {"stage": "up"},
        ]
        names.append(f"frame-{frame + 1}.jpg")
        _write(folder, names[-1], degrade.apply(to_float(tile), damage))
    return names


def _make_film(folder: Path) -> str:
    with tempfile.TemporaryDirectory(dir=folder) as rendered:
        return str(write_drive(Path(rendered), FILM_SEED, FILM).replace(folder / "film.mp4").name)


def _clean_tile(number: int) -> tuple[np.ndarray, str, str]:
    photo, corners, text, country = render(SEED, number)
    return to_float(crop_plate(photo, corners)[0]), text, country


def _write(folder: Path, name: str, picture: np.ndarray) -> None:
    with replacing(str(folder / name)) as file:
        Image.fromarray(to_uint8(picture)).save(file, format="JPEG", quality=QUALITY)


def main(argv: list[str] | None = None) -> int:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the page reads docs/examples")
    folder = parser.parse_args(argv).out
    folder.mkdir(parents=True, exist_ok=True)
    make_examples(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
