"""Preprocessing beside the floor under it: decode one photo, degrade one tile, encode two PNGs, in a bare loop.

    python -m tools.benchmarks.preprocess --raw datasets/CCPD2019/ccpd_base --photos 1200

Prints a table: the bare loop; a plain loop that makes the same tiles (crops, judges, samples, writes files);
preprocess.py with one and with two workers, as photos per second, gain over one worker, and core seconds per photo over
the bare loop's. The loops run in a process that keeps its memory as the workers do (data/cluster.py); in one that does
not they take a quarter longer. The photos of --raw are copied under new names until there are as many as asked for;
plates that the defaults would reject are kept, so that every photo makes a pair. What a run takes for any number of
photos (starting workers, drawing the report) is told apart.
"""

import argparse
import contextlib
import io
import itertools
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import psutil

import preprocess
from data import cluster, degrade
from data.buckets import agree_on_settings
from data.ccpd import parse_name
from data.io import encode_png
from data.photos import find_photos
from data.preprocessing import Recipe, make_pairs
from data.straighten import crop_plate
from data.synthetic.rendering import render_folder

FLAGS = {"min_plate_width": 1, "brightness": (-1, 2), "min_contrast": 0, "min_sharpness": 0}
TAKE_ALL = Recipe(**FLAGS)
WORKERS = (1, 2)


def copy_photos(raw: Path, folder: Path, count: int) -> list[Path]:
    """`count` photos in `folder`, those of `raw` again and again. Raises ValueError for photos without CCPD names."""
    found = sorted(raw / photo.source for photo in find_photos(str(raw)).photos)
    sources = itertools.islice(itertools.cycle(found), count)
    folder.mkdir()
    paths = []
    for number, source in enumerate(sources):
        parse_name(source.name)
        area, rest = source.name.split("-", 1)
        paths.append(folder / f"{area}{number:06d}-{rest}")
        shutil.copyfile(source, paths[-1])
    return paths


def floor(paths: list[Path]) -> np.ndarray:
    """`measured` per photo of what cannot be avoided."""
    first = cv2.cvtColor(cv2.imread(str(paths[0])), cv2.COLOR_BGR2RGB)
    tile = crop_plate(first, parse_name(paths[0].name).corners)[0]
    contents = [np.frombuffer(path.read_bytes(), np.uint8) for path in paths]
    steps = [degrade.sample(np.random.default_rng([0, number]), TAKE_ALL.preset) for number in range(len(paths))]
    started = measured()
    for content, damage in zip(contents, steps, strict=True):
        cv2.imdecode(content, cv2.IMREAD_COLOR)
        lq = degrade.apply(tile.astype(np.float32) / np.float32(255), damage)
        encode_png(tile)
        encode_png(lq)
    return (measured() - started) / len(paths)


def plain_loop(raw: Path, out: Path) -> np.ndarray:
    """`measured` per photo of making the pairs without buckets and Dask."""
    photos = find_photos(str(raw)).photos
    out.mkdir()
    agree_on_settings(str(out), TAKE_ALL, "", 1)
    started = measured()
    for photo in photos:
        make_pairs(photo, TAKE_ALL, str(raw), str(out))
    return (measured() - started) / len(photos)


def in_a_worker(task: Callable, *arguments):
    """The task's result, in a process that has all imports done and one thread for OpenCV, as preprocess.py's have."""
    with cluster.connect(1, None) as client:
        client.run(cv2.setNumThreads, 1)
        return client.submit(task, *arguments).result()


def ours(raw: Path, out: Path, workers: int) -> tuple[float, np.ndarray, float]:
    """(seconds that do not grow with the photos: workers started, report drawn; `measured` per photo beside that; MiB
    of the worker that took most)."""
    before = time.perf_counter()
    with cluster.connect(workers, None) as client:
        client.run(run_nothing)
        start_up = time.perf_counter() - before
        original = cluster.connect
        cluster.connect = lambda *_: contextlib.nullcontext(client)
        try:
            whole, photos = one_run(raw, out)
            # all is done: what is left is the report
            nothing, _ = one_run(raw, out)
        finally:
            cluster.connect = original
        return start_up + nothing[0], (whole - nothing) / photos, max(client.run(memory_mib).values())


def one_run(raw: Path, out: Path) -> tuple[np.ndarray, int]:
    """(`measured` of a run, its photos)."""
    started = measured()
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        summary = preprocess.preprocess(preprocess.Settings(raw=str(raw), out=str(out), **FLAGS))
    return measured() - started, summary.verdicts.total()


def memory_mib() -> float:
    """Of this process. Workers keep what they once took (data/cluster.py), so this is also the most they had."""
    return psutil.Process().memory_info().rss / 2**20


def run_nothing() -> None:
    """What a worker must import to run this, it needs for preprocessing too."""


def measured() -> np.ndarray:
    """(wall, core) seconds: core seconds of this process and its workers, which a busy machine disturbs less."""
    own = psutil.Process()
    times = [process.cpu_times() for process in (own, *own.children(recursive=True))]
    return np.array([time.perf_counter(), sum(each.user + each.system for each in times)])


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=preprocess.HelpFormatter)
    parser.add_argument("--raw", type=Path, metavar="DIR", help="CCPD photos (default: 40 rendered ones)")
    parser.add_argument("--photos", type=int, default=1500, metavar="N", help="photos to work on")
    flags = parser.parse_args(argv)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as scratch:
        if flags.raw is None:
            render_folder(Path(scratch) / "rendered", 40)
        paths = copy_photos(flags.raw or Path(scratch) / "rendered", Path(scratch) / "raw", flags.photos)
        bare = in_a_worker(floor, paths)
        plain = in_a_worker(plain_loop, Path(scratch) / "raw", Path(scratch) / "plain")
        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before the start, {len(paths)} photos")
        print("            photos/s    gain over 1 worker    core time of the floor    start and end s    MiB a worker")
        for name, each in (("bare loop  ", bare), ("plain loop ", plain)):
            print(f"{name} {1 / each[0]:8.1f}    {'':18}    {each[1] / bare[1]:22.2f}")
        alone = None
        for workers in WORKERS:
            fixed, each, memory = ours(Path(scratch) / "raw", Path(scratch) / f"out{workers}", workers)
            alone = alone or each[0]
            gain, cost = alone / each[0], each[1] / bare[1]
            print(
                f"{workers} worker(s) {1 / each[0]:8.1f}    {gain:18.2f}    {cost:22.2f}    {fixed:15.1f}    "
                f"{memory:12.0f}"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
