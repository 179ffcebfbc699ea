"""From the frames of a film to its plates: each tracked from frame to frame, its best views kept, straightened.

Corners are (4, 2) px in CCPD's order. A plate is found again by overlap with the place where it was expected: a track
expects its plate to move and grow as it did. Plates are small and flat, and cameras shake, so boxes are compared with a
margin around them (as in C-BIoU, Yang et al. 2023, arXiv 2211.14317), which grows while a plate is out of sight. Memory
holds the plates that are in sight, not the film: a plate is handed out as soon as it is gone.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from data.film import Frame
from data.io import to_float
from data.straighten import in_tile, plate_width, straighten, tile_size
from enhancing.burst import worth_of
from models.detector import SCORE

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
    frames: Iterable[Frame],
    detect: Callable[[np.ndarray], Sequence],
    detect_near: Callable[[np.ndarray, Sequence[np.ndarray]], Sequence] | None = None,
    keep: int = VIEWS,
) -> Iterator[Followed]:
    """detect: of a picture, plates with `corners` (4, 2) in CCPD's order, a `score` and the probability of `two_lines`
    in [0, 1], best first. detect_near: the same near the corners of plates that are expected, for the frames between
    searches; None searches every frame. keep: views of each plate. Plates come in the order in which they are
    lost from sight; single doubtful sightings do not."""
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
