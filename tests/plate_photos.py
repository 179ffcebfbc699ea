"""Small photos with a drawn plate, named as CCPD names them: what the tests of preprocessing work on."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from data.ccpd import ADS, format_name

HEIGHT, WIDTH = 200, 300
PLATE = (90, 70, 220, 120)  # left, top, right, bottom


def plate_text(number: int) -> str:
    return "皖A" + "".join(ADS[number // 10**place % 10 + 24] for place in range(4, -1, -1))


def draw_photo(seed: int, texture: float = 1.0) -> np.ndarray:
    """(200, 300, 3) uint8: a plate of random strokes before a grey wall. A texture below 1 takes contrast from the plate."""
    rng = np.random.default_rng(seed)
    photo = np.full((HEIGHT, WIDTH, 3), 110, np.uint8)
    left, top, right, bottom = PLATE
    strokes = (rng.random(((bottom - top) // 10, (right - left) // 10)) < 0.5).astype(np.float32)
    strokes = cv2.resize(strokes, (right - left, bottom - top), interpolation=cv2.INTER_NEAREST)
    photo[top:bottom, left:right] = (128 + texture * 115 * (2 * strokes - 1))[..., None].astype(np.uint8)
    return photo


def photo_name(text: str, area: int = 1) -> str:
    left, top, right, bottom = PLATE
    corners = ((right, bottom), (left, bottom), (left, top), (right, top))
    return format_name(corners, text, area, (90, 90), 100, 20) + ".jpg"


def write_photo(folder: Path, number: int, texture: float = 1.0, text: str | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / photo_name(text or plate_text(number), number)
    Image.fromarray(draw_photo(number, texture)).save(path, quality=95)
    return path


def write_photos(folder: Path, count: int, first: int = 0) -> list[Path]:
    return [write_photo(folder, number) for number in range(first, first + count)]


def contents(folder: Path) -> dict[str, bytes]:
    """What must not depend on workers or interruptions: tiles and manifest, by their path in the folder."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.parent.name in ("hr", "lq"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in [*paths, folder / "manifest.csv"]}
