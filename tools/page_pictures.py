"""Makes the pictures of the page: the examples that a visitor can click, and the screenshots that the README shows.

    python -m tools.page_pictures --examples docs/examples

leaves rendered and damaged plates there, nobody's, with examples.json, which page/pictures.py reads.

    python app.py &
    python -m tools.page_pictures --screenshots docs

takes page_one.png, page_several.png and page_limits.png of the three tabs, with Playwright and an installed Chromium.
"""

import io
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from data import degrade
from data.files import replacing, write_text
from data.io import to_float, to_uint8
from data.settings import field, path, run_module
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
# of the screenshots, in px; a page that is longer is cut
WIDTH, TALL = 1240, 1300
SCREEN_COLOURS = 256
PATIENCE_MS = 300_000


@dataclass(frozen=True)
class Settings:
    examples: str | None = field(None, type=path, metavar="DIR", help="make the examples; the page reads docs/examples")
    screenshots: str | None = field(None, type=path, metavar="DIR", help="take the screenshots; the README shows docs")
    address: str = field("http://127.0.0.1:7860", metavar="URL", help="where app.py serves the page")

    def __post_init__(self) -> None:
        if self.examples is None and self.screenshots is None:
            raise ValueError("nothing to do: give --examples DIR or --screenshots DIR")


# --- Examples ---------------------------------------------------------------------------------------------------------


def make_examples(folder: Path) -> None:
    """Write all of them, and the index."""
    folder.mkdir(parents=True, exist_ok=True)
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
    write_text(folder / INDEX, json.dumps(index, indent=2, ensure_ascii=False) + "\n")


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


# --- Screenshots ------------------------------------------------------------------------------------------------------


def _save(shot: bytes, file: Path) -> None:
    """In few colours, but all of the rare ones, such as the bar beside the warning: a third of the size."""
    with Image.open(io.BytesIO(shot)) as picture:
        few = picture.convert("RGB").quantize(SCREEN_COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    with replacing(file) as stream:
        few.save(stream, format="PNG", optimize=True)


def one_picture(page) -> None:
    page.get_by_role("button", name="a whole photo", exact=True).click()
    page.wait_for_selector("#result .compare")


def several_frames(page) -> None:
    page.get_by_role("tab", name="Several frames").click()
    page.get_by_role("button", name="Example frames").click()
    page.wait_for_selector("#burst-result .compare")


def its_limits(page) -> None:
    plate = "BR XXC8F78"
    page.get_by_role("tab", name="Its limits").click()
    page.get_by_label(plate).check()
    page.wait_for_function(f"document.querySelector('#curves b')?.textContent === '{plate.split()[1]}'")


SHOTS = {"page_one": one_picture, "page_several": several_frames, "page_limits": its_limits}


def take_screenshots(address: str, folder: Path) -> None:
    """One picture of each tab of the page that is served at the address."""
    # not among what the project itself needs
    from playwright.sync_api import sync_playwright

    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, prepare in SHOTS.items():
            page = browser.new_page(viewport={"width": WIDTH, "height": 900}, color_scheme="light")
            page.set_default_timeout(PATIENCE_MS)
            page.goto(address)
            page.wait_for_selector("#photo .choose")
            prepare(page)
            # until pictures have faded in
            page.wait_for_timeout(1500)
            page.wait_for_function("!document.querySelector('.status.busy')")
            height = min(TALL, page.evaluate("document.querySelector('main').scrollHeight") + 32)
            page.set_viewport_size({"width": WIDTH, "height": height})
            _save(page.screenshot(), folder / f"{name}.png")
            page.close()
        browser.close()


def make_pictures(settings: Settings) -> None:
    """Those that are asked for. Raises ValueError or OSError."""
    if settings.examples is not None:
        make_examples(Path(settings.examples))
    if settings.screenshots is not None:
        take_screenshots(settings.address, Path(settings.screenshots))


def main(argv: Sequence[str] | None = None) -> int:
    return run_module("tools.page_pictures", make_pictures, Settings, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main())
