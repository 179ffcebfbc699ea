"""Combines several frames of one plate into one picture: enhanced, aligned, averaged by how sure each pixel is.

Pictures are (h, w, 3) float32 in [0, 1]. A warp is the affine map, (2, 3) float32, from positions in the reference to
positions in the other picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import cv2
import numpy as np

from data import quality
from data.straighten import homography, in_tile
from data.straighten import warp as seen_through
from enhancing.examining import (
    TOO_LITTLE,
    Agreement,
    Examiner,
    Result,
    agree,
    as_read,
    larger,
    min_effective_width,
    written,
)
from enhancing.opening import Source
from models.enhancer import resize, restore_each
from reading.answer import INPUT, RECOGNISER, RESULT, Answer, Vote, answer, vote
from reading.matching import edit_distance
from reading.reader import Reading, read_plates

# after aligning; frames below it show something else, or cannot be aligned
MIN_CORRELATION = 0.35
# of the combined picture's vote; all frames together have 1
PICTURE_WEIGHT = 0.5
# frames compared each with each
REFERENCE_CANDIDATES = 8
# of the frames' readings with the elected one; low, since single frames may be bad
MIN_FRAMES_AGREE = 0.6
SEVERAL_PLATES = "the frames may show several plates"
# two frames show two plates where each is so sure of each character, and so large a share of these differs
SURE_FRAME, OTHER_PLATE = 0.85, 0.5
# detail between these, in px of a tile, is strokes; finer is noise
STROKES_SIGMA = (1.0, 4.0)
# of a frame's worth, in its weight; docs/EXPERIMENTS.md
WORTH_POWER = 2
# disagreement below it counts as none; standard deviation of luminance
FLOOR = 0.02
ECC_STEPS = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 60, 1e-5)
ECC_SMOOTHING_PX = 5
# finer detail differs between frames by noise and by invented strokes
ALIGN_SIGMA = 2.0
# of the picture to be aligned; ignored
BORDER_PX = 8


@dataclass(frozen=True)
class FrameShare:
    """What a frame has to do with the combined picture. weight: its share in that and in the vote, 0 where it was left
    out; they sum to 1. correlation: with the reference frame. shift: from the reference in px, (right, down), at the
    middle of the plate."""

    weight: float
    correlation: float
    shift: tuple[float, float]


@dataclass(frozen=True)
class Burst:
    """picture: (H, W, 3) float32 in [0, 1], in the place and size of the frame `reference`, enhanced. disagreement: (h,
    w) of the generator's size, between the frames. answer: of all readings, the recogniser's too. frames: in the order
    of the results. agreement: of the frames' readings with the elected one."""

    picture: np.ndarray
    disagreement: np.ndarray
    vote: Vote
    answer: Answer
    agreement: Agreement
    frames: tuple[FrameShare, ...]
    reference: int
    consistency: float
    effective_width: float
    warnings: tuple[str, ...]


def combine(results: Sequence[Result], examiner: Examiner) -> Burst:
    """results: of this examiner, which has a reader. ValueError for no results."""
    if not results:
        raise ValueError("a burst needs at least one frame")
    trust = np.array([_trust(result) for result in results])
    reference = _reference(results, trust)
    laid = _lay_upon(results, reference, trust)
    weights = np.stack([each.weights for each in laid])
    shares = weights.mean(axis=(1, 2)) / weights.mean(axis=(1, 2)).sum()
    picture = _average([each.picture for each in laid], weights)
    spread = np.stack([quality.luminance(each.picture - picture) ** 2 for each in laid])
    mean = _average([each.lq for each in laid], np.stack([np.full(picture.shape[:2], share) for share in shares]))
    combined = _read_combined(results[reference].source, picture, mean, examiner)
    elected = _elect(results, shares, combined)
    agreement = agree(elected.text, [r.reading.text for r, share in zip(results, shares, strict=True) if share])
    fit = quality.fit(results[reference].source.lq, picture)
    width = max(result.effective_width for result in results)
    chosen = results[reference].source
    too_little = width < min_effective_width(examiner.generator) or agreement.mean < MIN_FRAMES_AGREE
    return Burst(
        picture=written(picture, larger(chosen, picture))[0],
        disagreement=np.sqrt((weights * spread).sum(axis=0) / weights.sum(axis=0)),
        vote=elected,
        answer=_answer(results, shares, combined, examiner),
        agreement=agreement,
        frames=tuple(FrameShare(float(s), each.correlation, each.shift) for s, each in zip(shares, laid, strict=True)),
        reference=reference,
        consistency=fit.consistency,
        effective_width=width,
        warnings=(TOO_LITTLE,) * too_little + (SEVERAL_PLATES,) * _show_several(results),
    )


def _show_several(results: Sequence[Result]) -> bool:
    sure = {each.answer.best_text for each in results if each.answer and each.answer.is_sure(SURE_FRAME)}
    pairs = combinations(sorted(sure), 2)
    return any(edit_distance(a, b) >= OTHER_PLATE * max(len(a), len(b)) for a, b in pairs)


def _reference(results: Sequence[Result], trust: np.ndarray) -> int:
    """The frame that the others are aligned to: trusted, and similar to the other trusted ones, so that a stray picture
    is not chosen as reference."""
    best = np.argsort(-trust, kind="stable")[:REFERENCE_CANDIDATES]
    first = results[best[0]]
    pictures = [smooth(_framed_as(first, results[i].source, results[i].look.sr)) for i in best]
    likeness = [np.mean([correlation(a, warped(b, shift_onto(a, b))) for b in pictures]) for a in pictures]
    return int(best[np.argmax(trust[best] * likeness)])


class _Laid(NamedTuple):
    """A frame aligned to the reference: after and before enhancing, (h, w, 3), and its weights, (h, w)."""

    picture: np.ndarray
    lq: np.ndarray
    weights: np.ndarray
    correlation: float
    shift: tuple[float, float]


def _lay_upon(results: Sequence[Result], reference: int, trust: np.ndarray) -> list[_Laid]:
    fixed = results[reference].look.sr
    shape = fixed.shape[:2]
    worths = np.array([worth_of(result.source.lq, result.source.native_width) for result in results])
    # of flat pictures none is worth more than another
    worths = worths / worths.max() if worths.max() > 0 else np.ones(len(results))
    laid = []
    for i, result in enumerate(results):
        picture = _framed_as(results[reference], result.source, result.look.sr)
        warp = np.eye(2, 3, dtype=np.float32) if i == reference else align(fixed, picture)
        aligned = warped(picture, warp)
        # a flat picture is like nothing, itself included
        likeness = 1.0 if i == reference else correlation(smooth(fixed), smooth(aligned))
        believed = likeness >= MIN_CORRELATION or i == reference
        weight = trust[i] * likeness * worths[i] ** WORTH_POWER if believed else 0.0
        lq = warped(_framed_as(results[reference], result.source, result.source.lq), warp)
        laid.append(_Laid(aligned, lq, _sureness(result, warp, shape) * weight, likeness, shift_of(warp, shape)))
    return laid


def _framed_as(other: Result, source: Source, picture: np.ndarray) -> np.ndarray:
    """A picture of a plate as large as the other result, and with its plate in the same place: by what its corners
    measured, the plate may have got another tile than in another frame."""
    shape = other.look.sr.shape[:2]
    if picture.shape[:2] == shape or source.corners is None or other.source.corners is None:
        return resize(picture, *shape)
    places = in_tile(source.corners, picture.shape[:2]), in_tile(other.source.corners, shape)
    return seen_through(picture, homography(*places), shape, cv2.BORDER_REPLICATE)


def _read_combined(source: Source, picture: np.ndarray, mean: np.ndarray, examiner: Examiner) -> list[Reading]:
    """Readings of the combined picture, and of the mean of the frames, enhanced. source: of the reference."""
    of_mean = restore_each(examiner.generator, [resize(mean, *source.lq.shape[:2])])[0]
    return read_plates(examiner.reader, [as_read(source, each) for each in (picture, of_mean)])


def _elect(results: Sequence[Result], shares: np.ndarray, combined: Sequence[Reading]) -> Vote:
    """Voters: each frame before and after enhancing, the combined picture, and the average of the enhanced frames.

    Measured (docs/BENCHMARKS.md): the four make different errors, and together they read more than any one of them.
    """
    voters = [result.reading for result in results] + [result.reading_before for result in results]
    return vote([*voters, *combined], [*shares, *shares, PICTURE_WEIGHT, PICTURE_WEIGHT])


def _answer(results: Sequence[Result], shares: np.ndarray, combined: Sequence[Reading], examiner: Examiner) -> Answer:
    readings = {INPUT: [result.reading_before for result in results]}
    readings[RESULT] = [*(result.reading for result in results), *combined]
    parts = {INPUT: shares, RESULT: [*shares, PICTURE_WEIGHT, PICTURE_WEIGHT]}
    recognised = [result.look.recognised for result in results]
    if all(recognised):
        readings = {RECOGNISER: [reading for some in recognised for reading in some], **readings}
        parts = {RECOGNISER: np.repeat(shares, [len(some) for some in recognised]), **parts}
    return answer(readings, examiner.rule, parts)


def _trust(result: Result) -> float:
    """How far a frame is trusted: by its own agreement, if it was read, and by its pixels."""
    steady = FLOOR / max(FLOOR, float(result.disagreement.mean())) if result.disagreement is not None else 1.0
    agreed = result.agreement.mean if result.agreement is not None else 1.0
    return (0.1 + agreed) * steady * (0.1 + result.fit.consistency)


def worth_of(picture: np.ndarray, native_width: float) -> float:
    """The width in px of the camera, times how much of the contrast of the picture, (h, w, 3) float, is in strokes as
    fine as characters': a large view may be blurred, a sharp one small."""
    grey = quality.luminance(picture)
    fine, coarse = (cv2.GaussianBlur(grey, (0, 0), sigma) for sigma in STROKES_SIGMA)
    contrast = float(grey.std())
    return native_width * float((fine - coarse).std()) / contrast if contrast > 1e-3 else 0.0


def _sureness(result: Result, warp: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """(h, w) weights: the inverse of the variance over the variants; next to none where the frame has no pixels."""
    spread = np.full(shape, FLOOR, np.float32)
    if result.disagreement is not None:
        spread = np.maximum(spread, cv2.resize(result.disagreement, shape[::-1]))
    inside = cv2.warpAffine(
        np.ones(shape, np.float32), warp, shape[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    )
    return (FLOOR / np.maximum(FLOOR, warped(spread, warp))) ** 2 * (inside + 1e-3)


def _average(pictures: Sequence[np.ndarray], weights: np.ndarray) -> np.ndarray:
    shares = weights / weights.sum(axis=0)
    return sum(picture * share[..., None] for picture, share in zip(pictures, shares, strict=True)).astype(np.float32)


def align(reference: np.ndarray, picture: np.ndarray) -> np.ndarray:
    """The affine map, (2, 3) float32, from places in `reference` to those in `picture`, both (h, w, 3): phase
    correlation for the shift, then enhanced correlation (Evangelidis and Psarakis 2008, IEEE TPAMI 30(10)); of no move,
    shift and map, the one that makes them most alike where they overlap."""
    fixed, moving = smooth(reference), smooth(picture)
    inside = np.zeros(moving.shape, np.uint8)
    margins = [max(0, min(BORDER_PX, side // 4)) for side in moving.shape]
    inside[margins[0] : moving.shape[0] - margins[0], margins[1] : moving.shape[1] - margins[1]] = 1
    shift = shift_onto(fixed, moving)
    candidates = [shift, np.eye(2, 3, dtype=np.float32)]
    for start in (shift, np.eye(2, 3, dtype=np.float32)):
        try:
            _, warp = cv2.findTransformECC(
                fixed, moving, start.copy(), cv2.MOTION_AFFINE, ECC_STEPS, inside, ECC_SMOOTHING_PX
            )
        # OpenCV raises an exception where it does not converge
        except cv2.error:
            continue
        candidates.append(warp)
    return max(candidates, key=lambda warp: _overlap_correlation(fixed, moving, warp, inside))


def _overlap_correlation(fixed: np.ndarray, moving: np.ndarray, warp: np.ndarray, inside: np.ndarray) -> float:
    """Where both have pixels; less for an overlap of less than half, which anything fits."""
    flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    both = (cv2.warpAffine(inside, warp, inside.shape[::-1], flags=flags) > 0) & (inside > 0)
    enough = min(1.0, 2 * both.mean())
    return enough * correlation(fixed[both], warped(moving, warp)[both]) if both.any() else -1.0


def shift_onto(fixed: np.ndarray, moving: np.ndarray) -> np.ndarray:
    """By phase correlation; both smoothed luminance."""
    shift = np.eye(2, 3, dtype=np.float32)
    if min(fixed.shape) > 2:
        window = cv2.createHanningWindow(fixed.shape[::-1], cv2.CV_32F)
        # copies, since OpenCV multiplies its input by the window where no padding is needed
        shift[:, 2] = cv2.phaseCorrelate(fixed.copy(), moving.copy(), window)[0]
    return shift


def warped(picture: np.ndarray, warp: np.ndarray) -> np.ndarray:
    """The picture, aligned to the reference."""
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(picture, warp, picture.shape[1::-1], flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    return np.clip(moved, 0, 1)


def smooth(picture: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(quality.luminance(picture), (0, 0), ALIGN_SIGMA)


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    a, b = first - first.mean(), second - second.mean()
    return float((a * b).sum() / max(1e-9, np.sqrt((a**2).sum() * (b**2).sum())))


def shift_of(warp: np.ndarray, shape: tuple[int, int]) -> tuple[float, float]:
    middle = np.array([shape[1] / 2, shape[0] / 2, 1])
    right, down = middle[:2] - warp @ middle
    return float(right), float(down)
