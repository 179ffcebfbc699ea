"""From a table of scores to what an evaluation leaves: the figures of every method, overall and by difficulty, in
metrics.json; per_plate.csv, grid.png, by_difficulty.png and report.html."""

import csv
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np

from data.console import cell
from data.files import write_bytes, write_text
from data.tiles import Failure, Material, load
from evaluation import figures, tables
from evaluation.metrics import BOOTSTRAP_RESAMPLES, CONFIDENT, estimate, harm, reading_rates, trust
from evaluation.scoring import BASELINE, CLEAN, DIFFICULTIES, INPUT, PICTURE_FIGURES, Table, recognised, render
from reading.matching import is_readable, is_two_line, match

# of the parts by difficulty, which are many
BIN_RESAMPLES = 500
QUARTILES = 4
CURVE_BINS, MIN_PLATES_PER_BIN = 8, 30
# of the grid
PARTS = ("best", "median", "worst")
PLATES_PER_PART = 3


def collect(table: Table, read: bool, seed: int, facts: dict, on_clean: Table | None = None) -> dict:
    """Everything that metrics.json holds.

    facts: "settings", "versions", "tiles", "notes", "failed", and "checkpoints" by name. on_clean: scores of the clean
    tiles put through the checkpoints, of which each gets its figures under "on_clean".
    """
    summary = summarise(table, read, seed)
    methods = summary.pop("methods")
    metrics = {method: methods[method] for method in (INPUT, BASELINE, CLEAN) if method in methods}
    metrics["checkpoints"] = {
        name: {**methods[name], "checkpoint": facts["checkpoints"][name]} for name in checkpoints_of(table)
    }
    for name, figures_of_one in metrics["checkpoints"].items() if on_clean else ():
        figures_of_one["on_clean"] = method_figures(on_clean, name, read, BOOTSTRAP_RESAMPLES, seed)
    return {
        **metrics,
        **summary,
        **{name: facts[name] for name in ("tiles", "notes", "failed", "settings", "versions")},
    }


def write(
    out: Path, table: Table, metrics: dict, generators: dict, read: bool, answerers: Mapping | None = None
) -> None:
    """Write all files into `out`, each whole or not at all."""
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "metrics.json", json.dumps(finite(metrics), indent=2, ensure_ascii=False) + "\n")
    write_text(out / "per_plate.csv", per_plate_csv(table, read))
    grid_png = _grid_png(table, generators, answerers or {}, read)
    write_bytes(out / "grid.png", grid_png)
    curves_png = _png(figures.by_difficulty(metrics["curves"])) if has_curves(metrics) else None
    bins = {name: each.get("answer", {}).get("reliability") for name, each in tables.methods_of(metrics).items()}
    answers = {name: some for name, some in bins.items() if some}
    reliability_png = _png(figures.reliability_diagram(answers)) if answers else None
    for name, png in (("by_difficulty.png", curves_png), ("reliability.png", reliability_png)):
        if png:
            write_bytes(out / name, png)
        else:
            # of an earlier evaluation: it would seem to be of this one
            (out / name).unlink(missing_ok=True)
    write_text(out / "report.html", tables.build(metrics, grid_png, curves_png))


def has_curves(metrics: dict) -> bool:
    """Whether any reading can be plotted over any difficulty."""
    return bool(metrics["curves"]) and bool(metrics[INPUT].get("plate_acc", {}).get("n"))


def notes(material: Material, table: Table, failures: list[Failure], read: bool) -> list[str]:
    """What a reader of the figures must know about them, in plain sentences."""
    plates = table.plates
    two_line = sum(is_two_line(plate.text) for plate in plates)
    unknown = sum(not plate.text for plate in plates)
    candidates = [
        (not read, "Reading was switched off (--no-ocr): nothing here shows whether the plates can be read."),
        (
            read and material.truth == "clean side",
            "No texts came with the tiles. What the reader reads on the clean side stands in for the truth: where it "
            "errs there, the right reading of an enhanced plate counts as wrong.",
        ),
        (
            read and not material.truth,
            "No text.csv came with the pictures: there is no truth to compare the readings with.",
        ),
        (
            read and bool(two_line),
            f"{two_line} plates on two lines are left out of the reading rates: the reader knows single lines only.",
        ),
        (
            read and bool(material.truth) and bool(unknown),
            f"{unknown} plates without a known text are left out of the rates.",
        ),
        (
            bool(material.unmatched),
            f"{len(material.unmatched)} rows of text.csv name no picture here, such as "
            f"{', '.join(material.unmatched[:3])}.",
        ),
        (
            bool(material.twice),
            f"{len(material.twice)} pictures have two texts in text.csv, of which the last counts, such as "
            f"{', '.join(material.twice[:3])}.",
        ),
        (bool(failures), f'{len(failures)} pictures could not be used; they are named at the end, under "failed".'),
    ]
    return [sentence for applies, sentence in candidates if applies]


def per_plate_csv(table: Table, read: bool) -> str:
    """One row per plate: what it is, how hard it is, and for every method the reading and the figures."""
    rows = [_plate_row(table, i, read) for i in range(len(table.plates))]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(cell, rows[0]))
    writer.writerows(map(cell, row.values()) for row in rows)
    return text.getvalue()


def _plate_row(table: Table, index: int, read: bool) -> dict:
    plate, difficulty = table.plates[index], table.difficulty[index]
    row = {"key": plate.key, "source": plate.group, "text": plate.text, "country": plate.country}
    row |= {name: _rounded(difficulty.get(name)) for name in DIFFICULTIES}
    for method, scores in table.scores.items():
        if read:
            row |= {f"{method}_{name}": value for name, value in outcome(table, method, index).items()}
        row |= {f"{method}_{name}": _rounded(getattr(scores[index], name)) for name in PICTURE_FIGURES}
    return row


def _grid_png(table: Table, generators: dict, answerers: Mapping, read: bool) -> bytes:
    """The grid; the few pictures that it shows are made again, since keeping all would fill the memory."""
    shown = select(table, read)
    pairs, _ = load([table.plates[i] for _, i in shown])
    some = table.subset([i for _, i in shown])
    rows = [(part, plate) for (part, _), plate in zip(shown, some.plates, strict=True)]
    return _png(
        figures.grid(rows, render(pairs, generators, recognised(pairs, generators, answerers)), some.scores, read)
    )


def finite(value):
    """The same with None for every figure that is not finite, since JSON has no such numbers."""
    if isinstance(value, dict):
        return {key: finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def failed(failures: list[Failure]) -> list[dict]:
    return [asdict(failure) for failure in failures]


def _rounded(value: float | None):
    return "" if value is None else round(value, 4)


def _png(figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


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


def summarise(table: Table, read: bool, seed: int = 0) -> dict:
    """All of the report's figures: {"methods", "by_difficulty", "curves"}. read: whether the reader was used."""
    whole = partial(method_figures, read=read, resamples=BOOTSTRAP_RESAMPLES, seed=seed)
    part = partial(method_figures, read=read, resamples=BIN_RESAMPLES, seed=seed)
    return {
        "methods": {method: whole(table, method) for method in table.scores},
        "by_difficulty": by_quartile(table, part),
        "curves": curves(table, part) if read else {},
    }


def method_figures(table: Table, method: str, read: bool, resamples: int, seed: int) -> dict:
    """One method's figures: of pictures (averages over plates, None where not measured), of readings, and of harm."""
    scores = table.scores[method]
    result: dict = {"n": len(scores)}
    for name in PICTURE_FIGURES:
        values = [getattr(score, name) for score in scores if getattr(score, name) is not None]
        result[name] = float(np.mean(values)) if values else None
    if read:
        result |= _readings(table, method, resamples, seed)
        if scores and scores[0].answer is not None:
            result["answer"] = _answers(table, method, resamples, seed)
    return result


def _answers(table: Table, method: str, resamples: int, seed: int) -> dict:
    """How good a method's answers are: rates of their likeliest characters, and whether they are right as often as they
    say."""
    kept = [i for i, plate in enumerate(table.plates) if is_readable(plate.text, plate.country)]
    plates, answers = [table.plates[i] for i in kept], [table.scores[method][i].answer for i in kept]
    texts, countries, groups = (
        zip(*[(p.text, p.country, p.group) for p in plates], strict=True) if plates else ([],) * 3
    )
    rates = reading_rates([each.best_text for each in answers], texts, countries, groups, resamples, seed)
    return rates | trust(answers, texts, countries, groups, resamples, seed)


def _readings(table: Table, method: str, resamples: int, seed: int) -> dict:
    plates = table.plates
    readings = [score.reading for score in table.scores[method]]
    rates = reading_rates(
        readings, [p.text for p in plates], [p.country for p in plates], [p.group for p in plates], resamples, seed
    )
    kept = [i for i, plate in enumerate(plates) if is_readable(plate.text, plate.country)]
    before, after = (right(table, each, kept) for each in (INPUT, method))
    doubt = [readings[i].confidence for i in kept]
    changes = harm(before, after, doubt, [plates[i].group for i in kept], resamples, seed)
    # nothing was done to them, so nothing can flip
    if method in (INPUT, CLEAN):
        changes = {"confidently_wrong": changes["confidently_wrong"]}
    confidences = [reading.confidence for reading in readings]
    return {**rates, **changes, "confidence": estimate(confidences, resamples=0)["value"]}


def right(table: Table, method: str, indices: list[int]) -> list[bool]:
    """Whether the serial of each of these plates was read right."""
    return [
        match(table.scores[method][i].reading.text, table.plates[i].text, table.plates[i].country).right
        for i in indices
    ]


def checkpoints_of(table: Table) -> list[str]:
    return [method for method in table.scores if method not in (INPUT, BASELINE, CLEAN)]


def outcome(table: Table, method: str, index: int) -> dict:
    """What per_plate.csv says of one plate's reading by one method; empty strings where the plate does not count."""
    plate, reading = table.plates[index], table.scores[method][index].reading
    row: dict = {"read": reading.text, "confidence": round(reading.confidence, 4)}
    if (answer := table.scores[method][index].answer) is not None:
        row |= {"answer": answer.text, "answer_probability": round(answer.probability, 4)}
    if not is_readable(plate.text, plate.country):
        return row | {"distance": "", "char_rate": "", "right": "", "confidently_wrong": ""}
    serial = match(reading.text, plate.text, plate.country)
    wrong_but_sure = not serial.right and reading.confidence > CONFIDENT
    return row | {
        "distance": serial.distance,
        "char_rate": round(serial.char_rate, 4),
        "right": int(serial.right),
        "confidently_wrong": int(wrong_but_sure),
    }


def by_quartile(table, of: Callable) -> dict[str, list[dict]]:
    """For each measure, the rows of `binned` in four parts of equally many plates (fewer where many plates are
    equal)."""
    return {name: binned(table, name, QUARTILES, of) for name in DIFFICULTIES if _known(table, name)}


def curves(table, of: Callable) -> dict[str, list[dict]]:
    """As `by_quartile`, in as many parts as the number of plates bears: at least 2, at most 8."""
    parts = int(np.clip(len(table.plates) // MIN_PLATES_PER_BIN, 2, CURVE_BINS))
    return {name: binned(table, name, parts, of) for name in DIFFICULTIES if _known(table, name)}


def binned(table, name: str, parts: int, of: Callable) -> list[dict]:
    """Rows {"low", "high", "median", "n", "methods": {method: of(subset, method)}}, from low to high values."""
    values = np.array([measures[name] for measures in table.difficulty])
    inner = np.unique(np.quantile(values, np.linspace(0, 1, parts + 1)[1:-1]))
    # equal values stay together
    place = np.searchsorted(inner, values, side="left")
    rows = []
    for part in np.unique(place):
        members = np.flatnonzero(place == part)
        subset = table.subset(members)
        rows.append(
            {
                "low": float(values[members].min()),
                "high": float(values[members].max()),
                "median": float(np.median(values[members])),
                "n": len(members),
                "methods": {method: of(subset, method) for method in table.scores},
            }
        )
    return rows


def _known(table, name: str) -> bool:
    return bool(table.difficulty) and all(name in measures for measures in table.difficulty)
