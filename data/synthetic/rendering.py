"""Renders street photos of licence plates in CCPD's form, for training without any real plate.

    python -m data.synthetic --out datasets/photos --count 20000

leaves JPEGs named as CCPD names them, and text.csv (file,text,country) with what CCPD's names cannot spell. Every photo
follows from (seed, its number) alone: the same seed gives the same bytes, whatever the number of workers. With --film,
films of cars that drive by, see data/synthetic/drive.py.
"""

import csv
import io
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from tqdm import tqdm

from data.ccpd import CHINA, PROVINCES, format_name
from data.console import follow_parent, prepare_console, say
from data.files import replacing, write_bytes
from data.settings import field, parse, path, require
from data.synthetic.drive import write_drive
from data.synthetic.plates import DESIGNS, draw_face
from data.synthetic.registrations import FREE_RULES, RULES, VARIED_RULES
from data.synthetic.scene import photograph, place
from data.synthetic.varied import VARIED_DESIGNS

# height, width
FRAME = (360, 480)
# width of the plate in the photo
PLATE_PX = (150, 400)
# photos cut close to the plate's sides, as people cut them
TIGHT_SHARE = 0.2
# photos a worker renders per task
BATCH = 32
# registration numbers and designs: the benchmark's, the same with freer letters, and more of both for training
VARIETIES = {
    "benchmark": (RULES, DESIGNS),
    "any letters": (FREE_RULES, DESIGNS),
    "varied": (VARIED_RULES, VARIED_DESIGNS),
}


def render(seed: int, index: int, variety: str = "benchmark") -> tuple[np.ndarray, np.ndarray, str, str]:
    """Photo number `index`: (H, W, 3) uint8 RGB, corners (4, 2) in CCPD's order, plate text, country."""
    rng = np.random.default_rng([seed, index])
    width_px = np.exp(rng.uniform(*np.log(PLATE_PX)))
    face = draw_face(rng, width_px, *VARIETIES[variety])
    corners = place(rng, FRAME, width_px, face.ink.shape[1] / face.ink.shape[0])
    photo = photograph(rng, face, corners, FRAME)
    if rng.random() < TIGHT_SHARE:
        photo, corners = _tight(rng, photo, corners)
    return photo, corners, face.text, face.country


def _tight(rng: np.random.Generator, photo: np.ndarray, corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cut the photo close to the plate's left and right, up to an eighth of its width away.

    Above and below stays what a tile needs: else it would be filled by reflection, with mirrored characters in the
    target.
    """
    low, high = corners.min(axis=0), corners.max(axis=0)
    left, right = np.array([low[0], high[0]]) + [-1, 1] * rng.uniform(0.0, 0.12, 2) * (high[0] - low[0])
    middle, half = (low[1] + high[1]) / 2, max(0.35 * (right - left), 0.65 * (high[1] - low[1]))
    left, right = max(0, int(left)), min(photo.shape[1], int(np.ceil(right)))
    top, bottom = max(0, int(middle - half)), min(photo.shape[0], int(np.ceil(middle + half)))
    return photo[top:bottom, left:right], corners - (left, top)


def write_photo(folder: Path, seed: int, index: int, variety: str = "benchmark") -> tuple[str, str, str]:
    """Render photo number `index` into `folder`; returns its row of text.csv."""
    photo, corners, text, country = render(seed, index, variety)
    name = _name(photo, corners, text, country, index)
    stream = io.BytesIO()
    Image.fromarray(photo).save(stream, "JPEG", quality=94, subsampling=0)
    write_bytes(folder / name, stream.getvalue())
    return name, text, country


def _name(photo: np.ndarray, corners: np.ndarray, text: str, country: str, index: int) -> str:
    """CCPD's name. Its first field is the plate's share of the photo; the photo's number behind it keeps names
    apart."""
    spelled = text if country == CHINA and text[0] in PROVINCES and text.isalnum() and text[-1] != "警" else ""
    x, y = corners.T
    area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2 / (photo.shape[0] * photo.shape[1])
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    tilt = tuple(round(90 + np.rad2deg(np.arctan2(*(corners[a] - corners[b])[::-1]))) for a, b in ((0, 1), (3, 2)))
    sharpness = int(cv2.Laplacian(grey, cv2.CV_32F).var())
    inside = np.minimum(corners.round(), (photo.shape[1] - 1, photo.shape[0] - 1)).clip(0)
    points = tuple((float(x), float(y)) for x, y in inside)
    stem = format_name(points, spelled, f"{area:.5f}"[2:] + f"{index:07d}", tilt, int(grey.mean()), sharpness)
    return f"{stem}.jpg"


def write_photos(folder: Path, seed: int, variety: str, indices: range) -> list[tuple[str, str, str]]:
    # the processes are the parallelism
    cv2.setNumThreads(1)
    return [write_photo(folder, seed, index, variety) for index in indices]


def render_folder(folder: Path, count: int, seed: int = 0, workers: int = 1, variety: str = "benchmark") -> None:
    """Write `count` photos and their text.csv. Raises ValueError if the folder holds anything already."""
    _make_new(folder)
    batches = [range(start, min(start + BATCH, count)) for start in range(0, count, BATCH)]
    rows: list[tuple[str, str, str]] = []
    with tqdm(total=count, unit="photo", desc="rendering") as bar:
        for batch in _in_order(partial(write_photos, folder, seed, variety), batches, workers):
            rows += batch
            bar.update(len(batch))
    _write_texts(folder / "text.csv", rows)


def render_films(folder: Path, count: int, seed: int = 0, workers: int = 1, variety: str = "benchmark") -> None:
    """Write `count` films, each with its truth. Raises ValueError if the folder holds anything already."""
    _make_new(folder)
    films = _in_order(partial(_write_drive, folder, seed, variety), range(count), workers)
    for _ in tqdm(films, total=count, unit="film", desc="rendering"):
        pass


def _write_drive(folder: Path, seed: int, variety: str, index: int) -> None:
    cv2.setNumThreads(1)
    write_drive(folder, seed, index, faces=VARIETIES[variety])


def _make_new(folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty: give a new --out")
    folder.mkdir(parents=True, exist_ok=True)


def _in_order(function, batches: Sequence, workers: int) -> Iterator:
    if workers == 1:
        yield from map(function, batches)
        return
    with ProcessPoolExecutor(workers, initializer=follow_parent) as pool:
        waiting = iter(batches)
        pending = [pool.submit(function, batch) for batch in islice(waiting, 2 * workers)]
        while pending:
            yield pending.pop(0).result()
            pending += [pool.submit(function, batch) for batch in islice(waiting, 1)]


def _write_texts(path: Path, rows: list[tuple[str, str, str]]) -> None:
    with replacing(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("file", "text", "country"))
        writer.writerows(rows)


def draw_sheet(path: Path, seed: int, variety: str = "benchmark", columns: int = 6, rows: int = 10) -> None:
    """One PNG of columns x rows photos, the first of the seed, each fitted into the same cell."""
    height, width = FRAME[0] // 2, FRAME[1] // 2
    sheet = np.full((rows * (height + 4), columns * (width + 4), 3), 255, np.uint8)
    for index in range(columns * rows):
        photo = render(seed, index, variety)[0]
        fit = min(height / photo.shape[0], width / photo.shape[1])
        small = cv2.resize(photo, None, fx=fit, fy=fit, interpolation=cv2.INTER_AREA)
        top, left = (index // columns) * (height + 4), (index % columns) * (width + 4)
        sheet[top : top + small.shape[0], left : left + small.shape[1]] = small
    with replacing(path) as file:
        Image.fromarray(sheet).save(file, format="PNG")


@dataclass(frozen=True)
class Settings:
    """Render street photos of licence plates in CCPD's form, or films of cars that drive by."""

    out: str = field(type=path, metavar="DIR", help="a new folder for the photos")
    count: int = field(metavar="N", help="how many photos, or films")
    film: bool = field(False, help="films (MP4) with the place and text of every plate in every frame (CSV)")
    seed: int = field(0, metavar="N", help="another seed, other photos")
    any_letters: bool = field(
        False, help="half of the letters drawn from A to Z, whatever a country's rule (not China's)"
    )
    varied: bool = field(
        False, help="for training: such letters, and countries, typefaces, colours and marks that the benchmark lacks"
    )
    workers: int | None = field(None, metavar="N", help="processes (default: one per core)")
    sheet: str | None = field(
        None, type=path, metavar="FILE", help="also draw a contact sheet of the first 60 photos into this PNG"
    )

    def __post_init__(self) -> None:
        require(self.count >= 1, "--count", "1 or more", self.count)
        require(self.workers is None or self.workers >= 1, "--workers", "1 or more", self.workers)
        require(self.seed >= 0, "--seed", "0 or more", self.seed)
        require(not (self.film and self.sheet), "--sheet", "absent with --film", self.sheet)

    @property
    def variety(self) -> str:
        """One of VARIETIES."""
        return "varied" if self.varied else "any letters" if self.any_letters else "benchmark"


def main(argv: list[str] | None = None) -> int:
    prepare_console()
    try:
        settings = parse(Settings, Settings.__doc__, argv, prog="python -m data.synthetic", section="photos")
        workers = settings.workers or os.cpu_count()
        write = render_films if settings.film else render_folder
        write(Path(settings.out), settings.count, settings.seed, workers, settings.variety)
        if settings.sheet:
            draw_sheet(Path(settings.sheet), settings.seed, settings.variety)
    except (ValueError, OSError) as error:
        say(f"data.synthetic: {error}", error=True)
        return 2
    say(f"{settings.count} {'films' if settings.film else 'photos'} in {settings.out}")
    return 0
