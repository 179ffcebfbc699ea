"""The pictures of the report: the grid of plates, and the reading rate by difficulty.

Each function takes arrays and returns a matplotlib figure; the caller saves and closes it.
"""

from functools import cache
from itertools import cycle

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontEntry, FontProperties, findfont, fontManager, get_font
from matplotlib.offsetbox import AnnotationBbox, HPacker, TextArea

from data.console import literal
from data.synthetic.canvas import FONT_FOLDER, HANZI
from data.tiles import Plate
from evaluation.scoring import BASELINE, CLEAN, DIFFICULTIES, INPUT, Score
from evaluation.tables import PLAIN
from reading.matching import MISSING, is_two_line, marked

CHINESE_FONT = FONT_FOLDER / HANZI
CHINESE_FAMILY, OWN_FAMILY = "Plate provinces", "DejaVu Sans"
UNDRAWABLE = "□"
# combines with the character before it
UNDERLINE = "\u0332"
WRONG, MUTED = "#c1121f", "#6b6b6b"
CELL_INCHES, GAP_INCHES, CAPTION_INCHES, LABEL_INCHES, TITLE_INCHES = 2.0, 0.1, 0.5, 1.25, 0.4
# a tile of 96 x 192 becomes twice as large, each pixel a square
GRID_DPI, CURVE_DPI = 192, 120
COLOURS = {INPUT: "#444444", BASELINE: "#e69f00", CLEAN: "#009e73"}
# Okabe and Ito's, told apart by everyone
CHECKPOINT_COLOURS = ("#0072b2", "#d55e00", "#cc79a7", "#56b4e9", "#8c564b")


def grid(
    rows: list[tuple[str, Plate]], pictures: dict[str, list], scores: dict[str, list[Score]], read: bool
) -> Figure:
    """Rows of plates, columns of methods. rows: (part, plate); pictures, scores: per method one for each row. The page
    shows it to visitors, so its words are plain ones."""
    methods = list(pictures)
    width, step = CELL_INCHES, CELL_INCHES + GAP_INCHES
    height = width * min(1, max(p.shape[0] / p.shape[1] for some in pictures.values() for p in some))
    size = (LABEL_INCHES + len(methods) * step, TITLE_INCHES + len(rows) * (height + CAPTION_INCHES))
    with matplotlib.rc_context({"font.family": _font_families()}):
        figure = _figure(size, GRID_DPI)
        for line, (part, plate) in enumerate(rows):
            bottom = size[1] - TITLE_INCHES - line * (height + CAPTION_INCHES) - height
            name = _drawable(plate.text) or _drawable(_short(plate.key, 13))
            label = f"{part}\n{name}\n{_drawable(plate.country)}".strip()
            figure.text(0.1 / size[0], (bottom + height / 2) / size[1], label, va="center", fontsize=9, linespacing=1.5)
            for column, method in enumerate(methods):
                left = LABEL_INCHES + column * step
                axes = figure.add_axes((left / size[0], bottom / size[1], width / size[0], height / size[1]))
                axes.imshow(pictures[method][line], interpolation="nearest")
                axes.set_axis_off()
                if line == 0:
                    axes.set_title(_drawable(PLAIN.get(method, _short(method))), fontsize=10, pad=5)
                _caption(axes, plate, scores[method][line], read)
    return figure


def by_difficulty(curves: dict[str, list[dict]]) -> Figure:
    """Above: serials read right, over each measure of difficulty, with 95 % intervals. Below: read wrong, but
    confidently."""
    with matplotlib.rc_context({"font.family": _font_families()}):
        return _by_difficulty(curves)


def _by_difficulty(curves: dict[str, list[dict]]) -> Figure:
    figure = _figure((4.6 * len(curves) + 0.4, 7.2), CURVE_DPI, layout="constrained")
    panels = figure.subplots(2, len(curves), squeeze=False, sharex="col", sharey="row")
    for column, (measure, rows) in enumerate(curves.items()):
        for panel, figure_name in zip(panels[:, column], ("plate_acc", "confidently_wrong"), strict=True):
            _curves(panel, rows, figure_name)
        panels[1, column].set_xlabel(DIFFICULTIES[measure])
    panels[0, 0].set_ylabel("serials read right (%)")
    panels[1, 0].set_ylabel("read wrong, with confidence\nabove 0.9 (%)")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=min(len(labels), 6), frameon=False)
    return figure


def reliability_diagram(answers: dict[str, list[dict]]) -> Figure:
    """answers: the bins of `metrics.reliability` by name. On the diagonal, what is given with p is right in a share of
    p."""
    with matplotlib.rc_context({"font.family": _font_families()}):
        return _reliability_diagram(answers)


def _reliability_diagram(answers: dict[str, list[dict]]) -> Figure:
    figure = _figure((4.5, 4.5), CURVE_DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle="--")
    for (name, bins), colour in zip(answers.items(), cycle(CHECKPOINT_COLOURS), strict=False):
        given, right = [part["given"] for part in bins], [part["right"] for part in bins]
        axes.plot(given, right, color=colour, marker="o", label=_drawable(_short(name)))
        for x, y, part in zip(given, right, bins, strict=True):
            axes.annotate(str(part["n"]), (x, y), (4, -10), textcoords="offset points", fontsize=7, color=colour)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="probability given to a character", ylabel="share that is right")
    axes.set_title("Characters of the answers; numbers: how many", fontsize=10)
    axes.legend(loc="upper left", fontsize=8)
    return figure


def method_colours(methods: list[str]) -> dict[str, str]:
    others = [method for method in methods if method not in COLOURS]
    return COLOURS | {name: CHECKPOINT_COLOURS[i % len(CHECKPOINT_COLOURS)] for i, name in enumerate(others)}


def _curves(panel, rows: list[dict], figure_name: str) -> None:
    colours = method_colours(list(rows[0]["methods"]))
    for method, colour in colours.items():
        known = [row for row in rows if row["methods"].get(method, {}).get(figure_name, {}).get("n")]
        if not known:
            continue
        x = [row["median"] for row in known]
        figures = [row["methods"][method][figure_name] for row in known]
        style = "--" if method in (INPUT, CLEAN) else "-"
        values = [100 * each["value"] for each in figures]
        panel.plot(x, values, style, color=colour, marker="o", markersize=4, label=_drawable(_short(method)))
        # bands for what is compared; more of them would hide one another
        if method not in (BASELINE, CLEAN):
            low, high = np.array([each["ci95"] for each in figures]).T * 100
            panel.fill_between(x, low, high, color=colour, alpha=0.12, linewidth=0)
    panel.grid(alpha=0.3)
    panel.set_ylim(0, 102 if figure_name == "plate_acc" else max(5, panel.get_ylim()[1]))


def _caption(axes, plate: Plate, score: Score, read: bool) -> None:
    """Under a picture: the reading with wrong characters marked, then the figures."""
    figures = []
    if read:
        _place(axes, _coloured(score.reading.text, plate), offset=-3)
        figures.append(f"sure {score.reading.confidence:.2f}")
    if score.ssim is not None:
        figures += [f"likeness {score.ssim:.2f}"]
    text = TextArea("   ".join(figures), textprops={"fontsize": 6.5, "color": MUTED})
    _place(axes, text, offset=-17 if read else -3)


def _coloured(read: str, plate: Plate):
    """The reading as one line of text; characters that are not the truth's are red, bold and underlined, missing ones
    "_"."""
    comparable = plate.text and not is_two_line(plate.text)
    characters = marked(read, plate.text, plate.country) if comparable else [(c, False) for c in read]
    if not read:
        return TextArea("(nothing read)", textprops={"fontsize": 8, "color": MUTED, "style": "italic"})
    pieces = []
    for character, wrong in characters:
        style = {"color": WRONG, "weight": "bold"} if wrong else {"color": "black"}
        underline = UNDERLINE if wrong and character != MISSING else ""
        pieces.append(TextArea(_drawable(character) + underline, textprops={"fontsize": 10, **style}))
    return HPacker(children=pieces, pad=0, sep=0.8, align="baseline")


def _place(axes, box, offset: float) -> None:
    """Put a box of text under the axes, centred, `offset` points below their lower edge."""
    axes.add_artist(
        AnnotationBbox(
            box, (0.5, 0), (0, offset), xycoords="axes fraction", boxcoords="offset points", box_alignment=(0.5, 1),
            frameon=False, pad=0, annotation_clip=False,
        )
    )  # fmt: skip


def _drawable(text: str) -> str:
    """The text, taken literally, with an empty square for every character that the fonts at hand do not have."""
    return literal("".join(c if ord(c) in _drawable_codes() or not c.isprintable() else UNDRAWABLE for c in text))


@cache
def _drawable_codes() -> frozenset[int]:
    """Of the characters that the fonts have, bold ones, too."""
    own = [get_font(findfont(FontProperties(family=OWN_FAMILY, weight=weight))) for weight in ("normal", "bold")]
    chinese = get_font(str(CHINESE_FONT)).get_charmap() if CHINESE_FONT.is_file() else ()
    return frozenset(own[0].get_charmap()) & frozenset(own[1].get_charmap()) | frozenset(chinese)


def _short(method: str, longest: int = 26) -> str:
    return method if len(method) <= longest else "…" + method[-longest + 1 :]


def _font_families() -> list[str]:
    """Matplotlib's own font, then the one with the provinces' characters, which comes with the renderer."""
    known = {entry.name for entry in fontManager.ttflist}
    if CHINESE_FONT.is_file() and CHINESE_FAMILY not in known:
        # one weight serves for both: asked for the other, matplotlib would warn at each character
        for weight in ("normal", "bold"):
            fontManager.ttflist.append(FontEntry(fname=str(CHINESE_FONT), name=CHINESE_FAMILY, weight=weight))
    return [OWN_FAMILY, CHINESE_FAMILY] if CHINESE_FONT.is_file() else [OWN_FAMILY]


def _figure(size: tuple[float, float], dpi: int, layout: str = "none") -> Figure:
    """A figure outside pyplot: nothing to close."""
    figure = Figure(figsize=size, dpi=dpi, facecolor="white", layout=layout)
    FigureCanvasAgg(figure)
    return figure
