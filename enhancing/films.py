"""Turns films into a result for each plate: its best views combined, a reading by vote, rows for the report."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

import cv2
import numpy as np
from tqdm import tqdm

from data.console import say
from data.film import Film, Frame, open_film, open_pictures
from data.io import PictureError, to_float
from data.straighten import in_tile, straighten
from enhancing import drawing
from enhancing.burst import Burst, combine
from enhancing.examining import Examiner, Result
from enhancing.finding import FilmJob, Part, output_names
from enhancing.opening import TWO_LINES, Source
from enhancing.tracking import Followed, View, follow
from enhancing.writing import Row, fill_from_burst, write_picture
from models.detector import SCORE, Detector, Plate, find_plates, is_small_crop, load_detector, upright
from models.enhancer import resize, to_working_size
from reading.reader import Reader

# what is written for each plate, behind NAME/plate-1
COMBINED, BEST, SHEET = ".png", ".frame.png", ".sheet.png"
# margin around the plate in a crop, on each side, as a share of its width and height
CROP_MARGIN = 0.1
NO_PLATE = "no plate"

Detect = Callable[[np.ndarray], Sequence]
DetectNear = Callable[[np.ndarray, Sequence[np.ndarray]], Sequence]


def enhance_films(
    examiner: Examiner,
    detector: Detector,
    jobs: Sequence[FilmJob],
    out: str,
    part: Part,
    inputs: frozenset[tuple[int, int]],
) -> Iterator[Row]:
    """The rows of all films, their results in a folder each. inputs: the identities of files that must not be written
    to."""
    detect = plates_in_frames(detector), plates_near(detector)
    # many views replace second opinions on one
    examiner = replace(examiner, reader=Reader(keep_steps=True), second=None, ask_again=False)
    names = output_names([job.relative for job in jobs], out, [""], inputs)
    for job, name in zip(jobs, names, strict=True):
        film = open_pictures(job.frames, *part) if job.frames else open_film(job.path, *part)
        yield from enhance_film(film, job.path, name, out, examiner, *detect)


def plates_in_frames(detector: Detector | None = None) -> Detect:
    """By the shipped detector, or another. As for pictures, a frame that looks like a crop of a plate counts as one
    plate where none is sure. Raises ValueError where there is no detector."""
    detector = detector or load_detector()

    def detect(picture: np.ndarray) -> Sequence[Plate]:
        located = find_plates(picture, detector)
        return [_whole(picture)] if located.whole and not located.plates else located.plates

    return detect


def plates_near(detector: Detector) -> DetectNear:
    """The sure plates near places where they are expected."""
    everywhere = plates_in_frames(detector)

    def detect(picture: np.ndarray, places: Sequence[np.ndarray]) -> Sequence[Plate]:
        # a small frame that may be one plate's crop is searched as quickly
        if is_small_crop(picture):
            return everywhere(picture)
        return [upright(plate) for plate in detector.detect(picture, near=places)]

    return detect


def _whole(picture: np.ndarray) -> Plate:
    """The plate that fills a crop except for the margin."""
    height, width = picture.shape[:2]
    inner = np.array([[1, 1], [0, 1], [0, 0], [1, 0]]) * (1 - 2 * CROP_MARGIN) + CROP_MARGIN
    return Plate(inner * (width, height), SCORE, 0.0, 0.0)


def enhance_film(
    film: AbstractContextManager[Film],
    path: str,
    name: str,
    out: str,
    examiner: Examiner,
    detect: Detect,
    detect_near: DetectNear | None = None,
) -> Iterator[Row]:
    """The rows of the film's plates, which are written to the folder `name` below `out`. A film without plates, or one
    that cannot be opened, has one row that says so. path: the film's name in the report. detect, detect_near: as for
    `follow`."""
    try:
        with film as opened:
            found, seen = 0, [0]
            for found, followed in enumerate(follow(_counted(opened, seen), detect, detect_near), start=1):
                row = _enhance_plate(examiner, followed, path, out, os.path.join(name, f"plate-{found}"))
                row.track = found
                yield row
            faults = "; ".join(opened.faults)
            if found and faults:
                say(f"{path}: {faults}", error=True)
            elif not found:
                reason = f"no plate found in {seen[0]} frames" if seen[0] else "no frame could be used"
                status = NO_PLATE if seen[0] else "failed"
                yield Row(path, status=status, reason="; ".join(filter(None, [reason, faults])))
    except (PictureError, MemoryError) as error:
        yield Row(path, status="failed", reason=str(error) or "not enough memory")


def _counted(film: Film, seen: list[int]) -> Iterator[Frame]:
    """The film's frames under a progress bar; their number goes into seen[0]."""
    for frame in tqdm(film.frames, total=film.expected, unit="frame", disable=None):
        seen[0] += 1
        yield frame


def _enhance_plate(examiner: Examiner, followed: Followed, path: str, out: str, name: str) -> Row:
    started = time.perf_counter()
    views, results, burst = combine_views(examiner, followed)
    row = _row(path, followed, views, burst)
    try:
        write_picture(out, name + COMBINED, burst.picture)
        write_picture(out, name + BEST, to_float(followed.surroundings))
        write_picture(out, name + SHEET, contact_sheet(views, results, burst))
        row.output = name + COMBINED
    except (OSError, cv2.error) as error:
        row.status, row.reason = "failed", f"cannot be written: {error}"
    row.seconds = time.perf_counter() - started
    return row


def combine_views(examiner: Examiner, followed: Followed) -> tuple[list[View], list[Result], Burst]:
    """A plate's best views in the order of time, each enhanced, and all of them combined."""
    views = sorted(followed.views, key=lambda view: view.seconds)
    # of one plate either all views have two lines or none
    two_lines = float(np.mean([view.two_lines for view in views])) >= TWO_LINES
    results = examiner.enhance([_source(examiner, view, two_lines) for view in views])
    return views, results, combine(results, examiner)


def _source(examiner: Examiner, view: View, two_lines: bool) -> Source:
    place = in_tile(view.corners, view.tile.shape[:2])
    tile = straighten(view.tile, place, examiner.generator.tile_for(view.corners))
    native = view.tile_px * np.ptp(place[:, 0]) / np.ptp(in_tile(view.corners, tile.shape[:2])[:, 0])
    lq = to_working_size(examiner.generator, to_float(tile))
    return Source(lq, tile.shape[:2], native, view.frame_size, lambda: tile, view.corners, two_lines=two_lines)


def contact_sheet(views: Sequence[View], results: Sequence[Result], burst: Burst) -> np.ndarray:
    """(H, W, 3) float RGB: each view before and, below it, after enhancing, with its time, reading and weight; then the
    combined result."""
    panels = []
    for view, result, frame in zip(views, results, burst.frames, strict=True):
        before = resize(result.source.lq, *result.look.sr.shape[:2])
        reading = result.reading.text if result.reading else ""
        caption = f"{clock(view.seconds)}   {view.plate_px:.0f} px   weight {frame.weight:.2f}   {reading or 'nothing'}"
        panels.append((caption, np.vstack([before, result.look.sr])))
    lines = [(warning, drawing.RED) for warning in burst.warnings]
    lines.append((drawing.answer_line(burst.answer), drawing.INK))
    lines += [(drawing.agreement_line(burst.agreement), drawing.GREY), (drawing.CAVEAT, drawing.GREY)]
    return drawing.sheet([*panels, ("combined", burst.picture)], lines)


def _row(path: str, followed: Followed, views: Sequence[View], burst: Burst) -> Row:
    sightings = followed.track.sightings
    row = Row(path, width=views[0].frame_size[1], height=views[0].frame_size[0])
    fill_from_burst(row, burst)
    row.first_second, row.last_second = (f"{each.seconds:.2f}" for each in (sightings[0], sightings[-1]))
    row.frames = len(sightings)
    return row


def clock(seconds: float) -> str:
    """ "1:02:03.4" or "02:03.4"."""
    minutes, rest = divmod(round(max(0.0, seconds), 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    return (f"{hours}:" if hours else "") + f"{minutes:02d}:{rest:04.1f}"
