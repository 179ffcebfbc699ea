"""report.json and report.png of a preprocessing run, from streamed counts."""

import io
import json

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from data.buckets import BINS, RANGES, Summary
from data.io import write_bytes
from data.pairing import KEPT, REJECTED
from data.tiles import read_tile, tile_url

COLUMNS = 4


def write_report(out: str, summary: Summary, settings: dict, seconds: float) -> None:
    """Both files, into the tile folder `out`."""
    write_bytes(
        f"{out}/report.json", json.dumps(_figures(summary, settings, seconds), indent=2, ensure_ascii=False).encode()
    )
    figure = draw(summary, out)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=110)
    plt.close(figure)
    write_bytes(f"{out}/report.png", stream.getvalue())


def _figures(summary: Summary, settings: dict, seconds: float) -> dict:
    reasons = {
        reason: {"verdict": verdict, "count": count, "files": summary.names[reason]}
        for verdict, counts in sorted(summary.reasons.items())
        for reason, count in counts.most_common()
    }
    return {
        "photos": dict(summary.verdicts),
        "pairs": dict(sorted(summary.splits.items())),
        "reasons": reasons,
        "done_in_this_run": summary.new,
        "seconds": round(seconds, 2),
        "photos_per_second": round(summary.new / seconds, 2),
        "settings": settings,
    }


def draw(summary: Summary, out: str) -> plt.Figure:
    """Histograms of brightness and contrast of kept and rejected plates, and a strip of pairs."""
    rows = max(1, -(-len(summary.samples) // COLUMNS))
    figure = plt.figure(figsize=(13, 3.4 + 2.3 * rows), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=(3.4, 2.3 * rows))
    for axes, name, unit in zip(
        upper.subplots(1, 2), ("brightness", "contrast"), ("mean", "standard deviation"), strict=True
    ):
        _histogram(axes, summary, name, unit)
    lower.suptitle("low-quality above, clean below: pairs of some photos", fontsize=10)
    grid = np.atleast_1d(lower.subplots(rows, COLUMNS)).ravel()
    for axes in grid:
        axes.axis("off")
    for axes, (split, key) in zip(grid, summary.samples, strict=False):
        lq, hr = (read_tile(tile_url(out, split, side, key)) for side in ("lq", "hr"))
        axes.imshow(np.concatenate([_enlarged(lq, hr.shape), np.full((4, hr.shape[1], 3), 255, np.uint8), hr]))
    return figure


def _histogram(axes: plt.Axes, summary: Summary, name: str, unit: str) -> None:
    edges = np.linspace(*RANGES[name], BINS + 1)
    for verdict, colour in ((KEPT, "tab:green"), (REJECTED, "tab:red")):
        counts = summary.histograms.get(f"{verdict} {name}", np.zeros(BINS, int))
        axes.stairs(counts, edges, fill=True, alpha=0.6, color=colour, label=f"{verdict} ({counts.sum()})")
    axes.set_xlabel(f"{name} of the clean tile ({unit}, pictures in [0, 1])")
    axes.set_ylabel("photos")
    axes.legend()


def _enlarged(lq: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Pixels repeated to the clean tile's size, so that a small tile looks as small as it is."""
    times = shape[0] // lq.shape[0]
    return lq.repeat(times, axis=0).repeat(times, axis=1)
