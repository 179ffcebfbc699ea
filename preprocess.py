"""Turns raw plate photos into paired tiles: clean ones, and the blurred, dark low-quality ones made from them.

    python preprocess.py --raw datasets/CCPD2019 --out datasets/tiles

Leaves OUT/{train,val,test}/{hr,lq}/KEY.png, manifest.csv, report.json and report.png. Runs on Dask: processes of this
machine, or a running cluster with --scheduler. --raw and --out may be URLs that fsspec knows, such as
s3://bucket/folder. A stopped run that is started again does only what is missing; photos added later are added.
"""

import hashlib
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, fields

import numpy as np

from data.buckets import (
    NOT_LISTED,
    Job,
    absolute,
    agree_on_settings,
    bucket_count,
    clear,
    code_checksum,
    into_buckets,
    lies_in,
    parts_folder,
    remove_unfinished,
    write_manifest,
)
from data.console import STOPPED, ended_early, prepare_console, say
from data.files import only_run_in
from data.io import PictureError, picture_size
from data.photos import Photo, assign_splits, decide_format, find_photos, read_splits, tell_lists
from data.preprocessing import FAILED, KEPT, REJECTED, Finder, Recipe, Summary, write_report
from data.settings import field, parse, path, require

# pictures whose shape is looked at where their names say nothing
SHAPES = 50


@dataclass(frozen=True, kw_only=True)
class Settings(Recipe):
    """The recipe, and where and with which machines it is carried out."""

    raw: str = field(type=path, metavar="DIR", help="folder of raw photos, searched to any depth")
    out: str = field(type=path, metavar="DIR", help="tile folder to make, or to go on with")
    form: str = field(
        "auto",
        flag="--format",
        choices=("auto", "ccpd", "crops", "photos"),
        help="photos named as CCPD names them, plate crops, or any photos, whose plates are then found; auto: by the "
        "names, ccpd or crops",
    )
    split_files: str | None = field(
        None, type=path, metavar="DIR", help="folder with CCPD's own train.txt, val.txt, test.txt, instead of shares"
    )
    workers: int | None = field(None, metavar="N", help="processes on this machine (default: one per core)")
    scheduler: str | None = field(
        None, metavar="ADDRESS", help="a running Dask cluster instead, such as tcp://host:8786"
    )
    limit: int | None = field(None, metavar="N", help="use the first N photos only (default: all)")

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.workers is None or self.workers >= 1, "--workers", "1 or more", self.workers)
        require(self.limit is None or self.limit >= 1, "--limit", "1 or more", self.limit)


def preprocess(settings: Settings) -> Summary:
    """Do the whole run. Raises ValueError for wrong settings or folders, RuntimeError when workers keep dying, OSError
    when the output cannot be written."""
    started = time.monotonic()
    raw, out = separate_folders(settings)
    photos, unmatched, twice, _ = find_photos(raw, out)
    listed, splits = read_splits(settings.split_files) if settings.split_files else None, None
    if listed:
        splits, lines, contradicted = assign_splits([photo.source for photo in photos], listed)
        unmatched, twice = unmatched + lines, twice + contradicted
    tell_lists(unmatched, twice)
    photos = photos[: settings.limit]
    recipe = recipe_of(settings, photos)
    with only_run_in(out):
        made_with = agree_on_settings(out, recipe, checksum(listed), bucket_count(len(photos)))
        count = made_with["buckets"]
        # imported late: Dask takes a second
        from data.cluster import connect, run_buckets

        with connect(settings.workers, settings.scheduler) as client:
            job = Job(recipe, raw, out, parts_folder(out, count), code_checksum(recipe.form), finder(recipe))
            summary = run_buckets(client, job, into_buckets(photos, count), splits)
        # a worker killed on the way may have left some
        remove_unfinished(out, count)
        if not summary.verdicts[KEPT]:
            clear(out)
            raise ValueError(nothing_kept(raw, summary))
        write_manifest(out, count)
        write_report(out, summary, unmatched, twice, made_with, time.monotonic() - started)
    return summary


def separate_folders(settings: Settings) -> tuple[str, str]:
    """--raw and --out as workers find them. Raises ValueError where --out is --raw or lies in it."""
    raw, out = absolute(settings.raw), absolute(settings.out)
    if lies_in(out, raw):
        raise ValueError(f"--out {out} lies in --raw {raw}: its tiles would be taken for photos; give another folder")
    return raw, out


def recipe_of(settings: Settings, photos: list[Photo]) -> Recipe:
    """The settings that decide the tiles, with the form of the photos decided where it is "auto"."""
    form = settings.form
    if form == "auto":
        form, why = decide_format(photos)
        say(f"--format {form}: {why}")
        if form == "crops" and (share := share_of_photos(settings.raw, photos)) > 0.5:
            shape = f"{share:.0%} of the pictures do not have the shape of a crop"
            say(f"{shape}: if they are whole photos, give --format photos, which finds the plates in them", error=True)
    return Recipe(**{each.name: getattr(settings, each.name) for each in fields(Recipe)} | {"form": form})


def share_of_photos(raw: str, photos: list[Photo]) -> float:
    """Of the first pictures that can be opened, the share that has not the shape of a plate's crop; 0 of none."""
    from models.detector import has_crop_shape

    shapes = []
    for photo in photos[:SHAPES]:
        with suppress(PictureError):
            shapes.append(has_crop_shape(np.broadcast_to(np.uint8(0), (*picture_size(f"{raw}/{photo.source}"), 3))))
    return 1 - float(np.mean(shapes)) if shapes else 0.0


def checksum(splits: dict[str, str] | None) -> str:
    return hashlib.sha256(repr(sorted(splits.items())).encode()).hexdigest()[:16] if splits else ""


def nothing_kept(raw: str, summary: Summary) -> str:
    """Why, and what to do."""
    reasons = [f"{reason} (such as {names[0]})" for reason, names in sorted(summary.names.items())]
    rejected = summary.reasons[REJECTED]
    if rejected[NOT_LISTED] == rejected.total() > 0:
        advice = "the lines of --split-files must end with the paths of photos in --raw"
    elif rejected:
        advice = (
            "lower --min-plate-width, --min-contrast or --min-sharpness, or widen --brightness, if they are good enough"
        )
    else:
        advice = "give another --format, if the photos are not what it says"
    return f"no photo of {raw} could be used: {describe(summary)}: {'; '.join(reasons)}. {advice}"


def describe(summary: Summary) -> str:
    reasons = [f"{count} {reason}" for counts in summary.reasons.values() for reason, count in counts.most_common()]
    return ", ".join(reasons) or "none was found"


def finder(recipe: Recipe) -> Finder | None:
    """What finds plates, where it is needed: ONNX Runtime takes its time to load."""
    if recipe.form != "photos":
        return None
    from models.detector import surest_corners

    return surest_corners


def tell(summary: Summary, out: str) -> None:
    kept, seen, pairs = summary.verdicts[KEPT], summary.verdicts.total(), summary.splits.total()
    say(f"{kept} photos kept of {seen}, {pairs} pairs in {out}")
    if again := summary.lost - summary.gone:
        say(f"{again} photos had lost tiles, which were made again")
    if summary.gone:
        say(f"{summary.gone} photos had lost tiles and are no longer given: what was left of their tiles was removed")
    for part in summary.damaged:
        say(f"{part} was damaged: its photos were done again")
    if summary.reasons:
        say(f"not used: {describe(summary)} (names in report.json)")


def main(argv: list[str] | None = None) -> int:
    prepare_console()
    try:
        settings = parse(Settings, __doc__, argv, section="tiles")
        with ended_early():
            summary = preprocess(settings)
    except OSError as error:
        say(f"preprocess.py: {error}; fix that and start again; finished work is kept", error=True)
        return 2
    except (ValueError, RuntimeError, ImportError) as error:
        say(f"preprocess.py: {error}", error=True)
        return 2
    except KeyboardInterrupt:
        say("preprocess.py: stopped; start again to go on from here", error=True)
        return STOPPED
    tell(summary, settings.out)
    return 1 if summary.verdicts[FAILED] else 0


if __name__ == "__main__":
    sys.exit(main())
