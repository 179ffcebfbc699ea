"""Finding the pictures that the command line names. Opens none of them, beyond their first bytes, and writes
nothing."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from data.io import file_reason, looks_like_picture

SKIPPED = "no picture"


class Found(NamedTuple):
    """A file or folder met. relative: where it lies below the INPUT that led to it. problem: why it cannot be read, or
    ""."""

    path: str
    relative: str
    problem: str = ""

    @property
    def skipped(self) -> bool:
        """Neither a picture nor said to be one: named in the report, but no failure."""
        return self.problem == SKIPPED


def find_inputs(inputs: Sequence[str], out: str) -> Iterator[Found]:
    """Everything below the INPUTs, in a fixed order, but for what lies in `out`: results of an earlier run are no
    inputs."""
    seen = {identity(out)} if os.path.isdir(out) else set()
    for given in inputs:
        if os.path.isdir(given):
            yield from _walk(given, seen)
        else:
            problem = "" if os.path.lexists(given) else "no such file or folder"
            yield Found(given, os.path.basename(os.path.normpath(given)), problem)


def _walk(top: str, seen: set[tuple[int, int]]) -> Iterator[Found]:
    """Depth first, each folder once, with a list of its own: folders nest deeper than Python's calls may."""
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


def _problem(path: str) -> str:
    if looks_like_picture(path):
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


def identity(path: str) -> tuple[int, int]:
    """What is the same for all names of one file. Raises OSError."""
    status = os.stat(path)
    return status.st_dev, status.st_ino


def identities(found: Sequence[Found]) -> frozenset[tuple[int, int]]:
    """The inputs, however a path may lead to them."""
    known = set()
    for each in found:
        try:
            known.add(identity(each.path))
        # what cannot be reached cannot be overwritten
        except OSError:
            continue
    return frozenset(known)


def skipped_kinds(found: Sequence[Found]) -> str:
    """For the terminal: how many files were no pictures, by extension; "" where there were none."""
    kinds = Counter(os.path.splitext(each.path)[1] or "without extension" for each in found if each.skipped)
    return ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
