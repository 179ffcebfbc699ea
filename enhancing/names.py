"""The names of the results: a pure function of the inputs, with no two alike and none that is an input."""

import os
import unicodedata
from collections import defaultdict
from collections.abc import Sequence

from enhancing.inputs import identity


def output_names(
    relatives: Sequence[str], out: str, endings: Sequence[str], inputs: frozenset[tuple[int, int]]
) -> list[str]:
    """For each picture, the path below `out` that the endings (".png", ...) are put to.

    relatives: the pictures' paths below their INPUT. The name is that path's stem, or all of it where stems clash:
    `a.jpg` beside `a.png` give `a.jpg` and `a.png`, hence `a.jpg.png` and `a.png.png`. What clashes even so, from
    several INPUTs, is numbered. inputs: the identities of files that must not be written to.
    """
    names = [os.path.splitext(relative)[0] for relative in relatives]
    while longer := [i for i in _clashing(names, out, endings, inputs) if names[i] != relatives[i]]:
        for i in longer:
            names[i] = relatives[i]
    taken: set[str] = set()
    for i, name in enumerate(names):
        number = 1
        while any(_key(names[i] + end) in taken or _is_input(out, names[i] + end, inputs) for end in endings):
            number += 1
            names[i] = f"{name}-{number}"
        taken.update(_key(names[i] + end) for end in endings)
    return names


def _clashing(names: list[str], out: str, endings: Sequence[str], inputs: frozenset[tuple[int, int]]) -> set[int]:
    """Indices of names under which two pictures would write one file, or one would overwrite an input."""
    writers = defaultdict(list)
    for index, name in enumerate(names):
        for ending in endings:
            writers[_key(name + ending)].append(index)
    twice = {index for indices in writers.values() if len(indices) > 1 for index in indices}
    return twice | {i for i, name in enumerate(names) if any(_is_input(out, name + end, inputs) for end in endings)}


def _is_input(out: str, name: str, inputs: frozenset[tuple[int, int]]) -> bool:
    try:
        return identity(os.path.join(out, name)) in inputs
    # no such file yet
    except OSError:
        return False


def _key(path: str) -> str:
    """Equal for names that some file system takes for the same: in other case, or with accents spelt otherwise."""
    return unicodedata.normalize("NFC", path).casefold()
