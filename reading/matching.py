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

from data.ccpd import CHINA

LINE_BREAK = "/"
MISSING = "_"
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
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, start=1):
        diagonal, row[0] = row[0], i
        for j, b in enumerate(second, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (a != b))
    return row[-1]


def marked(read: str, text: str, country: str) -> list[tuple[str, bool]]:
    """The comparable reading, each character with whether it is wrong, aligned with the whole true text.

    A character that the reading lacks is `MISSING`, and wrong.
    """
    truth, seen = (comparable(each, country, province=True) for each in (text, read))
    seen = seen[-len(truth) :] if truth else seen
    table = [[i + j if 0 in (i, j) else 0 for j in range(len(seen) + 1)] for i in range(len(truth) + 1)]
    for i in range(1, len(truth) + 1):
        for j in range(1, len(seen) + 1):
            replaced = table[i - 1][j - 1] + (truth[i - 1] != seen[j - 1])
            table[i][j] = min(table[i - 1][j] + 1, table[i][j - 1] + 1, replaced)
    result, i, j = [], len(truth), len(seen)
    # back along a cheapest way through the table of distances
    while i or j:
        if i and j and table[i][j] == table[i - 1][j - 1] + (truth[i - 1] != seen[j - 1]):
            i, j = i - 1, j - 1
            result.append((seen[j], truth[i] != seen[j]))
        elif j and table[i][j] == table[i][j - 1] + 1:
            j -= 1
            result.append((seen[j], True))
        else:
            i -= 1
            result.append((MISSING, True))
    return result[::-1]
