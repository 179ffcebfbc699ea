"""Finds raw photos in a folder (a path or an fsspec URL) and tells what is known of each: corners, plate text, split.

Three forms: "ccpd", where the file's name says everything, "crops", where a picture is the plate, and "photos", where
the plate is still to be found. In all, a `text.csv` (`file,text,country`) in any folder of the tree gives the texts of
the files beside and below it, and overrides the names'. Lists like CCPD's train.txt may
give the splits (`data/lists.py`).
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import fsspec
import numpy as np

from data.ccpd import Annotation, is_ccpd_name, parse_name
from data.files import has_picture_extension, is_local
from data.io import PictureError, open_picture_8bit
from data.lists import TEXTS, Listed, Text, read_texts, text_of

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


class Found(NamedTuple):
    """photos: sorted by path. unmatched: the rows of text.csv files that name no photo, as "text.csv: file"."""

    photos: list[Photo]
    unmatched: list[str]


def find_photos(raw: str, out: str = "") -> Found:
    """All pictures below `raw`, but none below `out`, a folder of this machine. Raises ValueError when there are
    none."""
    system, root = fsspec.core.url_to_fs(str(raw))
    if not system.isdir(root):
        raise ValueError(f"--raw {raw}: no such folder; docs/DATA.md says where to get photos")
    stamps: dict[str, str] = {}
    texts: dict[str, Text] = {}
    for source, stamp in _files(system, root, out):
        if has_picture_extension(source):
            stamps[source] = stamp
        elif source.rsplit("/", 1)[-1].lower() == TEXTS:
            url = f"{root}/{source}"
            texts |= read_texts(url if is_local(system) else system.unstrip_protocol(url), source[: -len(TEXTS)])
    if not stamps:
        raise ValueError(f"--raw {raw} holds no pictures; docs/DATA.md says where to get photos")
    listed = Listed(texts, stamps)
    photos = [_photo(source, stamps[source], text_of(source, listed, texts)) for source in sorted(stamps)]
    return Found(photos, [texts[path].row for path in listed.unmatched()])


def _photo(source: str, stamp: str, text: tuple[str, str] | None) -> Photo:
    """A changed text makes it count as another photo, too."""
    return Photo(source, ":".join((stamp, *(text or ()))), text)


def _files(system: fsspec.AbstractFileSystem, root: str, out: str) -> Iterator[tuple[str, str]]:
    """(path below `root`, stamp) of every file: size and time, or the storage's own checksum."""
    if is_local(system):
        yield from _local_files(root, out)
        return
    for name, entry in system.find(root, detail=True).items():
        changed = entry.get("ETag") or entry.get("mtime") or entry.get("LastModified") or ""
        yield name[len(root) :].lstrip("/"), f"{entry['size']}:{changed}"


def _local_files(root: str, out: str) -> Iterator[tuple[str, str]]:
    """Follows links, as data sets are often put together by them, but into no folder twice, and not into `out`."""
    visited = {os.path.realpath(out)} if out else set()
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


def decide_format(photos: list[Photo]) -> tuple[str, str]:
    """("ccpd" or "crops", why), by the share of CCPD names among the first photos."""
    looked_at = photos[:: max(1, len(photos) // SAMPLE)][:SAMPLE]
    share = np.mean([is_ccpd_name(photo.source) for photo in looked_at])
    form = "ccpd" if share >= 0.5 else "crops"
    return form, f"{share:.0%} of {len(looked_at)} names looked at are CCPD's"


def annotate(photo: Photo, form: str) -> Annotation | None:
    """Corners, text and country of a photo, where its name has them. Raises UnusablePhoto for a name that is not
    CCPD's."""
    if form != "ccpd":
        return None
    try:
        known = parse_name(photo.source)
    except ValueError:
        raise UnusablePhoto("the name is not CCPD's") from None
    return known if photo.text is None else replace(known, text=photo.text[0], country=photo.text[1])


def open_photo(url: str, form: str) -> np.ndarray:
    """(H, W, 3) uint8 RGB. Raises UnusablePhoto. A name's corners are those of the pixels as stored; other photos are
    turned upright."""
    try:
        return open_picture_8bit(url, upright=form != "ccpd")
    except PictureError as error:
        raise UnusablePhoto(UNREADABLE if error.passing else error.kind) from None
