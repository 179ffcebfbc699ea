"""What is said about a result: how far to trust each character, in words and as HTML. All text is escaped."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import quote

import numpy as np

from data.synthetic.registrations import known_layouts, layout_of
from enhancing import drawing
from enhancing.burst import Burst
from enhancing.examining import Result
from page.pictures import Files
from reading.answer import DOUBT, Answer, with_unknown
from reading.matching import comparable
from reading.reader import Reading

HINT = "A restored plate is a hint, not evidence."
NOTHING = "nothing"
NO_PLATE = "No plate found"
NO_PLATE_HELP = (
    "No plate found in this picture. If you see one, mark its corners, or give a picture of the plate alone."
)
NO_PLATE_IN_FILM = "No plate found in this film. Choose one in which the plate is larger."
EMPTY = '<p class="placeholder">The answer will stand here.</p>'
BUSY = '<p class="placeholder busy">Looking for the plate…</p>'

# --- How far to trust -------------------------------------------------------------------------------------------------

# probability of a character from which it counts as sure, and from which as likely; docs/BENCHMARKS.md has how often
# the characters of each are right
SURE, LIKELY = 0.95, 0.8
# characters that readers take for one another
ALIKE = ("0OQD", "8B", "1I", "5S", "2Z")
# fewer characters than this are hardly the whole of a plate
FEWEST_CHARACTERS = 4
# share of the readings that must have as many characters as the answer
SAME_LENGTH = 0.7
# of the readings, that must read a character the same, or it is doubtful
STEADY = 0.5
MOST_ALTERNATIVES = 3


@dataclass(frozen=True)
class Judged:
    """An answer as it is shown. best: the likeliest characters, however doubtful, with `probabilities`. alternatives:
    for each, what else it may be, likeliest first. steady: for each, the share of the readings that agree on it.
    same_length: share of the readings that have as many characters."""

    best: str
    probabilities: tuple[float, ...]
    alternatives: tuple[str, ...]
    steady: tuple[float, ...]
    same_length: float

    @property
    def text(self) -> str:
        """A character less likely than not is a question mark, as everywhere."""
        return with_unknown(self.best, self.probabilities)

    @property
    def is_usual(self) -> bool:
        """Whether some country writes plates like this."""
        return len(self.best) >= FEWEST_CHARACTERS and layout_of(self.best) in known_layouts()


def judged(result: Result) -> Judged:
    """Of one enhanced picture: its answer, and whether all readings agree."""
    readings = [reading.text for reading in (result.reading_before, result.reading, *result.look.recognised)]
    return _judged(result.answer, result.agreement.shares, readings, [1.0] * len(readings))


def judged_burst(results: Sequence[Result], burst: Burst) -> Judged:
    """Of several frames: their common answer, and whether the frames have as many characters, each by its weight."""
    # single frames may be bad, so that they differ is no doubt of its own
    steady = [1.0] * len(burst.answer.candidates)
    weights = [frame.weight for frame in burst.frames]
    return _judged(burst.answer, steady, [result.answer.best_text for result in results], weights)


def _judged(answer: Answer, steady: Sequence[float], readings: Sequence[str], weights: Sequence[float]) -> Judged:
    text = answer.best_text
    same = [len(comparable(reading, country="")) == len(text) for reading in readings]
    others = [_with_alike(char, known) for char, known in zip(text, answer.alternatives, strict=True)]
    share = float(np.dot(same, weights) / max(1e-9, sum(weights)))
    return Judged(text, answer.probabilities, tuple(others), tuple(steady), share)


def _with_alike(char: str, known: str) -> str:
    alike = next((group for group in ALIKE if char in group), "")
    return "".join(dict.fromkeys(other for other in known + alike if other != char))[:MOST_ALTERNATIVES]


def levels(answer: Judged, warnings: Sequence[str] = ()) -> list[str]:
    """Of each character: sure, likely or doubtful. Nothing is sure under a warning, where readings differ in length,
    or where no country writes plates like this; no character is that the readings differ on, that is easily taken for
    another, or that is a Chinese province."""
    doubt = bool(warnings) or answer.same_length < SAME_LENGTH or not answer.is_usual
    found = []
    for char, p, steady in zip(answer.best, answer.probabilities, answer.steady, strict=True):
        unsure = doubt or steady < 1 or not char.isascii() or any(char in group for group in ALIKE)
        found.append("doubtful" if p < LIKELY or steady < STEADY else "likely" if p < SURE or unsure else "sure")
    return found


def trust(answer: Judged, warnings: Sequence[str] = ()) -> str:
    """One plain sentence on how far to trust the answer."""
    if not answer.best:
        return "No text can be read in this plate."
    if warnings:
        return "Do not rely on this text: it may be wrong in any place."
    marked = list(zip(answer.text, levels(answer), _may_be(answer), strict=True))
    doubtful = [(char, others) for char, level, others in marked if level == "doubtful"]
    if len(doubtful) > len(answer.best) / 2:
        return "Most of it is a guess."
    if answer.same_length < SAME_LENGTH:
        return "Doubtful: a character may be missing, or one too many. The readings differ in their number."
    if not answer.is_usual:
        return "Unusual: hardly any plate is written like this. Check each character."
    if doubtful:
        return f"Check the dashed characters: {_listed(doubtful)}."
    alike = [(char, others) for char, level, others in marked if level == "likely" and (others or not char.isascii())]
    if alike:
        return f"Probably right. Easily mistaken: {_listed(alike)}."
    return "Probably right: the readings agree."


def _may_be(answer: Judged) -> list[str]:
    """Of each character as it is shown, what else it may be; of a question mark, also the likeliest."""
    every = zip(answer.best, answer.probabilities, answer.alternatives, strict=True)
    return [others if p >= DOUBT else (char + others)[:MOST_ALTERNATIVES] for char, p, others in every]


def _listed(characters: Sequence[tuple[str, str]]) -> str:
    unique = dict.fromkeys(characters)
    return ", ".join(f"{char} (or {' or '.join(others)})" if others else char for char, others in unique)


def as_json(answer: Judged, warnings: Sequence[str]) -> dict[str, Any]:
    """For programs."""
    each = zip(answer.best, answer.probabilities, levels(answer, warnings), answer.alternatives, strict=True)
    characters = [
        {"character": char, "probability": round(p, 4), "trust": level, "alternatives": list(others)}
        for char, p, level, others in each
    ]
    known = {"text": answer.text, "characters": characters, "trust": trust(answer, warnings)}
    return known | {"warnings": [_sentence(warning) for warning in warnings]}


def sheet_lines(answer: Judged, warnings: Sequence[str]) -> list[drawing.Line]:
    """What stands below before and after on the picture to download."""
    said = [(_sentence(warning), drawing.RED) for warning in warnings]
    said += [(f"Reads {answer.text or NOTHING}. {trust(answer, warnings)}", drawing.INK)]
    return [*said, (HINT, drawing.RED)]


# --- Results as HTML --------------------------------------------------------------------------------------------------


def result_html(result: Result, files: Files, strength: float) -> str:
    """Of one enhanced picture. strength: that was used."""
    answer = judged(result)
    details = _table(
        [
            ("Read in your picture", _reading(result.reading_before)),
            ("Read in the result", _reading(result.reading)),
            ("Strength", f"{strength:.2f}"),
            ("Explained", f"{result.fit.consistency:.0%} of your picture follows from the result"),
            ("Detail", f"as much as a sharp picture {result.effective_width:.0f} px wide holds"),
        ]
    )
    details += _characters_table(answer, result.warnings) + _qualities(result)
    details += note(f"The picture is {result.note}.") if result.note else ""
    return _page(answer, result.warnings, files, details, "copies of it that were shifted or dimmed")


def burst_html(results: Sequence[Result], burst: Burst, files: Files, names: Sequence[str]) -> str:
    """Of several frames of one plate."""
    answer = judged_burst(results, burst)
    header = "<tr><th>frame</th><th>its answer</th><th>how sure</th><th>weight</th></tr>"
    rows = "".join(
        f'<tr><td class="name" title="{escape(name)}">{escape(name)}</td>'
        f"<td>{escape(result.answer.text or NOTHING)}</td>"
        f"<td>{result.answer.probability:.0%}</td><td>{f'{frame.weight:.0%}' if frame.weight else 'left out'}</td></tr>"
        for name, result, frame in zip(names, results, burst.frames, strict=True)
    )
    details = _characters_table(answer, burst.warnings) + scrolled(header + rows)
    return _page(answer, burst.warnings, files, details, "the frames")


def _page(answer: Judged, warnings: Sequence[str], files: Files, details: str, compared: str) -> str:
    boxes = "".join(
        f'<span class="char {level}" title="{level}, {p:.0%}">{escape(char)}</span>'
        for char, level, p in zip(answer.text, levels(answer, warnings), answer.probabilities, strict=True)
    )
    text = escape(answer.text)
    copy = f'<button type="button" class="small copy" data-text="{text}">Copy</button>' if text else ""
    plate = f'<span class="hidden">{text}</span><span class="chars" aria-hidden="true">{boxes}</span>'
    if files.doubt:
        height, width = files.shape
        details += (
            f'<figure><img src="{url(files.doubt)}" width="{width}" height="{height}" loading="lazy" '
            f'alt="Map of the result: bright where it is in doubt"><figcaption class="faint">Bright where {compared} '
            "give different results.</figcaption></figure>"
        )
    return (
        f'<section class="answer" aria-label="Answer" aria-live="polite">'
        f'<p class="plate">{plate or NOTHING}{copy}</p>'
        f'<p class="trust">{escape(trust(answer, warnings))}</p>'
        + "".join(_box("warning", warning) for warning in warnings)
        + _comparison(answer, files)
        + f'<p class="downloads">{_download(files.after, "Download the picture")}'
        f"{_download(files.sheet, 'Download before and after')}</p>"
        f'<p class="hint">{HINT}</p>'
        f"<details><summary>Details</summary>{details}</details></section>"
    )


def nothing_html(message: str) -> str:
    """In place of a result."""
    return f'<section class="answer" aria-label="Answer"><p class="plate none">{escape(message)}</p></section>'


def _comparison(answer: Judged, files: Files) -> str:
    """After, with before above it up to where the handle is: an ordinary slider, so that keys move it."""
    height, width = files.shape
    size = f'width="{width}" height="{height}"'
    return (
        f'<figure class="compare" style="aspect-ratio: {width} / {height}">'
        f'<img class="after" {size} src="{url(files.after)}" '
        f'alt="The plate after enhancing. Text read: {escape(answer.text or NOTHING)}">'
        f'<img class="before" {size} src="{url(files.before)}" alt="The plate before enhancing">'
        '<span class="tag" aria-hidden="true">before</span><span class="tag" aria-hidden="true">after</span>'
        '<input type="range" min="0" max="100" value="50" aria-label="How much of the plate before is shown">'
        "</figure>"
    )


def _download(path: str, label: str) -> str:
    name = escape(path.rsplit("/", 1)[-1])
    return f'<a class="small" href="{url(path)}" download="{name}">{label}</a>'


def url(path: str) -> str:
    """Of a file in the page's folder."""
    return f"/gradio_api/file={quote(path)}"


def problem(message: str) -> str:
    return _box("problem", message)


def note(message: str) -> str:
    return f'<p class="note">{escape(message)}</p>'


def _sentence(message: str) -> str:
    return message[:1].upper() + message[1:]


def _box(kind: str, message: str) -> str:
    return f'<div class="{kind}" role="alert">{escape(_sentence(message))}</div>'


def _reading(reading: Reading) -> str:
    return f'{escape(reading.text or NOTHING)} <span class="faint">reader sure to {reading.confidence:.0%}</span>'


def _characters_table(answer: Judged, warnings: Sequence[str]) -> str:
    rows = "".join(
        f"<tr><td>{escape(char)}</td><td>{level}, {p:.0%}</td><td>{escape(' '.join(others)) or '–'}</td></tr>"
        for char, level, p, others in zip(
            answer.best, levels(answer, warnings), answer.probabilities, answer.alternatives, strict=True
        )
    )
    if not rows:
        return ""
    return scrolled("<tr><th>character</th><th>how sure</th><th>may also be</th></tr>" + rows)


def _qualities(result: Result) -> str:
    rows = "".join(
        f"<tr><td>{name}</td><td>{getattr(result.before, name):.2f}</td><td>{getattr(result.after, name):.2f}</td></tr>"
        for name in ("brightness", "contrast", "sharpness")
    )
    return scrolled("<tr><th></th><th>before</th><th>after</th></tr>" + rows)


def scrolled(rows: str) -> str:
    """A table that scrolls in its own box where it is wider than the screen."""
    return (
        f'<div class="scroll" tabindex="0" role="group" aria-label="Table"><table class="figures">{rows}</table></div>'
    )


def _table(rows: Sequence[tuple[str, Any]]) -> str:
    """Names are plain text, contents are HTML."""
    body = "".join(f"<dt>{escape(name)}</dt><dd>{content}</dd>" for name, content in rows)
    return f'<dl class="findings">{body}</dl>'
