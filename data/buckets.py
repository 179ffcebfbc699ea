"""Photos go through preprocessing in buckets of a few hundred: the unit of work, of progress, and of what a stopped run
keeps. What they leave in the output folder:

    OUT/settings.json                what the tiles were made with, and the number of buckets
    OUT/parts/BUCKETS/NUMBER.jsonl   what became of each photo, a file a bucket, one line a photo
    OUT/.lock                        held by the run at work (data/files.py)

A photo's bucket follows from its path, so photos added later fall into the same buckets as before. A run that finds a
bucket's part does only the photos that it lacks, that have changed, or whose tiles are gone. Photos that are gone from
the raw folder stay in the tiles.

A bucket's part is written when its tiles are on the disk, and only then gets its name. So a power cut at any moment
leaves nothing worse than tiles that are made once more.
"""

import contextlib
import hashlib
import json
import os
import socket
import sys
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path

import cv2
import fsspec
import numpy as np
import PIL

from data.console import say
from data.files import LOCK, PART, is_local, is_path, read_bytes, replacing, sync, write_bytes
from data.photos import SPLITS, UNREADABLE, Photo
from data.preprocessing import REJECTED, Finder, Outcome, Recipe, Summary, make_pairs, to_json
from data.tiles import MANIFEST, Row, format_rows, tile_url

PHOTOS_PER_BUCKET = 256
# so that a small folder, too, keeps several workers busy
FEWEST_BUCKETS = 16
OTHER_CODE = "a worker has another version of this code, its detector, NumPy, OpenCV or Pillow: its tiles would differ"
NOT_LISTED = "in none of the split files"
SETTINGS = "settings.json"
# of the form "photos" alone: what finds the plates; not imported, since data stands left of models
PROJECT = Path(__file__).resolve().parents[1]
DETECTOR = PROJECT / "checkpoints/pretrained/detector.onnx"
FINDING = (PROJECT / "models/detector.py", DETECTOR)
SIDES = tuple(f"{split}/{side}" for split in SPLITS for side in ("hr", "lq"))


def bucket_count(photos: int) -> int:
    return max(1, min(photos, FEWEST_BUCKETS), -(-photos // PHOTOS_PER_BUCKET))


def bucket_of(source: str, count: int) -> int:
    return zlib.crc32(source.encode("utf-8", "surrogateescape")) % count


def into_buckets(photos: list[Photo], count: int) -> list[list[Photo]]:
    buckets: list[list[Photo]] = [[] for _ in range(count)]
    for photo in photos:
        buckets[bucket_of(photo.source, count)].append(photo)
    return buckets


@dataclass(frozen=True)
class Job:
    """What all buckets of a run have in common. raw, out, parts: folders. code: `code_checksum` of the program that
    asks for them, "" if it does not matter. find: the function that finds plates in photos without annotation."""

    recipe: Recipe
    raw: str
    out: str
    parts: str
    code: str = ""
    find: Finder | None = None


@lru_cache
def code_checksum(form: str = "") -> str:
    """A checksum of all that affects a tile's bytes: this package's files, for the form "photos" the detector, and the
    versions of what computes with pixels."""
    digest = hashlib.sha256(repr((cv2.__version__, np.__version__, PIL.__version__)).encode())
    for file in (*sorted(Path(__file__).parent.glob("*.py")), *(FINDING if form == "photos" else ())):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]


def run_bucket(job: Job, number: int, photos: list[Photo], splits: dict[str, str] | None = None) -> Summary:
    """Do what is missing of a bucket, write its part, and sum it up.

    splits: source -> split, of the dataset's own lists. Raises OSError when the output cannot be written, RuntimeError
    where this is not the code that asks for it.
    """
    if job.code not in ("", code_checksum(job.recipe.form)):
        raise RuntimeError(f"{OTHER_CODE} ({Path(__file__).parent} on {socket.gethostname()})")
    # the processes are the parallelism
    cv2.setNumThreads(1)
    found, whole = read_part(job.parts, number)
    lost = [outcome for outcome in found if not _has_its_tiles(job.out, outcome)]
    known = {outcome.source: outcome for outcome in found}
    for outcome in lost:
        # what is left of them is of no use to anybody
        _remove_tiles(job.out, known.pop(outcome.source).rows)
    new = []
    for photo in photos:
        before = known.get(photo.source)
        if before is not None and before.stamp == photo.stamp and before.reason != UNREADABLE:
            continue
        known[photo.source] = _make(photo, job, splits)
        if before is not None:
            kept = {(row.split, row.key) for row in known[photo.source].rows}
            _remove_tiles(job.out, [row for row in before.rows if (row.split, row.key) not in kept])
        new.append(known[photo.source])
    outcomes = sorted(known.values(), key=lambda outcome: outcome.source)
    if new or lost or not whole:
        _sync_tiles(job.out, [row for outcome in new for row in outcome.rows])
        write_part(job.parts, number, outcomes)
    gone = len({outcome.source for outcome in lost} - {photo.source for photo in photos})
    damaged = "" if whole else part_url(job.parts, number)
    return Summary.of(outcomes, damaged, new=len(new), lost=len(lost), gone=gone)


def _make(photo: Photo, job: Job, splits: dict[str, str] | None) -> Outcome:
    if splits is not None and photo.source not in splits:
        return Outcome(photo.source, photo.stamp, REJECTED, NOT_LISTED)
    return make_pairs(photo, job.recipe, job.raw, job.out, splits and splits[photo.source], job.find)


def _has_its_tiles(out: str, outcome: Outcome) -> bool:
    """Whether the tiles are there in their sizes. Remote storage is trusted, since asking costs a request per tile."""
    if not is_path(out):
        return True
    sizes = outcome.sizes or [(None, None)] * len(outcome.rows)
    for row, pair in zip(outcome.rows, sizes, strict=False):
        for side, size in zip(("hr", "lq"), pair, strict=False):
            try:
                found = os.stat(tile_url(out, row.split, side, row.key)).st_size
            except FileNotFoundError:
                return False
            if not found or size not in (None, found):
                return False
    return True


def _remove_tiles(out: str, rows: list[Row]) -> None:
    system, _ = fsspec.core.url_to_fs(out)
    for row in rows:
        for side in ("hr", "lq"):
            with contextlib.suppress(FileNotFoundError):
                system.rm(tile_url(out, row.split, side, row.key))


def _sync_tiles(out: str, rows: list[Row]) -> None:
    """Wait until tiles are on the disk, not only in the system's memory."""
    if not is_path(out):
        return
    # Linux waits until all is written, which takes a hundredth of what asking file by file does
    if sys.platform == "linux":
        os.sync()
        return
    for row in rows:
        for side in ("hr", "lq"):
            sync(tile_url(out, row.split, side, row.key))
    for side in SIDES:
        sync(f"{out}/{side}")


def parts_folder(out: str, count: int) -> str:
    return f"{out}/parts/{count}"


def part_url(parts: str, number: int) -> str:
    return f"{parts}/{number:05d}.jsonl"


def write_part(parts: str, number: int, outcomes: list[Outcome]) -> None:
    """A line an outcome; no part for none."""
    url = part_url(parts, number)
    if outcomes:
        lines = [to_json(outcome, default=vars) + b"\n" for outcome in outcomes]
        write_bytes(url, b"".join(lines), durable=True)
    else:
        system, path = fsspec.core.url_to_fs(url)
        system.rm(path)


def read_part(parts: str, number: int) -> tuple[list[Outcome], bool]:
    """(what an earlier run did of a bucket, whether every line of it could be read); nothing where there is no part."""
    try:
        lines = read_bytes(part_url(parts, number)).split(b"\n")
    except FileNotFoundError:
        return [], True
    outcomes = [_parse(line) for line in lines[:-1]]
    # a whole part ends with the end of a line, and is never empty
    whole = lines[-1] == b"" and len(lines) > 1 and None not in outcomes
    return [outcome for outcome in outcomes if outcome is not None], whole


def _parse(line: bytes) -> Outcome | None:
    """None for a line that is damaged."""
    try:
        fields = json.loads(line)
        rows = [Row(**row) for row in fields.pop("rows")]
        return replace(Outcome(**fields), rows=rows)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def all_rows(parts: str, count: int) -> Iterator[Row]:
    """The manifest's rows, bucket after bucket: only one bucket is in memory at a time."""
    for number in range(count):
        rows = [row for outcome in read_part(parts, number)[0] for row in outcome.rows]
        yield from sorted(rows, key=lambda row: row.key)


# --- The output folder ------------------------------------------------------------------------------------------------


def absolute(folder: str) -> str:
    """The folder as workers with another current directory find it."""
    system, root = fsspec.core.url_to_fs(folder)
    return root if is_local(system) else system.unstrip_protocol(root)


def lies_in(folder: str, other: str) -> bool:
    """Whether a folder, there or yet to be made, is `other` or lies in it, however the two are named."""
    if not (is_path(folder) and is_path(other)):
        return f"{folder}/".startswith(f"{other}/")
    real = Path(os.path.realpath(folder))
    with contextlib.suppress(FileNotFoundError):
        return any(each.exists() and each.samefile(other) for each in (real, *real.parents))
    return False


def agree_on_settings(out: str, recipe: Recipe, split_files: str, buckets: int) -> dict:
    """The settings that the output was or will be made with. Raises ValueError for an output made with others.

    split_files: a checksum of the dataset's own lists, "" for none. buckets: how many the photos want.
    """
    system, root = fsspec.core.url_to_fs(out)
    wanted = json.loads(json.dumps({**asdict(recipe), "split_files": split_files}))
    if recipe.form == "photos":
        wanted["detector"] = hashlib.sha256(DETECTOR.read_bytes()).hexdigest()[:16]
    if not system.exists(f"{root}/{SETTINGS}"):
        _start(system, root, out, {**wanted, "buckets": buckets})
    stored = _read_settings(f"{out}/{SETTINGS}")
    differing = [name for name, value in wanted.items() if stored.get(name) != value]
    if differing:
        had = ", ".join(f"{name} {stored.get(name)} (now {wanted[name]})" for name in differing)
        raise ValueError(f"--out {out} was made with other settings: {had}; give another folder")
    for folder in (*SIDES, f"parts/{stored['buckets']}"):
        system.makedirs(f"{root}/{folder}", exist_ok=True)
    remove_unfinished(out, stored["buckets"])
    return _grown(system, root, out, stored, buckets // stored["buckets"])


def _read_settings(url: str) -> dict:
    try:
        stored = json.loads(read_bytes(url))
        if stored["buckets"] < 1:
            raise ValueError("no buckets")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{url} is damaged, so nobody knows how its tiles were made ({error}); give another folder"
        ) from None
    # tiles of before there was a choice are not straightened
    return {"straighten": False} | stored


def _start(system: fsspec.AbstractFileSystem, root: str, out: str, settings: dict) -> None:
    names = [name.rsplit("/", 1)[-1] for name in system.ls(root, detail=False)] if system.isdir(root) else []
    # a run killed while it wrote its settings leaves an unfinished file
    if any(name != LOCK and not name.endswith(PART) for name in names):
        raise ValueError(f"--out {out} is not empty and was not made by preprocess.py; give another folder")
    _write_settings(out, settings)


def _write_settings(out: str, settings: dict) -> None:
    write_bytes(f"{out}/{SETTINGS}", json.dumps(settings, indent=2).encode(), durable=True)


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
        outcomes, whole = read_part(parts_folder(out, before), number)
        if not whole:
            say(f"{part_url(parts_folder(out, before), number)} is damaged: its photos are done again")
        split: dict[int, list[Outcome]] = {}
        for outcome in outcomes:
            split.setdefault(bucket_of(outcome.source, after), []).append(outcome)
        for new, own in split.items():
            write_part(parts_folder(out, after), new, own)
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
    with replacing(path, durable=True) if is_local(system) else system.open(path, "wb") as file:
        file.write(format_rows([]).encode())
        for row in all_rows(parts_folder(out, buckets), buckets):
            file.write(format_rows([row], header=False).encode())
