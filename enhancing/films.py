"""Turns films into a result for each plate: it is followed from frame to frame, its best views are enhanced and
combined, and the report gets a row with their reading by vote.

Corners are (4, 2) px in CCPD's order. A plate is found again by overlap with the place where it was expected: a track
expects its plate to move and grow as it did. Plates are small and flat, and cameras shake, so boxes are compared with a
margin around them (as in C-BIoU, Yang et al. 2023, arXiv 2211.14317), which grows while a plate is out of sight. Memory
holds the plates that are in sight, not the film: a plate is handed out as soon as it is gone.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from tqdm import tqdm

from data.film import Film, Frame, open_film, open_pictures
from data.io import to_float
from data.straighten import in_tile, plate_width, straighten, tile_size
from enhancing import drawing
from enhancing.burst import Burst, combine, worth_of
from enhancing.examining import Examiner, Result
from enhancing.finding import FilmJob, Part, output_names
from enhancing.opening import TWO_LINES, Source
from enhancing.writing import ReportRow, fill_from_burst, write_picture
from models.detector import SCORE, Detection, Detector, find_plates, is_small_crop, upright
from models.enhancer import resize, to_working_size
from reading.reader import Reader

# around a box on all sides, of the plate's width; and what is added for every second since it was last seen
MARGIN, MARGIN_GROWTH = 0.5, 1.0
# overlap of the boxes with their margins, over their union
MIN_OVERLAP = 0.15
# larger one over smaller one, from sighting to sighting
MAX_GROWTH = 1.7
# out of sight for longer, and in more frames than that, a plate's track ends
MAX_GAP_S, MAX_GAP_FRAMES = 1.0, 3
# share of the last step's speed in the new speed
AGILITY = 0.5
# so often the whole frame is searched for plates; in the frames between, only the places where known ones are expected
SEARCH_S = 0.11
# a plate surely seen once counts from this score, one surely seen more often counts anyway
SURE_SCORE = 0.8

# of a picture, plates with `corners` (4, 2), a `score` and the probability of `two_lines` in [0, 1], best first; the
# same near the corners of plates that are expected
Detect = Callable[[np.ndarray], Sequence]
DetectNear = Callable[[np.ndarray, Sequence[np.ndarray]], Sequence]


@dataclass(frozen=True)
class Sighting:
    """A plate in a frame, the `frame`-th of those that were looked at."""

    frame: int
    seconds: float
    corners: np.ndarray
    score: float


@dataclass(eq=False)
class Track:
    """One plate over time. speed: of the middle in px a second, and of the logarithm of the width a second."""

    number: int
    sightings: list[Sighting] = field(default_factory=list)
    speed: np.ndarray = field(default_factory=lambda: np.zeros(3))

    def add(self, sighting: Sighting) -> None:
        if self.sightings:
            last = self.sightings[-1]
            elapsed = max(1e-3, sighting.seconds - last.seconds)
            speed = (_state(sighting.corners) - _state(last.corners)) / elapsed
            # the first step is all that is known
            agility = AGILITY if len(self.sightings) > 1 else 1.0
            self.speed = self.speed + agility * (speed - self.speed)
        self.sightings.append(sighting)

    def expected(self, seconds: float) -> np.ndarray:
        """(4, 2): where the plate's corners should be at a later time."""
        last = self.sightings[-1]
        step = self.speed * (seconds - last.seconds)
        middle = last.corners.mean(axis=0)
        # a growth that goes on at its pace soon fills the frame
        growth = np.exp(np.clip(step[2], -np.log(MAX_GROWTH), np.log(MAX_GROWTH)))
        return (last.corners - middle) * growth + middle + step[:2]

    @property
    def counts(self) -> bool:
        sure = [sighting.score for sighting in self.sightings if sighting.score >= SCORE]
        return len(sure) > 1 or max(sure, default=0.0) >= SURE_SCORE


class Tracker:
    """Fed with one frame after the other, in the order of time."""

    def __init__(self) -> None:
        self._open: list[Track] = []
        self._started = self._frame = 0

    def update(self, seconds: float, corners: Sequence[np.ndarray], scores: Sequence[float]) -> list[Track]:
        """The plates found in the next frame; the track that each belongs to, in their order."""
        pairs = self._pairs(seconds, corners)
        found: list[Track | None] = [None] * len(corners)
        taken = set()
        # the surest pairs first: with as few plates as a street has, that is as good as the best assignment of all
        for _, track, index in sorted(pairs, key=lambda pair: -pair[0]):
            if found[index] is None and track.number not in taken:
                found[index] = track
                taken.add(track.number)
        for index, track in enumerate(found):
            if track is None:
                track = found[index] = Track(self._started)
                self._started += 1
                self._open.append(track)
            track.add(Sighting(self._frame, seconds, np.asarray(corners[index], float), float(scores[index])))
        self._frame += 1
        return found

    def expected(self, seconds: float) -> list[np.ndarray]:
        """Where the plates that are in sight should be."""
        return [track.expected(seconds) for track in self._open if not self._lost(track, seconds)]

    def ended(self, seconds: float | None = None) -> list[Track]:
        """The tracks that are over, each returned once; without a time, all that are left."""
        gone = [track for track in self._open if seconds is None or self._lost(track, seconds)]
        self._open = [track for track in self._open if track not in gone]
        return gone

    def _lost(self, track: Track, seconds: float) -> bool:
        last = track.sightings[-1]
        return seconds - last.seconds > MAX_GAP_S and self._frame - last.frame > MAX_GAP_FRAMES

    def _pairs(self, seconds: float, corners: Sequence[np.ndarray]) -> list[tuple[float, Track, int]]:
        """(overlap, track, index of the plate) of all that may be one plate."""
        pairs = []
        for track in self._open:
            if self._lost(track, seconds):
                continue
            # camera shake is not speed, so the last place counts as much as the expected one
            places = track.expected(seconds), track.sightings[-1].corners
            margin = MARGIN + MARGIN_GROWTH * (seconds - track.sightings[-1].seconds)
            for index, each in enumerate(corners):
                growth = _width(each) / _width(track.sightings[-1].corners)
                overlap = max(box_overlap(_box(place, margin), _box(each, margin)) for place in places)
                if overlap >= MIN_OVERLAP and 1 / MAX_GROWTH <= growth <= MAX_GROWTH:
                    pairs.append((overlap, track, index))
        return pairs


def _width(corners: np.ndarray) -> float:
    """`data.straighten.plate_width`, never 0, since lengths are divided by it."""
    return max(1e-6, plate_width(corners))


def _state(corners: np.ndarray) -> np.ndarray:
    return np.append(corners.mean(axis=0), np.log(_width(corners)))


def _box(corners: np.ndarray, margin: float) -> np.ndarray:
    """(left, top, right, bottom), with `margin` widths of the plate around it."""
    rim = margin * _width(corners)
    return np.concatenate([corners.min(axis=0) - rim, corners.max(axis=0) + rim])


def box_overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union."""
    shared = np.prod(np.clip(np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2]), 0, None))
    areas = np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2])
    return float(shared / max(1e-9, areas - shared))


# --- Views: the best frames of a plate --------------------------------------------------------------------------------

# of a plate, that are restored and combined
VIEWS = 10
# of a plate that leaves the frame
CUT_WORTH = 0.2
# around the best view in the frame, in widths of the plate to the left and right, and above and below
SURROUNDINGS = (1.0, 0.75)


@dataclass(frozen=True)
class View:
    """A plate in one frame. tile: (h, w, 3) uint8, straightened. corners: (4, 2), in the frame. two_lines: probability.
    plate_px: width of the plate in the frame. tile_px: what the tile spans there. worth: for ranking, see
    `worth_of`."""

    seconds: float
    tile: np.ndarray
    corners: np.ndarray
    two_lines: float
    plate_px: float
    tile_px: float
    frame_size: tuple[int, int]
    worth: float


@dataclass(eq=False)
class Followed:
    """A plate over time. views: the best ones, at most `keep`, best first. surroundings: the best view as it is in its
    frame, with what is around it, (h, w, 3) uint8."""

    track: Track
    views: list[View] = field(default_factory=list)
    surroundings: np.ndarray | None = None
    keep: int = VIEWS

    def see(self, seconds: float, picture: np.ndarray, corners: np.ndarray, two_lines: float) -> None:
        try:
            tile = straighten(picture, corners, tile_size(corners))
        # corners that enclose nothing
        except ValueError:
            return
        width = _width(corners)
        tile_px = width * tile.shape[1] / float(np.ptp(in_tile(corners, tile.shape[:2])[:, 0]))
        cut = (corners < 0).any() or (corners > picture.shape[1::-1]).any()
        worth = worth_of(to_float(tile), width) * (CUT_WORTH if cut else 1.0)
        view = View(seconds, tile, corners, two_lines, width, tile_px, picture.shape[:2], worth)
        self.views = sorted([*self.views, view], key=lambda view: -view.worth)[: self.keep]
        if self.views[0] is view:
            self.surroundings = _surroundings(picture, corners)


def follow(
    frames: Iterable[Frame], detect: Detect, detect_near: DetectNear | None = None, keep: int = VIEWS
) -> Iterator[Followed]:
    """detect_near: for the frames between searches; None searches every frame. keep: views of each plate. Plates come
    in the order in which they are lost from sight; single doubtful sightings do not."""
    tracker, followed, searched = Tracker(), {}, -np.inf
    for seconds, picture in frames:
        # damaged films may jump back in time
        if detect_near is None or not searched <= seconds < searched + SEARCH_S:
            plates, searched = detect(picture), seconds
        else:
            expected = tracker.expected(seconds)
            plates = detect_near(picture, expected) if expected else []
        tracks = tracker.update(seconds, [plate.corners for plate in plates], [plate.score for plate in plates])
        for plate, track in zip(plates, tracks, strict=True):
            corners = np.asarray(plate.corners, float)
            followed.setdefault(track.number, Followed(track, keep=keep)).see(
                seconds, picture, corners, plate.two_lines
            )
        yield from _handed_out(followed, tracker.ended(seconds))
    yield from _handed_out(followed, tracker.ended())


def _handed_out(followed: dict[int, Followed], ended: Sequence[Track]) -> Iterator[Followed]:
    for track in ended:
        each = followed.pop(track.number)
        if track.counts and each.views:
            yield each


def _surroundings(picture: np.ndarray, corners: np.ndarray) -> np.ndarray:
    rim = _width(corners) * np.array(SURROUNDINGS)
    low = np.clip(np.floor(corners.min(axis=0) - rim), 0, None).astype(int)
    high = np.ceil(corners.max(axis=0) + rim).astype(int)
    return picture[low[1] : high[1], low[0] : high[0]].copy()


# --- Results ----------------------------------------------------------------------------------------------------------

# what is written for each plate, behind NAME/plate-1
COMBINED, BEST, SHEET = ".png", ".frame.png", ".sheet.png"
# margin around the plate in a crop, on each side, as a share of its width and height
CROP_MARGIN = 0.1
NO_PLATE = "no plate"


def enhance_films(
    examiner: Examiner,
    detector: Detector,
    jobs: Sequence[FilmJob],
    out: str,
    part: Part,
    inputs: frozenset[tuple[int, int]],
) -> Iterator[ReportRow]:
    """The rows of all films, their results in a folder each. inputs: the identities of files that must not be written
    to."""
    detect = plates_in_frames(detector), plates_near(detector)
    # many views replace second opinions on one
    examiner = replace(examiner, reader=examiner.reader or Reader(keep_steps=True), second=None, ask_again=False)
    names = output_names([job.relative for job in jobs], out, [""], inputs)
    for job, name in zip(jobs, names, strict=True):
        film = open_pictures(job.frames, *part) if job.frames else open_film(job.path, *part)
        yield from enhance_film(film, job.path, name, out, examiner, *detect)


def plates_in_frames(detector: Detector) -> Detect:
    """As for pictures, a frame that looks like a crop of a plate counts as one plate where none is sure."""

    def detect(picture: np.ndarray) -> Sequence[Detection]:
        located = find_plates(picture, detector)
        return [_whole(picture)] if located.whole and not located.plates else located.plates

    return detect


def plates_near(detector: Detector) -> DetectNear:
    """The sure plates near places where they are expected."""
    everywhere = plates_in_frames(detector)

    def detect(picture: np.ndarray, places: Sequence[np.ndarray]) -> Sequence[Detection]:
        # a small frame that may be one plate's crop is searched as quickly
        if is_small_crop(picture):
            return everywhere(picture)
        return [upright(plate) for plate in detector.detect(picture, near=places)]

    return detect


def _whole(picture: np.ndarray) -> Detection:
    """The plate that fills a crop except for the margin."""
    height, width = picture.shape[:2]
    inner = np.array([[1, 1], [0, 1], [0, 0], [1, 0]]) * (1 - 2 * CROP_MARGIN) + CROP_MARGIN
    return Detection(inner * (width, height), SCORE, 0.0, 0.0)


def enhance_film(
    film: AbstractContextManager[Film],
    path: str,
    name: str,
    out: str,
    examiner: Examiner,
    detect: Detect,
    detect_near: DetectNear | None = None,
) -> Iterator[ReportRow]:
    """The rows of the film's plates, which are written to the folder `name` below `out`. A film without plates, or one
    that cannot be opened, has one row that says so; of a damaged one a last row says what is lost. path: the film's
    name in the report. detect, detect_near: as for `follow`."""
    try:
        with film as opened:
            found, seen = 0, [0]
            for found, followed in enumerate(follow(_counted(opened, seen), detect, detect_near), start=1):
                row = _enhance_plate(examiner, followed, path, out, os.path.join(name, f"plate-{found}"))
                row.track = found
                yield row
            faults = "; ".join(opened.faults)
            if found and faults:
                yield ReportRow(path, status="failed", reason=faults)
            elif not found:
                reason = f"no plate found in {seen[0]} frames" if seen[0] else "no frame could be used"
                status = NO_PLATE if seen[0] else "failed"
                yield ReportRow(path, status=status, reason="; ".join(filter(None, [reason, faults])))
    # PictureError is a ValueError, as are the faults of networks
    except (ValueError, OSError, MemoryError, cv2.error) as error:
        yield ReportRow(path, status="failed", reason=str(error) or "not enough memory")


def _counted(film: Film, seen: list[int]) -> Iterator[Frame]:
    """The film's frames under a progress bar; their number goes into seen[0]."""
    for frame in tqdm(film.frames, total=film.expected, unit="frame", disable=None):
        seen[0] += 1
        yield frame


def _enhance_plate(examiner: Examiner, followed: Followed, path: str, out: str, name: str) -> ReportRow:
    started = time.perf_counter()
    views, results, burst = combine_views(examiner, followed)
    row = _row(path, followed, views, burst)
    try:
        write_picture(out, name + COMBINED, burst.picture)
        write_picture(out, name + BEST, followed.surroundings)
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


def _row(path: str, followed: Followed, views: Sequence[View], burst: Burst) -> ReportRow:
    sightings = followed.track.sightings
    row = ReportRow(path, width=views[0].frame_size[1], height=views[0].frame_size[0])
    fill_from_burst(row, burst)
    row.first_second, row.last_second = (f"{each.seconds:.2f}" for each in (sightings[0], sightings[-1]))
    row.frames = len(sightings)
    return row


def clock(seconds: float) -> str:
    """ "1:02:03.4" or "02:03.4"."""
    minutes, rest = divmod(round(max(0.0, seconds), 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    return (f"{hours}:" if hours else "") + f"{minutes:02d}:{rest:04.1f}"
