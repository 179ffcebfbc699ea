"""The figures: of pictures (PSNR, SSIM), of readings (reading rates, harm), and how sure they are (bootstrap).

Pictures are NHWC RGB, uint8 or float in [0, 1]; whole pictures count, no border is cut, and the three colours weigh the
same. Picture figures are one number per picture, (N,): average them, never the errors underneath. Used by evaluate.py
and by validation inside train.py, so that the two cannot drift apart.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from reading.answer import Answer, judged
from reading.matching import Match, is_readable, is_two_line, match

# rounding to 8 bits alone leaves 59 dB: beyond, pictures are equal, and infinity would spoil averages
PSNR_CAP_DB = 60.0
# Wang et al. 2004, "Image Quality Assessment: From Error Visibility to Structural Similarity", section III-B and C
SSIM_WINDOW, SSIM_SIGMA, SSIM_K1, SSIM_K2 = 11, 1.5, 0.01, 0.03
# a stroke is narrower: what is asked is the colour of grounds, not whether strokes are sharp
COLOUR_BLOCK_PX = 8
BOOTSTRAP_RESAMPLES = 2000
DRAWS_IN_MEMORY = 1_000_000
# a reading above this confidence is one that a user would believe
CONFIDENT = 0.9


def psnr_db(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Peak signal-to-noise ratio of each pair of pictures, (N,) in dB, at most 60. ValueError for other shapes."""
    first, second = _as_pairs(first, second)
    errors = np.mean((first - second) ** 2, axis=(1, 2, 3))
    return np.minimum(PSNR_CAP_DB, -10 * np.log10(np.maximum(errors, 10 ** (-PSNR_CAP_DB / 10))))


def ssim(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Structural similarity of each pair of pictures, (N,) up to 1: Gaussian window of 11, mean over the three colours.

    ValueError for other shapes and for pictures smaller than the window.
    """
    first, second = _as_pairs(first, second)
    if min(first.shape[1:3]) < SSIM_WINDOW:
        raise ValueError(f"SSIM needs pictures of at least {SSIM_WINDOW} x {SSIM_WINDOW}, got {first.shape[1:3]}")
    return np.array([_ssim_of_one(a, b) for a, b in zip(first, second, strict=True)])


def colour_error(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """How far the colours of each pair of pictures lie apart, (N,): distance of a* and b* in CIELAB (CIE 1976), of
    which two units or so can just be told apart; of the means of blocks of 8 x 8 pixels, averaged. Lightness does not
    count.

    ValueError for other shapes and for pictures smaller than a block.
    """
    first, second = _as_pairs(first, second)
    if min(first.shape[1:3]) < COLOUR_BLOCK_PX:
        raise ValueError(f"the colour error needs pictures of at least {COLOUR_BLOCK_PX} px, got {first.shape[1:3]}")
    apart = [_chroma(a) - _chroma(b) for a, b in zip(first, second, strict=True)]
    return np.array([np.linalg.norm(each, axis=-1).mean() for each in apart])


def reading_rates(
    readings: Sequence,
    texts: Sequence[str],
    countries: Sequence[str],
    groups: Sequence[str] | None = None,
    resamples: int = BOOTSTRAP_RESAMPLES,
    seed: int = 0,
) -> dict:
    """Reading rates of some plates: `plate_acc`, `plate_acc_within_1`, `char_acc`, for the serial; under
    `with_province`, the same three for the whole text. Each is {"value", "ci95", "n"}; value and ci95 are None where n
    is 0.

    readings: `Reading`s, or plain strings. groups: one name per reading; readings of one group (the variants of a
    plate) are not independent and are drawn together by the bootstrap. Plates on two lines and plates without a text
    are left out, and counted under `two_line` and `without_text`.
    """
    texts, countries = list(texts), list(countries)
    groups = list(range(len(texts))) if groups is None else list(groups)
    kept = [i for i, text in enumerate(texts) if is_readable(text, countries[i])]
    two_line = sum(map(is_two_line, texts))
    result: dict = {"two_line": two_line, "without_text": len(texts) - len(kept) - two_line}
    read = [getattr(reading, "text", reading) for reading in readings]
    for province, part in ((False, result), (True, result.setdefault("with_province", {}))):
        matches = [match(read[i], texts[i], countries[i], province) for i in kept]
        part |= _rates_of(matches, [groups[i] for i in kept], resamples, seed)
    return result


def harm(
    right_before: Sequence[bool],
    right_after: Sequence[bool],
    confidences: Sequence[float],
    groups: Sequence[str] | None = None,
    resamples: int = BOOTSTRAP_RESAMPLES,
    seed: int = 0,
) -> dict:
    """What enhancing does to single plates: `flip_rate` (of those read right before, the share read wrong after),
    `gain_rate` (of those read wrong before, the share read right after) and `confidently_wrong` (of all, the share read
    wrong with a confidence above 0.9), each {"value", "ci95", "count", "n"}."""
    before, after = np.asarray(right_before, bool), np.asarray(right_after, bool)
    groups = np.arange(len(before)) if groups is None else np.asarray(groups)
    confident = np.asarray(confidences, float) > CONFIDENT
    everyone = np.ones(len(before), bool)
    shares = {
        "flip_rate": (~after, before),
        "gain_rate": (after, ~before),
        "confidently_wrong": (~after & confident, everyone),
    }
    return {
        name: {**estimate(hit[among], groups[among], resamples, seed), "count": int(hit[among].sum())}
        for name, (hit, among) in shares.items()
    }


def trust(
    answers: Sequence[Answer],
    texts: Sequence[str],
    countries: Sequence[str],
    groups: Sequence[str] | None = None,
    resamples: int = BOOTSTRAP_RESAMPLES,
    seed: int = 0,
) -> dict:
    """Whether answers are right as often as they say. An answer is sure where each of its characters has a probability
    above 0.9. `confidently_wrong`: of all, the share that is sure and wrong; `right_of_sure`: of the sure ones, the
    share that is right, province included; `reliability`: of their characters."""
    known = list(zip(answers, texts, countries, strict=True))
    sure = [given.is_sure(CONFIDENT) for given, _, _ in known]
    right = [match(given.best_text, text, country, province=True).right for given, text, country in known]
    wrong = [is_sure and not is_right for is_sure, is_right in zip(sure, right, strict=True)]
    of_sure = [is_right for is_sure, is_right in zip(sure, right, strict=True) if is_sure]
    own = None if groups is None else [group for group, is_sure in zip(groups, sure, strict=True) if is_sure]
    characters = [judged(given, text, country) for given, text, country in known]
    return {
        "confidently_wrong": {**estimate(wrong, groups, resamples, seed), "count": sum(wrong)},
        "right_of_sure": estimate(of_sure, own, resamples, seed),
        "reliability": reliability(*map(np.concatenate, zip(*characters, strict=True))) if characters else [],
    }


def reliability(probabilities: np.ndarray, right: np.ndarray, parts: int = 10) -> list[dict]:
    """How often what was given with a probability is right (Guo et al. 2017, arXiv 1706.04599, Fig. 1): for each tenth
    of [0, 1] that holds any, {"low", "high", "n", "given": mean probability, "right": share}."""
    place = np.clip((np.asarray(probabilities) * parts).astype(int), 0, parts - 1)
    return [
        {
            "low": part / parts,
            "high": (part + 1) / parts,
            "n": int((place == part).sum()),
            "given": float(np.mean(probabilities[place == part])),
            "right": float(np.mean(right[place == part])),
        }
        for part in range(parts)
        if (place == part).any()
    ]


def estimate(
    values: Sequence[float], groups: Sequence | None = None, resamples: int = BOOTSTRAP_RESAMPLES, seed: int = 0
) -> dict:
    """The mean of some values as {"value", "ci95": [low, high], "n"}; value and ci95 are None for no values."""
    values = np.asarray(values, float)
    if not len(values):
        return {"value": None, "ci95": None, "n": 0}
    interval = bootstrap_ci95(values, groups, resamples, seed) if resamples else None
    return {"value": float(values.mean()), "ci95": interval, "n": len(values)}


def bootstrap_ci95(
    values: Sequence[float], groups: Sequence | None = None, resamples: int = BOOTSTRAP_RESAMPLES, seed: int = 0
) -> list[float]:
    """95 % percentile interval of the mean: whole groups are drawn with replacement, `resamples` times.

    Where every value is 0, or every value is 1, resampling knows no other outcome and would claim certainty. The exact
    binomial bound for that many groups stands in (Clopper and Pearson 1934): 0 of 40 leaves up to 8.8 %.
    """
    values = np.asarray(values, float)
    if not len(values):
        raise ValueError("a confidence interval needs at least one value, got none")
    _, group = np.unique(np.arange(len(values)) if groups is None else np.asarray(groups), return_inverse=True)
    sums, sizes = np.bincount(group, values), np.bincount(group).astype(float)
    if values.min() == values.max() and values[0] in (0, 1):
        reach = 1 - 0.025 ** (1 / len(sums))
        return [0.0, reach] if values[0] == 0 else [1 - reach, 1.0]
    rng = np.random.default_rng(seed)
    at_once = max(1, DRAWS_IN_MEMORY // len(sums))
    means = []
    for start in range(0, resamples, at_once):
        drawn = rng.integers(len(sums), size=(min(at_once, resamples - start), len(sums)))
        means.extend(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1))
    return [float(bound) for bound in np.percentile(means, [2.5, 97.5])]


def _rates_of(matches: list[Match], groups: list, resamples: int, seed: int) -> dict:
    return {
        "plate_acc": estimate([m.right for m in matches], groups, resamples, seed),
        "plate_acc_within_1": estimate([m.within_1 for m in matches], groups, resamples, seed),
        "char_acc": estimate([m.char_rate for m in matches], groups, resamples, seed),
    }


def _as_pairs(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    first, second = as_float(first), as_float(second)
    if first.shape != second.shape or first.ndim != 4:
        raise ValueError(
            f"expected two batches of pictures of one shape (N, H, W, 3), got {first.shape}, {second.shape}"
        )
    return first, second


def as_float(pictures: np.ndarray) -> np.ndarray:
    """uint8 or float pictures as float64 in [0, 1]; floats outside are clipped, as they are when a picture is
    written."""
    pictures = np.asarray(pictures)
    return pictures / 255.0 if pictures.dtype == np.uint8 else np.clip(pictures.astype(float), 0, 1)


def _chroma(picture: np.ndarray) -> np.ndarray:
    """(H, W, 3) -> a* and b* of its blocks, (H // 8, W // 8, 2)."""
    height, width = (side // COLOUR_BLOCK_PX for side in picture.shape[:2])
    whole = picture[: height * COLOUR_BLOCK_PX, : width * COLOUR_BLOCK_PX].astype(np.float32)
    blocks = cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(blocks, cv2.COLOR_RGB2LAB)[..., 1:]


def _ssim_of_one(first: np.ndarray, second: np.ndarray) -> float:
    mean_1, mean_2 = _window(first), _window(second)
    variances = _window(first * first) + _window(second * second) - mean_1**2 - mean_2**2
    covariance = _window(first * second) - mean_1 * mean_2
    # of a range of 1
    c1, c2 = SSIM_K1**2, SSIM_K2**2
    luminance = (2 * mean_1 * mean_2 + c1) / (mean_1**2 + mean_2**2 + c1)
    return float(np.mean(luminance * (2 * covariance + c2) / (variances + c2)))


def _window(picture: np.ndarray) -> np.ndarray:
    """Gaussian mean around every pixel whose window lies inside the picture."""
    half = SSIM_WINDOW // 2
    blurred = cv2.GaussianBlur(picture, (SSIM_WINDOW, SSIM_WINDOW), SSIM_SIGMA)
    return blurred[half:-half, half:-half]
