"""The pictures that the page takes and shows: its examples, a visitor's photo, and results as files for the browser."""

import json
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from data.io import encode_jpeg, open_picture, to_uint8
from enhancing import drawing
from enhancing.examining import Examiner
from enhancing.opening import Corners, Source
from enhancing.writing import write_picture
from models.enhancer import resize

MAX_PIXELS = 50_000_000
# longer side of what the browser is shown; it could not show 16-bit or TIFF files itself
PREVIEW_PX = 1280
PREVIEW_QUALITY = 88
# width at which results are shown: a tile of 192 px is too small to look at
SHOWN_PX = 768
# of a visitor's file name, in the names of results
MOST_LETTERS = 80

# --- Examples: made by tools/page_pictures.py -------------------------------------------------------------------------

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "examples"
INDEX = "examples.json"


class CleanPlate(NamedTuple):
    path: Path
    text: str
    country: str


class Examples(NamedTuple):
    """singles: the pictures to click, with `labels`. burst: frames of one plate. film: of two cars. clean: to be
    damaged."""

    singles: list[Path]
    labels: list[str]
    burst: list[Path]
    film: Path
    clean: list[CleanPlate]


def read_examples(folder: Path = FOLDER) -> Examples:
    """Raises ValueError where they are missing."""
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"no examples in {folder}: make them with python -m tools.page_pictures --examples {folder}"
        ) from error
    return Examples(
        singles=[folder / each["file"] for each in index["singles"]],
        labels=[each["label"] for each in index["singles"]],
        burst=[folder / name for name in index["burst"]],
        film=folder / index["film"],
        clean=[CleanPlate(folder / each["file"], each["text"], each["country"]) for each in index["clean"]],
    )


# --- A visitor's photo ------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class VisitorPhoto:
    """name: that the visitor's file had. preview: the path of a JPEG for the browser. size: (height, width) px.
    sources: the plates found, best first, or the whole picture. chosen: which of them. moved: in its place, what the
    visitor marked."""

    path: str
    name: str
    preview: str
    size: tuple[int, int]
    sources: list[Source] = field(default_factory=list)
    chosen: int = 0
    moved: Source | None = None
    # with which its result was made; None where there is none
    strength: float | None = None
    # of the visitor's last wish, so that the browser can tell old views from new ones
    ticket: int = 0

    @property
    def is_ready(self) -> bool:
        """Whether there is a plate to enhance."""
        return bool(self.sources or self.moved)

    @property
    def source(self) -> Source:
        return self.moved or self.sources[self.chosen]

    def look(self, examiner: Examiner) -> None:
        """Find its plates as enhance.py does. Raises NoPlateFound, PictureError."""
        self.sources = examiner.sources(self.path, name=self.name)

    def mark(self, examiner: Examiner, corners: Corners | None) -> None:
        """Take the plate between the visitor's corners, or all of the picture. Raises ValueError."""
        marked = replace(examiner, detector=None).sources(self.path, corners, self.name)[0]
        # whether it may hang upside down does not depend on where exactly its corners are
        found = self.sources[self.chosen].found if corners is not None and self.sources else None
        self.moved = marked._replace(found=found)

    def view(self, status: str = "", problem: str = "", corners: Corners | None = None) -> dict[str, Any]:
        """What page.js shows: corners in px of the photo. corners: that the visitor has marked in vain."""
        shown = [*self.sources]
        if self.moved:
            shown[self.chosen : self.chosen + 1] = [self.moved]
        plates = [source.corners.tolist() for source in shown if source.corners is not None]
        if corners and len(corners) == 4:
            plates[self.chosen : self.chosen + 1] = [list(map(list, corners))]
        moved = bool(self.moved or corners)
        offer = ["mark"] * (not plates) + ["whole"] * (problem != "" and not plates) + ["found"] * moved
        height, width = self.size
        return {
            "picture": self.preview,
            "name": self.name,
            "width": width,
            "height": height,
            "plates": plates,
            "chosen": min(self.chosen, len(plates) - 1) if plates else None,
            "offer": [] if status else offer,
            "status": status,
            "problem": problem,
            "ticket": self.ticket,
            # else the browser would not notice a view like the last one
            "at": time.monotonic_ns(),
        }


def accept(path: str, name: str, folder: str) -> VisitorPhoto:
    """The preview goes into `folder`. Raises PictureError, with the reason, for what is no picture or has more than 50
    megapixels."""
    picture = open_picture(path, max_pixels=MAX_PIXELS)
    return VisitorPhoto(path, base_name(name), to_preview(picture, folder), picture.shape[:2])


def base_name(path: str) -> str:
    """Of a visitor's file, fit to be shown and to be part of another file's name."""
    return "".join(filter(str.isprintable, path.replace("\\", "/").rsplit("/", 1)[-1]))


def to_preview(picture: np.ndarray, folder: str, longest: int = PREVIEW_PX) -> str:
    """The path of a JPEG of at most `longest` px, in `folder`."""
    factor = max(1.0, max(picture.shape[:2]) / longest)
    size = [max(1, round(side / factor)) for side in picture.shape[1::-1]]
    small = cv2.resize(to_uint8(picture), size, interpolation=cv2.INTER_AREA) if factor > 1 else to_uint8(picture)
    path = os.path.join(tempfile.mkdtemp(dir=folder), "preview.jpg")
    Path(path).write_bytes(encode_jpeg(small, PREVIEW_QUALITY))
    return path


# --- Results ----------------------------------------------------------------------------------------------------------


class Files(NamedTuple):
    """Paths of PNG files: before and after are shown, and of one size, `shape` (height, width); `after` and `sheet`,
    which holds both with what is to be said, are downloads. doubt: the map of disagreement, or "" without one."""

    before: str
    after: str
    sheet: str
    doubt: str
    shape: tuple[int, int]


def save_result(
    folder: str,
    name: str,
    before: np.ndarray,
    after: np.ndarray,
    lines: Sequence[drawing.Line],
    doubt: np.ndarray | None = None,
) -> Files:
    """Results of the visitor's file `name`, in a folder of their own below `folder`, which the page empties. before,
    after: pictures of one plate, float or uint8. lines: said below both on the sheet."""
    own = tempfile.mkdtemp(dir=folder)
    stem = os.path.splitext(base_name(name))[0][:MOST_LETTERS] or "plate"
    pictures = {"before.png": shown(before, after.shape[:2]), f"{stem}-enhanced.png": shown(after, after.shape[:2])}
    panels = [("before", before), ("after", after)]
    pictures[f"{stem}-before-and-after.png"] = drawing.sheet(panels, lines)
    if doubt is not None:
        height, width = doubt.shape
        factor = max(1.0, SHOWN_PX / width)
        pictures["doubt.png"] = drawing.heat_map(doubt, (round(height * factor), round(width * factor)))
    for each, picture in pictures.items():
        write_picture(own, each, picture)
    paths = [os.path.join(own, each) for each in pictures]
    return Files(*paths[:3], paths[3] if doubt is not None else "", next(iter(pictures.values())).shape[:2])


def shown(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A picture as bytes, at `size` times what the eye needs; never smaller."""
    height, width = size
    factor = max(1.0, SHOWN_PX / width)
    return to_uint8(resize(picture, round(height * factor), round(width * factor)))
