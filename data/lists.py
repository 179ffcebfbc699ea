"""Lists of pictures that people write: text.csv, with the texts of plates, and train.txt, val.txt and test.txt.

They are written on other machines, for other folders. A path that names no picture as it stands is matched with `/` for
a backslash, and without regard to case or Unicode form. Paths that still match nothing are reported.
"""

import csv
import io
import os
import posixpath
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import NamedTuple

from data.files import read_text
from data.tiles import SPLITS

TEXTS = "text.csv"
COLUMNS = ("file", "text", "country")


class Text(NamedTuple):
    """A row of a text.csv. row: its name in messages."""

    text: str
    country: str
    row: str


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


def read_texts(url: str | os.PathLike, folder: str = "") -> dict[str, Text]:
    """The rows of a text.csv, by the paths that they name, with `folder` (with its slash) before each. The country may
    be missing. Raises ValueError for a file in another encoding or with other columns, OSError."""
    content = read_text(url)
    try:
        header, *rows = [row for row in csv.reader(io.StringIO(content, newline="")) if row] or [[]]
    except csv.Error as error:
        raise ValueError(f"{url} is no CSV file: {error}") from None
    columns = [column.strip().casefold() for column in header]
    if not {"file", "text"} <= set(columns):
        raise ValueError(f"{url}: the columns must be {','.join(COLUMNS)}; got {','.join(header)}")
    texts = {}
    for row in rows:
        file, text, country = (dict(zip(columns, row, strict=False)).get(name, "") for name in COLUMNS)
        texts[folder + file] = Text(text, country, f"{folder}{TEXTS}: {file}")
    return texts


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
    """Photo path -> split, from train.txt, val.txt and test.txt as CCPD has them. Raises ValueError if there are
    none, OSError if they cannot be read."""
    splits = {}
    for split in SPLITS:
        file = os.path.join(folder, f"{split}.txt")
        if os.path.isfile(file):
            # not splitlines(), which also splits at characters that a name may hold
            lines = (line.strip() for line in read_text(file).split("\n"))
            splits |= {line: split for line in lines if line}
    if not splits:
        raise ValueError(f"--split-files {folder}: no train.txt, val.txt or test.txt with lines there")
    return splits


def assign_splits(sources: Sequence[str], splits: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """(photo's path -> split, for those that `read_splits` lists, the lines that match no photo).

    The lines may be relative to a folder above or below the raw one.
    """
    listed = Listed(splits, sources)
    assigned = {}
    for source in sources:
        path = listed.find(source)
        paths = [path] if path is not None else listed.find_below_or_above(source)
        # where lines contradict each other, none is believed
        if len({splits[path] for path in paths}) == 1:
            assigned[source] = splits[paths[0]]
    return assigned, listed.unmatched()
