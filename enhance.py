"""Enhance pictures of licence plates: whole photos, crops, folders of them, several frames of one plate, or films.

    python enhance.py plate.jpg more/ --read --side-by-side
    python enhance.py clip.mp4 --from 00:12 --to 00:20

finds the plates and leaves in --out one PNG per plate, under the picture's relative path and name (NAME-1.png,
NAME-2.png and so on for several in one picture, the surest first), and report.csv with a row per plate: corners, sizes,
brightness, contrast, sharpness, consistency, readings, warnings, seconds. With --burst, one burst.png combines all
inputs. A film leaves a folder with a combined picture, the best frame and a contact sheet of each plate in it.

Exit code: 0 all well, 1 some inputs failed, 2 nothing could be done. A restored plate is a hint, not evidence.
"""

import argparse
import math
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from data.console import STOPPED, ended_early, prepare_console, say
from data.files import looks_like_film
from data.settings import field, parse, path, require
from enhancing.finding import (
    FilmJob,
    Found,
    Part,
    find_inputs,
    identities,
    identity,
    parse_corner,
    parse_time,
    take_films,
)
from models.shipped import check_checkpoint, default_checkpoint

# a corner with a negative number, which would be taken for a flag
NEGATIVE_CORNER = re.compile(r"-[\d.]+,-?[\d.]+")


def seconds(text: str) -> float:
    """The type of --from and --to."""
    try:
        return parse_time(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def corner(text: str) -> tuple[float, float]:
    """The type of --corners."""
    try:
        return parse_corner(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


@dataclass(frozen=True)
class Settings:
    inputs: tuple[str, ...] = field(
        flag="inputs", type=path, nargs="+", metavar="INPUT", help="a picture, a film, or a folder of them at any depth"
    )
    out: str = field("enhanced", type=path, metavar="DIR", help="folder for the results and report.csv")
    checkpoint: str | None = field(
        None, type=path, metavar="FILE", help="a .keras or .onnx generator instead of the shipped one"
    )
    side_by_side: bool = field(False, help="also write NAME.side-by-side.png, before and after")
    read: bool = field(False, help="read the plates, and show where the readings agree")
    uncertainty: bool = field(False, help="also write NAME.uncertainty.png, a heat map")
    burst: bool = field(False, help="the inputs are frames of one plate: combine them")
    corners: tuple[tuple[float, float], ...] | None = field(
        None, type=corner, nargs=4, metavar="x,y", help="corners of the plate in the photo, in px"
    )
    whole: bool = field(False, help="take each picture as one plate, and look for none in it")
    paste: bool = field(False, help="also write NAME.pasted.png, the photo with its plates restored in their place")
    film: bool = field(
        False, help="take each folder as a film: its pictures are the frames, in the order of their names"
    )
    start_s: float = field(
        0.0, flag="--from", type=seconds, metavar="TIME", help="films: begin here, as 12.5, 00:12 or 1:02:03"
    )
    end_s: float | None = field(
        None, flag="--to", type=seconds, metavar="TIME", help="films: end before this time (default: at the end)"
    )
    every: int = field(1, metavar="N", help="films: use every N-th frame")
    strip_metadata: bool = field(False, help="leave the picture's time, place and camera out of its result")
    workers: int = field(os.cpu_count() or 1, metavar="N", help="threads that decode and encode")
    batch_size: int = field(16, metavar="N", help="pictures per batch")
    precision: str = field(
        "auto",
        choices=("auto", "float32", "bfloat16"),
        help="auto: bfloat16 where the CPU is fast at it (of .onnx files: and OpenVINO is installed)",
    )
    strength: float | None = field(
        None,
        metavar="F",
        help="blends the generator's output with the brightness-matched input, 0 to 1 (default: the generator's own, "
        "at which validation plates were read best)",
    )
    limit: int = field(0, metavar="N", help="use the first N pictures only; 0: all")

    def __post_init__(self) -> None:
        require(self.workers >= 1, "--workers", "at least 1", self.workers)
        require(self.batch_size >= 1, "--batch-size", "at least 1", self.batch_size)
        require(self.every >= 1, "--every", "at least 1", self.every)
        require(self.end_s is None or self.end_s > self.start_s, "--to", "later than --from", self.end_s)
        require(self.limit >= 0, "--limit", "at least 0", self.limit)
        require(self.strength is None or 0 <= self.strength <= 1, "--strength", "a number of 0 to 1", self.strength)


def main(argv: Sequence[str] | None = None) -> int:
    prepare_console()
    try:
        with ended_early():
            return enhance(parse_arguments(argv))
    except (ValueError, OSError) as error:
        say(f"enhance: {error}", error=True)
        return 2
    except KeyboardInterrupt:
        say("enhance: interrupted; the finished results are in --out", error=True)
        return STOPPED


def enhance(settings: Settings) -> int:
    """Do all that the settings say; the exit code. Raises ValueError, or OSError of --out, where nothing can be
    done."""
    checkpoint = check_checkpoint(settings.checkpoint or default_checkpoint(precision=settings.precision))
    check_out(settings)
    found, inputs = find(settings)
    films, pictures = ([], found) if settings.burst else take_films(found, settings.film)
    if films and settings.corners:
        raise ValueError("--corners is for photos: in a film, the plates are looked for")
    for flag, reason in idle_flags(settings, bool(films), any(not each.problem for each in pictures)):
        say(f"enhance: {flag} changes nothing: {reason}", error=True)
    os.makedirs(settings.out, exist_ok=True)

    # what takes its time is loaded once all that can be checked is checked
    import cv2

    from enhancing.examining import make_examiner
    from enhancing.folder import Results, enhance_burst, enhance_each

    # the workers share the cores already
    cv2.setNumThreads(1)
    examiner = make_examiner(
        checkpoint,
        settings.precision,
        settings.strength,
        read=settings.read or settings.burst,
        ask_again=settings.uncertainty,
        batch_size=settings.batch_size,
        find=not (settings.whole or settings.corners),
    )
    results = Results(
        settings.out, inputs, settings.side_by_side, settings.uncertainty, settings.strip_metadata, settings.paste
    )
    if settings.burst:
        return enhance_burst(examiner, found, results, settings.corners, settings.workers)
    rows = film_rows(settings, examiner, films, inputs) if films else ()
    return enhance_each(examiner, pictures, results, settings.corners, settings.workers, rows)


def idle_flags(settings: Settings, films: bool, pictures: bool) -> list[tuple[str, str]]:
    """The flags that were given and change nothing, and why. films, pictures: whether there are any."""
    of_films = ("--from", settings.start_s > 0), ("--to", settings.end_s is not None), ("--every", settings.every > 1)
    drawn = ("--side-by-side", settings.side_by_side), ("--uncertainty", settings.uncertainty)
    in_photo = ("--paste", settings.paste), ("--whole", settings.whole)
    if settings.burst:
        reason, idle = "--burst makes one result of all frames", (*of_films, ("--film", settings.film), in_photo[0])
    elif not films:
        reason, idle = "there is no film among the inputs", of_films
    elif not pictures:
        reason, idle = "it is for pictures, and all inputs are films", (*drawn, *in_photo)
    else:
        reason, idle = "", ()
    said = [(flag, reason) for flag, given in idle if given]
    if settings.whole and settings.corners:
        said.append(("--whole", "--corners say where the plate is"))
    elif settings.whole and settings.paste and pictures and not settings.burst:
        said.append(("--paste", "--whole takes the picture as the plate"))
    return said


def film_rows(settings: Settings, examiner, films: Sequence[FilmJob], inputs: frozenset[tuple[int, int]]):
    """The results of films, one after another. Raises ValueError where no plates can be looked for."""
    from enhancing.films import enhance_films
    from models.detector import load_detector

    part = Part(settings.start_s, math.inf if settings.end_s is None else settings.end_s, settings.every)
    return enhance_films(examiner, load_detector(), films, settings.out, part, inputs)


def find(settings: Settings) -> tuple[list[Found], frozenset[tuple[int, int]]]:
    """The inputs, good and bad, and the identities of all, also of those beyond --limit. Raises ValueError where there
    is no picture among them."""
    found = list(find_inputs(settings.inputs, settings.out))
    inputs = identities(each.path for each in found)
    if settings.limit:
        found = [each for each in found if not each.skipped][: settings.limit]
    if not any(not each.problem and not unreadable(each) for each in found):
        for each in found[:10]:
            say(f"{each.path}: {each.problem or unreadable(each)}", error=True)
        raise ValueError(f"no picture in {' '.join(settings.inputs)}")
    return found, inputs


def unreadable(found: Found) -> str:
    """Why a file that was found is neither a film nor a picture by its header; "" for one that may be either. It is
    asked until one is good, before the networks are loaded."""
    if looks_like_film(found.path):
        return ""
    # late: what is wrong with the arguments is said before a decoder is loaded
    from data.io import PictureError, picture_size

    try:
        picture_size(found.path)
    except PictureError as error:
        return str(error)
    return ""


def check_out(settings: Settings) -> None:
    """Raises ValueError where --out is no folder, or where writing there could touch an input."""
    out, report = settings.out, os.path.join(settings.out, "report.csv")
    if os.path.lexists(out) and not os.path.isdir(out):
        raise ValueError(f"--out {out} exists and is not a folder")
    for given in filter(os.path.exists, settings.inputs if os.path.exists(out) else ()):
        if identity(given) == identity(out):
            raise ValueError(f"--out {out} is an input: give another folder, so that inputs and results stay apart")
        if os.path.exists(report) and identity(given) == identity(report):
            raise ValueError(f"{given} is an input and would be overwritten by the report: give another --out")


def parse_arguments(argv: Sequence[str] | None) -> Settings:
    argv = sys.argv[1:] if argv is None else argv
    # what begins with a space is no flag to argparse, and float() takes it
    return parse(Settings, __doc__, [f" {word}" if NEGATIVE_CORNER.fullmatch(word) else word for word in argv])


if __name__ == "__main__":
    sys.exit(main())
