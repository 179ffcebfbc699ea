"""Turns raw plate photos into paired tiles: blurred, dark low-quality ones beside the clean ones they were made of.

    python preprocess.py --raw datasets/CCPD2019 --out datasets/tiles

Leaves OUT/{train,val,test}/{hr,lq}/KEY.png, manifest.csv, report.json and report.png. Runs on Dask: processes of this
machine, or a running cluster with --scheduler. --raw and --out may be URLs that fsspec knows, such as
s3://bucket/folder. A stopped run that is started again does only what is missing; photos added later are added.
"""

import argparse
import hashlib
import sys
import time
from dataclasses import replace
from pathlib import Path

from data.buckets import Job, Summary, bucket_count, into_buckets, parts_folder
from data.locking import only_run_in
from data.output import absolute, agree_on_settings, clear, remove_unfinished, write_manifest
from data.pairing import FAILED, KEPT, REJECTED, Recipe
from data.photos import decide_format, find_photos
from data.presets import PRESETS
from data.text import printable
from data.tiles import SPLITS


def preprocess(raw: str, out: str, recipe: Recipe, form: str = "auto", **machine) -> Summary:
    """Do the whole run. machine: workers, scheduler, split_files, limit. Raises ValueError for wrong settings or
    folders, RuntimeError when workers keep dying, OSError when the output cannot be written."""
    started = time.monotonic()
    raw, out = absolute(raw), absolute(out)
    if f"{out}/".startswith(f"{raw}/"):
        raise ValueError(f"--out {out} lies in --raw {raw}: its tiles would be taken for photos; give another folder")
    photos = find_photos(raw)[: machine.get("limit") or None]
    if form == "auto":
        form, why = decide_format(photos)
        print(f"--format {form}: {printable(why)}", flush=True)
    splits = read_splits(machine["split_files"]) if machine.get("split_files") else None
    with only_run_in(out):
        settings = agree_on_settings(out, replace(recipe, form=form), checksum(splits), bucket_count(len(photos)))
        job = Job(replace(recipe, form=form), raw, out, parts_folder(out, settings["buckets"]))
        buckets = into_buckets(photos, settings["buckets"])
        # imported late: Dask takes a second
        from data.cluster import connect, run_buckets

        with connect(machine.get("workers"), machine.get("scheduler")) as client:
            summary = run_buckets(client, job, buckets, splits)
        # a worker killed on the way may have left some
        remove_unfinished(out, settings["buckets"])
        if not summary.verdicts[KEPT]:
            clear(out)
            raise ValueError(nothing_kept(raw, summary))
        write_manifest(out, settings["buckets"])
        # imported late: drawing is the one part that needs matplotlib
        from data.preprocess_report import write_report

        write_report(out, summary, settings, time.monotonic() - started)
    return summary


def nothing_kept(raw: str, summary: Summary) -> str:
    reasons = [f"{reason} (such as {names[0]})" for reason, names in sorted(summary.names.items())]
    advice = "give another --format, if the photos are not what it says"
    if summary.verdicts[REJECTED]:
        advice = (
            "lower --min-plate-width, --min-contrast or --min-sharpness, or widen --brightness, if they are good enough"
        )
    return f"no photo of {raw} could be used: {describe(summary)}: {'; '.join(reasons)}. {advice}"


def checksum(splits: dict[str, str] | None) -> str:
    return hashlib.sha256(repr(sorted(splits.items())).encode()).hexdigest()[:16] if splits else ""


def read_splits(folder: str) -> dict[str, str]:
    """Photo path -> split, from train.txt, val.txt and test.txt as CCPD has them. Raises ValueError if there are
    none."""
    splits = {}
    for split in SPLITS:
        path = Path(folder) / f"{split}.txt"
        if path.is_file():
            splits |= {line.strip(): split for line in path.read_text(encoding="utf-8").splitlines() if line.strip()}
    if not splits:
        raise ValueError(f"--split-files {folder}: no train.txt, val.txt or test.txt with lines there")
    return splits


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
        summary = preprocess(flags.raw, flags.out, recipe_from(flags), flags.format, **machine)
    except OSError as error:
        print(
            f"preprocess.py: {printable(error)}; when that is mended, start again: what is done stays done",
            file=sys.stderr,
        )
        return 2
    except (ValueError, RuntimeError, ImportError) as error:
        print(f"preprocess.py: {printable(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("preprocess.py: stopped; start again to go on from here", file=sys.stderr)
        return 130
    kept, photos, pairs = summary.verdicts[KEPT], summary.verdicts.total(), summary.splits.total()
    print(f"{kept} photos kept of {photos}, {pairs} pairs in {printable(flags.out)}")
    if summary.reasons:
        print(f"not used: {printable(describe(summary))} (names in report.json)")
    return 1 if summary.verdicts[FAILED] else 0


if __name__ == "__main__":
    sys.exit(main())
