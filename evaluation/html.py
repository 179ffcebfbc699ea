"""report.html: one file, no scripts, pictures inside, so that it opens anywhere without a network."""

import base64
import html
import json

from evaluation.difficulty import LABELS
from evaluation.table import NOTHING, columns, rows, share

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 1200px; margin: 2rem auto; padding: 0 1rem; color: #1c1c1c; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid #ddd; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 14px; }
th, td { padding: .3rem .7rem; text-align: right; border-bottom: 1px solid #e4e4e4; white-space: nowrap; }
th { vertical-align: bottom; background: #f6f6f6; white-space: normal; }
th:first-child, td:first-child { text-align: left; font-weight: 600; }
img { max-width: 100%; height: auto; }
.warning { background: #fff4e0; border-left: 4px solid #e69f00; padding: .6rem 1rem; }
pre { background: #f6f6f6; padding: 1rem; overflow-x: auto; font-size: 13px; }
"""
CURVE_SENTENCE = (
    "Left is hard (but for blur length, where right is hard). Above: how many serials are read right. Where an enhanced line "
    "runs above the input's, enhancing helps; where both lie at the bottom, nothing is left to restore. Below: how many are "
    "read wrong by a reader that is sure. Where an enhanced line rises there, characters are invented. Bands: 95 % intervals."
)
GRID_SENTENCE = (
    "Ranked by the last checkpoint's character rate: the best, the middle and the worst plates, by rule, not by choice, and of "
    'each photo one. Wrong characters are red and underlined, "_" stands for a missing one.'
)


def build(metrics: dict, grid_png: bytes, curves_png: bytes | None) -> str:
    """The whole page from what metrics.json holds and the pictures' bytes."""
    methods = {**{name: metrics[name] for name in ("input", "baseline")}, **metrics["checkpoints"]}
    if "clean" in metrics:
        methods["clean"] = metrics["clean"]
    wanted = columns(methods)
    parts = [
        "<h1>How well the plates are restored</h1>",
        *map(_paragraph, sentences(metrics)),
        *(f'<p class="warning">{html.escape(note)}</p>' for note in metrics["notes"]),
        "<h2>All figures</h2>",
        _table(["", *(column.header for column in wanted)], rows(methods, wanted)),
        "<ul>" + "".join(f"<li>{html.escape(column.meaning)}</li>" for column in wanted) + "</ul>",
    ]
    if curves_png:
        parts += ["<h2>From where on it helps</h2>", _picture(curves_png, "reading rate by difficulty")]
        parts.append(_paragraph(CURVE_SENTENCE))
    if metrics["by_difficulty"]:
        parts += ["<h2>By difficulty</h2>", _paragraph(_difficulty_sentence(metrics))]
        parts += [_difficulty_table(measure, bins) for measure, bins in metrics["by_difficulty"].items()]
    parts += ["<h2>Plates</h2>", _picture(grid_png, "best, median and worst plates"), _paragraph(GRID_SENTENCE)]
    parts += ["<h2>How these figures were made</h2>", _pre(_provenance(metrics))]
    return _page("\n".join(parts))


def sentences(metrics: dict) -> list[str]:
    """What the figures say, in words: one sentence on what was evaluated and two on each checkpoint."""
    tiles = metrics["tiles"]
    result = [f"{tiles['n']} pictures of {tiles['photos']} photos were evaluated ({tiles['folder']})."]
    before = metrics["input"].get("plate_acc")
    if not before or before["value"] is None:
        return [*result, "Readings were not compared with a truth; the figures below are about pictures alone."]
    counted = f"{before['n']} of them count for the readings"
    result.append(f"{counted}; as they are, {share(before)} are read right.")
    for name, figures in metrics["checkpoints"].items():
        result.append(
            f"Enhanced by {name}, {share(figures['plate_acc'])} are read right. Of the plates that could be read before, "
            f"{share(figures['flip_rate'])} are misread after; of those that could not, {share(figures['gain_rate'])} are "
            f"read right after. {share(figures['confidently_wrong'])} are read wrong by a reader that is sure."
        )
    return result


def _difficulty_sentence(metrics: dict) -> str:
    return (
        "The plates in four parts of about the same number, from low values to high ones, with "
        + ("the share of serials read right" if "plate_acc" in metrics["input"] else "the mean PSNR in dB")
        + " for each method; for checkpoints also how many plates flipped from right to wrong."
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
    return _table(headers, body)


def _main_figure(figures: dict) -> str:
    if "plate_acc" in figures:
        return share(figures["plate_acc"])
    return NOTHING if figures["psnr"] is None else f"{figures['psnr']:.2f}"


def _provenance(metrics: dict) -> str:
    kept = {name: metrics[name] for name in ("settings", "versions", "tiles", "failed")}
    kept["checkpoints"] = {name: figures["checkpoint"] for name, figures in metrics["checkpoints"].items()}
    return json.dumps(kept, indent=2, ensure_ascii=False)


def _page(body: str) -> str:
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><style>{STYLE}</style>'
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}<title>Evaluation</title></head><body>\n{body}\n</body></html>\n'
    )


def _table(headers: list[str], body: list[list[str]]) -> str:
    lines = [_row("th", headers), *(_row("td", cells) for cells in body)]
    return f'<div class="scroll"><table>{"".join(lines)}</table></div>'


def _row(tag: str, cells: list[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"


def _picture(png: bytes, description: str) -> str:
    return f'<p><img alt="{description}" src="data:image/png;base64,{base64.b64encode(png).decode()}"></p>'


def _paragraph(text: str) -> str:
    return f"<p>{html.escape(text)}</p>"


def _pre(text: str) -> str:
    return f"<pre>{html.escape(text)}</pre>"
