"""The one way to apply a generator: arrays in, enhanced arrays out.

Pictures are float32 RGB in [0, 1], (H, W, 3) each. Importing this module imports neither TensorFlow nor ONNX Runtime;
loading a generator imports the one that its file needs.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from data.io import to_float, to_uint8
from data.quality import edges, is_grey, luminance, mean_and_contrast, middle, noise_of
from data.straighten import tile_size
from models.loading import BATCH_SIZE, KERAS, Backend, Run, in_batches, load
from models.shipped import check_checkpoint, read_info, second_opinion

TILE_WIDTH_PX = 192
# limit of a tile's sides, since a JSON may hold any number
MAX_TILE_PX = 2048
# Padded sizes are multiples of this. Whatever the stem folds divides it, and pictures fall into few batches.
PAD_PX = 16
# A taller picture is scaled to its height. Otherwise a strip of 1 x 5000 px would become 192 x 960,000.
MAX_TALLNESS = 4
# a change of mean colour up to this is undone: five of 256 levels
SMALL_CAST = 0.02
# share of a removed cast that may remain in a colour; this one has the least colour error on validation plates
DOUBT_OF_CAST = 0.3
# a standard deviation below this is coding noise
FAINTEST = 1e-3
# contrast is raised by at most this factor: a picture of one colour holds noise alone
MOST_GAIN = 20.0
# rows over which the second pass blends into the first
SEAM_PX = 8
# A picture that the recogniser reads with less than this probability is also drawn from farther away, at these shares
# of its size, and the mean counts: what the drawings agree on stays, what one invents fades (docs/EXPERIMENTS.md).
READABLE = 0.5
FARTHER = (0.96, 0.92, 0.88)
# of a large picture, processed at a time; and around them
BAND_ROWS, BAND_MARGIN = 512, 8
# over which the energy of detail is averaged: some strokes' width
DETAIL_BLOCK_PX = (7, 7)
# A picture is sharp already where in each direction its edges at its own size are this much stronger than those of the
# network's output there, and at most so much of their energy is noise. Of 112 really motion-blurred plates the softest
# direction has 0.62 of the edges left and more, of 93 readable ones 0.26 to 0.76 (docs/EXPERIMENTS.md).
EDGES_LEFT, NOISE_SHARE = 0.6, 0.25
# second differences along the rows, down the columns and along both diagonals: motion leaves one direction sharp
DIRECTIONS = tuple(
    np.float32(kernel) for kernel in ([[1, -2, 1]], [[1], [-2], [1]], np.diag([1, -2, 1]), np.diag([1, -2, 1])[::-1])
)
# Its contrast is raised until its darkest and lightest pixels are black and white, or, where that allows this much more
# contrast, until this share of its pixels at either end is: highlights on a dark plate.
WORTH_CLIPPING, CLIPPED_SHARE = 1.25, 0.005


@dataclass(frozen=True)
class Generator:
    """A loaded generator.

    run: (N, H, W, 3) float32 -> (N, H*scale, W*scale, 3) float32, unclipped, for H and W that divide by 16 / scale; of
    one that tells what its recogniser reads in them, a pair of this and the probabilities (N, W/4, 1 + characters).
    width_px: width of the tiles that it was trained on. window_px: height of the windows that training cut from them,
    see `run_with_strip`; 0 for training on whole tiles. strength: see `mix`. readable_strength: of pictures that can be
    read as they are, see `strength_for`; None for `strength`. info: the JSON beside the file, or {}.
    """

    run: Run
    scale: int = 1
    width_px: int = TILE_WIDTH_PX
    window_px: int = 0
    strength: float = 1.0
    readable_strength: float | None = None
    backend: Backend = KERAS
    info: dict = field(default_factory=dict)

    def tile_for(self, corners: np.ndarray) -> tuple[int, int]:
        """(height, width) of the tile in which a plate is shown to the generator, straightened by its corners."""
        return tile_size(corners, (self.width_px // 2, self.width_px), self.window_px)

    def strength_for(self, readable: float) -> float:
        """The strength for a picture that can be read as it is with this probability: what is sure is left nearly
        alone, what is not is restored."""
        low = self.strength if self.readable_strength is None else self.readable_strength
        return self.strength + (low - self.strength) * readable


class Drawn(NamedTuple):
    """What the network makes of a picture. sr: (H*scale, W*scale, 3) in [0, 1]. shown: what it was shown last, the
    padded picture or its central strip. read: the probabilities of its recogniser for this, see `Generator.run`, or
    None."""

    sr: np.ndarray
    shown: np.ndarray
    read: np.ndarray | None


def load_generator(path: str | Path, precision: str = "auto", strength: float | None = None) -> Generator:
    """Load a `.keras` archive (in Keras' safe mode) or an `.onnx` file (without TensorFlow).

    precision: "float32", "bfloat16" or "auto", see `choose_backend`. strength: 0 to 1; None for that of the JSON beside
    the file, 1 where it says none. Raises ValueError, with the reason, for anything that cannot be loaded.
    """
    path = check_checkpoint(path)
    if precision not in ("auto", "float32", "bfloat16"):
        raise ValueError(f"precision must be auto, float32 or bfloat16, got {precision!r}")
    loaded = load(path, precision)
    info = read_info(path) or loaded.info
    kept = _share(info.get("strength"), 1.0) if strength is None else strength
    of_readable = _share(info.get("readable_strength"), None) if strength is None else None
    try:
        width_px = _tile_width(info)
    except ValueError as error:
        raise ValueError(f"checkpoint {path}: {error}") from None
    return Generator(loaded.run, loaded.scale, width_px, _window_px(info), kept, of_readable, loaded.backend, info)


def load_second(checkpoint: str | Path, generator: Generator) -> Generator | None:
    """The other stage's generator beside the one in use; None where there is none that fits."""
    other = second_opinion(checkpoint)
    second = None if other is None else load_generator(other, generator.backend.precision)
    fits = second is not None and (second.scale, second.width_px) == (generator.scale, generator.width_px)
    return second if fits else None


def from_model(model) -> Generator:
    """A Keras model in memory as a Generator (validation while training)."""
    scale = model.compute_output_shape((1, PAD_PX, PAD_PX, 3))[1] // PAD_PX
    return Generator(lambda batch: np.asarray(model(batch, training=False), "float32"), scale)


def restore(generator: Generator, batch: np.ndarray) -> np.ndarray:
    """(N, H, W, 3) float32 in [0, 1], any H and W -> (N, H*scale, W*scale, 3) in [0, 1]; padded and cut back."""
    batch = np.asarray(batch, "float32")
    if batch.ndim != 4 or batch.shape[3] != 3 or 0 in batch.shape:
        raise ValueError(f"expected pictures of shape (N, H, W, 3), got {batch.shape}")
    return np.stack(restore_each(generator, batch, len(batch)))


def enhance(
    generator: Generator, pictures: Sequence[np.ndarray], readable: Sequence[float | None] | None = None
) -> list[np.ndarray]:
    """Any pictures, (H, W, 3) float32 RGB in [0, 1] of any size -> enhanced ones, in the same order.

    Each picture is scaled to the width that the generator was trained on, with its aspect kept, and restored. The
    result has that size, or the picture's own where that is larger. It does not depend on the other pictures.
    readable: see `restore_each`.
    """
    inputs = [to_working_size(generator, picture) for picture in pictures]
    restored = restore_each(generator, inputs, readable=readable)
    return [at_own_size(sr, picture) for picture, sr in zip(pictures, restored, strict=True)]


def restore_each(
    generator: Generator,
    inputs: Sequence[np.ndarray],
    batch_size: int = BATCH_SIZE,
    readable: Sequence[float | None] | None = None,
) -> list[np.ndarray]:
    """Pictures already of working size -> restored ones in [0, 1], `scale` times as large, in the same order.

    readable: with which probability the recogniser reads each picture as it is, None where nobody can tell; by it the
    strength follows the picture, and one that is hard to read is drawn several times. Pictures of one padded size go
    through the network together.
    """
    return finish_each(generator, inputs, draw_each(generator, inputs, batch_size), batch_size, readable)


def draw_each(generator: Generator, inputs: Sequence[np.ndarray], batch_size: int = BATCH_SIZE) -> list[Drawn]:
    """What the network makes of each picture as it is."""
    pictures = [padded(lq, generator.scale) for lq in inputs]
    drawn = in_batches(lambda batch: run_with_strip(generator, batch), pictures, batch_size)
    cut = (_cut_back(each.sr, lq.shape, generator.scale) for each, lq in zip(drawn, inputs, strict=True))
    return [each._replace(sr=sr) for each, sr in zip(drawn, cut, strict=True)]


def finish_each(
    generator: Generator,
    inputs: Sequence[np.ndarray],
    drawn: Sequence[Drawn],
    batch_size: int = BATCH_SIZE,
    readable: Sequence[float | None] | None = None,
) -> list[np.ndarray]:
    """The rest of `restore_each`: what is hard to read drawn again, all in the pictures' colours, blended with them."""
    known = [None] * len(inputs) if readable is None else readable
    pictures = [each.sr for each in drawn]
    hard = [index for index, share in enumerate(known) if share is not None and share < READABLE]
    again = _drawn_again(generator, [inputs[i] for i in hard], [pictures[i] for i in hard], batch_size)
    for index, sr in zip(hard, again, strict=True):
        pictures[index] = sr
    # numbers of NumPy's would make pictures of doubles
    strengths = [generator.strength if share is None else generator.strength_for(float(share)) for share in known]
    return [_finished(*each) for each in zip(inputs, pictures, strengths, strict=True)]


def _drawn_again(
    generator: Generator, inputs: Sequence[np.ndarray], first: Sequence[np.ndarray], batch_size: int
) -> list[np.ndarray]:
    """The mean of the first drawing of each picture and those from farther away."""
    sums = [sr.copy() for sr in first]
    for zoom in FARTHER:
        drawn = draw_each(generator, [from_farther(lq, zoom) for lq in inputs], batch_size)
        for total, each in zip(sums, drawn, strict=True):
            total += from_farther(each.sr, 1 / zoom)
    return [total / np.float32(1 + len(FARTHER)) for total in sums]


def from_farther(picture: np.ndarray, zoom: float) -> np.ndarray:
    """(H, W, 3) in [0, 1] -> the same, `zoom` times as large around its middle; its border is drawn out."""
    if zoom == 1:
        return picture
    height, width = picture.shape[:2]
    # the middle stays where it is
    matrix = np.array([[zoom, 0, (1 - zoom) * (width - 1) / 2], [0, zoom, (1 - zoom) * (height - 1) / 2]], np.float32)
    moved = cv2.warpAffine(picture, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.clip(moved, 0, 1)


def _finished(lq: np.ndarray, sr: np.ndarray, strength: float) -> np.ndarray:
    sr = keep_colours(lq, sr)
    mixed = mix(lq, sr, strength)
    return as_grey(mixed) if is_grey(lq) else mixed


def run_with_strip(generator: Generator, batch: np.ndarray) -> list[Drawn]:
    """`generator.run` for each picture of a batch, with a second pass over the central strip of tall pictures.

    A network that takes means over the whole picture meets other means where a picture shows more around the plate than
    the windows of training did (for classifiers see Touvron et al. 2019, "Fixing the train-test resolution
    discrepancy", arXiv 1906.06423). So where a picture is taller than these windows, a strip of their height is cut
    from its middle and restored alone. It gets the brightness and contrast of the first pass, and blends into it over
    `SEAM_PX` rows.
    """
    whole = _run(generator, batch)
    s, height = generator.scale, generator.window_px
    top = (batch.shape[1] * s - height) // 2
    if not height or top <= 0:
        return whole
    strips = _run(generator, batch[:, top // s : (top + height) // s])
    from_edge = np.minimum(np.arange(height) + 0.5, np.arange(height)[::-1] + 0.5)
    share = np.minimum(from_edge / SEAM_PX, 1).astype(np.float32)[:, None, None]
    drawn = []
    for each, strip in zip(whole, strips, strict=True):
        sr = each.sr.copy()
        middle = sr[top : top + height]
        middle += share * (match_brightness(np.clip(strip.sr, 0, 1), np.clip(middle, 0, 1)) - middle)
        drawn.append(strip._replace(sr=sr))
    return drawn


def _run(generator: Generator, batch: np.ndarray) -> list[Drawn]:
    made = generator.run(batch)
    pictures, readings = made if isinstance(made, tuple) else (made, [None] * len(batch))
    return [Drawn(*each) for each in zip(pictures, batch, readings, strict=True)]


def keep_colours(lq: np.ndarray, sr: np.ndarray) -> np.ndarray:
    """sr with the colours that lq supports; both in [0, 1].

    A white plate under white light looks the same as a slightly tinted plate under tinted light, and a generator that
    assumes the latter too often tints good pictures. So the mean colour moves back by up to `SMALL_CAST` towards that
    of lq at sr's contrast: a small change is undone, a strong cast stays removed except for this much.

    Where a strong cast was removed, faint colours are greyed. They are what remains of the cast (mostly a faint green
    under red light). It differs from place to place, because one colour was clipped, and differs from the plate's own
    colours in being faint.
    """
    (_, (before,)), (_, (after,)) = (mean_and_contrast(cv2.cvtColor(each, cv2.COLOR_RGB2GRAY)) for each in (lq, sr))
    gain = min(after / before, MOST_GAIN) if before > FAINTEST else 1.0
    tint_before, tint_after = (mean - luminance(mean) for mean, _ in map(mean_and_contrast, (lq, sr)))
    moved = tint_after - gain * tint_before
    cast = float(np.linalg.norm(moved))
    kept = min(1.0, SMALL_CAST / max(cast, 1e-6))
    sr = np.clip(sr - (kept * moved).astype(np.float32), 0, 1)
    return without_faint_colours(sr, DOUBT_OF_CAST * (1 - kept) * cast)


def without_faint_colours(picture: np.ndarray, doubt: float) -> np.ndarray:
    """(H, W, 3) in [0, 1] -> the same with faint colours shrunk to grey and strong ones hardly changed.

    A pixel's colour c is what remains after its brightness is subtracted. It becomes c |c|^2 / (|c|^2 + doubt^2), as
    Wiener's filter shrinks a value that is known within `doubt`.
    """
    if not doubt:
        return picture
    luma = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None]
    colour = picture - luma
    energy = np.einsum("hwc,hwc->hw", colour, colour)
    colour *= (energy / (energy + doubt**2))[..., None]
    return np.clip(luma + colour, 0, 1)


def mix(lq: np.ndarray, sr: np.ndarray, strength: float) -> np.ndarray:
    """Blend the network's output with the brightness-matched input: strength * sr + (1 - strength) * matched lq.

    Both in [0, 1]; lq is enlarged to sr's size. The network draws one candidate where a character is
    in doubt. Blending the input in keeps the doubt visible, to a person and to a reader.
    """
    if strength == 1:
        return sr
    return strength * sr + (1 - strength) * match_brightness(resize(lq, *sr.shape[:2]), sr)


def match_brightness(picture: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The picture with the target's mean and contrast in each colour, in [0, 1]."""
    (before, contrast_before), (after, contrast_after) = map(mean_and_contrast, (picture, target))
    gain = np.minimum(contrast_after / np.maximum(contrast_before, FAINTEST), MOST_GAIN)
    return np.clip(picture * np.float32(gain) + np.float32(after - gain * before), 0, 1)


def as_grey(picture: np.ndarray) -> np.ndarray:
    """(H, W, 3) float -> the same with R = G = B."""
    return cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def working_size(width_px: int, height: int, width: int) -> tuple[int, int]:
    """(height, width) of the restored picture: the tile's width, the picture's own aspect."""
    factor = min(width_px / width, MAX_TALLNESS * width_px / height)
    return max(1, round(height * factor)), max(1, round(width * factor))


def to_working_size(generator: Generator, picture: np.ndarray) -> np.ndarray:
    """(H, W, 3) float32 in [0, 1] -> the generator's input: the working size divided by its scale."""
    return to_width(picture, generator.width_px, generator.scale)


def to_width(picture: np.ndarray, width_px: int = TILE_WIDTH_PX, scale: int = 1) -> np.ndarray:
    """The input of a generator with tiles of this width and this scale."""
    if picture.ndim != 3 or picture.shape[2] != 3 or 0 in picture.shape:
        raise ValueError(f"expected a picture of shape (H, W, 3), got {picture.shape}")
    height, width = (max(1, round(side / scale)) for side in working_size(width_px, *picture.shape[:2]))
    return resize(np.asarray(picture, "float32"), height, width)


def is_larger(size: tuple[int, int], sr: np.ndarray) -> bool:
    """Whether a picture of this (height, width) is larger in some direction than its restored version."""
    return size[0] > sr.shape[0] or size[1] > sr.shape[1]


def at_own_size(sr: np.ndarray, picture: np.ndarray, sharp: bool | None = None) -> np.ndarray:
    """The restored picture; where the original is larger, at the original's size and with the original's own detail.

    sr: (h, w, 3) float32 in [0, 1]. picture: (H, W, 3), uint8 or float32 in [0, 1]. sharp: what `is_sharp` says of
    them, for who knows already. Returns sr, or (H, W, 3) of picture's type.

    The generator gets a large picture shrunk. The detail that was lost by it is added to its output, at the output's
    contrast, as far as it stands out from the picture's noise. A picture that is sharp already gets the output's
    brightness and contrast alone: its coarse strokes could only leave seams beside finer ones. So a sharp picture stays
    as sharp as it was. The work is done in bands of rows: a whole photo in floats would take gigabytes.
    """
    if not is_larger(picture.shape[:2], sr):
        return sr
    height, width = picture.shape[:2]
    coarse = luminance(to_float(resize(picture, *sr.shape[:2])))
    gain = _gain(sr, coarse)
    noise, grey = noise_of(picture), is_grey(picture)
    sharp = is_sharp(picture, sr) if sharp is None else sharp
    tone = _tone(picture, coarse, sr) if sharp else None
    result = np.empty(picture.shape, picture.dtype)
    for top in range(0, height, BAND_ROWS):
        # rows around the band, of which the local mean and the interpolation take some
        first, last = max(0, top - BAND_MARGIN), min(height, top + BAND_ROWS + BAND_MARGIN)
        rows = to_float(picture[first:last])
        if tone is not None:
            band = rows * tone[0] + tone[1]
        else:
            detail = luminance(rows) - _rows_enlarged(coarse, height, width, first, last)
            energy = cv2.blur(detail * detail, DETAIL_BLOCK_PX)
            # Wiener's filter: all of a detail far above the noise, nothing of one below it
            kept = np.maximum(0, 1 - noise**2 / np.maximum(energy, 1e-9))
            band = _rows_enlarged(sr, height, width, first, last) + (gain * kept * detail)[..., None]
        band = np.clip(as_grey(band) if grey else band, 0, 1)[top - first : top - first + BAND_ROWS]
        result[top : top + BAND_ROWS] = to_uint8(band) if result.dtype == np.uint8 else band
    return result


def is_sharp(picture: np.ndarray, sr: np.ndarray) -> bool:
    """Whether the middle of a picture, at its own size, has stronger edges in every direction than the network's output
    `sr` has there, and they are no noise."""
    height, width = picture.shape[:2]
    rows, columns = middle(picture)
    own = luminance(to_float(picture[rows, columns]))
    # white noise of variance 1 has a Laplacian of variance 20
    if 20 * noise_of(picture) ** 2 > NOISE_SHARE * edges(own) ** 2:
        return False
    made = _rows_enlarged(luminance(sr), height, width, rows.start, rows.stop)[:, columns]
    gain = _gain(sr, luminance(to_float(resize(picture, *sr.shape[:2]))))
    each = ((cv2.filter2D(some, -1, kernel).std() for some in (made, own)) for kernel in DIRECTIONS)
    return all(of_made < EDGES_LEFT * gain * of_own for of_made, of_own in each)


def _gain(sr: np.ndarray, coarse: np.ndarray) -> float:
    """By how much the network raised the contrast of a picture whose brightness, at sr's size, is `coarse`."""
    return min(float(luminance(sr).std() / max(coarse.std(), FAINTEST)), MOST_GAIN)


def _tone(picture: np.ndarray, coarse: np.ndarray, sr: np.ndarray) -> tuple[np.float32, np.float32]:
    """The factor and the offset that give a picture, whose brightness at sr's size is `coarse`, the contrast and the
    mean of `sr`, but no less contrast than it has, and both only as far as little is clipped: strokes that end in black
    and white lose their edges. Its colours stay as they are."""
    wanted = max(1.0, _gain(sr, coarse))
    levels = (0, 1), (CLIPPED_SHARE, 1 - CLIPPED_SHARE)
    # without and with clipping, the darkest and the lightest
    ends = np.quantile(to_float(picture[middle(picture)]), levels)
    limited = [min(wanted, 1 / max(lightest - darkest, FAINTEST)) for darkest, lightest in ends]
    clipped = int(limited[1] > WORTH_CLIPPING * limited[0])
    gain, (darkest, lightest) = limited[clipped], ends[clipped]
    offset = luminance(sr).mean() - gain * coarse.mean()
    return np.float32(gain), np.float32(np.clip(offset, -gain * darkest, 1 - gain * lightest))


def _rows_enlarged(picture: np.ndarray, height: int, width: int, first: int, last: int) -> np.ndarray:
    """Rows `first` to `last` of the float picture as enlarged to (height, width), cubic, borders repeated."""
    across, down = picture.shape[1] / width, picture.shape[0] / height
    places = np.array([[across, 0, across / 2 - 0.5], [0, down, (first + 0.5) * down - 0.5]], np.float32)
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(picture, places, (width, last - first), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def resize(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """A picture, uint8 or float in [0, 1]: averaged over areas when shrinking (no aliasing), cubic when growing."""
    if picture.shape[:2] == (height, width):
        return picture
    shrinking = height * width < picture.shape[0] * picture.shape[1]
    resized = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_CUBIC)
    return resized if resized.dtype == np.uint8 else np.clip(resized, 0, 1)


def padded(lq: np.ndarray, scale: int = 1) -> np.ndarray:
    """To sides that `PAD_PX` divides once they are enlarged. The border is drawn out: reflected halves of characters
    would be taken for strokes."""
    margins = [_margins(side, scale) for side in lq.shape[:2]]
    return np.pad(lq, (*margins, (0, 0)), mode="edge") if np.any(margins) else lq


def _cut_back(sr: np.ndarray, input_shape: tuple, scale: int) -> np.ndarray:
    (top, _), (left, _) = (_margins(side, scale) for side in input_shape[:2])
    height, width = (side * scale for side in input_shape[:2])
    return np.clip(sr[top * scale : top * scale + height, left * scale : left * scale + width], 0, 1)


def _margins(side: int, scale: int) -> tuple[int, int]:
    missing = -side % (PAD_PX // scale)
    return missing // 2, missing - missing // 2


def _tile_width(info: dict) -> int:
    """The width of the tiles that the network was trained on. ValueError for one that no plate needs."""
    tile = info.get("tile")
    known = isinstance(tile, list) and len(tile) == 2 and all(isinstance(side, int) and side > 0 for side in tile)
    if known and max(tile) > MAX_TILE_PX:
        raise ValueError(f"its JSON asks for tiles of {tile[0]} x {tile[1]}, at most {MAX_TILE_PX} px are taken")
    return tile[1] if known else TILE_WIDTH_PX


def _window_px(info: dict) -> int:
    """The height of the windows that training cut from its tiles; 0 for whole tiles, and for a height that the network
    cannot take.

    JSONs written before `window_px` have only training's settings, with "crop" as "64x192".
    """
    height = info.get("window_px")
    if height is None:
        settings = info.get("settings")
        crop = str(settings.get("crop", "")) if isinstance(settings, dict) else ""
        found = re.fullmatch(r"([1-9][0-9]{0,4})[xX][1-9][0-9]{0,4}", crop)
        height = int(found[1]) if found else 0
    known = isinstance(height, int) and not isinstance(height, bool) and 0 < height <= MAX_TILE_PX
    return height if known and height % PAD_PX == 0 else 0


def _share(known: object, otherwise: float | None) -> float | None:
    return float(known) if isinstance(known, (int, float)) and 0 <= known <= 1 else otherwise
