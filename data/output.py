"""The state of an output folder of preprocessing: who may write there, with which settings, and what is left of a
stopped run.

OUT/settings.json          what the tiles were made with, and the number of buckets
OUT/parts/BUCKETS/*.jsonl  what became of each photo, a file a bucket (data/buckets.py)
OUT/.lock                  held by the run at work (data/locking.py)
"""

import contextlib
import json
import os
from dataclasses import asdict

import fsspec

from data.buckets import all_rows, bucket_of, part_url, parts_folder
from data.io import PART, is_local, replacing, write_bytes
from data.locking import LOCK
from data.pairing import Recipe
from data.tiles import MANIFEST, SPLITS, format_rows

SETTINGS = "settings.json"
SIDES = tuple(f"{split}/{side}" for split in SPLITS for side in ("hr", "lq"))


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
