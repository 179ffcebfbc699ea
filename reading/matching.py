"""Comparing a reading with the plate's true text: what counts as the same character, and how far apart two texts are.

The rules, for every plate:
- Only letters and digits count: dots, dashes and spaces are decoration, lower case is upper case.
- A reader may see more than the plate's text in front of it (a dot, a country's band, for the serial the province): of
  a reading, the last characters count, as many as the truth has.
- On Chinese plates I and O do not occur in the serial, so a read I is a 1 and a read O is a 0.
- "Serial" is the text without the Chinese province in front; elsewhere it is the whole text.
"""

import unicodedata
from dataclasses import dataclass

import numpy as np

from data.ccpd import CHINA

LINE_BREAK = "/"
MISSING = "_"
AMERICA = "US"
CHINESE_LOOKALIKES = str.maketrans("IO", "10")


@dataclass(frozen=True)
class Match:
    """How a reading compares with a truth of `length` characters."""

    distance: int
    length: int

    @property
    def right(self) -> bool:
        return self.distance == 0

    @property
    def within_1(self) -> bool:
        return self.distance <= 1

    @property
    def char_rate(self) -> float:
        """1 - edit distance / length, not below 0."""
        return max(0.0, 1 - self.distance / self.length)


def match(read: str, text: str, country: str, province: bool = False) -> Match:
    """Compare what was read with the true text, for the serial alone or with the province.

    Raises ValueError for a truth without letters or digits, which nothing can be compared with.
    """
    truth, seen = (comparable(each, country, province) for each in (text, read))
    if not truth:
        raise ValueError(f"the plate's text {text!r} holds nothing to compare; leave the plate out")
    return Match(edit_distance(truth, seen[-len(truth) :]), len(truth))


def comparable(text: str, country: str, province: bool = False) -> str:
    """The characters of a text, read or true, that count: upper case letters and digits."""
    kept = "".join(c for c in unicodedata.normalize("NFKC", text).upper() if c.isalnum())
    if country != CHINA:
        return kept
    kept = kept.translate(CHINESE_LOOKALIKES)
    return kept if province else "".join(c for c in kept if c.isascii())


def is_two_line(text: str) -> bool:
    """Plates on two lines carry a "/" where the line breaks; a reader of single lines cannot read them."""
    return LINE_BREAK in text


def is_readable(text: str, country: str) -> bool:
    """Whether a plate with this true text counts in the reading rates."""
    return not is_two_line(text) and bool(comparable(text, country))


def edit_distance(first: str, second: str) -> int:
    """Levenshtein distance: fewest insertions, deletions and replacements that turn one into the other."""
    return int(_distances(first, second)[-1, -1])


def align(first: str, second: str) -> list[tuple[int | None, int | None]]:
    """Pairs of indices into the two texts along a way of least edit distance, from left to right.

    Characters that are equal or replaced make a pair; one that the other text lacks is paired with None.
    """
    table = _distances(first, second)
    pairs, i, j = [], len(first), len(second)
    while i or j:
        if i and j and table[i, j] == table[i - 1, j - 1] + (first[i - 1] != second[j - 1]):
            i, j = i - 1, j - 1
            pairs.append((i, j))
        elif j and table[i, j] == table[i, j - 1] + 1:
            j -= 1
            pairs.append((None, j))
        else:
            i -= 1
            pairs.append((i, None))
    return pairs[::-1]


def partners(first: str, second: str) -> list[int | None]:
    """For each character of `first`, the index of the one of `second` that it is aligned with, or None."""
    return [j for i, j in align(first, second) if i is not None]


def marked(read: str, text: str, country: str) -> list[tuple[str, bool]]:
    """The comparable reading, each character with whether it is wrong, aligned with the whole true text.

    A character that the reading lacks is `MISSING`, and wrong.
    """
    truth, seen = (comparable(each, country, province=True) for each in (text, read))
    seen = seen[-len(truth) :] if truth else seen
    return [
        (MISSING, True) if j is None else (seen[j], i is None or truth[i] != seen[j]) for i, j in align(truth, seen)
    ]


def wrong_characters(read: str, text: str, country: str) -> list[bool | None]:
    """For each character of the reading, of letters and digits alone, whether it is wrong, aligned with the whole true
    text. None where that does not say: the province in front of a Chinese serial that is known without it, and an O for
    a 0 on an American plate, where both look alike and lists of texts write COUGAR as C0UGAR."""
    truth, seen = comparable(text, country, province=True), comparable(read, country, province=True)
    wrong: list[bool | None] = [True] * len(seen)
    for i, j in align(truth, seen):
        if j is not None:
            wrong[j] = i is None or truth[i] != seen[j]
            if i is None and j == 0 and country == CHINA and truth.isascii():
                wrong[j] = None
            if i is not None and (country, seen[j], truth[i]) == (AMERICA, "O", "0"):
                wrong[j] = None
    return wrong


def _distances(first: str, second: str) -> np.ndarray:
    """(len(first) + 1, len(second) + 1): entry i, j is the edit distance of the first i and the first j characters."""
    table = np.zeros((len(first) + 1, len(second) + 1), int)
    table[:, 0], table[0] = np.arange(len(first) + 1), np.arange(len(second) + 1)
    for i, a in enumerate(first, start=1):
        for j, b in enumerate(second, start=1):
            table[i, j] = min(table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (a != b))
    return table
