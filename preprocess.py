"""Turns raw plate photos into paired tiles: blurred, dark low-quality ones beside the clean ones they were made of.

    python preprocess.py --raw datasets/CCPD2019 --out datasets/tiles

Leaves OUT/{train,val,test}/{hr,lq}/KEY.png, manifest.csv, report.json and report.png. Runs on Dask: processes of this machine,
or a running cluster with --scheduler. --raw and --out may be URLs that fsspec knows, such as s3://bucket/folder. A stopped run
that is started again does only what is missing; photos added later are added.
"""

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import fsspec

from data.buckets import Summary, all_rows, bucket_count, into_buckets, run_bucket
from data.pairing import FAILED, KEPT, Recipe
from data.photos import Photo, decide_format, find_photos
from data.presets import PRESETS
from data.tiles import MANIFEST, SPLITS, format_rows, write_bytes

SETTINGS = "settings.json"
AHEAD = 3  # buckets handed out per worker: one in work, the others on their way
RETRIES = 2  # of a bucket whose worker died


def preprocess(raw: str, out: str, recipe: Recipe, form: str = "auto", **machine) -> Summary:
    """Do the whole run. machine: workers, scheduler, split_files, limit. Raises ValueError for wrong settings or folders,
    RuntimeError when workers keep dying, OSError when the output cannot be written."""
    started = time.monotonic()
    photos = find_photos(raw)[: machine.get("limit") or None]
    if form == "auto":
        form, why = decide_format(photos)
        print(f"--format {form}: {why}", flush=True)
    splits = read_splits(machine["split_files"]) if machine.get("split_files") else None
    recipe = Recipe(**(asdict(recipe) | {"form": form}))
    with only_run_in(out):
        settings = agree_on_settings(out, recipe, splits is not None, bucket_count(len(photos)))
        buckets = into_buckets(photos, settings["buckets"])
        summary = run(buckets, recipe, out, splits, machine.get("workers"), machine.get("scheduler"))
        if not summary.verdicts[KEPT]:
            raise ValueError(f"no photo of {raw} could be used: {describe(summary)}")
        write_manifest(out, settings["buckets"])
        # imported late: drawing is the one part that needs matplotlib
        from data.preprocess_report import write_report

        write_report(out, summary, settings, time.monotonic() - started)
    return summary


def read_splits(folder: str) -> dict[str, str]:
    """Photo path -> split, from train.txt, val.txt and test.txt as CCPD has them. Raises ValueError if there are none."""
    splits = {}
    for split in SPLITS:
        path = Path(folder) / f"{split}.txt"
        if path.is_file():
            splits |= {line.strip(): split for line in path.read_text(encoding="utf-8").splitlines() if line.strip()}
    if not splits:
        raise ValueError(f"--split-files {folder}: no train.txt, val.txt or test.txt with lines there")
    return splits


@contextlib.contextmanager
def only_run_in(out: str) -> Iterator[None]:
    """Hold the output's lock; it goes with the process, however that ends. Raises ValueError when another run has it.

    Storage without files has no lock: there, do not start two runs on one output.
    """
    system, root = fsspec.core.url_to_fs(out)
    if "file" not in system.protocol:
        yield
        return
    import fcntl

    Path(root).mkdir(parents=True, exist_ok=True)
    with open(f"{root}/.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"--out {out}: another run is writing there; wait for it, or give another folder"
            ) from None
        yield


def agree_on_settings(out: str, recipe: Recipe, split_files: bool, buckets: int) -> dict:
    """The settings that the output was or will be made with. Raises ValueError for an output made with others."""
    system, root = fsspec.core.url_to_fs(out)
    wanted = json.loads(json.dumps({**asdict(recipe), "split_files": split_files}))
    path = f"{root}/{SETTINGS}"
    if system.exists(path):
        stored = json.loads(system.cat_file(path))
        differing = [name for name, value in wanted.items() if stored.get(name) != value]
        if differing:
            had = ", ".join(f"{name} {stored.get(name)} (now {wanted[name]})" for name in differing)
            raise ValueError(f"--out {out} was made with other settings: {had}; give another folder")
        return stored
    if system.isdir(root) and any(not name.endswith("/.lock") for name in system.ls(root, detail=False)):
        raise ValueError(f"--out {out} is not empty and was not made by preprocess.py; give another folder")
    for split in SPLITS:
        for side in ("hr", "lq"):
            system.makedirs(f"{root}/{split}/{side}", exist_ok=True)
    system.makedirs(f"{root}/parts", exist_ok=True)
    write_bytes(f"{out}/{SETTINGS}", json.dumps({**wanted, "buckets": buckets}, indent=2).encode())
    return {**wanted, "buckets": buckets}


def run(
    buckets: list[list[Photo]], recipe: Recipe, out: str, splits, workers: int | None, scheduler: str | None
) -> Summary:
    """All buckets on Dask, a few handed out at a time; sums up as they finish."""
    from dask.distributed import as_completed
    from tqdm import tqdm

    total = Summary()
    done: dict[int, Summary] = {}
    with connect(workers, scheduler) as client, tqdm(total=sum(map(len, buckets)), unit="photo", desc="photos") as bar:
        waiting = iter(enumerate(buckets))
        numbers = {}

        def hand_out():
            number, photos = next(waiting)
            own = splits and {photo.source: splits[photo.source] for photo in photos if photo.source in splits}
            future = client.submit(run_bucket, number, photos, recipe, out, own, pure=False, retries=RETRIES)
            numbers[future.key] = number
            return future

        count = min(len(buckets), AHEAD * max(1, len(client.nthreads())))
        running = as_completed([hand_out() for _ in range(count)])
        for future in running:
            number = numbers.pop(future.key)
            done[number] = result_of(future)
            bar.update(len(buckets[number]))
            with contextlib.suppress(StopIteration):
                running.add(hand_out())
    for number in sorted(done):  # in order, so that samples and names do not depend on who was first
        total.merge(done[number])
    return total


def result_of(future) -> Summary:
    from dask.distributed.scheduler import KilledWorker

    try:
        return future.result()
    except KilledWorker as error:
        raise RuntimeError(
            f"workers keep dying, perhaps for lack of memory; start again with fewer --workers ({error})"
        ) from None


@contextlib.contextmanager
def connect(workers: int | None, scheduler: str | None):
    """A Dask client of the cluster at `scheduler`, or of `workers` processes of this machine."""
    from dask.distributed import Client, LocalCluster

    if scheduler:
        try:
            client = Client(scheduler, timeout=15)
        except OSError as error:
            raise ValueError(
                f"--scheduler {scheduler}: no answer ({error}); is `dask scheduler` running there?"
            ) from None
        with client:
            client.wait_for_workers(1, timeout=60)
            yield client
        return
    count = workers or os.cpu_count()
    with (
        LocalCluster(n_workers=count, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        yield client


def write_manifest(out: str, buckets: int) -> None:
    """manifest.csv from the buckets' parts, one bucket in memory at a time."""
    system, root = fsspec.core.url_to_fs(out)
    path, local = f"{root}/{MANIFEST}", "file" in system.protocol
    part = f"{path}.part" if local else path
    with system.open(part, "wb") as file:
        file.write(format_rows([]).encode())
        for row in all_rows(out, buckets):
            file.write(format_rows([row], header=False).encode())
    if local:
        os.replace(part, path)


def describe(summary: Summary) -> str:
    reasons = [f"{count} {reason}" for counts in summary.reasons.values() for reason, count in counts.most_common()]
    return ", ".join(reasons) or "none was found"


def parse(argv: list[str] | None) -> argparse.Namespace:
    defaults = Recipe()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    add = parser.add_argument
    add("--raw", required=True, metavar="DIR", help="folder of raw photos, searched to any depth")
    add("--out", required=True, metavar="DIR", help="tile folder to make, or to go on with")
    add(
        "--format",
        choices=("auto", "ccpd", "crops"),
        default="auto",
        help="photos named as CCPD names them, or plate crops",
    )
    add("--tile", type=tile_size, default=defaults.tile, metavar="HxW", help="size of the clean tile in pixels")
    add(
        "--scale",
        type=int,
        choices=(1, 2, 4, 8),
        default=defaults.scale,
        help="how much smaller the low-quality tile is",
    )
    add("--variants", type=int, default=defaults.variants, metavar="N", help="low-quality tiles per clean one")
    add("--preset", choices=sorted(PRESETS), default=defaults.preset, help="how the low-quality tiles are damaged")
    add("--workers", type=int, metavar="N", help="processes on this machine (default: one per core)")
    add("--scheduler", metavar="ADDRESS", help="a running Dask cluster instead, such as tcp://host:8786")
    add("--val", type=float, default=defaults.val, metavar="F", help="share of plates for validation")
    add("--test", type=float, default=defaults.test, metavar="F", help="share of plates for testing")
    add("--split-files", metavar="DIR", help="folder with CCPD's own train.txt, val.txt, test.txt, instead of shares")
    add("--min-plate-width", type=float, default=defaults.min_plate_width, metavar="PX", help="in the photo")
    add(
        "--brightness",
        type=float,
        nargs=2,
        default=defaults.brightness,
        metavar=("LO", "HI"),
        help="mean of a clean tile",
    )
    add(
        "--min-contrast",
        type=float,
        default=defaults.min_contrast,
        metavar="F",
        help="standard deviation of a clean tile",
    )
    add(
        "--min-sharpness",
        type=float,
        default=defaults.min_sharpness,
        metavar="F",
        help="of a clean tile (data/quality.py)",
    )
    add("--seed", type=int, default=defaults.seed, metavar="N", help="of the degradations")
    add("--limit", type=int, metavar="N", help="use the first N photos only (default: all)")
    return parser.parse_args(argv)


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows defaults where there are any, and the description as it stands."""

    def _get_help_string(self, action: argparse.Action) -> str:
        return action.help if action.default is None else super()._get_help_string(action)


def tile_size(text: str) -> tuple[int, int]:
    sides = text.lower().split("x")
    if len(sides) != 2 or not all(side.isdigit() and int(side) >= 16 for side in sides):
        raise argparse.ArgumentTypeError(f"expected HEIGHTxWIDTH of at least 16 pixels, such as 96x192; got {text!r}")
    return int(sides[0]), int(sides[1])


def recipe_from(flags: argparse.Namespace) -> Recipe:
    """Raises ValueError for figures that make no sense."""
    low, high = flags.brightness
    checks = (
        (flags.variants >= 1, f"--variants must be 1 or more, got {flags.variants}"),
        (flags.seed >= 0, f"--seed must be 0 or more, got {flags.seed}"),
        (flags.workers is None or flags.workers >= 1, f"--workers must be 1 or more, got {flags.workers}"),
        (flags.limit is None or flags.limit >= 1, f"--limit must be 1 or more, got {flags.limit}"),
        (0 <= flags.val <= 1 and 0 <= flags.test <= 1, "--val and --test must lie in 0 to 1"),
        (flags.val + flags.test <= 1, f"--val and --test add up to {flags.val + flags.test:g}, more than 1"),
        (low < high, f"--brightness: {low:g} is not below {high:g}"),
        (not any(side % flags.scale for side in flags.tile), f"--tile must divide by --scale {flags.scale}"),
    )
    for holds, message in checks:
        if not holds:
            raise ValueError(message)
    names = (
        "tile",
        "scale",
        "variants",
        "preset",
        "val",
        "test",
        "min_contrast",
        "min_sharpness",
        "min_plate_width",
        "seed",
    )
    return Recipe(**{name: getattr(flags, name) for name in names}, brightness=tuple(flags.brightness))


def main(argv: list[str] | None = None) -> int:
    flags = parse(argv)
    machine = {name: getattr(flags, name) for name in ("workers", "scheduler", "split_files", "limit")}
    try:
        summary = preprocess(flags.raw, flags.out.rstrip("/"), recipe_from(flags), flags.format, **machine)
    except (ValueError, RuntimeError, OSError) as error:
        print(f"preprocess.py: {error}; what is done stays done" if isinstance(error, OSError) else f"preprocess.py: {error}",
              file=sys.stderr)  # fmt: skip
        return 2
    print(
        f"{summary.verdicts[KEPT]} photos kept of {summary.verdicts.total()}, {summary.splits.total()} pairs in {flags.out}"
    )
    if summary.reasons:
        print(f"not used: {describe(summary)} (names in report.json)")
    return 1 if summary.verdicts[FAILED] else 0


if __name__ == "__main__":
    sys.exit(main())
