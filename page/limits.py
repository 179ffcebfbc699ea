"""The third tab: one plate damaged more and more, to see from where on the result is invented; what tests measured."""

import base64
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import NamedTuple

import gradio as gr
import numpy as np

from data import degrade
from data.files import read_text
from data.io import encode_jpeg, open_picture, picture_size, to_float
from enhancing.examining import Examiner, Result, min_effective_width
from enhancing.opening import make_source
from evaluation.tables import PLAIN, methods_of, share
from models.enhancer import resize
from page import words
from page.pictures import Examples
from page.tab import NETWORKS, PRIVATE, Visit
from reading.answer import UNKNOWN
from reading.matching import MISSING, align, comparable

TILE_PX = 192
NOISE_SEED = 5
# of sensors, in every damaged picture
NOISE = 0.01
RIGHT, WRONG, NOT_GIVEN = "right", "wrong", "not given"
OWN = "the plate of the first tab"
# of small pictures beside the readings
SMALL_QUALITY = 80


class Kind(NamedTuple):
    """A damage that grows. unit: of its levels, which go from none to the worst."""

    name: str
    unit: str
    levels: tuple[float, ...]

    def steps(self, level: float) -> list[degrade.Step]:
        """What a level does, in the order in which a camera does it."""
        noise: degrade.Step = {"stage": "noise", "read": NOISE, "shot": NOISE, "seed": NOISE_SEED}
        if self.name == "Blur":
            return [{"stage": "defocus", "radius": level}, noise] if level else []
        if self.name == "Darkness":
            return [{"stage": "exposure", "stops": -level}, noise] if level else []
        return [{"stage": "down", "factor": TILE_PX / level}, noise, {"stage": "up"}] if level < TILE_PX else []


KINDS = (
    Kind("Blur", "px of defocus in a plate 154 px wide", (0, 1, 2, 3, 4, 5, 6, 8)),
    Kind("Darkness", "stops of missing light", (0, 1, 2, 3, 4, 5, 6, 7)),
    Kind("Size", "px across the picture", (192, 128, 96, 64, 48, 32, 24, 16)),
)


class Point(NamedTuple):
    """The answer at one level. right: share of true characters. invented: whether a character is given that is not
    true; a question mark is not. warned: too little detail is left in the picture."""

    level: float
    result: Result
    text: str
    right: float
    invented: bool
    warned: bool


def curve(examiner: Examiner, clean: np.ndarray, truth: str, kind: Kind) -> list[Point]:
    """clean: (96, 192, 3) float, the plate before it is damaged."""
    # the curve asks often, so it asks once each
    examiner = replace(examiner, second=None, ask_again=False)
    sources = []
    for level in kind.levels:
        damage = kind.steps(level)
        width = degrade.sampled_width(damage, clean.shape[1])
        sources.append(make_source(examiner.generator, degrade.apply(clean, damage))._replace(native_width=width))
    points = []
    for level, result in zip(kind.levels, examiner.enhance(sources), strict=True):
        text = result.answer.text
        marks = _marks(text, truth)
        right = sum(mark == RIGHT for _, mark in marks) / max(1, len(truth))
        warned = result.effective_width < min_effective_width(examiner.generator)
        points.append(Point(level, result, text, right, any(mark == WRONG for _, mark in marks), warned))
    return points


def _marks(text: str, truth: str) -> list[tuple[str, str]]:
    """Each character of the answer with whether it is right, wrong or not given; missing ones are a low line."""
    marks = []
    for i, j in align(truth, text):
        char = MISSING if j is None else text[j]
        right = i is not None and char == truth[i]
        marks.append((char, RIGHT if right else NOT_GIVEN if char in (UNKNOWN, MISSING) else WRONG))
    return marks


def build(tab: gr.Tab, examiner: Examiner, examples: Examples, report: Path, folder: str, visit: gr.State) -> None:
    """Lay out the tab and wire it. report: that evaluate.py left. folder: for files that the page shows. visit: the
    first tab's, with its photo."""
    plates = {f"{plate.country} {plate.text}": plate for plate in examples.clean}
    gr.Markdown("## How far until it invents\nA sharp plate is damaged more and more, and read again each time.")
    with gr.Row():
        which = gr.Radio([*plates, OWN], value=next(iter(plates)), label="Plate", elem_id="which", min_width=260)
        truth = gr.Textbox(
            label="What it says",
            info="Of your own plate; empty: what is read before any damage.",
            elem_id="truth",
            max_length=16,
            min_width=260,
        )
    found = gr.HTML('<p class="placeholder">The curves will stand here.</p>', elem_id="curves", elem_classes="curves")
    with gr.Accordion("What the tests found", open=False, elem_id="measured"):
        _measured(report, folder)

    def show(name: str, said: str, visit: Visit):
        if name != OWN:
            plate = plates[name]
            return curves_html(examiner, to_float(open_picture(plate.path)), plate.text)
        photo = visit.now
        if photo is None or not photo.is_ready:
            return words.problem("Give a picture in the first tab, then come back.")
        clean = resize(photo.source.lq, TILE_PX // 2, TILE_PX)
        return curves_html(examiner, clean, said)

    gr.on(
        [tab.select, which.change, truth.submit, truth.blur],
        show,
        [which, truth, visit],
        found,
        **PRIVATE | NETWORKS | {"show_progress": "minimal"},
    )


def curves_html(examiner: Examiner, clean: np.ndarray, truth: str) -> str:
    """truth: empty where only the reader knows."""
    truth = comparable(truth, country="")
    parts = []
    for kind in KINDS:
        if not truth:
            # what is read before any damage
            [first, *_] = curve(examiner, clean, "", kind._replace(levels=kind.levels[:1]))
            truth = first.result.answer.best_text
        parts.append(_kind_html(kind, curve(examiner, clean, truth, kind), truth))
    return f'<p class="faint">Taken as true: <b>{escape(truth or words.NOTHING)}</b></p>' + "".join(parts)


def _kind_html(kind: Kind, points: Sequence[Point], truth: str) -> str:
    cells = "".join(
        f"<li>{point.level:g}"
        f'<img width="144" height="72" src="{_small(point.result.picture)}" alt="The plate restored">'
        f"{_marked(point.text, truth)}</li>"
        for point in points
    )
    strip = f'<ul class="strip" tabindex="0" aria-label="{kind.name}: restored plates">{cells}</ul>'
    return (
        f'<section class="kind"><h3>{kind.name}</h3><p>{escape(_said(kind, points))}</p>'
        f"{_drawn(kind, points)}{strip}</section>"
    )


def _said(kind: Kind, points: Sequence[Point]) -> str:
    lost = next((point for point in points if point.right < 1), None)
    invented = next((point for point in points if point.invented), None)
    warned = next((point for point in points if point.warned), None)
    if lost is None and invented is None:
        said = "All characters are right at every level."
    elif invented is points[0]:
        worse = next((point for point in points if point.right < points[0].right), None)
        said = "It is misread even before it is damaged"
        said += f", and from {worse.level:g} {kind.unit} on more is wrong." if worse else "."
    elif invented is None:
        said = f"From {lost.level:g} {kind.unit} on, not all characters are given; none is invented."
    elif lost is None or lost.level == invented.level:
        said = f"From {invented.level:g} {kind.unit} on, characters are wrong."
    else:
        said = f"From {lost.level:g} {kind.unit} on, not all characters are given, and from {invented.level:g} on some "
        said += "are wrong."
    return said + (f" The warning comes from {warned.level:g} on at the latest." if warned else "")


def _marked(text: str, truth: str) -> str:
    """The answer; wrong characters are underlined."""
    boxes = "".join(f"<em>{escape(char)}</em>" if mark == WRONG else escape(char) for char, mark in _marks(text, truth))
    return f'<span class="read">{boxes or words.NOTHING}</span>'


def _drawn(kind: Kind, points: Sequence[Point]) -> str:
    """The curve of right characters over the levels, as SVG."""
    left, top, width, height = 72, 12, 560, 90
    step = width / (len(points) - 1)
    places = [(left + i * step, top + height * (1 - point.right)) for i, point in enumerate(points)]
    line = " ".join(f"{x:.0f},{y:.0f}" for x, y in places)
    dots = "".join(
        f'<circle cx="{x:.0f}" cy="{y:.0f}" r="4" class="{"bad" if point.invented else "good"}"/>'
        f'<text x="{x:.0f}" y="{top + height + 20}" text-anchor="middle">{point.level:g}</text>'
        for (x, y), point in zip(places, points, strict=True)
    )
    grid = "".join(
        f'<line x1="{left}" x2="{left + width}" y1="{y}" y2="{y}"/><text x="{left - 8}" y="{y + 4}" text-anchor="end">'
        f"{share} %</text>"
        for share, y in ((100, top), (50, top + height // 2), (0, top + height))
    )
    warned = next((i for i, point in enumerate(points) if point.warned), None)
    area = ""
    if warned is not None:
        x = max(left, left + (warned - 0.5) * step)
        area = f'<rect x="{x:.0f}" y="{top}" width="{left + width - x:.0f}" height="{height}"/>'
    said = ", ".join(f"{point.level:g}: {point.right:.0%}" for point in points)
    return (
        f'<svg class="curve" viewBox="0 0 {left + width + 20} {top + height + 52}" role="img" '
        f'aria-label="Characters right by {kind.name.lower()}. {said}">{area}{grid}<polyline points="{line}"/>{dots}'
        f'<text x="{left + width / 2:.0f}" y="{top + height + 44}" text-anchor="middle">{escape(kind.unit)}'
        f"{' (shaded: warned)' if area else ''}</text></svg>"
    )


def _small(picture: np.ndarray) -> str:
    small = resize(to_float(picture), TILE_PX // 2, TILE_PX)
    return "data:image/jpeg;base64," + base64.b64encode(encode_jpeg(small, SMALL_QUALITY)).decode()


# --- What tests measured ----------------------------------------------------------------------------------------------

METRICS = "metrics.json"
# raised by a file that evaluate.py has not written
STRANGE = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
# what is said of a method, its figure, and whether that is of sharp plates
FIGURES = (
    ("All of the plate read right", "plate_acc", False),
    ("Characters read right", "char_acc", False),
    ("Not read before, right after", "gain_rate", False),
    ("Read right before, wrong after", "flip_rate", False),
    ("Wrong, and the reader is sure", "confidently_wrong", False),
    ("Sharp plates, right after enhancing", "plate_acc", True),
)
# evaluate.py's own, and the shipped one beside docs/evaluation
GRIDS = ("grid.png", "../grid_benchmark.jpg")
NO_REPORT = "No evaluation lies in {}: make one with evaluate.py --out, or name another folder with --report."


def _measured(report: Path, folder: str) -> None:
    gr.HTML(figures(report), elem_id="figures")
    path = grid(report)
    if path:
        gr.HTML(_grid_html(path, columns(report), folder), elem_id="grid")


def _grid_html(path: Path, named: Sequence[str], folder: str) -> str:
    """The picture, of which the page can show a copy in its own folder. named: its columns."""
    height, width = picture_size(path)
    order = f" From left to right: {escape('; '.join(named))}." if named else ""
    copy = shutil.copy(path, tempfile.mkdtemp(dir=folder))
    return (
        "<p>The best, the middle and the worst plates, picked by rule, not by hand. Wrong characters are red and "
        f"underlined.{order}</p>"
        f'<img src="{words.url(copy)}" width="{width}" height="{height}" loading="lazy" alt="Damaged plates, what was '
        'made of them, and what is read there">'
    )


def columns(report: Path) -> list[str]:
    """The methods of the evaluation, in a visitor's words; [] where it cannot be read."""
    try:
        return [PLAIN.get(name, name) for name in methods_of(json.loads(read_text(report / METRICS)))]
    except (OSError, *STRANGE):
        return []


def figures(report: Path) -> str:
    """What a visitor may want to know, a row for each method; a note where there is no evaluation, or one that cannot
    be understood. report.html of evaluate.py has all figures."""
    try:
        metrics = json.loads(read_text(report / METRICS))
        said = [f"Of {metrics['tiles']['n']} damaged plates whose text is known. In brackets: 95 % intervals."]
        said += metrics["notes"]
        header = ("", *(title for title, *_ in FIGURES))
        rows = [(PLAIN.get(name, name), *_shares(figures)) for name, figures in methods_of(metrics).items()]
    except OSError:
        return words.note(NO_REPORT.format(os.path.relpath(report)))
    except STRANGE:
        return words.note(f"{report / METRICS} is not what evaluate.py writes.")
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in header)
    # a narrow screen shows each row as a list, where cells need their titles
    cells = [zip(header, row, strict=True) for row in rows]
    cells = ["".join(f'<td data-title="{escape(title)}">{escape(cell)}</td>' for title, cell in row) for row in cells]
    body = "".join(f"<tr>{row}</tr>" for row in cells)
    return "".join(f"<p>{escape(sentence)}</p>" for sentence in said) + words.scrolled(f"<tr>{head}</tr>{body}")


def _shares(figures: dict) -> list[str]:
    """Of one method, as text."""
    return [share((figures.get("on_clean", {}) if sharp else figures).get(name)) for _, name, sharp in FIGURES]


def grid(report: Path) -> Path | None:
    """The picture of the best, median and worst plates."""
    return next((path for path in ((report / name).resolve() for name in GRIDS) if path.is_file()), None)
