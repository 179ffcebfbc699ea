"""From the frames of a film to its plates: each followed from frame to frame, its best views kept, straightened.

Memory holds the plates that are in sight, not the film: a plate is handed out as soon as it is gone.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from data.film import Frame
from data.io import to_float
from data.straighten import in_tile, straighten, tile_size
from enhancing.burst import worth_of
from enhancing.tracking import Track, Tracker, plate_width

# of a plate, that are restored and combined
VIEWS = 10
# of a plate that leaves the frame
CUT_WORTH = 0.2
# around the best view in the frame, in widths of the plate to the left and right, and above and below
SURROUNDINGS = (1.0, 0.75)


@dataclass(frozen=True)
class View:
    """A plate in one frame. tile: (h, w, 3) uint8, straightened. plate_px: width of the plate in the frame. tile_px:
    what the tile spans there. worth: for ranking, see `worth_of`."""

    seconds: float
    tile: np.ndarray
    plate_px: float
    tile_px: float
    frame_size: tuple[int, int]
    worth: float


@dataclass(eq=False)
class Followed:
    """A plate over time. views: the best ones, best first. surroundings: the best view as it is in its frame, with what
    is around it, (h, w, 3) uint8."""

    track: Track
    views: list[View] = field(default_factory=list)
    surroundings: np.ndarray | None = None

    def see(self, seconds: float, picture: np.ndarray, corners: np.ndarray) -> None:
        try:
            tile = straighten(picture, corners, tile_size(corners))
        # corners that enclose nothing
        except ValueError:
            return
        width = plate_width(corners)
        tile_px = width * tile.shape[1] / float(np.ptp(in_tile(corners, tile.shape[:2])[:, 0]))
        cut = (corners < 0).any() or (corners > picture.shape[1::-1]).any()
        worth = worth_of(to_float(tile), width) * (CUT_WORTH if cut else 1.0)
        view = View(seconds, tile, width, tile_px, picture.shape[:2], worth)
        self.views = sorted([*self.views, view], key=lambda view: -view.worth)[:VIEWS]
        if self.views[0] is view:
            self.surroundings = _surroundings(picture, corners)


def follow(frames: Iterable[Frame], detect: Callable[[np.ndarray], Sequence]) -> Iterator[Followed]:
    """detect: of a picture, plates with `corners` (4, 2) in CCPD's order and a `score` in [0, 1], best first. Plates
    come in the order in which they are lost from sight; single doubtful sightings do not."""
    tracker, followed = Tracker(), {}
    for seconds, picture in frames:
        plates = detect(picture)
        tracks = tracker.update(seconds, [plate.corners for plate in plates], [plate.score for plate in plates])
        for plate, track in zip(plates, tracks, strict=True):
            followed.setdefault(track.number, Followed(track)).see(seconds, picture, np.asarray(plate.corners, float))
        yield from _handed_out(followed, tracker.ended(seconds))
    yield from _handed_out(followed, tracker.ended())


def _handed_out(followed: dict[int, Followed], ended: Sequence[Track]) -> Iterator[Followed]:
    for track in ended:
        each = followed.pop(track.number)
        if track.counts and each.views:
            yield each


def _surroundings(picture: np.ndarray, corners: np.ndarray) -> np.ndarray:
    rim = plate_width(corners) * np.array(SURROUNDINGS)
    low = np.clip(np.floor(corners.min(axis=0) - rim), 0, None).astype(int)
    high = np.ceil(corners.max(axis=0) + rim).astype(int)
    return picture[low[1] : high[1], low[0] : high[0]].copy()
