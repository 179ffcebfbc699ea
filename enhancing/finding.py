"""Finding the pictures and films that the command line names, and naming their results.

Opens no picture beyond its first bytes, and writes nothing.
"""

import hashlib
import math
import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

from data.files import file_reason, looks_like_film, looks_like_picture, open_regular

SKIPPED = "no picture"
# of common file systems
MAX_NAME_BYTES = 255


class Found(NamedTuple):
    """A file or folder that was found. relative: its path below the INPUT that led to it. problem: why it cannot be
    read, or ""."""

    path: str
    relative: str
    problem: str = ""

    @property
    def skipped(self) -> bool:
        """Not a picture, by content and by name: named in the report, but no failure."""
        return self.problem == SKIPPED


class FilmJob(NamedTuple):
    """path: of the film, or of a folder. relative: as in `Found`. frames: the folder's pictures."""

    path: str
    relative: str
    frames: tuple[str, ...] = ()


class Part(NamedTuple):
    """Which frames of a film are looked at: every `every`-th from second `start_s` to before `end_s`."""

    start_s: float = 0.0
    end_s: float = math.inf
    every: int = 1


def take_films(found: Sequence[Found], folders_too: bool) -> tuple[list[FilmJob], list[Found]]:
    """The films among the inputs, and all the others. folders_too: the pictures of each folder are one film's frames,
    in the order of their names; numbers in names count as numbers."""
    from data.io import is_moving

    films, others, frames = [], [], defaultdict(list)
    for each in found:
        if each.problem:
            others.append(each)
        elif is_moving(each.path):
            films.append(FilmJob(each.path, each.relative))
        elif folders_too:
            frames[os.path.dirname(each.path), os.path.dirname(each.relative)].append(each.path)
        else:
            others.append(each)
    for (folder, relative), paths in frames.items():
        name = relative or os.path.basename(os.path.abspath(folder))
        films.append(FilmJob(folder, name, tuple(sorted(paths, key=_by_number))))
    return films, others


def _by_number(path: str) -> list:
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", path)]


def find_inputs(inputs: Sequence[str], out: str) -> Iterator[Found]:
    """Everything below the INPUTs, in a fixed order, except for `out`: results of an earlier run are not inputs."""
    seen = {identity(out)} if os.path.isdir(out) else set()
    for given in inputs:
        if os.path.isdir(given):
            yield from _walk(given, seen)
        else:
            yield Found(given, os.path.basename(os.path.normpath(given)), _problem_of_given(given))


def _walk(top: str, seen: set[tuple[int, int]]) -> Iterator[Found]:
    """Depth first, each folder once. It keeps its own list, since folders may nest deeper than Python's recursion
    limit."""
    waiting = [(top, "")]
    while waiting:
        folder, relative = waiting.pop()
        try:
            this = identity(folder)
            if this in seen:
                if _leads_upwards(folder):
                    yield Found(folder, relative, "symlink loop")
                continue
            seen.add(this)
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            yield Found(folder, relative, f"unreadable folder: {file_reason(error)}")
            continue
        folders = []
        for entry in entries:
            below = os.path.join(relative, entry.name)
            if _is_folder(entry):
                folders.append((entry.path, below))
            else:
                yield Found(entry.path, below, _problem(entry.path))
        waiting.extend(reversed(folders))


def _problem_of_given(path: str) -> str:
    """What is wrong with a file that the user named, as far as that shows before a decoder is loaded."""
    if not os.path.lexists(path):
        return "no such file or folder"
    try:
        with open_regular(path) as file:
            start = file.read(512)
    except OSError as error:
        return "broken link" if isinstance(error, FileNotFoundError) else file_reason(error)
    if not start:
        return "empty file"
    return "not a picture: it is a text file" if _is_text(start) else ""


def _is_text(start: bytes) -> bool:
    """Whether a file that begins like this is a text: neither PPM, a picture, nor EPS, which has a message of its
    own."""
    if b"\0" in start or re.match(rb"P[1-7]\s|%!PS", start):
        return False
    try:
        start.decode("utf-8")
    except UnicodeDecodeError as error:
        # a character may be cut in two at the end
        return error.start > len(start) - 4
    return True


def _problem(path: str) -> str:
    if looks_like_picture(path) or looks_like_film(path):
        return ""
    try:
        os.stat(path)
    except OSError as error:
        return "broken link" if isinstance(error, FileNotFoundError) else file_reason(error)
    return SKIPPED


def _leads_upwards(folder: str) -> bool:
    target, parent = os.path.realpath(folder), os.path.realpath(os.path.dirname(folder))
    return os.path.islink(folder) and os.path.commonpath([target, parent]) == target


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    # a link to itself
    except OSError:
        return False


def parse_time(text: str) -> float:
    """Seconds of "12", "12.5", "00:12" or "1:02:03.5". Raises ValueError."""
    if not re.fullmatch(r"(\d+:){0,2}\d+(\.\d+)?", text, re.ASCII):
        raise ValueError(f"a time is given as seconds, MM:SS or HH:MM:SS, got {text!r}")
    return sum(float(number) * 60**power for power, number in enumerate(reversed(text.split(":"))))


def parse_corner(text: str) -> tuple[float, float]:
    """The corner of a plate in its photo: "12,34.5" -> (12.0, 34.5). Raises ValueError."""
    try:
        x, y = (float(part) for part in text.split(","))
        if not (math.isfinite(x) and math.isfinite(y)):
            raise ValueError
    except ValueError:
        raise ValueError(f"a corner is given as x,y in pixels of the photo, got {text!r}") from None
    return x, y


def identity(path: str) -> tuple[int, int]:
    """A value that all names of one file share. Raises OSError."""
    status = os.stat(path)
    return status.st_dev, status.st_ino


def identities(paths: Iterable[str]) -> frozenset[tuple[int, int]]:
    """Those of all that can be reached: what cannot be cannot be overwritten."""
    known = set()
    for path in paths:
        with suppress(OSError):
            known.add(identity(path))
    return frozenset(known)


def skipped_kinds(found: Sequence[Found]) -> str:
    """For the terminal: how many files were no pictures, by extension; "" where there were none."""
    kinds = Counter(os.path.splitext(each.path)[1] or "without extension" for each in found if each.skipped)
    return ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))


def output_names(
    relatives: Sequence[str], out: str, endings: Sequence[str], inputs: frozenset[tuple[int, int]]
) -> list[str]:
    """For each picture, the path below `out` to which the endings (".png", ...) are added.

    relatives: the pictures' paths below their INPUT. The name is that path's stem, or all of it where stems clash:
    `a.jpg` beside `a.png` give `a.jpg` and `a.png`, hence `a.jpg.png` and `a.png.png`. Names that still clash, from
    several INPUTs, are numbered. inputs: the identities of files that must not be written to.
    """
    whole = [_short_enough(relative, endings) for relative in relatives]
    names = [_short_enough(os.path.splitext(relative)[0], endings) for relative in relatives]
    while longer := [i for i in _clashing(names, out, endings, inputs) if names[i] != whole[i]]:
        for i in longer:
            names[i] = whole[i]
    taken: set[str] = set()
    for i, name in enumerate(names):
        number = 1
        while not _is_free(names[i], taken, out, endings, inputs):
            number += 1
            names[i] = _short_enough(f"{name}-{number}", endings)
        taken |= files_of([names[i]], endings)
    return names


def numbered_names(
    name: str, count: int, taken: Collection[str], out: str, endings: Sequence[str], inputs: frozenset[tuple[int, int]]
) -> list[str]:
    """NAME-1, NAME-2 and so on for the plates of a picture, with something between where another picture's result or an
    input has such a name. taken: the files of other results, as of `files_of`; the rest as for `output_names`."""
    between = "-"
    while True:
        names = [_short_enough(f"{name}{between}{number}", endings) for number in range(1, count + 1)]
        if all(_is_free(each, taken, out, endings, inputs) for each in names):
            return names
        between += "plate-"


def files_of(names: Iterable[str], endings: Sequence[str]) -> set[str]:
    """The files of results, equal where some file system takes them for the same: in another case, or with accents
    encoded differently."""
    return {unicodedata.normalize("NFC", name + ending).casefold() for name in names for ending in endings}


def _is_free(
    name: str, taken: Collection[str], out: str, endings: Sequence[str], inputs: frozenset[tuple[int, int]]
) -> bool:
    return files_of([name], endings).isdisjoint(taken) and not _meets_input(name, out, endings, inputs)


def _short_enough(name: str, endings: Sequence[str]) -> str:
    """The name, cut where a file system would refuse it with an ending; a checksum then tells it from others."""
    folder, base = os.path.split(name)
    room = MAX_NAME_BYTES - max(len(ending) for ending in endings)
    encoded = os.fsencode(base)
    if len(encoded) <= room:
        return name
    checksum = hashlib.sha256(encoded).hexdigest()[:8]
    kept = encoded[: room - len("~12345678-99")].decode("utf-8", "ignore")
    return os.path.join(folder, f"{kept}~{checksum}")


def _clashing(names: list[str], out: str, endings: Sequence[str], inputs: frozenset[tuple[int, int]]) -> set[int]:
    """Indices of names under which two pictures would write one file, or one would overwrite an input."""
    writers = defaultdict(list)
    for index, name in enumerate(names):
        for file in files_of([name], endings):
            writers[file].append(index)
    twice = {index for indices in writers.values() if len(indices) > 1 for index in indices}
    return twice | {i for i, name in enumerate(names) if _meets_input(name, out, endings, inputs)}


def _meets_input(name: str, out: str, endings: Sequence[str], inputs: frozenset[tuple[int, int]]) -> bool:
    """Whether a result of this name would be written over an input, or into a folder with an input in it."""
    paths = [os.path.join(out, name + ending) for ending in endings]
    return not inputs.isdisjoint(identities(each for path in paths for each in (path, *_inside(path))))


def _inside(folder: str) -> list[str]:
    try:
        return [os.path.join(folder, name) for name in os.listdir(folder)]
    # no folder, or none that can be read
    except OSError:
        return []
