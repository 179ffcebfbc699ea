"""The tile folder: what preprocess.py writes, and what training and evaluation read. Folders are paths or fsspec URLs.

    OUT/{train,val,test}/{hr,lq}/KEY.png      clean and low-quality tile, same key on both sides
    OUT/manifest.csv                          one row a pair: `COLUMNS`

A folder with hr/ and lq/ directly inside, and no manifest, is read too (BasicSR's paired folders).
Tiles are (H, W, 3) uint8 RGB.
"""

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import fsspec
import numpy as np

from data.ccpd import Corners
from data.files import has_picture_extension, read_text
from data.io import PictureError, open_picture_8bit

SPLITS = ("train", "val", "test")
# (height, width) of a clean tile, unless asked otherwise
TILE = (96, 192)
# how many times smaller the low-quality tile may be
SCALES = (1, 2, 4, 8)
MANIFEST = "manifest.csv"
COLUMNS = ("key", "split", "source", "text", "country", "corners", "variant", "degradation")


@dataclass(frozen=True)
class Row:
    """One row of the manifest. `corners` are tile pixels in CCPD's order, () where unknown; `degradation` is the list
    of steps that `data.degrade.apply` takes. A text with "/" is a two-line plate."""

    key: str
    split: str
    source: str
    text: str = ""
    country: str = ""
    corners: Corners | tuple[()] = ()
    variant: int = 0
    degradation: list[dict] = field(default_factory=list)


class PairFiles(NamedTuple):
    key: str
    hr: str
    lq: str


@dataclass(frozen=True)
class Tiles:
    """The pairs of one split, sorted by key; `manifest`: whether the folder has one."""

    pairs: tuple[PairFiles, ...]
    manifest: bool


def open_tiles(folder: str, split: str, clean_only: bool = False) -> Tiles:
    """Find the pairs of a split (of the whole folder, where it has no splits); no pairs where the split is empty.

    clean_only: the clean tiles are enough, `lq` is "" for all of them. Raises ValueError for a folder that is none,
    that holds no tiles, or where a tile lacks its partner.
    """
    system, root = fsspec.core.url_to_fs(str(folder))
    if not system.isdir(root):
        raise ValueError(f"{folder}: no such folder; make tiles with preprocess.py")
    plain = system.isdir(f"{root}/hr") and (clean_only or system.isdir(f"{root}/lq"))
    if not plain and not any(system.isdir(f"{root}/{name}/hr") for name in SPLITS):
        raise ValueError(f"{folder} holds no tiles: expected hr/ and lq/ in it, or in its train/, val/ or test/")
    base = root if plain else f"{root}/{split}"
    hr = _pictures(system, f"{base}/hr")
    lq = dict.fromkeys(hr, "") if clean_only else _pictures(system, f"{base}/lq")
    if lonely := sorted(hr.keys() ^ lq.keys()):
        side, other = ("hr", "lq") if lonely[0] in hr else ("lq", "hr")
        raise ValueError(
            f"{folder}: {len(lonely)} tiles lack a partner, the first is {side}/{lonely[0]} without {other}/"
        )
    return Tiles(tuple(PairFiles(key, hr[key], lq[key]) for key in sorted(hr)), system.exists(f"{root}/{MANIFEST}"))


def _pictures(system: fsspec.AbstractFileSystem, folder: str) -> dict[str, str]:
    """Key -> URL of the pictures directly in `folder`; none if there is no such folder."""
    if not system.isdir(folder):
        return {}
    names = (name for name in system.ls(folder, detail=False) if has_picture_extension(name))
    return {name.rsplit("/", 1)[-1].rsplit(".", 1)[0]: system.unstrip_protocol(name) for name in names}


def tile_url(folder: str, split: str, side: str, key: str) -> str:
    """Where a tile lies; side is "hr" or "lq"."""
    return f"{str(folder).rstrip('/')}/{split}/{side}/{key}.png"


def read_tile(url: str) -> np.ndarray:
    """(H, W, 3) uint8 RGB of any picture, upright. Raises ValueError that names the file."""
    try:
        return open_picture_8bit(url)
    except PictureError as error:
        raise ValueError(f"{url}: {error}") from error


def read_manifest(folder: str) -> list[Row]:
    """All rows of the folder's manifest, [] where it has none. Raises ValueError for one with other columns, or that is
    damaged; OSError."""
    system, root = fsspec.core.url_to_fs(str(folder))
    url = f"{str(folder).rstrip('/')}/{MANIFEST}"
    if not system.exists(f"{root}/{MANIFEST}"):
        return []
    lines = csv.DictReader(io.StringIO(read_text(url), newline=""))
    try:
        if tuple(lines.fieldnames or ()) != COLUMNS:
            raise ValueError(f"expected the columns {','.join(COLUMNS)}, got {lines.fieldnames}")
        return [_parse(line) for line in lines]
    except (ValueError, TypeError, KeyError, RecursionError, csv.Error) as error:
        raise ValueError(f"{url}, line {lines.line_num}: {error}; preprocess.py writes it anew") from error


def _parse(line: dict[str, str]) -> Row:
    corners = tuple(tuple(point) for point in json.loads(line["corners"]))
    known = {name: line[name] for name in ("key", "split", "source", "text", "country")}
    return Row(**known, corners=corners, variant=int(line["variant"]), degradation=json.loads(line["degradation"]))


def format_rows(rows: Iterable[Row], header: bool = True) -> str:
    """Rows as the manifest's text: the same rows give the same bytes."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    if header:
        writer.writerow(COLUMNS)
    for row in rows:
        corners = json.dumps([[round(float(x), 2) for x in point] for point in row.corners])
        degradation = json.dumps(row.degradation, ensure_ascii=False)
        writer.writerow((row.key, row.split, row.source, row.text, row.country, corners, row.variant, degradation))
    return stream.getvalue()
