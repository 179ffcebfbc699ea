"""Finds raw photos in a folder (a path or an fsspec URL) and tells what is known of each: corners, plate text, split.

Three forms: "ccpd", where the file's name says everything, "crops", where a picture is the plate, and "photos", where
the plate is still to be found. In all, a `text.csv` (`file,text,country`) in any folder of the tree gives the texts of
the files beside and below it, and overrides the names'. Lists like CCPD's train.txt may give the splits.

Such lists are written on other machines, for other folders. A path that names no picture as it stands is matched with
`/` for a backslash, and without regard to case or Unicode form. Paths that still match nothing are reported, and so
are photos that are listed twice and differently: of their texts the last counts, of their splits none.
"""

import csv
import io
import os
import posixpath
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import fsspec
import numpy as np

from data.ccpd import Annotation, is_ccpd_name, parse_name
from data.console import say
from data.files import file_reason, has_picture_extension, is_local, read_text
from data.io import PictureError, open_picture_8bit

SPLITS = ("train", "val", "test")
TEXTS = "text.csv"
COLUMNS = ("file", "text", "country")
# names by which --format auto decides
SAMPLE = 200
# the split of a line that stands in the lists of two
CONTRADICTED = ""
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


class FoundPhotos(NamedTuple):
    """photos: sorted by path. unmatched: the rows of text.csv files that name no photo, as "text.csv: file". twice:
    those that give another text than a row before. listed: whether there is a text.csv with rows."""

    photos: list[Photo]
    unmatched: list[str]
    twice: list[str]
    listed: bool


def find_photos(raw: str, out: str = "", flag: str = "--raw") -> FoundPhotos:
    """All pictures below `raw`, but none below `out`, a folder of this machine. Raises ValueError, which names the flag
    that `raw` came from, when there are none."""
    system, root = fsspec.core.url_to_fs(str(raw))
    if not system.isdir(root):
        raise ValueError(f"{flag} {raw}: no such folder; docs/DATA.md says where to get photos")
    stamps: dict[str, str] = {}
    lists: list[str] = []
    for source, stamp in _files(system, root, out):
        if has_picture_extension(source):
            stamps[source] = stamp
        elif source.rsplit("/", 1)[-1].lower() == TEXTS:
            lists.append(source)
    texts: dict[str, Text] = {}
    # nearer ones, which count, come after those above
    for source in sorted(lists, key=lambda source: (source.count("/"), source)):
        url = f"{root}/{source}"
        read_texts(url if is_local(system) else system.unstrip_protocol(url), source[: -len(TEXTS)], texts)
    if not stamps:
        raise ValueError(f"{flag} {raw} holds no pictures; docs/DATA.md says where to get photos")
    listed = Listed(texts, stamps)
    photos = [_photo(source, stamps[source], text_of(source, listed, texts)) for source in sorted(stamps)]
    return FoundPhotos(photos, [texts[path].row for path in listed.unmatched()], rows_of_twice(texts), bool(texts))


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
    for folder, folders, names in os.walk(root, onerror=_tell_unreadable, followlinks=True):
        real = os.path.realpath(folder)
        if real in visited:
            folders.clear()
            continue
        visited.add(real)
        folders.sort()
        below = os.path.relpath(folder, root).replace(os.sep, "/")
        for name in names:
            yield name if below == "." else f"{below}/{name}", _local_stamp(f"{folder}/{name}")


def _tell_unreadable(error: OSError) -> None:
    say(f"{error.filename}: this folder is left out: {file_reason(error)}", error=True)


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


class Text(NamedTuple):
    """A row of a text.csv. row: its name in messages. twice: whether it differs from a row before that names the same
    path."""

    text: str
    country: str
    row: str
    twice: bool = False


class Listed:
    """The paths that lists name, and which of them match a photo.

    A path matches a photo of just that name, else one that differs in slashes, case and Unicode form alone, if there is
    only one such path and one such photo.
    """

    def __init__(self, paths: Iterable[str], sources: Iterable[str]) -> None:
        self._matched = dict.fromkeys(paths, False)
        self._alike: dict[str, list[str]] = defaultdict(list)
        for path in self._matched:
            self._alike[_alike(path)].append(path)
        times = Counter(map(_alike, sources)) if self._matched else {}
        self._ambiguous = {form for form, count in times.items() if count > 1}

    def find(self, path: str) -> str | None:
        """The listed path that matches, from now on counted as matched."""
        if path not in self._matched:
            alike = self._alike.get(form := _alike(path), ())
            if len(alike) != 1 or form in self._ambiguous:
                return None
            [path] = alike
        self._matched[path] = True
        return path

    def find_below_or_above(self, path: str) -> list[str]:
        """The listed paths that end with this one, or that this one ends with: the lists may have been written for a
        folder above or below."""
        form = f"/{_alike(path)}"
        others = {each: f"/{_alike(each)}" for each in self._by_name.get(form.rsplit("/", 1)[-1], ())}
        found = [each for each, other in others.items() if form.endswith(other) or other.endswith(form)]
        self._matched |= dict.fromkeys(found, True)
        return found

    def unmatched(self) -> list[str]:
        return [path for path, matched in self._matched.items() if not matched]

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        """Listed paths by their last part."""
        names = defaultdict(list)
        for path in self._matched:
            names[_alike(path).rsplit("/", 1)[-1]].append(path)
        return names


def _alike(path: str) -> str:
    """The same for paths that differ in slashes, case or Unicode form only."""
    return unicodedata.normalize("NFC", posixpath.normpath(path.strip().replace("\\", "/"))).casefold()


def read_texts(url: str | os.PathLike, folder: str = "", texts: dict[str, Text] | None = None) -> dict[str, Text]:
    """The rows of a text.csv, by the paths that they name, with `folder` (with its slash) before each; added to `texts`
    of other files. The country may be missing. Raises ValueError for a file in another encoding or with other columns,
    OSError."""
    content = read_text(url)
    try:
        header, *rows = [row for row in csv.reader(io.StringIO(content, newline="")) if row] or [[]]
    except csv.Error as error:
        raise ValueError(f"{url} is no CSV file: {error}") from None
    columns = [column.strip().casefold() for column in header]
    if not {"file", "text"} <= set(columns):
        raise ValueError(f"{url}: the columns must be {','.join(COLUMNS)}; got {','.join(header)}")
    texts = {} if texts is None else texts
    for row in rows:
        file, text, country = (dict(zip(columns, row, strict=False)).get(name, "") for name in COLUMNS)
        before = texts.get(folder + file)
        twice = before is not None and (before.twice or before[:2] != (text, country))
        texts[folder + file] = Text(text, country, f"{folder}{TEXTS}: {file}", twice)
    return texts


def rows_of_twice(texts: dict[str, Text]) -> list[str]:
    return [text.row for text in texts.values() if text.twice]


def text_of(source: str, listed: Listed, texts: dict[str, Text]) -> tuple[str, str] | None:
    """The row that gives the photo's path, or its bare name in the nearest folder above that lists it."""
    if not texts:
        return None
    *folders, name = source.split("/")
    above = ("/".join((*folders[:depth], name)) for depth in range(len(folders), -1, -1))
    # all of them, so that a row that a nearer one overrides counts as matched, too
    found = [path for path in map(listed.find, above) if path is not None]
    return texts[found[0]][:2] if found else None


def read_splits(folder: str) -> dict[str, str]:
    """Photo path -> split, from train.txt, val.txt and test.txt as CCPD has them; `CONTRADICTED` for one that stands in
    two of them. Raises ValueError if there are none, OSError if they cannot be read."""
    splits: dict[str, str] = {}
    for split in SPLITS:
        file = os.path.join(folder, f"{split}.txt")
        if os.path.lexists(file):
            # not splitlines(), which also splits at characters that a name may hold
            for line in filter(None, (line.strip() for line in read_text(file).split("\n"))):
                splits[line] = split if splits.get(line, split) == split else CONTRADICTED
    if not splits:
        raise ValueError(f"--split-files {folder}: no train.txt, val.txt or test.txt with lines there")
    return splits


class Assigned(NamedTuple):
    """splits: photo's path -> split. unmatched: the lines that match no photo. twice: photos whose lines contradict
    each other, none of which is believed."""

    splits: dict[str, str]
    unmatched: list[str]
    twice: list[str]


def assign_splits(sources: Sequence[str], splits: dict[str, str]) -> Assigned:
    """Those that `read_splits` lists. The lines may be relative to a folder above or below the raw one."""
    listed = Listed(splits, sources)
    assigned, twice = {}, []
    for source in sources:
        path = listed.find(source)
        said = {splits[each] for each in ([path] if path is not None else listed.find_below_or_above(source))}
        if len(said) == 1 and CONTRADICTED not in said:
            assigned[source] = said.pop()
        elif said:
            twice.append(source)
    return Assigned(assigned, listed.unmatched(), twice)


def tell_lists(unmatched: list[str], twice: list[str]) -> None:
    """What is wrong with the lists of texts and splits."""
    for names, what in (
        (unmatched, "entries of text.csv or split files name no photo here"),
        (twice, "photos are listed twice and differently (the last text counts, and no split)"),
    ):
        if names:
            say(f"{len(names)} {what}, such as {', '.join(names[:3])}")
