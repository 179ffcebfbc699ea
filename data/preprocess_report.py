"""What became of the photos of a preprocessing run: counts that add up, report.json and report.png."""

import io
import json
import zlib
from collections import Counter, defaultdict
from dataclasses import dataclass, field

import numpy as np

from data.files import write_bytes
from data.preprocessing import KEPT, REJECTED, Outcome
from data.tiles import read_tile, tile_url

# file names kept for report.json; a million of them would help nobody
NAMES_PER_REASON = 1000
# pairs shown in report.png
SAMPLES, COLUMNS = 12, 4
BINS = 50
RANGES = {"brightness": (0, 1), "contrast": (0, 0.5), "sharpness": (0, 2), "plate_px": (0, 600)}


@dataclass
class Summary:
    """Counts of one bucket or of many: additive in any order, and of a size that does not grow with the photos."""

    verdicts: Counter = field(default_factory=Counter)
    # by verdict
    reasons: dict[str, Counter] = field(default_factory=lambda: defaultdict(Counter))
    # by reason
    names: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    # by "verdict figure"
    histograms: dict[str, np.ndarray] = field(default_factory=dict)
    # pairs by split
    splits: Counter = field(default_factory=Counter)
    # (split, key) of a few pairs, chosen by hash
    samples: list[tuple[str, str]] = field(default_factory=list)
    # photos done in this run, not taken over from an earlier one
    new: int = 0
    # photos whose tiles of an earlier run are gone or damaged
    lost: int = 0
    # files of an earlier run that no longer say what became of their photos
    damaged: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, outcomes: list[Outcome], new: int, lost: int = 0, damaged: str = "") -> "Summary":
        """`new` of them were done in this run, and `lost` had been done before."""
        summary, figures = cls(new=new, lost=lost, damaged=[damaged] if damaged else []), defaultdict(list)
        for outcome in outcomes:
            summary.verdicts[outcome.verdict] += 1
            if outcome.reason:
                summary.reasons[outcome.verdict][outcome.reason] += 1
                summary.names[outcome.reason].append(outcome.source)
            for name, value in outcome.figures.items():
                figures[outcome.verdict, name].append(value)
            summary.splits.update(row.split for row in outcome.rows)
        for reason, names in summary.names.items():
            summary.names[reason] = _first_names(names)
        summary.histograms = {
            f"{verdict} {name}": np.histogram(values, BINS, RANGES[name])[0]
            for (verdict, name), values in figures.items()
        }
        summary.samples = _sample([(row.split, row.key) for outcome in outcomes for row in outcome.rows[:1]])
        return summary

    def merge(self, other: "Summary") -> None:
        self.verdicts += other.verdicts
        for verdict, counts in other.reasons.items():
            self.reasons[verdict] += counts
        for reason, names in other.names.items():
            self.names[reason] = _first_names(self.names[reason] + names)
        for name, bins in other.histograms.items():
            self.histograms[name] = self.histograms.get(name, 0) + bins
        self.splits += other.splits
        self.samples = _sample(self.samples + other.samples)
        self.new += other.new
        self.lost += other.lost
        self.damaged = _first_names(self.damaged + other.damaged)


def _first_names(names: list[str]) -> list[str]:
    return sorted(names)[:NAMES_PER_REASON]


def _sample(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return sorted(pairs, key=lambda pair: zlib.crc32(pair[1].encode()))[:SAMPLES]


def write_report(out: str, summary: Summary, unmatched: list[str], settings: dict, seconds: float) -> None:
    """Both files, into the tile folder `out`. unmatched: the rows and lines of lists that name no photo."""
    figures = _figures(summary, unmatched, settings, seconds)
    write_bytes(f"{out}/report.json", to_json(figures, indent=2), durable=True)
    write_bytes(f"{out}/report.png", draw(summary, out))


def to_json(content: object, **options) -> bytes:
    """UTF-8, for people to read. What is not Unicode in a file's name becomes an escape, as JSON has them."""
    return json.dumps(content, ensure_ascii=False, **options).encode("utf-8", "backslashreplace")


def _figures(summary: Summary, unmatched: list[str], settings: dict, seconds: float) -> dict:
    reasons = {
        reason: {"verdict": verdict, "count": count, "files": summary.names[reason]}
        for verdict, counts in sorted(summary.reasons.items())
        for reason, count in counts.most_common()
    }
    return {
        "photos": dict(summary.verdicts),
        "pairs": dict(sorted(summary.splits.items())),
        "reasons": reasons,
        "listed_but_not_found": {"count": len(unmatched), "names": unmatched[:NAMES_PER_REASON]},
        "tiles_lost_and_made_again": summary.lost,
        "damaged_parts": summary.damaged,
        "done_in_this_run": summary.new,
        "seconds": round(seconds, 2),
        "photos_per_second": round(summary.new / seconds, 2),
        "settings": settings,
    }


def draw(summary: Summary, out: str) -> bytes:
    """A PNG: histograms of brightness and contrast of kept and rejected plates, and a strip of pairs."""
    # imported late: nothing else here needs matplotlib, which takes a second
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

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
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=110)
    plt.close(figure)
    return stream.getvalue()


def _histogram(axes, summary: Summary, name: str, unit: str) -> None:
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
