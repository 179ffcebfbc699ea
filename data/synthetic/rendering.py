"""Renders photos and films of plates into a folder.

Every photo follows from (seed, its number) alone: the same seed gives the same bytes, whatever the number of workers.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from tqdm import tqdm

from data.ccpd import CHINA, PROVINCES, format_name
from data.console import follow_parent
from data.files import replacing, write_bytes
from data.synthetic.drive import write_drive
from data.synthetic.plates import DESIGNS, VARIED_DESIGNS, draw_face
from data.synthetic.registrations import FREE_RULES, RULES, VARIED_RULES
from data.synthetic.scene import photograph, place

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
