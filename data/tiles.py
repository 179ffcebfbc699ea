"""The tile folder, which preprocess.py writes, and the plates to evaluate, from such a folder or another.

    OUT/{train,val,test}/{hr,lq}/KEY.png      clean and low-quality tile, same key on both sides
    OUT/manifest.csv                          one row a pair: `COLUMNS`
    DIR/{hr,lq}/NAME                          pairs of one's own (BasicSR's paired folders), without a manifest
    DIR/NAME, DIR/text.csv                    --lq-only: real low-quality plates, of which no clean picture exists

Where there is no manifest, what the reader reads in hr stands in for the truth. Folders are paths or fsspec URLs. Tiles
are (H, W, 3) uint8 RGB.
"""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import fsspec
import numpy as np

from data.ccpd import Corners
from data.files import has_picture_extension, read_text
from data.io import PictureError, open_picture_8bit, picture_size
from data.photos import SPLITS, TEXTS, find_photos

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


def stored_size(url: str) -> tuple[int, int]:
    """(height, width) from a picture's header."""
    try:
        return picture_size(url)
    except PictureError as error:
        raise ValueError(f"tile {url} cannot be read ({error}); make the tiles anew with preprocess.py") from error


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


# --- The plates to evaluate -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plate:
    """One thing to enhance. hr: "" without a clean side. text: "" where unknown. group: the photo it comes from, which
    all its variants share. corners: in the clean tile, CCPD's order. steps: the degradation, or None where unknown."""

    key: str
    lq: str
    hr: str = ""
    text: str = ""
    country: str = ""
    group: str = ""
    corners: tuple = ()
    steps: list | None = None


@dataclass(frozen=True)
class Pair:
    """A plate's pictures, (H, W, 3) uint8; hr is None without a clean side."""

    plate: Plate
    lq: np.ndarray
    hr: np.ndarray | None = None
    scale: int = 1


@dataclass(frozen=True)
class Failure:
    """A picture that could not be used, and why."""

    file: str
    reason: str


@dataclass(frozen=True)
class Material:
    """All plates of a folder. truth: where the texts come from: "manifest", "text.csv", "clean side", or "" for
    nowhere. unmatched: rows of text.csv that name no picture. twice: those that give another text than a row before."""

    plates: list[Plate]
    truth: str
    unmatched: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)


def from_tiles(folder: str, split: str) -> Material:
    """The plates of a tile folder's split, or of a paired folder. ValueError where there are none."""
    found = open_tiles(folder, split)
    rows = {row.key: row for row in read_manifest(folder) if row.split == split} if found.manifest else {}
    plates = [_from_row(rows.get(key), key, hr, lq) for key, hr, lq in found.pairs]
    return Material(plates, "manifest" if rows else "clean side")


def from_lq_only(folder: str) -> Material:
    """The pictures of a folder at any depth, each with its text from text.csv where that names it. ValueError where
    there are none."""
    found = find_photos(folder, flag="--lq-only")
    plates = []
    for photo in found.photos:
        text, country = photo.text or ("", "")
        plates.append(Plate(photo.source, f"{folder}/{photo.source}", text=text, country=country, group=photo.source))
    return Material(plates, TEXTS if found.listed else "", found.unmatched, found.twice)


def pick(plates: Sequence[Plate], limit: int | None, seed: int) -> list[Plate]:
    """At most `limit` plates, drawn at random but the same for the same seed, in their own order."""
    if limit is None or limit >= len(plates):
        return list(plates)
    chosen = np.random.default_rng(seed).choice(len(plates), limit, replace=False)
    return [plates[i] for i in sorted(chosen)]


def spread_evenly(count: int, limit: int) -> list[int]:
    """At most `limit` indices (0: all) spread over range(count): the same ones every time."""
    if not limit or limit >= count:
        return list(range(count))
    return [index * count // limit for index in range(limit)]


def first_pair(plates: Sequence[Plate]) -> Pair:
    """The first plate that can be opened. ValueError where there is none."""
    if not plates:
        raise ValueError("no plates to evaluate: the split is empty; choose another with --split, or make tiles for it")
    failures: list[Failure] = []
    for plate in plates:
        pairs, failed = load([plate])
        if pairs:
            return pairs[0]
        failures += failed
    raise ValueError(f"none of the {len(plates)} pictures can be used; the first: {failures[0].reason}")


def clean_as_input(plates: Sequence[Plate]) -> list[Plate]:
    """The clean side, one of each photo, as both sides. ValueError where there is none, or it is larger than the
    input."""
    pair = first_pair(plates)
    if pair.hr is None or pair.scale > 1:
        raise ValueError("--clean-too needs a clean side of the input's size: tiles of scale 1")
    one_of_each = {plate.group: plate for plate in reversed(plates)}
    return [replace(plate, lq=plate.hr, steps=None) for plate in plates if one_of_each[plate.group] is plate]


def load(plates: Sequence[Plate]) -> tuple[list[Pair], list[Failure]]:
    """Open the plates' pictures. Those that cannot be opened, or are no pair of sizes, come back as failures."""
    pairs, failures = [], []
    for plate in plates:
        try:
            pairs.append(_open(plate))
        except (OSError, ValueError) as error:
            failures.append(Failure(plate.lq, str(error)))
    return pairs, failures


def _open(plate: Plate) -> Pair:
    lq = read_tile(plate.lq)
    if not plate.hr:
        return Pair(plate, lq)
    hr = read_tile(plate.hr)
    scale = hr.shape[0] // lq.shape[0]
    if scale not in SCALES or hr.shape != (lq.shape[0] * scale, lq.shape[1] * scale, 3):
        sizes = " and ".join(f"{picture.shape[0]} x {picture.shape[1]}" for picture in (hr, lq))
        raise ValueError(f"clean and low-quality picture are {sizes}: the one must be 1, 2, 4 or 8 times the other")
    return Pair(plate, lq, hr, scale)


def _from_row(row, key: str, hr: str, lq: str) -> Plate:
    if row is None:
        return Plate(key, lq, hr, group=key)
    return Plate(key, lq, hr, row.text, row.country, row.source, tuple(row.corners), row.degradation)
