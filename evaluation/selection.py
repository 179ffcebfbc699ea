"""Which plates the grid shows: the best, the middle and the worst ones, by rule and not by choice."""

from collections.abc import Sequence

from evaluation.scoring import CLEAN, Table
from evaluation.summary import checkpoints_of
from reading.matching import is_readable, match

PARTS = ("best", "median", "worst")
PLATES_PER_PART = 3


def select(table: Table, read: bool, per_part: int = PLATES_PER_PART) -> list[tuple[str, int]]:
    """(part, index) of the plates to show: ranked by the last checkpoint's character rate, equal ones by its PSNR.

    Where no text is known the reader's confidence ranks, without reading the PSNR alone. Of each photo one variant is
    shown.
    """
    compared = [i for i, plate in enumerate(table.plates) if read and is_readable(plate.text, plate.country)]
    candidates = compared or range(len(table.plates))
    method = (checkpoints_of(table) or [each for each in table.scores if each != CLEAN])[-1]
    ranked = sorted(candidates, key=lambda i: (_rank(table, method, i, bool(compared), read), table.plates[i].key))
    photos = len({table.plates[i].group for i in ranked})
    per_part = max(1, min(per_part, photos // len(PARTS)))
    middle_first = sorted(range(len(ranked)), key=lambda place: abs(place - (len(ranked) - 1) / 2))
    orders = {"best": ranked[::-1], "worst": ranked, "median": [ranked[place] for place in middle_first]}

    shown: set[str] = set()
    chosen = {part: _take(table, order, per_part, shown) for part, order in orders.items()}
    chosen["median"].sort(key=ranked.index, reverse=True)
    return [(part, i) for part in PARTS for i in (chosen[part][::-1] if part == "worst" else chosen[part])]


def _rank(table: Table, method: str, index: int, compared: bool, read: bool) -> tuple[float, float]:
    """Higher is better."""
    score, plate = table.scores[method][index], table.plates[index]
    if compared:
        return match(score.reading.text, plate.text, plate.country).char_rate, score.psnr or 0.0
    return (score.reading.confidence if read else 0.0), score.psnr or 0.0


def _take(table: Table, order: Sequence[int], count: int, shown: set[str]) -> list[int]:
    """The first `count` plates of `order` from photos not shown yet, which are noted in `shown`."""
    taken: list[int] = []
    for i in order:
        if len(taken) < count and table.plates[i].group not in shown:
            taken.append(i)
            shown.add(table.plates[i].group)
    return taken
