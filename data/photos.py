"""Finds raw photos in a folder (a path or an fsspec URL) and tells what is known of each: corners and plate text.

Two forms: "ccpd", where the file's name says everything, and "crops", where a picture is the plate. In both, a
`text.csv` (`file,text,country`) in any folder of the tree gives the texts of the files beside and below it, and
overrides the names'.
"""

import csv
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace

import fsspec
import numpy as np

from data.ccpd import Annotation, is_ccpd_name, parse_name
from data.files import has_picture_extension, is_local, read_text
from data.io import PictureError, open_picture_8bit

TEXTS = "text.csv"
# names by which --format auto decides
SAMPLE = 200
# a reason that may be gone by the next run
UNREADABLE = "the file cannot be read"


class UnusablePhoto(Exception):
    """A photo that cannot be used; the message is the reason under which it is counted."""


@dataclass(frozen=True, slots=True)
class Photo:
    """source: path below the raw folder. stamp: changes when the file does. text: (text, country) of text.csv, if
    any."""

    source: str
    stamp: str
    text: tuple[str, str] | None = None


def find_photos(raw: str) -> list[Photo]:
    """All pictures below `raw`, sorted by path. Raises ValueError when there are none."""
    system, root = fsspec.core.url_to_fs(str(raw))
    if not system.isdir(root):
        raise ValueError(f"--raw {raw}: no such folder; README.md says where photos are to be had")
    stamps, texts = {}, {}
    for source, stamp in _files(system, root):
        if has_picture_extension(source):
            stamps[source] = stamp
        elif source.rsplit("/", 1)[-1] == TEXTS:
            texts |= _read_texts(system, root, source)
    if not stamps:
        raise ValueError(f"--raw {raw} holds no pictures; README.md says where photos are to be had")
    return [_photo(source, stamps[source], _text_of(source, texts)) for source in sorted(stamps)]


def _photo(source: str, stamp: str, text: tuple[str, str] | None) -> Photo:
    """A text that changes makes another photo of it, too."""
    return Photo(source, ":".join((stamp, *(text or ()))), text)


def _text_of(source: str, texts: dict[str, tuple[str, str]]) -> tuple[str, str] | None:
    """By the path that a text.csv gives, or by the bare name in the nearest folder above that lists it."""
    if not texts:
        return None
    *folders, name = source.split("/")
    above = ("/".join((*folders[:depth], name)) for depth in range(len(folders), -1, -1))
    return next((texts[path] for path in above if path in texts), None)


def _files(system: fsspec.AbstractFileSystem, root: str) -> Iterator[tuple[str, str]]:
    """(path below `root`, stamp) of every file: size and time, or the storage's own checksum."""
    if is_local(system):
        yield from _local_files(root)
        return
    for name, entry in system.find(root, detail=True).items():
        changed = entry.get("ETag") or entry.get("mtime") or entry.get("LastModified") or ""
        yield name[len(root) :].lstrip("/"), f"{entry['size']}:{changed}"


def _local_files(root: str) -> Iterator[tuple[str, str]]:
    """Follows links, as data sets are often put together by them, but into no folder twice."""
    visited = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        visited.add(os.path.realpath(folder))
        folders[:] = sorted(name for name in folders if os.path.realpath(f"{folder}/{name}") not in visited)
        below = os.path.relpath(folder, root).replace(os.sep, "/")
        for name in names:
            yield name if below == "." else f"{below}/{name}", _local_stamp(f"{folder}/{name}")


def _local_stamp(path: str) -> str:
    try:
        status = os.stat(path)
    # a link to nowhere: found unreadable later, and named
    except OSError:
        return ""
    return f"{status.st_size}:{status.st_mtime_ns}"


def _read_texts(system: fsspec.AbstractFileSystem, root: str, source: str) -> dict[str, tuple[str, str]]:
    """(text, country) by the paths below `root` that a text.csv lists. Raises ValueError for other columns."""
    where = f"{root}/{source}"
    content = read_text(where if is_local(system) else system.unstrip_protocol(where))
    rows = csv.DictReader(io.StringIO(content, newline=""))
    if not {"file", "text", "country"} <= set(rows.fieldnames or ()):
        raise ValueError(f"{where}: the columns must be file,text,country; got {rows.fieldnames}")
    return {source[: -len(TEXTS)] + (row["file"] or ""): (row["text"] or "", row["country"] or "") for row in rows}


def decide_format(photos: list[Photo]) -> tuple[str, str]:
    """("ccpd" or "crops", why), by the share of CCPD names among the first photos."""
    looked_at = photos[:: max(1, len(photos) // SAMPLE)][:SAMPLE]
    share = np.mean([is_ccpd_name(photo.source) for photo in looked_at])
    form = "ccpd" if share >= 0.5 else "crops"
    return form, f"{share:.0%} of {len(looked_at)} names looked at are CCPD's"


def annotate(photo: Photo, form: str) -> Annotation | None:
    """Corners, text and country of a photo; None for a crop. Raises UnusablePhoto for a name that is not CCPD's."""
    if form == "crops":
        return None
    try:
        known = parse_name(photo.source)
    except ValueError:
        raise UnusablePhoto("the name is not CCPD's") from None
    return known if photo.text is None else replace(known, text=photo.text[0], country=photo.text[1])


def open_photo(url: str, form: str) -> np.ndarray:
    """(H, W, 3) uint8 RGB. Raises UnusablePhoto. A name's corners are those of the pixels as stored; crops are turned
    upright."""
    try:
        return open_picture_8bit(url, upright=form == "crops")
    except PictureError as error:
        raise UnusablePhoto(UNREADABLE if error.passing else error.kind) from None
