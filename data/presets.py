"""The constants of the degradation: what damage is drawn, how often and how strong.

Strength 1 is, for each kind of failure, where a plate of about 170 px can just not be read any more.
"""

from dataclasses import dataclass, replace

Range = tuple[float, float]

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
