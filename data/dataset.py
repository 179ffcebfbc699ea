"""The data pipeline of training: the pairs of a tile folder, and from a step's number to a batch of them.

    step number -> positions of the stream -> worker process (read, augment, degrade) -> uint8 batch -> prefetch

The stream of tiles is endless. Position p is tile `order(epoch)[p % n]` of epoch `p // n`, augmented and (with a
preset) degraded by a generator seeded with (seed, epoch, tile). A step's number alone therefore restores the stream.

Augmenting and degrading is OpenCV and Python code, which threads of one process would run one after another, so worker
processes do it. Batches keep the order of the steps, whichever process finishes first. TensorFlow is used in
`Batches.dataset` alone.

Augmentation takes and gives (H, W, 3) float32 RGB in [0, 1]. A `Change` leaves a plate as legible as it was: no mirror
image, no strong turn. It is drawn once and applied to both tiles of a pair, so that pixels keep their partners whatever
the two sizes are. `randomised` makes rendered plates more various than any renderer's fonts and cameras, before they
are degraded: domain randomisation (Tobin et al. 2017, arXiv 1703.06907). A network then learns what makes a letter that
letter, not one drawing of it. The view changes as the detector errs: tiles are straightened by its corners.
"""

import multiprocessing
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path

import cv2
import numpy as np

from data import degrade
from data.console import follow_parent, map_ahead
from data.files import check_name, reserve
from data.io import to_float, to_uint8
from data.tiles import SCALES, open_tiles, read_tile, stored_size

# beyond any epoch of training: validation tiles get fixed degradations of their own
VALIDATION_EPOCH = 2**31
# batches made in advance, per worker
AHEAD = 4
# with echoing: batches of which one is mixed; what is shown again comes back after some `HELD / 2 * times` steps
HELD = 16
# with echoing: rows that a batch's pictures have beyond those shown
ROOM_PX = 8
# windows as wide as the tiles lie at most so far from the middle, where plates lie; others anywhere
STRIP_PX = 4

Batch = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Pairs:
    """The tiles of one split. Small and picklable: worker processes get a copy and read the pictures themselves.

    hr_urls, lq_urls: sorted by key. lq_urls is empty when `preset` makes the low-quality tiles. randomise: vary the
    clean tiles first (`randomised`). crop: (height, width) of the window that is cut out of the clean tile, at another
    place each time; () for the whole tile. caches: files of decoded tiles (one .npy per side) that are read instead of
    the pictures.
    """

    keys: tuple[str, ...]
    hr_urls: tuple[str, ...]
    lq_urls: tuple[str, ...] = ()
    preset: str = ""
    scale: int = 1
    augment: bool = False
    randomise: bool = False
    seed: int = 0
    crop: tuple[int, int] = ()
    caches: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.keys)

    def batch(self, first: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Stream positions first .. first + size - 1: lq (size, H/scale, W/scale, 3) and hr (size, H, W, 3), uint8."""
        pairs = [self.pair(*self.at(position)) for position in range(first, first + size)]
        lq, hr = zip(*pairs, strict=True)
        return np.stack(lq), np.stack(hr)

    def at(self, position: int) -> tuple[int, int]:
        """(epoch, tile) at a position of the stream."""
        epoch, place = divmod(position, len(self))
        return epoch, int(order(self.seed, epoch, len(self))[place])

    def pair(self, epoch: int, tile: int) -> tuple[np.ndarray, np.ndarray]:
        """(lq, hr) of one tile as epoch `epoch` shows it, uint8."""
        rng = np.random.default_rng([self.seed, epoch, tile])
        hr = self.read("hr", tile)
        if self.randomise:
            hr = to_uint8(randomised(to_float(hr), rng))
        lq = None if self.preset else self.read("lq", tile)
        steps = degrade.sample(rng, self.preset) if self.preset else []
        if self.augment:
            change = draw_change(rng, *hr.shape[:2], self.scale, degrade.blur_length(steps))
            hr = to_uint8(apply_change(to_float(hr), change))
            lq = None if lq is None else to_uint8(apply_change(to_float(lq), change, self.scale))
        if lq is None:
            lq = to_uint8(degrade.apply(to_float(hr), steps, self.scale))
        return self._window(rng, lq, hr) if self.crop else (lq, hr)

    def _window(self, rng: np.random.Generator, lq: np.ndarray, hr: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Cut after degrading, so that blur brings in what lies outside the window, as it does in a photo."""
        s, (height, width) = self.scale, self.crop
        top, left = (int(rng.integers(low // s, high // s + 1)) for low, high in _places(hr.shape, self.crop))
        small = lq[top : top + height // s, left : left + width // s]
        return small, hr[top * s : top * s + height, left * s : left * s + width]

    def fixed(self, tile: int) -> tuple[np.ndarray, np.ndarray]:
        """(lq, hr) of one tile for validation: the same every time."""
        return self.pair(VALIDATION_EPOCH, tile)

    def read(self, side: str, tile: int) -> np.ndarray:
        """The stored tile, (H, W, 3) uint8."""
        if side in self.caches:
            return _mapped(self.caches[side])[tile]
        return read_tile((self.hr_urls if side == "hr" else self.lq_urls)[tile])


def _places(tile: tuple[int, ...], crop: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """((least, greatest) top, (least, greatest) left) of a window, px of the clean tile."""
    room, across = tile[0] - crop[0], tile[1] - crop[1]
    strip = (max(0, room // 2 - STRIP_PX), min(room, room // 2 + STRIP_PX))
    return (0, room) if across else strip, (0, across)


@lru_cache(maxsize=4)
def order(seed: int, epoch: int, count: int) -> np.ndarray:
    """The order of an epoch: a permutation of range(count)."""
    return np.random.default_rng([seed, epoch, count]).permutation(count)


@lru_cache(maxsize=4)
def _mapped(path: str) -> np.ndarray:
    return np.load(path, mmap_mode="r")


# --- The pairs of a tile folder: found and checked before anything slow starts ----------------------------------------

# in a folder without splits, one key in this many is kept for validation
HELD_OUT_EVERY = 20
# the discriminator halves the tile four times
DIVISOR = 16


def find_pairs(
    folder: str,
    preset: str = "",
    scale: int = 1,
    seed: int = 0,
    crop: tuple[int, int] = (),
    augment: bool = False,
    randomise: bool = False,
) -> tuple[Pairs, Pairs | None]:
    """(tiles for training, tiles for validation, None where there are none) of a tile folder.

    preset: "" takes the damaged tiles of the folder; another one needs the clean tiles alone, and damages them so that
    they are `scale` times smaller. crop, augment, randomise: of the tiles for training, see `Pairs`. Raises ValueError
    where there are none for training, and for tiles that are no pairs of one size.
    """
    train, val = (open_tiles(folder, split, clean_only=bool(preset)).pairs for split in ("train", "val"))
    # a plain folder of pairs, without splits
    if train and train == val:
        val = tuple(pair for pair in train if _is_held_out(pair.key))
        train = tuple(pair for pair in train if not _is_held_out(pair.key))
    if not train:
        raise ValueError(f"--tiles {folder} holds no tiles for training; make some with preprocess.py")
    pairs = _checked(train, preset, scale, seed)
    crop = check_crop(crop, stored_size(pairs.hr_urls[0]))
    pairs = replace(pairs, augment=augment, randomise=randomise, crop=crop)
    return pairs, _checked(val, preset, scale, seed) if val else None


def check_crop(crop: tuple[int, int], tile: tuple[int, int]) -> tuple[int, int]:
    """Raises ValueError for a window larger than the tile, or of a size that the networks cannot take."""
    if crop and (crop[0] > tile[0] or crop[1] > tile[1] or crop[0] % DIVISOR or crop[1] % DIVISOR):
        raise ValueError(
            f"--crop must divide by {DIVISOR} and fit into the tiles of {tile[0]}x{tile[1]}, got {crop[0]}x{crop[1]}"
        )
    return crop


def _is_held_out(key: str) -> bool:
    return zlib.crc32(key.encode("utf-8", "surrogateescape")) % HELD_OUT_EVERY == 0


def _checked(found: tuple, preset: str, scale: int, seed: int) -> Pairs:
    keys, hr_urls, lq_urls = zip(*found, strict=True)
    for url in (*hr_urls, *lq_urls):
        check_name(url)
    if preset:
        pairs = Pairs(keys, hr_urls, preset=preset, scale=scale, seed=seed)
        check_size(pairs, hr_urls, stored_size(hr_urls[0]))
        return pairs
    pairs = Pairs(keys, hr_urls, lq_urls, scale=_scale(scale, lq_urls[0], hr_urls[0]), seed=seed)
    height, width = stored_size(hr_urls[0])
    check_size(pairs, hr_urls, (height, width))
    check_size(pairs, lq_urls, (height // pairs.scale, width // pairs.scale))
    return pairs


def check_size(pairs: Pairs, urls: tuple[str, ...], expected: tuple[int, int]) -> None:
    """Raises ValueError naming the first tile that has another size, or a size that the networks cannot take."""
    height, width = (side * (pairs.scale if urls is pairs.lq_urls else 1) for side in expected)
    if height % DIVISOR or width % DIVISOR:
        raise ValueError(f"clean tiles must divide by {DIVISOR}, got {height}x{width} ({urls[0]})")
    for url in urls:
        if (size := stored_size(url)) != expected:
            raise ValueError(
                f"all tiles must have one size: expected {expected[0]}x{expected[1]}, got {size[0]}x{size[1]}: {url}"
            )


def _scale(wanted: int, lq_url: str, hr_url: str) -> int:
    lq, hr = stored_size(lq_url), stored_size(hr_url)
    scale = hr[0] // lq[0] if lq[0] else 0
    if scale not in SCALES or (lq[0] * scale, lq[1] * scale) != hr:
        raise ValueError(
            f"the low-quality tile must be 1, 2, 4 or 8 times smaller than the clean one, got {lq[0]}x{lq[1]} and "
            f"{hr[0]}x{hr[1]}: {lq_url}"
        )
    if wanted not in (1, scale):
        raise ValueError(f"--scale {wanted} contradicts the tiles, whose low-quality side is 1/{scale} of the clean")
    return scale


def cache_tiles(pairs: Pairs, folder: Path) -> Pairs:
    """Decode every tile once into one file per side, which all worker processes map into memory together.

    Raises OSError where the disk has no room for them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    caches = {}
    for side in ("hr",) if pairs.preset else ("hr", "lq"):
        path = folder / f"{side}.npy"
        shape = pairs.read(side, 0).shape
        stored = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(len(pairs), *shape))
        reserve(path, "--cache")
        with ThreadPoolExecutor() as pool:
            for tile, picture in enumerate(pool.map(partial(pairs.read, side), range(len(pairs)))):
                stored[tile] = picture
        stored.flush()
        caches[side] = str(path)
    return replace(pairs, caches=caches)


# --- Batches ----------------------------------------------------------------------------------------------------------


class Batches:
    """Makes batches of `pairs` in `workers` processes; 0 makes them in the calling thread. A context manager.

    The processes are spawned, not forked: forking a process that runs TensorFlow's threads can hang.
    """

    def __init__(self, pairs: Pairs, workers: int) -> None:
        self.pairs, self.workers, self._pool = pairs, workers, None
        if workers:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(pairs,))

    def __enter__(self) -> "Batches":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def make(self, first: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """`Pairs.batch`, made by a worker; waits for it."""
        if self._pool is None:
            return self.pairs.batch(first, size)
        return self._pool.submit(_make_batch, first, size).result()

    def stream(self, first_step: int, steps: int, batch_size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(lq, hr) of steps first_step .. steps - 1, made ahead."""
        firsts = (step * batch_size for step in range(first_step, steps))
        if self._pool is None:
            yield from (self.pairs.batch(first, batch_size) for first in firsts)
            return
        yield from map_ahead(self._pool, partial(_make_batch, size=batch_size), firsts, AHEAD * self.workers)

    def dataset(self, first_step: int, steps: int, batch_size: int, shares: int = 1, own: range = range(1)):
        """The same as a tf.data.Dataset.

        The global batch of `batch_size` is cut into `shares` equal parts, one per replica; the dataset yields the parts
        `own` of every step, one after another (`shares=1`: the whole batch).
        """
        import tensorflow as tf

        part = batch_size // shares
        lq_shape, hr_shape = (each.shape for each in self.pairs.batch(0, 1))

        def positions(number):
            step, place = number // len(own) + first_step, number % len(own) + own.start
            return step * batch_size + place * part

        def load(number):
            lq, hr = tf.numpy_function(self._load, [positions(number), part], (tf.uint8, tf.uint8), stateful=False)
            return tf.ensure_shape(lq, (part, *lq_shape[1:])), tf.ensure_shape(hr, (part, *hr_shape[1:]))

        numbers = tf.data.Dataset.range((steps - first_step) * len(own))
        # one batch in the making and one waiting, for each process
        parallel = max(1, 2 * self.workers)
        return numbers.map(load, num_parallel_calls=parallel, deterministic=True).prefetch(AHEAD * len(own))

    def _load(self, first, size):
        return self.make(int(first), int(size))


# of this worker process
_pairs: Pairs | None = None


def _start_worker(pairs: Pairs) -> None:
    """In a new process: keep the pairs, one thread for OpenCV, and end when the training process ends."""
    global _pairs
    follow_parent()
    _pairs = pairs
    cv2.setNumThreads(1)


def _make_batch(first: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    return _pairs.batch(first, size)


def echoed(stream: Callable[[int, int], Iterator[Batch]], steps: range, times: int, height: int) -> Iterator[Batch]:
    """Data echoing (Choi et al. 2019, arXiv 1907.05550): show every picture `times` times, at most HELD, each time
    among others and in another window. For devices that learn faster than batches are made. In the paper's terms,
    examples are echoed after their augmentation.

    Yields (pictures (N, height, W, 3), their answers (N, ...)) for each of `steps`. stream(first, last) makes batches
    number first .. last - 1, with pictures at least `height` high. The steps alone decide which batches are needed, so
    that an interrupted training goes on with the batches that it would have had.
    """
    first, last = steps.start // times, -(-steps.stop // times)
    begun = max(0, first - HELD + 1)
    kept: deque[Batch] = deque(maxlen=HELD)
    for number, batch in enumerate(stream(begun, last), start=begun):
        kept.append(batch)
        for step in range(number * times, (number + 1) * times):
            if step in steps:
                yield _mixed(kept, _ages(len(batch[0]), times)[step % times], np.random.default_rng(step), height)


@lru_cache(maxsize=1)
def _ages(size: int, times: int) -> np.ndarray:
    """(times, size): the batch that each row of a mixed batch comes from, counted back from the newest. No age comes
    twice in a column, so that every picture is shown once at each of its ages."""
    ages = np.tile(np.arange(HELD), (size, 1))
    return np.random.default_rng(0).permuted(ages, axis=1)[:, :times].T


def _mixed(kept: deque[Batch], ages: np.ndarray, rng: np.random.Generator, height: int) -> Batch:
    # at the very start there are no batches that old
    sources = [kept[-1 - min(age, len(kept) - 1)] for age in ages]
    tops = rng.integers(sources[0][0].shape[1] - height + 1, size=len(ages))
    pictures = [source[0][row, top : top + height] for row, (source, top) in enumerate(zip(sources, tops, strict=True))]
    return np.stack(pictures), np.stack([source[1][row] for row, source in enumerate(sources)])


# --- Augmentation: changes of view and colour -------------------------------------------------------------------------

# share of the tile's width and height
MAX_SHIFT = 0.03
# plates lie in tiles with a margin of a tenth; in people's own crops with hardly any, or with much more
ZOOM = (0.7, 1.15)
# of plates that are smeared over more than so many px of a tile: the light at their ends has to be in the view
SMEARED_ZOOM, SMEARED_PX = (0.72, 1.0), 14.0
# of the height against the width, as a logarithm
MAX_STRETCH = 0.08
MAX_TURN_DEGREES = 2.0
# the other half is only shifted by whole pixels, which keeps noise and sharpness exactly
SHARE_RESAMPLED = 0.5
MAX_BRIGHTNESS, MAX_CONTRAST, MAX_COLOUR = 0.05, 0.1, 0.06
# share of the tiles that `randomised` changes; the rest keep the renderer's exact strokes
RANDOMISED_SHARE = 0.8
RANDOMISED_TURN_DEGREES = 5.0
# shift of x per y, so that letters slant
RANDOMISED_SHEAR = 0.08
# standard deviation of each corner's place, as a share of the tile's height: the detector errs by some 0.09 of a
# plate's height on real photos (docs/BENCHMARKS.md); twice that in a share of the tiles
CORNER_ERROR, CORNER_OUTLIERS = 0.04, 0.1
# logarithms of the least and the greatest
RANDOMISED_ZOOM = (-0.15, 0.1)
# of the height against the width, as a logarithm
RANDOMISED_STRETCH = 0.2
# knots over the tile, and the standard deviation of their displacement
BEND_GRID, BEND_PX = (3, 8), 1.2
# share of a picture that is one pixel bolder or thinner all around
RANDOMISED_WEIGHT = 0.5


@dataclass(frozen=True)
class Change:
    """matrix: (2, 3), from a pixel of the changed clean tile to one of the original. gain, offset: of each colour."""

    matrix: np.ndarray
    gain: np.ndarray
    offset: np.ndarray
    whole_pixels: bool


def draw_change(rng: np.random.Generator, height: int, width: int, scale: int = 1, blur_px: float = 0.0) -> Change:
    """Draw a change for a clean tile of `height` x `width` whose partner is `scale` times smaller, and blurred over
    `blur_px` of the clean one."""
    shift = rng.uniform(-MAX_SHIFT, MAX_SHIFT, 2) * (width, height)
    smeared = blur_px > SMEARED_PX
    whole = bool(rng.random() >= SHARE_RESAMPLED) and not smeared
    zoom = 1.0 if whole else rng.uniform(*(SMEARED_ZOOM if smeared else ZOOM))
    stretch = 1.0 if whole else np.exp(rng.uniform(-MAX_STRETCH, MAX_STRETCH))
    turn = 0.0 if whole else np.deg2rad(rng.uniform(-MAX_TURN_DEGREES, MAX_TURN_DEGREES))
    if whole:
        # whole pixels of the smaller tile too
        shift = np.round(shift / scale) * scale
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) / [zoom, zoom * stretch]
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    matrix = np.column_stack([rotation, centre - rotation @ centre + shift])
    gain = (1 + rng.uniform(-MAX_CONTRAST, MAX_CONTRAST)) * (1 + rng.uniform(-MAX_COLOUR, MAX_COLOUR, 3))
    # contrast around middle grey
    offset = 0.5 * (1 - gain) + rng.uniform(-MAX_BRIGHTNESS, MAX_BRIGHTNESS)
    return Change(matrix, gain.astype(np.float32), offset.astype(np.float32), whole)


def apply_change(picture: np.ndarray, change: Change, scale: int = 1) -> np.ndarray:
    """The changed picture, of the same size; `scale`: how much smaller than the clean tile this picture is."""
    height, width = picture.shape[:2]
    matrix = change.matrix.copy()
    # centres of small pixels lie at scale * i + (scale - 1) / 2 of the clean tile
    middle = (scale - 1) / 2
    matrix[:, 2] = (matrix[:, 2] + matrix[:, :2] @ [middle, middle] - middle) / scale
    filters = cv2.INTER_NEAREST if change.whole_pixels else cv2.INTER_CUBIC
    moved = cv2.warpAffine(
        picture, matrix, (width, height), flags=filters | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
    )
    coloured = cv2.transform(moved, np.column_stack([np.diag(change.gain), change.offset]))
    return np.clip(coloured, 0, 1, out=coloured)


def randomised(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The plate from another side, with letters a little bent, bolder or thinner; of the same size."""
    if rng.random() >= RANDOMISED_SHARE:
        return picture
    moved = cv2.remap(picture, *_view(rng, *picture.shape[:2]), cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    weight = rng.uniform(-RANDOMISED_WEIGHT, RANDOMISED_WEIGHT)
    grown = (cv2.dilate if weight > 0 else cv2.erode)(moved, cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)))
    return np.clip(cv2.addWeighted(moved, 1 - abs(weight), grown, abs(weight), 0), 0, 1)


def _view(rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """x and y, (H, W) float32 each, of where every pixel of the new view lies in the old one."""
    # most plates hang nearly level
    turn = np.deg2rad(rng.triangular(-RANDOMISED_TURN_DEGREES, 0, RANDOMISED_TURN_DEGREES))
    zoom, stretch = np.exp(rng.uniform(*RANDOMISED_ZOOM)), np.exp(rng.uniform(-RANDOMISED_STRETCH, RANDOMISED_STRETCH))
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    slant = np.array([[1, rng.uniform(-RANDOMISED_SHEAR, RANDOMISED_SHEAR)], [0, 1]])
    matrix = (slant @ rotation / [zoom, zoom * stretch]).astype(np.float32)
    x, y = _from_the_middle(height, width)
    knots = rng.normal(0, BEND_PX, (*BEND_GRID, 2)).astype(np.float32)
    bend = cv2.resize(knots, (width, height), interpolation=cv2.INTER_CUBIC)
    x, y = _with_wrong_corners(rng, x, y)
    old_x = matrix[0, 0] * x + matrix[0, 1] * y + bend[..., 0] + np.float32((width - 1) / 2)
    old_y = matrix[1, 0] * x + matrix[1, 1] * y + bend[..., 1] + np.float32((height - 1) / 2)
    return old_x, old_y


def _with_wrong_corners(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x and y, (H, W) each, as corners that miss the plate's move them. Their errors spread over the tile bilinearly,
    which for so small ones is the perspective view but for fractions of a pixel."""
    deviation = CORNER_ERROR * y.size * (2 if rng.random() < CORNER_OUTLIERS else 1)
    top_left, top_right, bottom_left, bottom_right = rng.normal(0, deviation, (4, 2)).astype(np.float32)
    # 0 to 1 from corner to corner
    right, down = x / x.size + np.float32(0.5), y / y.size + np.float32(0.5)

    def moved(axis: int) -> np.ndarray:
        top = top_left[axis] + (top_right[axis] - top_left[axis]) * right
        bottom = bottom_left[axis] + (bottom_right[axis] - bottom_left[axis]) * right
        return top + (bottom - top) * down

    return x + moved(0), y + moved(1)


@lru_cache(maxsize=4)
def _from_the_middle(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """x (1, W) and y (H, 1), float32, of each pixel."""
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    return (x - x.mean())[None], (y - y.mean())[:, None]
