"""The figures of an evaluation as HTML, from the metrics.json that evaluate.py left."""

import json
import os
from html import escape
from pathlib import Path

from evaluation.tables import lines, methods_of, sentences
from page import words

METRICS = "metrics.json"
# evaluate.py's own, and the shipped one beside docs/evaluation
GRIDS = ("grid.png", "../grid_benchmark.jpg")
NO_REPORT = "No evaluation lies in {}: make one with evaluate.py --out, or name another folder with --report."


def figures(report: Path) -> str:
    """The sentences, notes and the table; a note where there is no evaluation, or one that cannot be understood."""
    try:
        metrics = json.loads((report / METRICS).read_text(encoding="utf-8"))
        said = [*sentences(metrics), *metrics["notes"]]
        header, *rows = lines(methods_of(metrics))
    except OSError:
        return words.note(NO_REPORT.format(os.path.relpath(report)))
    except (ValueError, KeyError, TypeError):
        return words.note(f"{report / METRICS} is not what evaluate.py writes.")
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    table = f'<div class="scroll" tabindex="0"><table class="figures"><tr>{head}</tr>{body}</table></div>'
    return "".join(f"<p>{escape(sentence)}</p>" for sentence in said) + table


def grid(report: Path) -> Path | None:
    """The picture of the best, median and worst plates."""
    return next((path for path in ((report / name).resolve() for name in GRIDS) if path.is_file()), None)
