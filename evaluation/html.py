"""report.html: one file, no scripts, pictures inside, so that it opens anywhere without a network."""

import base64
import html
import json

from evaluation.difficulty import LABELS
from evaluation.summary import NOTHING, columns, in_words, lines, share

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
    'not by hand. Wrong characters are red and underlined; "_" stands for a missing one.'
)


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
    headers = [LABELS[measure], "n", *methods, *(f"flipped by {name}" for name in flips)]
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
