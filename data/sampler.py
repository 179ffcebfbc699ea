"""Draws the degradation of one tile: a preset's constants and a random generator make a list of steps.

A preset says what damage is drawn, how often and how strong. Strength 1 is, for each kind of failure, where a plate of
about 170 px can just not be read any more.

A sample has one chief failure, whose strength is the sample's severity, and lesser ones beside it. A camera that fails
in every way at once would leave nothing to restore, and nothing to learn. Illumination is drawn separately: darkness
alone hides a plate from people, but not from a network. All numbers in the steps are rounded, so that they pass through
JSON unchanged.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

Range = tuple[float, float]
Step = dict[str, Any]

FAILURES = ("blur", "pixels", "noise", "coding")
BLURS = ("defocus", "gaussian", "shake", "motion")


@dataclass(frozen=True)
class Preset:
    """Constants of the sampler. Shares and probabilities lie in 0..1, lengths are px of a 192 px wide tile."""

    # share of samples left nearly as they are
    untouched: float
    # the two parameters of the beta distribution of the chief failure's strength
    severity: Range
    # share of each of FAILURES as the chief one
    chief: tuple[float, float, float, float]
    # probability of each of FAILURES as a lesser one
    present: tuple[float, float, float, float]
    # strength of the lesser failures, as a part of the severity, at most
    lesser: float
    # share of each of BLURS
    blurs: tuple[float, float, float, float]
    # probability that a second kind of blur joins the first
    second_blur: float
    # radius at strength 1
    defocus_px: float
    # standard deviation at strength 1
    gaussian_px: float
    # length at strength 1
    motion_px: float
    # length at strength 1
    shake_px: float
    # share of shakes that are longer, and their greatest length in px
    long_shake: tuple[float, float]
    # share of blurs done in linear light
    linear: float
    # of the shrink at strength 1
    factor: float
    # share of shrinks that are greater, and the greatest factor
    great_factor: tuple[float, float]
    # standard deviation of the noise at strength 1
    read: float
    shot: float
    # of JPEG at strength 0 and 1
    quality: tuple[int, int]
    # share of video coding in place of JPEG
    video: float
    # probability of too little light
    dark: float
    dark_stops: Range
    # probability of too much light
    bright: float
    bright_stops: Range
    # probability; likewise the following
    gamma: float
    contrast: float
    haze: float
    haze_amount: Range
    # probability of a lamp's light on the windscreen, in place of haze
    lamp: float
    cast: float
    # standard deviation of the gains' logarithms, and its share
    cast_strengths: tuple[tuple[float, float], ...]
    uneven: float
    # smear or sharpen, inside the camera
    processing: float
    # share that is saved, shrunk and coded once more
    second_round: float
    # share of cars that pass by during a long exposure, hardly harmed otherwise
    passing: float = 0.0
    # median length of their motion, and the standard deviation of its logarithm
    passing_px: Range = (21.0, 0.4)


PRESETS = {
    # For training: wide, from a good picture to one that just cannot be read.
    "street": Preset(
        untouched=0.09,
        severity=(1.6, 1.2),
        chief=(0.5, 0.3, 0.1, 0.1),
        present=(0.6, 0.6, 0.6, 0.8),
        lesser=0.55,
        blurs=(0.25, 0.15, 0.4, 0.2),
        second_blur=0.2,
        defocus_px=6.5,
        gaussian_px=4.0,
        motion_px=16.0,
        shake_px=24.0,
        long_shake=(0.06, 38.0),
        linear=0.6,
        factor=5.5,
        great_factor=(0.05, 8.0),
        read=0.13,
        shot=0.17,
        quality=(95, 20),
        video=0.2,
        dark=0.4,
        dark_stops=(-4.5, -0.5),
        bright=0.25,
        bright_stops=(0.3, 2.0),
        gamma=0.3,
        contrast=0.3,
        haze=0.3,
        haze_amount=(0.05, 0.65),
        lamp=0.0,
        cast=0.5,
        cast_strengths=((0.06, 0.7), (0.2, 0.3)),
        uneven=0.35,
        processing=0.35,
        second_round=0.15,
    ),
    # For published figures: frozen, so every constant is its own.
    "benchmark": Preset(
        untouched=0.04,
        severity=(4.0, 1.0),
        chief=(0.5, 0.3, 0.1, 0.1),
        present=(0.6, 0.6, 0.6, 0.8),
        lesser=0.5,
        blurs=(0.25, 0.15, 0.4, 0.2),
        second_blur=0.15,
        defocus_px=6.5,
        gaussian_px=4.0,
        motion_px=16.0,
        shake_px=24.0,
        long_shake=(0.03, 38.0),
        linear=0.6,
        factor=5.5,
        great_factor=(0.02, 8.0),
        read=0.13,
        shot=0.17,
        quality=(95, 20),
        video=0.2,
        dark=0.5,
        dark_stops=(-4.0, -0.5),
        bright=0.2,
        bright_stops=(0.3, 2.0),
        gamma=0.3,
        contrast=0.3,
        haze=0.2,
        haze_amount=(0.05, 0.5),
        lamp=0.0,
        cast=0.5,
        cast_strengths=((0.06, 0.7), (0.2, 0.3)),
        uneven=0.3,
        processing=0.3,
        second_round=0.15,
    ),
}
# For training on from there: mostly plates that can hardly be read, where there is most to learn.
PRESETS["severe"] = replace(PRESETS["street"], severity=(2.5, 1.1))
# The same behind windscreens and under lamps, whose light is red, pink or orange to the point of clipping.
PRESETS["lamps"] = replace(PRESETS["severe"], cast_strengths=((0.06, 0.5), (0.2, 0.2), (0.5, 0.3)))
# The same, and often through a windscreen on which a brake lamp shines: all is pink, and white is clipped.
PRESETS["windscreen"] = replace(PRESETS["lamps"], lamp=0.3)
# Cars that pass by during a long exposure, in four samples of ten: straight motion of mostly 11 to 41 px and next to no
# noise, as measured on real pairs (docs/EXPERIMENTS.md). The others are as wide as "street", in the light of "lamps",
# with more good pictures, so that a network also learns what to leave alone.
PRESETS["traffic"] = replace(PRESETS["lamps"], severity=PRESETS["street"].severity, untouched=0.12, passing=0.4)
# The same with plates that can hardly be read, for training on from "traffic".
PRESETS["severe-traffic"] = replace(PRESETS["traffic"], severity=PRESETS["severe"].severity)


# --- Drawing ----------------------------------------------------------------------------------------------------------

# with less of the contrast than this, eight bits a channel hold hardly a dozen levels of the plate
LEAST_LEVEL = 0.12
# least strength of the shrink, as a part of the coding's
CODED_PIXELS = 0.5
# from this strength of noise on, a camera smooths it away
SMOOTHED_NOISE = 0.4
# greatest strength of what fails beside a long exposure's motion, in the order of FAILURES
BESIDE_PASSING = (0.0, 0.25, 0.1, 0.4)
# least and greatest length in px of a long exposure's motion
PASSING_PX = (5.0, 60.0)


def draw(rng: np.random.Generator, preset: Preset) -> list[Step]:
    """Steps of one sample, in the order of a camera: the scene and its blur, the sensor, the tone curve, the coding."""
    if _chance(rng, preset.untouched):
        return _nearly_untouched(rng)
    # no draw where nobody passes, so that the other presets' steps stay what they are
    passing = preset.passing > 0 and _chance(rng, preset.passing)
    strengths = _strengths_beside_passing(rng) if passing else _strengths(rng, preset)
    air = _air(rng, preset)
    blurs = _passing(rng, preset) if passing else _blurs(rng, preset, strengths["blur"])
    scene = [*blurs, *air]
    exposure = _exposure(rng, preset, veiled=any(step["stage"] in ("haze", "spot") for step in air))
    tone = _bounded(scene + exposure, _tone(rng, preset))
    level = _level(scene + exposure + tone)
    sensor = _noise(rng, preset, strengths["noise"], level)
    shrink, grow = _pixels(rng, preset, strengths["pixels"])
    small = _processing(rng, preset, strengths) + _coding(rng, preset, strengths["coding"])
    # the sensor has more pixels than the picture that is kept
    early = _chance(rng, 0.3)
    middle = [*sensor, *shrink] if early else [*shrink, *sensor]
    steps = [*_shuffled(rng, scene), *exposure, *middle, *_shuffled(rng, tone), *small, *grow]
    if _chance(rng, preset.second_round):
        steps += _second_round(rng, strengths)
    return steps


def _strengths(rng: np.random.Generator, preset: Preset) -> dict[str, float]:
    """Strength in 0..1 of each failure: the chief one has the sample's severity, the others less or nothing."""
    severity = rng.beta(*preset.severity)
    chief = rng.choice(len(FAILURES), p=preset.chief)
    strengths = [
        severity * preset.lesser * np.sqrt(rng.random()) if _chance(rng, share) else 0.0 for share in preset.present
    ]
    strengths[chief] = severity
    drawn = dict(zip(FAILURES, strengths, strict=True))
    # Coding hardly harms a plate that has pixels enough: cameras that code badly keep few of them.
    drawn["pixels"] = max(drawn["pixels"], CODED_PIXELS * drawn["coding"])
    return drawn


def _strengths_beside_passing(rng: np.random.Generator) -> dict[str, float]:
    """Little or nothing: a long exposure gathers light, so its pictures hold next to no noise."""
    strengths = [strength * rng.random() ** 2 for strength in BESIDE_PASSING]
    return dict(zip(FAILURES, strengths, strict=True))


def _nearly_untouched(rng: np.random.Generator) -> list[Step]:
    """What a good camera does to a good picture: next to nothing, one time in four nothing at all."""
    steps: list[Step] = []
    if _chance(rng, 0.25):
        return steps
    if _chance(rng, 0.5):
        steps.append({"stage": "gaussian", "sigma": _uniform(rng, 0.3, 0.6), "linear": False})
    if _chance(rng, 0.5):
        steps.append({"stage": "exposure", "stops": _uniform(rng, -0.5, 0.2)})
    if _chance(rng, 0.5):
        steps.append(_noise_step(rng, read=_uniform(rng, 0, 0.01), shot=_uniform(rng, 0, 0.01)))
    if _chance(rng, 0.6):
        steps.append(_jpeg_step(rng, quality=int(rng.integers(85, 98))))
    return steps


def _blurs(rng: np.random.Generator, preset: Preset, strength: float) -> list[Step]:
    if strength <= 0:
        return []
    first = _blur(rng, preset, strength)
    if not _chance(rng, preset.second_blur):
        return [first]
    return [first, _blur(rng, preset, 0.5 * strength * rng.random())]


def _blur(rng: np.random.Generator, preset: Preset, strength: float) -> Step:
    kind = BLURS[rng.choice(len(BLURS), p=preset.blurs)]
    step: Step = {"stage": kind, "linear": _chance(rng, preset.linear)}
    if kind == "defocus":
        step["radius"] = _rounded(0.6 + strength * (preset.defocus_px - 0.6))
    elif kind == "gaussian":
        step["sigma"] = _rounded(0.4 + strength * (preset.gaussian_px - 0.4))
    elif kind == "motion":
        step["length"] = _rounded(1 + strength * (preset.motion_px - 1))
        step["angle"] = _motion_angle(rng)
    else:
        step["length"] = _rounded(1 + strength * (preset.shake_px - 1))
        if _chance(rng, preset.long_shake[0]):
            step["length"] = _uniform(rng, step["length"], preset.long_shake[1])
        step |= {"angle": _uniform(rng, 0, 360), "curl": _uniform(rng, 0.1, 1), "seed": _seed(rng)}
    return step


def _passing(rng: np.random.Generator, preset: Preset) -> list[Step]:
    """The car goes on along the road while the shutter is open: a straight, even smear, behind a lens a little soft."""
    median, spread = preset.passing_px
    length = np.clip(median * np.exp(rng.normal(0, spread)), *PASSING_PX)
    angle = rng.normal(0, 17) % 180 if _chance(rng, 0.9) else rng.uniform(0, 180)
    linear = _chance(rng, preset.linear)
    motion = {"stage": "motion", "linear": linear, "length": _rounded(length), "angle": _rounded(angle)}
    return [motion, {"stage": "gaussian", "linear": linear, "sigma": _uniform(rng, 0.5, 1.6)}]


def _motion_angle(rng: np.random.Generator) -> float:
    """Cars move along the road: mostly sideways in the picture, else towards or past the camera at any angle."""
    return _rounded(rng.normal(0, 15) % 180) if _chance(rng, 0.5) else _uniform(rng, 0, 180)


def _air(rng: np.random.Generator, preset: Preset) -> list[Step]:
    """What lies between the plate and the sensor: uneven illumination and a veil."""
    steps: list[Step] = []
    if _chance(rng, preset.uneven):
        steps.append(_uneven(rng))
    # no draw where there is no lamp, so that the benchmark's steps stay what they are
    if preset.lamp and _chance(rng, preset.lamp):
        steps.append({"stage": "haze", "amount": _uniform(rng, 0.2, 0.65), "colour": _lamp(rng)})
    elif _chance(rng, preset.haze):
        steps.append({"stage": "haze", "amount": _uniform(rng, *preset.haze_amount), "colour": _veil(rng)})
    return steps


def _lamp(rng: np.random.Generator) -> list[float]:
    """Colour of a lamp on a windscreen: mostly red to orange, else any, with one colour far above another."""
    value = rng.uniform(0.5, 1.3)
    others = value * rng.uniform(0.1, 0.8, 2)
    order = [0, 1, 2] if _chance(rng, 0.7) else rng.permutation(3)
    return [_rounded([value, *others][place]) for place in order]


def _exposure(rng: np.random.Generator, preset: Preset, veiled: bool) -> list[Step]:
    if _chance(rng, preset.dark):
        # The power spreads towards the darker end less often: two stops are common, four are rare.
        low, high = preset.dark_stops
        return [{"stage": "exposure", "stops": _rounded(high + (low - high) * rng.random() ** 1.3)}]
    if not _chance(rng, preset.bright):
        return []
    stops = _uniform(rng, *preset.bright_stops)
    # the camera has already exposed for the stray light; more would leave a white picture
    if veiled:
        stops = _rounded(stops / 3)
    if _chance(rng, 0.4):
        return [{"stage": "exposure", "stops": stops}]
    return [{"stage": "glow", "stops": stops, "sigma": _uniform(rng, 2, 12), "share": _uniform(rng, 0.05, 0.4)}]


def _uneven(rng: np.random.Generator) -> Step:
    kind = rng.choice(["gradient", "shadow", "spot"], p=[0.4, 0.3, 0.3])
    if kind == "gradient":
        return {"stage": "gradient", "stops": _uniform(rng, 0.5, 3), "angle": _uniform(rng, 0, 360)}
    if kind == "shadow":
        step = {"stage": "shadow", "stops": _uniform(rng, 0.5, 3), "angle": _uniform(rng, 0, 360)}
        return step | {"place": _uniform(rng, -0.7, 0.7), "softness": _uniform(rng, 0.02, 0.4)}
    warmth = _uniform(rng, 0, 0.3)
    step = {"stage": "spot", "amount": _uniform(rng, 0.1, 0.6), "x": _uniform(rng, 0, 1), "y": _uniform(rng, 0, 1)}
    return step | {"radius": _uniform(rng, 0.1, 0.6), "colour": [1.0, _rounded(1 - warmth / 2), _rounded(1 - warmth)]}


def _tone(rng: np.random.Generator, preset: Preset) -> list[Step]:
    steps: list[Step] = []
    if _chance(rng, preset.gamma):
        steps.append({"stage": "gamma", "power": _rounded(np.exp(rng.normal(0.1, 0.3)))})
    if _chance(rng, preset.contrast):
        steps.append({"stage": "contrast", "factor": _uniform(rng, 0.35, 1.2), "pivot": _uniform(rng, 0.05, 0.45)})
    if _chance(rng, preset.cast):
        steps.append(_cast(rng, preset))
    return steps


def _veil(rng: np.random.Generator) -> list[float]:
    """Colour of fog or stray light: mostly grey, sometimes as strong as a brake lamp's on a windscreen."""
    value = rng.uniform(0.25, 0.9)
    spread = rng.choice([0.05, 0.3])
    return [_rounded(np.clip(value + rng.normal(0, spread), 0, 1)) for _ in range(3)]


def _cast(rng: np.random.Generator, preset: Preset) -> Step:
    spreads, shares = zip(*preset.cast_strengths, strict=True)
    spread = rng.choice(spreads, p=shares)
    gains = np.exp(rng.normal(0, spread, 3))
    gains /= max(1, gains.mean())
    saturation = 0.0 if _chance(rng, 0.06) else _uniform(rng, 0.4, 1.4)
    return {"stage": "cast", "gains": [_rounded(gain) for gain in gains], "saturation": saturation}


def _bounded(before: list[Step], tone: list[Step]) -> list[Step]:
    """The tone steps, without the last ones where illumination, contrast and veil together would leave nothing to
    see."""
    while tone and _level(before + tone) < LEAST_LEVEL:
        tone = tone[:-1]
    return tone


def _level(steps: list[Step]) -> float:
    """Share of the contrast that illumination and tone leave. Noise is drawn in proportion, or dark plates would drown
    in it."""
    level = 1.0
    for step in steps:
        if step["stage"] == "exposure":
            level *= 2 ** (step["stops"] / 2)
        elif step["stage"] == "contrast":
            level *= step["factor"]
        elif step["stage"] == "gamma":
            level **= step["power"]
        elif step["stage"] == "haze":
            level *= _seen_through(step)
    return min(1.0, level)


def _seen_through(veil: Step) -> float:
    """Contrast that a veil leaves of a stored value of 0.5: the slope there of the operation's curve."""
    light = veil["amount"] * float(np.mean(np.square(veil["colour"])))
    kept = 1 - veil["amount"]
    return kept * 0.5 / float(np.sqrt(kept * 0.25 + light))


def _noise(rng: np.random.Generator, preset: Preset, strength: float, level: float) -> list[Step]:
    if strength <= 0:
        return []
    # of shot noise
    share = rng.random()
    strength = strength * level**0.8
    return [_noise_step(rng, _rounded(strength * preset.read * (1 - share)), _rounded(strength * preset.shot * share))]


def _noise_step(rng: np.random.Generator, read: float, shot: float) -> Step:
    grain = _uniform(rng, 0.4, 0.9) if _chance(rng, 0.4) else 0.0
    return {"stage": "noise", "read": read, "shot": shot, "seed": _seed(rng), "grey": _chance(rng, 0.4), "grain": grain}


def _pixels(rng: np.random.Generator, preset: Preset, strength: float) -> tuple[list[Step], list[Step]]:
    """The shrink and its undoing; both empty where the camera has pixels enough."""
    if strength <= 0:
        return [], []
    factor = _rounded(1 + strength * (preset.factor - 1))
    if _chance(rng, preset.great_factor[0]):
        factor = _uniform(rng, factor, preset.great_factor[1])
    shrink, grow = _resizing(rng, factor)
    return [shrink], [grow]


def _resizing(rng: np.random.Generator, factor: float) -> tuple[Step, Step]:
    shrink = str(rng.choice(["area", "linear", "cubic"], p=[0.6, 0.2, 0.2]))
    grow = str(rng.choice(["linear", "cubic", "lanczos"], p=[0.35, 0.5, 0.15]))
    return {"stage": "down", "factor": factor, "filter": shrink}, {"stage": "up", "filter": grow}


def _processing(rng: np.random.Generator, preset: Preset, strengths: dict[str, float]) -> list[Step]:
    """What the camera does to its own picture. A noisy one is smoothed; sharpening it would leave pepper and salt."""
    noisy = strengths["noise"] > SMOOTHED_NOISE
    if not _chance(rng, min(1, 2 * preset.processing) if noisy else preset.processing):
        return []
    if noisy:
        return [{"stage": "smear", "strength": _uniform(rng, 0.1, 0.3)}]
    if _chance(rng, 0.5):
        return [{"stage": "sharpen", "amount": _uniform(rng, 0.3, 1.8), "sigma": _uniform(rng, 0.6, 1.5)}]
    return [{"stage": "smear", "strength": _rounded(rng.uniform(0.03, 0.15) * (1 - 0.5 * strengths["pixels"]))}]


def _coding(rng: np.random.Generator, preset: Preset, strength: float) -> list[Step]:
    if strength <= 0:
        return []
    best, worst = preset.quality
    quality = round(best + strength * (worst - best))
    return [_video_step(rng, quality) if _chance(rng, preset.video) else _jpeg_step(rng, quality)]


def _jpeg_step(rng: np.random.Generator, quality: int) -> Step:
    return {"stage": "jpeg", "quality": quality, "dx": int(rng.integers(8)), "dy": int(rng.integers(8))}


def _video_step(rng: np.random.Generator, quality: int) -> Step:
    return {"stage": "video", "quality": quality, "dx": int(rng.integers(16)), "dy": int(rng.integers(16))}


def _second_round(rng: np.random.Generator, strengths: dict[str, float]) -> list[Step]:
    """The picture is passed on: shrunk a little, saved again (Real-ESRGAN, 2021, arXiv 2107.10833, section 3.3)."""
    again = _jpeg_step(rng, quality=int(rng.integers(30, 96)))
    if _chance(rng, 0.4):
        return [again]
    factor = _rounded(1 + 1.5 * max(strengths.values()) * rng.random())
    shrink, grow = _resizing(rng, factor)
    return [shrink, again, grow]


def _shuffled(rng: np.random.Generator, steps: list[Step]) -> list[Step]:
    return [steps[index] for index in rng.permutation(len(steps))]


def _chance(rng: np.random.Generator, probability: float) -> bool:
    return bool(rng.random() < probability)


def _uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return _rounded(rng.uniform(low, high))


def _rounded(number: float) -> float:
    return round(float(number), 4)


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))
