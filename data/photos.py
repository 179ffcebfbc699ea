"""Finds raw photos in a folder (a path or an fsspec URL) and tells what is known of each: corners and plate text.

Two forms: "ccpd", where the file's name says everything, and "crops", where a picture is the plate. In both, a `text.csv`
(`file,text,country`) in any folder of the tree gives the texts of the files beside it, and overrides the names'.
"""

import csv
import io
from dataclasses import dataclass, replace

import fsspec
import numpy as np
from PIL import Image

from data.ccpd import Annotation, is_ccpd_name, parse_name

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
TEXTS = "text.csv"
SAMPLE = 200  # names by which --format auto decides


class UnusablePhoto(Exception):
    """A photo that cannot be used; the message is the reason under which it is counted."""


@dataclass(frozen=True)
class Photo:
    """source: path below the raw folder. stamp: changes when the file does. text: (text, country) of text.csv, if any."""

    source: str
    url: str
    stamp: str
    text: tuple[str, str] | None = None


def find_photos(raw: str) -> list[Photo]:
    """All pictures below `raw`, sorted by path. Raises ValueError when there are none."""
    system, root = fsspec.core.url_to_fs(str(raw))
    if not system.isdir(root):
        raise ValueError(f"--raw {raw}: no such folder; README.md says where photos are to be had")
    found = system.find(root, detail=True)
    texts = {}
    for name in found:
        if name.rsplit("/", 1)[-1] == TEXTS:
            texts |= _read_texts(system, name)
    photos = [
        Photo(_below(root, name), system.unstrip_protocol(name), _stamp(entry, texts.get(name)), texts.get(name))
        for name, entry in found.items()
        if name.lower().endswith(SUFFIXES) and entry["type"] == "file"
    ]
    if not photos:
        raise ValueError(f"--raw {raw} holds no pictures ({', '.join(SUFFIXES)})")
    return sorted(photos, key=lambda photo: photo.source)


def _below(root: str, name: str) -> str:
    return name[len(root) :].lstrip("/")


def _stamp(entry: dict, text: tuple[str, str] | None) -> str:
    """Size and time, or the storage's own checksum, and the text: enough to see that something was replaced."""
    changed = entry.get("ETag") or entry.get("mtime") or entry.get("LastModified") or ""
    return f"{entry['size']}:{changed}:{'/'.join(text or ())}"


def _read_texts(system: fsspec.AbstractFileSystem, name: str) -> dict[str, tuple[str, str]]:
    """(text, country) by the full path of the file beside the text.csv. Raises ValueError for other columns."""
    folder = name.rsplit("/", 1)[0]
    with system.open(name, "rb") as file:
        rows = csv.DictReader(io.TextIOWrapper(file, "utf-8-sig", newline=""))
        if not {"file", "text", "country"} <= set(rows.fieldnames or ()):
            raise ValueError(f"{name}: the columns must be file,text,country; got {rows.fieldnames}")
        return {f"{folder}/{row['file']}": (row["text"], row["country"]) for row in rows}


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


def open_photo(url: str) -> np.ndarray:
    """(H, W, 3) uint8 RGB. Raises UnusablePhoto for a file that is empty, broken off, or no picture."""
    with fsspec.open(url, "rb") as file:
        content = file.read()
    if not content:
        raise UnusablePhoto("the file is empty")
    try:
        with Image.open(io.BytesIO(content)) as picture:
            return np.asarray(picture.convert("RGB"))
    except Image.DecompressionBombError:
        raise UnusablePhoto("the picture is too large") from None
    except Image.UnidentifiedImageError:
        raise UnusablePhoto("the file is no picture") from None
    except (OSError, SyntaxError, ValueError):
        raise UnusablePhoto("the picture is broken off or damaged") from None
