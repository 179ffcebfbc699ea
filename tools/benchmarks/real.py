"""What enhancing and answering are worth on real pictures whose text is known.

    python -m tools.benchmarks.real --pictures ../shared/real/lpblur ../shared/real/easypr --out reports/real

Each folder holds text.csv (file,text,country), or pairs in lq/ and hr/, of which what the reader is sure of in hr is
the text. A picture goes the way of enhance.py: its plate is found and straightened, or it is taken whole. Prints, for
each folder, what is read of the input, of the result of taking the picture whole, of the result, and by the answer;
with 95 % intervals. With --second-reader, what that reads of the result, too, so that no figure rests on one reader's
taste. Leaves real.json and reliability.png in --out.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from data.console import say
from data.files import replacing, write_text
from data.io import to_float
from data.settings import field, path, run_module
from data.tiles import Pair
from enhancing.examining import Examiner, Result, as_read, make_examiner
from enhancing.opening import NoPlateFound, make_source
from evaluation.figures import reliability_diagram
from evaluation.metrics import CONFIDENT, harm, reading_rates, trust
from evaluation.scoring import known_pairs
from evaluation.tables import share
from models.loading import BATCH_SIZE
from models.shipped import check_checkpoint, default_checkpoint
from reading.answer import Answer
from reading.matching import match
from reading.reader import Reader, Reading, read_plates

WAYS = ("input", "whole", "result", "answer")
# with a second reader
SECOND = ("input, second reader", "result, second reader")
HEAD = "| pictures | way | n | plates | characters | flips | sure and wrong |"


class Seen(NamedTuple):
    """What was read of one picture in each of `WAYS`, and by a second reader of the result, if there is one; and the
    answer, which is empty where no plate was found."""

    readings: dict[str, Reading]
    answer: Answer


@dataclass(frozen=True)
class Settings:
    pictures: tuple[str, ...] = field(type=path, nargs="+", metavar="DIR", help="folders of real pictures")
    checkpoint: str | None = field(None, type=path, metavar="FILE", help="generator (default: the shipped one)")
    out: str = field("reports/real", type=path, metavar="DIR", help="folder for the results")
    second_reader: str | None = field(
        None, type=path, metavar="FILE", help="another recognition network of PP-OCR, an .onnx file"
    )


def look(examiner: Examiner, pairs: Sequence[Pair], second: Reader | None = None) -> list[Seen]:
    """Of a picture in which no plate is found, nothing is read: that is what a user gets."""
    seen = []
    for start in tqdm(range(0, len(pairs), BATCH_SIZE), unit="batch", disable=None):
        some = pairs[start : start + BATCH_SIZE]
        whole = examiner.enhance([make_source(examiner.generator, to_float(pair.lq)) for pair in some])
        found = [_found(examiner, pair) for pair in some]
        results = iter(examiner.enhance([source for source in found if source is not None]))
        for source, as_whole in zip(found, whole, strict=True):
            result = None if source is None else next(results)
            given = result.answer if result else Answer()
            readings = {
                "input": as_whole.reading_before,
                "whole": as_whole.reading,
                "result": result.reading if result else Reading(""),
                "answer": Reading(given.best_text, given.probability),
            }
            if second:
                readings |= _read_again(second, as_whole, result)
            seen.append(Seen(readings, given))
    return seen


def _read_again(second: Reader, whole: Result, result: Result | None) -> dict[str, Reading]:
    shown = [as_read(whole.source, whole.source.lq)] + ([as_read(result.source, result.picture)] if result else [])
    return dict(zip(SECOND, [*read_plates(second, shown), Reading("")], strict=False))


def _found(examiner: Examiner, pair: Pair):
    try:
        return examiner.sources(pair.lq)[0]
    except NoPlateFound:
        return None


def rates(pairs: Sequence[Pair], seen: Sequence[Seen]) -> dict:
    """{way: reading rates and harm} of the pictures of a folder. Harm is done to what the same reader read of the
    input."""
    texts, countries = [pair.plate.text for pair in pairs], [pair.plate.country for pair in pairs]
    known = list(zip(texts, countries, strict=True))
    ways = list(seen[0].readings)
    right = {
        way: [match(each.readings[way].text, *own).right for each, own in zip(seen, known, strict=True)] for way in ways
    }
    return {
        way: reading_rates([each.readings[way] for each in seen], texts, countries)
        | harm(
            right[SECOND[0] if way in SECOND else "input"], right[way], [each.readings[way].confidence for each in seen]
        )
        for way in ways
    }


def lines(name: str, figures: dict) -> list[str]:
    """The rows of the table."""
    rows = []
    for way, known in figures.items():
        flips = "" if way in ("input", SECOND[0]) else f"{known['flip_rate']['count']} of {known['flip_rate']['n']}"
        cells = [name, way, str(known["plate_acc"]["n"]), share(known["plate_acc"]), share(known["char_acc"])]
        rows.append("| " + " | ".join([*cells, flips, share(known["confidently_wrong"])]) + " |")
    return rows


def benchmark(settings: Settings) -> int:
    """Raises ValueError or OSError."""
    checkpoint = check_checkpoint(settings.checkpoint or default_checkpoint())
    examiner = make_examiner(checkpoint, read=True, find=True)
    second = Reader(model=settings.second_reader) if settings.second_reader else None
    known = {Path(folder).resolve().name: known_pairs(folder, examiner.reader) for folder in settings.pictures}
    figures, all_pairs, all_seen, failed, table = {}, [], [], 0, [HEAD, "| --- | --- " + "| ---: " * 5 + "|"]
    for name, (pairs, failures) in known.items():
        seen = look(examiner, pairs, second)
        figures[name] = rates(pairs, seen)
        all_pairs += pairs
        all_seen += seen
        failed += len(failures)
        for failure in failures:
            say(f"{failure.file}: {failure.reason}", error=True)
        table += lines(name, figures[name])
    plates = [pair.plate for pair in all_pairs]
    found = trust([each.answer for each in all_seen], [p.text for p in plates], [p.country for p in plates])
    bins, sure = found["reliability"], found["right_of_sure"]
    out = Path(settings.out)
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "real.json", json.dumps(found | {"sets": figures}, indent=2) + "\n")
    with replacing(out / "reliability.png") as file:
        reliability_diagram({"answer": bins}).savefig(file, format="png")
    for line in table:
        say(line)
    for part in bins:
        say(
            f"characters given with {part['low']:.1f} to {part['high']:.1f}: {part['n']}, mean {part['given']:.3f}, "
            f"right {part['right']:.3f}"
        )
    if sure["n"]:
        say(f"plates with all characters above {CONFIDENT}: {sure['n']}, right {sure['value']:.3f}")
    say(f"wrote real.json and reliability.png in {out}")
    return int(failed > 0)


def main(argv: Sequence[str] | None = None) -> int:
    return run_module("tools.benchmarks.real", benchmark, Settings, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main())
