"""Photos go through preprocessing in buckets of a few hundred: the unit of work, of progress, and of what a stopped run
keeps. What they leave in the output folder:

    OUT/settings.json                what the tiles were made with, and the number of buckets
    OUT/parts/BUCKETS/NUMBER.jsonl   what became of each photo, a file a bucket, one line a photo
    OUT/.lock                        held by the run at work (data/locking.py)

A photo's bucket follows from its path, so photos added later fall into the same buckets as before. A run that finds a
bucket's part does only the photos that it lacks, or that have changed. Photos that are gone from the raw folder stay in
the tiles.
"""

import contextlib
import json
import os
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

import cv2
import fsspec

from data.files import PART, is_local, replacing, write_bytes
from data.locking import LOCK
from data.photos import UNREADABLE, Photo
from data.preprocess_report import Summary
from data.preprocessing import REJECTED, Outcome, Recipe, make_pairs
from data.tiles import MANIFEST, SPLITS, Row, format_rows, tile_url

PHOTOS_PER_BUCKET = 256
# so that a small folder, too, keeps several workers busy
FEWEST_BUCKETS = 16
SETTINGS = "settings.json"
SIDES = tuple(f"{split}/{side}" for split in SPLITS for side in ("hr", "lq"))


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


# --- The output folder --------------------------------------------------------------------------------------


def absolute(folder: str) -> str:
    """The folder as workers with another current directory find it."""
    system, root = fsspec.core.url_to_fs(folder)
    return root if is_local(system) else system.unstrip_protocol(root)


def agree_on_settings(out: str, recipe: Recipe, split_files: str, buckets: int) -> dict:
    """The settings that the output was or will be made with. Raises ValueError for an output made with others.

    split_files: a checksum of the dataset's own lists, "" for none. buckets: how many the photos want.
    """
    system, root = fsspec.core.url_to_fs(out)
    wanted = json.loads(json.dumps({**asdict(recipe), "split_files": split_files}))
    if not system.exists(f"{root}/{SETTINGS}"):
        _start(system, root, out, {**wanted, "buckets": buckets})
    stored = json.loads(system.cat_file(f"{root}/{SETTINGS}"))
    # tiles of before there was a choice are not straightened
    stored.setdefault("straighten", False)
    differing = [name for name, value in wanted.items() if stored.get(name) != value]
    if differing:
        had = ", ".join(f"{name} {stored.get(name)} (now {wanted[name]})" for name in differing)
        raise ValueError(f"--out {out} was made with other settings: {had}; give another folder")
    for folder in (*SIDES, f"parts/{stored['buckets']}"):
        system.makedirs(f"{root}/{folder}", exist_ok=True)
    remove_unfinished(out, stored["buckets"])
    return _grown(system, root, out, stored, buckets // stored["buckets"])


def _start(system: fsspec.AbstractFileSystem, root: str, out: str, settings: dict) -> None:
    if system.isdir(root) and any(name.rsplit("/", 1)[-1] != LOCK for name in system.ls(root, detail=False)):
        raise ValueError(f"--out {out} is not empty and was not made by preprocess.py; give another folder")
    _write_settings(out, settings)


def _write_settings(out: str, settings: dict) -> None:
    write_bytes(f"{out}/{SETTINGS}", json.dumps(settings, indent=2).encode())


def remove_unfinished(out: str, buckets: int) -> None:
    """Remove what killed processes left: files not yet whole, and parts on the way to another number of buckets."""
    system, root = fsspec.core.url_to_fs(out)
    # storage without folders has none before its first file
    with contextlib.suppress(FileNotFoundError):
        for name in system.ls(f"{root}/parts", detail=False):
            if name.rsplit("/", 1)[-1] != str(buckets):
                system.rm(name, recursive=True)
    # elsewhere files come whole
    if not is_local(system):
        return
    for folder in ("", *SIDES, f"parts/{buckets}"):
        with os.scandir(f"{root}/{folder}") as entries:
            for entry in entries:
                if entry.name.endswith(PART):
                    os.unlink(entry)


def _grown(system: fsspec.AbstractFileSystem, root: str, out: str, settings: dict, times: int) -> dict:
    """Split every bucket into `times` when the photos have become that many more, so that buckets stay small."""
    if times < 2:
        return settings
    before, after = settings["buckets"], settings["buckets"] * times
    system.makedirs(f"{root}/parts/{after}", exist_ok=True)
    for number in range(before):
        with contextlib.suppress(FileNotFoundError):
            lines = system.cat_file(part_url(f"{root}/parts/{before}", number)).decode().splitlines(keepends=True)
            split: dict[int, str] = {}
            for line in lines:
                new = bucket_of(json.loads(line)["source"], after)
                split[new] = split.get(new, "") + line
            for new, text in split.items():
                write_bytes(part_url(parts_folder(out, after), new), text.encode())
    # from here on the new parts count; the old ones are only in the way
    settings = {**settings, "buckets": after}
    _write_settings(out, settings)
    system.rm(f"{root}/parts/{before}", recursive=True)
    return settings


def clear(out: str) -> None:
    """Forget an output in which nothing was kept, so that other settings can be tried in the same folder."""
    system, root = fsspec.core.url_to_fs(out)
    for name in (SETTINGS, "parts", *SPLITS):
        with contextlib.suppress(FileNotFoundError):
            system.rm(f"{root}/{name}", recursive=True)


def write_manifest(out: str, buckets: int) -> None:
    """manifest.csv from the buckets' parts, one bucket in memory at a time."""
    system, root = fsspec.core.url_to_fs(out)
    path = f"{root}/{MANIFEST}"
    with replacing(path) if is_local(system) else system.open(path, "wb") as file:
        file.write(format_rows([]).encode())
        for row in all_rows(parts_folder(out, buckets), buckets):
            file.write(format_rows([row], header=False).encode())
