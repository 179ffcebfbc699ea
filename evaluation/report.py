"""Writes what an evaluation found: metrics.json, per_plate.csv, grid.png, by_difficulty.png and report.html."""

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from data.console import cell
from data.files import write_bytes
from data.labelled import Failure, Material, load
from evaluation import figures, html
from evaluation.difficulty import LABELS
from evaluation.metrics import BOOTSTRAP_RESAMPLES
from evaluation.scoring import BASELINE, CLEAN, INPUT, PICTURE_FIGURES, Table, render
from evaluation.summary import checkpoints_of, method_figures, outcome, summarise
from reading.matching import is_readable, match

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


def write(out: Path, table: Table, metrics: dict, generators: dict, read: bool) -> None:
    """Write all files into `out`, each whole or not at all."""
    out.mkdir(parents=True, exist_ok=True)
    write_bytes(out / "metrics.json", json.dumps(finite(metrics), indent=2, ensure_ascii=False).encode() + b"\n")
    write_bytes(out / "per_plate.csv", per_plate_csv(table, read).encode("utf-8"))
    grid_png = _grid_png(table, generators, read)
    write_bytes(out / "grid.png", grid_png)
    curves_png = _png(figures.by_difficulty(metrics["curves"])) if has_curves(metrics) else None
    if curves_png:
        write_bytes(out / "by_difficulty.png", curves_png)
    else:
        # of an earlier evaluation: it would seem to be of this one
        (out / "by_difficulty.png").unlink(missing_ok=True)
    write_bytes(out / "report.html", html.build(metrics, grid_png, curves_png).encode("utf-8"))


def has_curves(metrics: dict) -> bool:
    """Whether any reading can be plotted over any difficulty."""
    return bool(metrics["curves"]) and bool(metrics[INPUT].get("plate_acc", {}).get("n"))


def notes(material: Material, table: Table, failures: list[Failure], read: bool) -> list[str]:
    """What a reader of the figures must know about them, in plain sentences."""
    plates = table.plates
    two_line = sum("/" in plate.text for plate in plates)
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
    row |= {name: _rounded(difficulty.get(name)) for name in LABELS}
    for method, scores in table.scores.items():
        if read:
            row |= {f"{method}_{name}": value for name, value in outcome(table, method, index).items()}
        row |= {f"{method}_{name}": _rounded(getattr(scores[index], name)) for name in PICTURE_FIGURES}
    return row


def _grid_png(table: Table, generators: dict, read: bool) -> bytes:
    """The grid; the few pictures that it shows are made again, since keeping all would fill the memory."""
    shown = select(table, read)
    pairs, _ = load([table.plates[i] for _, i in shown])
    some = table.subset([i for _, i in shown])
    rows = [(part, plate) for (part, _), plate in zip(shown, some.plates, strict=True)]
    return _png(figures.grid(rows, render(pairs, generators), some.scores, read))


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
