"""Photos go through preprocessing in buckets of a few hundred: the unit of work, of progress, and of what a stopped run
keeps.

A photo's bucket follows from its path, so photos added later fall into the same buckets as before. A finished bucket
leaves OUT/parts/BUCKETS/NUMBER.jsonl, one line a photo; a run that finds it there does only the photos that it lacks or
that have changed. Photos that are gone from the raw folder stay in the tiles.
"""

import json
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import cv2
import fsspec
import numpy as np

from data.io import write_bytes
from data.pairing import REJECTED, Outcome, Recipe, make_pairs
from data.photos import UNREADABLE, Photo
from data.tiles import Row, tile_url

PHOTOS_PER_BUCKET = 256
# so that a small folder, too, keeps several workers busy
FEWEST_BUCKETS = 16
# file names kept for report.json; a million of them would help nobody
NAMES_PER_REASON = 1000
# pairs shown in report.png
SAMPLES = 12
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

    @classmethod
    def of(cls, outcomes: list[Outcome], new: int) -> "Summary":
        """`new` of them were done in this run."""
        summary, figures = cls(new=new), defaultdict(list)
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


def _first_names(names: list[str]) -> list[str]:
    return sorted(names)[:NAMES_PER_REASON]


def _sample(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return sorted(pairs, key=lambda pair: zlib.crc32(pair[1].encode()))[:SAMPLES]


def bucket_count(photos: int) -> int:
    return max(1, min(photos, FEWEST_BUCKETS), -(-photos // PHOTOS_PER_BUCKET))


def bucket_of(source: str, count: int) -> int:
    return zlib.crc32(source.encode()) % count


def into_buckets(photos: list[Photo], count: int) -> list[list[Photo]]:
    buckets: list[list[Photo]] = [[] for _ in range(count)]
    for photo in photos:
        buckets[bucket_of(photo.source, count)].append(photo)
    return buckets


@dataclass(frozen=True)
class Job:
    """What all buckets of a run have in common. raw, out, parts: folders."""

    recipe: Recipe
    raw: str
    out: str
    parts: str


def run_bucket(job: Job, number: int, photos: list[Photo], splits: dict[str, str] | None = None) -> Summary:
    """Do what is missing of a bucket, write its part, and sum it up. splits: source -> split, of the dataset's own
    lists."""
    # the processes are the parallelism
    cv2.setNumThreads(1)
    known = {outcome.source: outcome for outcome in read_part(job.parts, number)}
    new = 0
    for photo in photos:
        before = known.get(photo.source)
        if before is not None and before.stamp == photo.stamp and before.reason != UNREADABLE:
            continue
        known[photo.source] = _make(photo, job, splits)
        if before is not None:
            _remove_stale(job.out, before, known[photo.source])
        new += 1
    outcomes = sorted(known.values(), key=lambda outcome: outcome.source)
    if new:
        lines = (json.dumps(outcome, default=vars, ensure_ascii=False) + "\n" for outcome in outcomes)
        write_bytes(part_url(job.parts, number), "".join(lines).encode())
    return Summary.of(outcomes, new)


def _make(photo: Photo, job: Job, splits: dict[str, str] | None) -> Outcome:
    if splits is not None and photo.source not in splits:
        return Outcome(photo.source, photo.stamp, REJECTED, "in none of the split files")
    return make_pairs(photo, job.recipe, job.raw, job.out, splits and splits[photo.source])


def _remove_stale(out: str, before: Outcome, after: Outcome) -> None:
    """Tiles of a replaced photo that its successor does not have."""
    system, _ = fsspec.core.url_to_fs(out)
    kept = {(row.split, row.key) for row in after.rows}
    for row in before.rows:
        if (row.split, row.key) not in kept:
            for side in ("hr", "lq"):
                system.rm(tile_url(out, row.split, side, row.key))


def parts_folder(out: str, count: int) -> str:
    return f"{out}/parts/{count}"


def part_url(parts: str, number: int) -> str:
    return f"{parts}/{number:05d}.jsonl"


def read_part(parts: str, number: int) -> list[Outcome]:
    """What an earlier run did of a bucket; [] if nothing."""
    system, path = fsspec.core.url_to_fs(part_url(parts, number))
    try:
        content = system.cat_file(path).decode()
    except FileNotFoundError:
        return []
    return [_parse(json.loads(line)) for line in content.splitlines()]


def _parse(fields: dict) -> Outcome:
    rows = [Row(**row) for row in fields.pop("rows")]
    return replace(Outcome(**fields), rows=rows)


def all_rows(parts: str, count: int) -> Iterator[Row]:
    """The manifest's rows, bucket after bucket: only one bucket is in memory at a time."""
    for number in range(count):
        rows = [row for outcome in read_part(parts, number) for row in outcome.rows]
        yield from sorted(rows, key=lambda row: row.key)
