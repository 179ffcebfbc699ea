"""Small photos with a drawn plate, named as CCPD names them, and ways to run preprocessing on them."""

import contextlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

import preprocess
from data import preprocessing
from data.ccpd import ADS, format_name

HEIGHT, WIDTH = 200, 300
# left, top, right, bottom
PLATE = (90, 70, 220, 120)


def plate_text(number: int) -> str:
    return "皖A" + "".join(ADS[number // 10**place % 10 + 24] for place in range(4, -1, -1))


def draw_photo(seed: int, texture: float = 1.0) -> np.ndarray:
    """(200, 300, 3) uint8: a plate of random strokes before a grey wall. A texture below 1 takes contrast from the
    plate."""
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


@pytest.fixture(scope="session")
def one_thread():
    """Stands in for the processes where they are not what is tested."""
    from dask.distributed import Client, LocalCluster

    options = {"dashboard_address": None, "scheduler_kwargs": {"dashboard_address": "127.0.0.1:0"}}
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False, **options) as cluster,
        Client(cluster) as client,
    ):
        yield client


@pytest.fixture
def quick(one_thread, monkeypatch):
    """No processes, and no drawing, which takes seconds."""
    monkeypatch.setattr("data.cluster.connect", lambda *_: contextlib.nullcontext(one_thread))
    monkeypatch.setattr(preprocessing, "draw", lambda *_: b"")


def run(raw: Path | str, out: Path | str, *flags: object) -> int:
    return preprocess.main(["--raw", str(raw), "--out", str(out), *map(str, flags)])


def report(out: Path) -> dict:
    return json.loads((out / "report.json").read_text(encoding="utf-8"))
