"""The figures of an evaluation in words and tables: for the terminal, for the page, and as report.html.

report.html is one file without scripts, with its pictures inside, so that it opens anywhere without a network.
"""

import base64
import html
import json
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from data.console import printable
from evaluation.scoring import DIFFICULTIES

# a figure that is not known, in a table
NOTHING = "–"
# methods in a visitor's words; the shipped networks by what they do on the page
PLAIN = {
    "input": "as they are",
    "baseline": "contrast and edges raised",
    "pretrain": "enhanced",
    "generator": "enhanced, second network",
    "clean": "the sharp plates",
}
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 1200px; margin: 2rem auto; padding: 0 1rem; color: #1c1c1c; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid #ddd; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 14px; margin-bottom: 1.5rem; }
th, td { padding: .3rem .7rem; text-align: right; border-bottom: 1px solid #e4e4e4; white-space: nowrap; }
th { vertical-align: bottom; background: #f6f6f6; white-space: normal; }
th:first-child, td:first-child { text-align: left; font-weight: 600; }
img { max-width: 100%; height: auto; }
.warning { background: #fff4e0; border-left: 4px solid #e69f00; padding: .6rem 1rem; }
pre { background: #f6f6f6; padding: 1rem; overflow-x: auto; font-size: 13px; }
"""
CURVE_SENTENCE = (
    "Hard plates are on the left; for blur length they are on the right. Above: the share of serials read right. "
    "Where an enhanced line runs above the input's, enhancing helps. Where both lie at the bottom, nothing is left to "
    "restore. Below: the share read wrong by a reader that is sure. Where an enhanced line rises there, characters "
    "are invented. Bands are 95 % intervals."
)
GRID_SENTENCE = (
    "The best, middle and worst plates by the last checkpoint's character rate, one of each photo: chosen by rule, "
    'not by hand. Wrong characters are red and underlined; "_" stands for a missing one. Likeness is SSIM. A '
    'column "enhanced" is pretrain, "second network" generator.'
)


@dataclass(frozen=True)
class Column:
    """A figure of the table. cell: from one method's figures to text. meaning: a sentence for who is new to it."""

    header: str
    cell: Callable[[dict], str]
    meaning: str


def share(estimate: dict | None, with_interval: bool = True) -> str:
    """An estimate as "48.2 % (43–53)", counts of events as "6/124 = 4.8 % (2–9)", nothing known as a dash."""
    if not estimate or estimate.get("value") is None:
        return NOTHING
    value = f"{100 * estimate['value']:.1f} %"
    if "count" in estimate:
        value = f"{estimate['count']}/{estimate['n']} = {value}"
    if not with_interval or not estimate.get("ci95"):
        return value
    low, high = (100 * bound for bound in estimate["ci95"])
    return f"{value} ({low:.0f}–{high:.0f})"


def _rate(name: str, *groups: str) -> Callable[[dict], str]:
    """The cell of an estimate, which stands below these groups."""
    return lambda figures: share(_known(figures, name, groups))


def _number(name: str, digits: int, *groups: str) -> Callable[[dict], str]:
    """The cell of a plain number."""

    def cell(figures: dict) -> str:
        value = _known(figures, name, groups)
        return NOTHING if value is None else f"{value:.{digits}f}"

    return cell


def _known(figures: dict, name: str, groups: tuple[str, ...]):
    """None for a figure that is not there."""
    for group in groups:
        figures = figures.get(group, {})
    return figures.get(name)


READING_COLUMNS = (
    Column(
        "plates right",
        _rate("plate_acc"),
        "Plates right: the share of plates whose serial was read without an error. In brackets, here and elsewhere, "
        "stands the 95 % interval: other plates of the same kind would most likely give a figure between these bounds.",
    ),
    Column(
        "at most 1 wrong",
        _rate("plate_acc_within_1"),
        "At most 1 wrong: the share of plates read with one wrong, missing or added character, or none.",
    ),
    Column(
        "characters",
        _rate("char_acc"),
        "Characters: 1 minus the number of corrections that a reading needs, divided by the length of the serial; the "
        "mean over all plates.",
    ),
    Column(
        "right with province",
        _rate("plate_acc", "with_province"),
        "Right with province: as plates right, with the Chinese character in front. Elsewhere the two are equal.",
    ),
    Column(
        "at most 1 wrong, with province",
        _rate("plate_acc_within_1", "with_province"),
        "At most 1 wrong, with province: the same for the whole text.",
    ),
    Column(
        "characters with province",
        _rate("char_acc", "with_province"),
        "Characters with province: the same for the whole text.",
    ),
)
ANSWER_COLUMNS = (
    Column(
        "answer right",
        _rate("plate_acc", "answer"),
        "Answer right: as plates right, for the answer, in which the recogniser inside the generator and the reader, "
        "before and after enhancing, are put together.",
    ),
    Column("answer, characters", _rate("char_acc", "answer"), "Answer, characters: as characters, for the answer."),
    Column(
        "answer right with province",
        _rate("plate_acc", "answer", "with_province"),
        "Answer right with province: the same for the whole text.",
    ),
    Column(
        "answer sure and wrong",
        _rate("confidently_wrong", "answer"),
        "Answer sure and wrong: of all plates, the share whose answer is wrong though each of its characters was given "
        "with more than 90 %.",
    ),
    Column(
        "sure answers right",
        _rate("right_of_sure", "answer"),
        "Sure answers right: of the answers each of whose characters was given with more than 90 %, the share that is "
        "right.",
    ),
)
CONFIDENCE = Column(
    "reader's confidence",
    _number("confidence", 2),
    "Reader's confidence: the mean of what the reader says of itself. It does not measure truth: see sure and wrong.",
)
HARM_COLUMNS = (
    Column(
        "gained",
        _rate("gain_rate"),
        "Gained: of the plates that were read wrong before enhancing, the share that is read right after.",
    ),
    Column(
        "flipped to wrong",
        _rate("flip_rate"),
        "Flipped to wrong: of the plates that were read right before enhancing, the share that is read wrong after. "
        "This is the harm done to good pictures.",
    ),
    Column(
        "sure and wrong",
        _rate("confidently_wrong"),
        "Sure and wrong: of all plates, the share that is read wrong by a reader with a confidence above 90 %: "
        "invented characters that somebody would believe.",
    ),
    Column(
        "clean tiles put through, right",
        _rate("plate_acc", "on_clean"),
        "Clean tiles put through, right: the share read right when the generator gets the clean tiles, each photo "
        "once. A good picture should be left alone.",
    ),
    Column(
        "clean tiles put through, flipped",
        _rate("flip_rate", "on_clean"),
        "Clean tiles put through, flipped: of the clean tiles that were read right, the share that is read wrong "
        "after.",
    ),
    Column(
        "clean tiles put through, colour error",
        _number("colour_error", 1, "on_clean"),
        "Clean tiles put through, colour error: how far the colours of good pictures move; see colour error.",
    ),
)
PICTURE_COLUMNS = (
    Column(
        "PSNR (dB)",
        _number("psnr", 2),
        "PSNR: closeness to the clean tile, pixel by pixel. Higher is closer; 6 dB more halve the error. It is "
        "computed per picture, over the whole picture and its three colours, and then averaged. It does not show "
        "whether the plate can be read.",
    ),
    Column(
        "SSIM",
        _number("ssim", 3),
        "SSIM: likeness of structure to the clean tile, 1 for equal pictures; averaged in the same way.",
    ),
    Column(
        "colour error",
        _number("colour_error", 1),
        "Colour error: distance of the colours from the clean tile's without brightness (a* and b* in CIELAB, means of "
        "blocks of 8 x 8 pixels). 2 can just be seen side by side, 10 is another shade.",
    ),
    Column(
        "PSNR when damaged again (dB)",
        _number("redamaged_psnr", 2),
        "PSNR when damaged again: the enhanced picture is damaged exactly as the input was, and compared with the "
        "input. A low figure means that the enhanced picture cannot be what the camera saw. The clean tile's own "
        "figure shows how exact the measure is.",
    ),
    Column(
        "VGG distance",
        _number("vgg_distance", 4),
        "VGG distance: distance to the clean tile in the features of a network trained on photos, close to what people "
        "find unlike (LPIPS without its learned weights). Lower is closer.",
    ),
)


def columns(methods: dict[str, dict]) -> list[Column]:
    """The columns in which at least one method has a figure."""
    candidates = (*READING_COLUMNS, *ANSWER_COLUMNS, CONFIDENCE, *HARM_COLUMNS, *PICTURE_COLUMNS)
    return [column for column in candidates if any(column.cell(figures) != NOTHING for figures in methods.values())]


def lines(methods: dict[str, dict]) -> list[list[str]]:
    """The table as rows of text cells: one row per figure, one column per method, the methods' names in the first
    row."""
    body = [[column.header, *(column.cell(figures) for figures in methods.values())] for column in columns(methods)]
    return [["", *methods], *body]


def for_terminal(methods: dict[str, dict]) -> str:
    """The table with its columns in line."""
    table = [list(map(printable, line)) for line in lines(methods)]
    widths = [max(map(_width, cells)) for cells in zip(*table, strict=True)]
    return "\n".join("  ".join(map(_pad, line, widths)).rstrip() for line in table)


def in_words(estimate: dict | None) -> str:
    """An estimate inside a sentence: "41.6 % (95 % interval 34 to 50)", events as "13 of 202 (6.4 %, 95 % interval
    ...)"."""
    if not estimate or estimate.get("value") is None:
        return "none, since there were none such,"
    value = f"{100 * estimate['value']:.1f} %"
    interval = "95 % interval {:.0f} to {:.0f}".format(*(100 * bound for bound in estimate["ci95"]))
    if "count" in estimate:
        return f"{estimate['count']} of {estimate['n']} ({value}, {interval})"
    return f"{value} ({interval})"


def _width(text: str) -> int:
    """Columns on a terminal: Chinese characters take two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _pad(text: str, width: int) -> str:
    return text + " " * (width - _width(text))


def build(metrics: dict, grid_png: bytes, curves_png: bytes | None) -> str:
    """The whole page from what metrics.json holds and the pictures' bytes."""
    methods = methods_of(metrics)
    meanings = "".join(f"<li>{html.escape(column.meaning)}</li>" for column in columns(methods))
    parts = [
        "<h1>How well the plates are restored</h1>",
        *map(_paragraph, sentences(metrics)),
        *(f'<p class="warning">{html.escape(note)}</p>' for note in metrics["notes"]),
        "<h2>All figures</h2>",
        _table(lines(methods)),
        f"<ul>{meanings}</ul>",
    ]
    if curves_png:
        parts += ["<h2>From where on it helps</h2>", _picture(curves_png, "reading rate by difficulty")]
        parts.append(_paragraph(CURVE_SENTENCE))
    if metrics["by_difficulty"] and _main_figure(metrics["input"]) != NOTHING:
        parts += ["<h2>By difficulty</h2>", _paragraph(_difficulty_sentence(metrics))]
        parts += [_difficulty_table(measure, bins) for measure, bins in metrics["by_difficulty"].items()]
    parts += ["<h2>Plates</h2>", _picture(grid_png, "best, median and worst plates"), _paragraph(GRID_SENTENCE)]
    parts += ["<h2>How these figures were made</h2>", _pre(_provenance(metrics))]
    return _page("\n".join(parts))


def methods_of(metrics: dict) -> dict[str, dict]:
    """The figures by method, in the order of all tables: input, baseline, checkpoints, clean."""
    ends = {name: metrics[name] for name in ("input", "baseline", "clean") if name in metrics}
    clean = {"clean": ends.pop("clean")} if "clean" in ends else {}
    return {**ends, **metrics["checkpoints"], **clean}


def sentences(metrics: dict) -> list[str]:
    """What the figures say, in words: what was evaluated, and what each checkpoint brings and harms."""
    tiles = metrics["tiles"]
    result = [f"{tiles['n']} pictures of {tiles['photos']} photos were evaluated ({tiles['folder']})."]
    before = metrics["input"].get("plate_acc")
    if not _is_known(before):
        return [*result, "Readings were not compared with a truth; the figures below are about pictures alone."]
    result.append(f"{before['n']} of them count for the readings; as they are, {in_words(before)} are read right.")
    return result + [_sentence(name, figures) for name, figures in metrics["checkpoints"].items()]


def _sentence(name: str, figures: dict) -> str:
    text = (
        f"Enhanced by {name}, {in_words(figures['plate_acc'])} are read right. Of the plates that could be read "
        f"before, {in_words(figures['flip_rate'])} are misread after; of those that could not, "
        f"{in_words(figures['gain_rate'])} are read right after. Of all, {in_words(figures['confidently_wrong'])} are "
        "read wrong by a reader that is sure."
    )
    if "on_clean" in figures:
        clean = figures["on_clean"]
        text += (
            f" Clean tiles put through it: {in_words(clean['plate_acc'])} are read right, and of those that could be "
            f"read before, {in_words(clean['flip_rate'])} are misread after."
        )
    return text


def _difficulty_sentence(metrics: dict) -> str:
    read = _is_known(metrics["input"].get("plate_acc"))
    return (
        f"The plates in four parts of about the same number, from low values to high ones, with "
        f"{'the share of serials read right' if read else 'the mean PSNR in dB'} for each method"
        + ("; for checkpoints also how many plates flipped from right to wrong." if read else ".")
    )


def _difficulty_table(measure: str, bins: list[dict]) -> str:
    methods = list(bins[0]["methods"])
    flips = [m for m in methods if any("flip_rate" in row["methods"][m] for row in bins) and m != "baseline"]
    headers = [DIFFICULTIES[measure], "n", *methods, *(f"flipped by {name}" for name in flips)]
    body = []
    for row in bins:
        cells = [f"{row['low']:.3g} to {row['high']:.3g}", str(row["n"])]
        cells += [_main_figure(row["methods"][method]) for method in methods]
        body.append(cells + [share(row["methods"][name].get("flip_rate"), with_interval=False) for name in flips])
    return _table([headers, *body])


def _main_figure(figures: dict) -> str:
    """The reading rate, or without one the PSNR."""
    if _is_known(figures.get("plate_acc")):
        return share(figures["plate_acc"])
    return NOTHING if figures["psnr"] is None else f"{figures['psnr']:.2f}"


def _is_known(estimate: dict | None) -> bool:
    return bool(estimate) and estimate["value"] is not None


def _provenance(metrics: dict) -> str:
    kept = {name: metrics[name] for name in ("settings", "versions", "tiles", "failed")}
    kept["checkpoints"] = {name: figures["checkpoint"] for name, figures in metrics["checkpoints"].items()}
    return json.dumps(kept, indent=2, ensure_ascii=False)


def _page(body: str) -> str:
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><style>{STYLE}</style>'
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}<title>Evaluation</title></head><body>\n{body}\n</body></html>\n'
    )


def _table(rows: list[list[str]]) -> str:
    """The first row holds the headers."""
    lines = [_row("th", rows[0]), *(_row("td", cells) for cells in rows[1:])]
    return f'<div class="scroll"><table>{"".join(lines)}</table></div>'


def _row(tag: str, cells: list[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"


def _picture(png: bytes, description: str) -> str:
    return f'<p><img alt="{description}" src="data:image/png;base64,{base64.b64encode(png).decode()}"></p>'


def _paragraph(text: str) -> str:
    return f"<p>{html.escape(text)}</p>"


def _pre(text: str) -> str:
    return f"<pre>{html.escape(text)}</pre>"
