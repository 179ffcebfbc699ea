"""The plates to evaluate: from a tile folder, from any paired folder, or from a folder of real low-quality pictures.

OUT/SPLIT/{hr,lq}/KEY.png + OUT/manifest.csv    preprocess.py's: truth and degradation are in the manifest
DIR/{hr,lq}/NAME                                pairs of one's own: what the reader reads in hr stands in for the truth
DIR/NAME + DIR/text.csv (file,text,country)     --lq-only: real low-quality plates, of which no clean picture exists
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from data.photos import TEXTS, find_photos
from data.tiles import SCALES, open_tiles, read_manifest, read_tile


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
