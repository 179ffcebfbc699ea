"""Every setting of a training run: one small frozen dataclass for each part of the program, and all of them together.

The command line is made from `Settings`. Each part of it goes to what needs it, and to nothing else. The settings of a
run lie in its `config.json`; a resumed run takes them from there.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeVar

from data.files import read_text
from data.sampler import PRESETS
from data.settings import field, flag_of, from_json, given, make_parser, path, require, size
from data.tiles import SCALES

CONFIG_NAME = "config.json"
POLICIES = ("float32", "mixed_bfloat16", "mixed_float16")
# of the settings that a recipe has for several programs, in a file for --config
SECTION = "generator"

# of Adam (Kingma and Ba 2015, arXiv 1412.6980, Algorithm 1)
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8

# terms beyond the recipe, in both stages on request
OPTIONS = ("detail", "strokes", "colour", "reading")
# of the generator's loss
TERMS = ("mse", *OPTIONS, "vgg", "adversarial")

P = TypeVar("P")


def window(text: str) -> tuple[int, ...]:
    """ "64x160" as (64, 160), "" as ()."""
    return size(text) if text else ()


@dataclass(frozen=True)
class DataSettings:
    """the tiles, and how training shows them"""

    tiles: str = field(
        "",
        type=path,
        help="tile folder of preprocess.py, or any with hr/ and lq/ (required for a new run)",
        metavar="DIR",
    )
    degrade_online: bool = field(False, help="take the clean tiles only, and damage them anew in every epoch")
    preset: str = field("street", help="preset of the damage, with --degrade-online", choices=sorted(PRESETS))
    scale: int = field(1, help="how much smaller the damaged tile is, with --degrade-online", choices=SCALES)
    augment: bool = field(True, help="show the tiles as they are: do not shift, zoom, turn or recolour them")
    randomise: bool = field(
        False, help="bend, turn, thin and thicken the plates; for rendered plates, with --degrade-online"
    )
    crop: tuple[int, ...] = field((), type=window, help="train on windows cut anew out of each tile", metavar="HxW")
    workers: int = field(2, help="processes that make the batches; 0 makes them inside this process", metavar="N")
    cache: bool = field(False, help="keep the decoded tiles in one mapped file in the run folder")
    seed: int = field(0, help="seed of weights, order, augmentation and damage", metavar="N")

    def __post_init__(self) -> None:
        _check(self, "0 or more", lambda value: value >= 0, "workers", "seed")
        whole = not self.crop or (len(self.crop) == 2 and min(self.crop) > 0)
        require(whole, "--crop", "HxW", self.crop)
        if self.randomise and not self.degrade_online:
            raise ValueError("--randomise changes the clean tiles, and needs --degrade-online to make their partners")

    def shown(self) -> dict:
        """How the tiles are shown, for `find_pairs`."""
        same = {name: getattr(self, name) for name in ("scale", "seed", "crop", "augment", "randomise")}
        return {"preset": self.preset if self.degrade_online else "", **same}


@dataclass(frozen=True)
class NetworkSettings:
    """the networks"""

    generator: str = field("srresnet", help="body of the generator", choices=("srresnet", "rrdb"))
    filters: int = field(64, help="width of the generator's body", metavar="N")
    blocks: int = field(16, help="residual blocks of the generator", metavar="N")
    init: str = field("", type=path, help="generator to start from (.keras); its architecture is kept", metavar="FILE")
    more_blocks: int = field(0, help="residual blocks to add to those of --init", metavar="N")
    light_only: bool = field(False, help="train only the layers of --init that judge illumination and colours")
    recogniser: str = field("", type=path, help="recogniser to build in, of training.recogniser", metavar="FILE")
    discriminator_filters: int = field(64, help="width of the discriminator's first layer", metavar="N")
    vgg_weights: str = field("imagenet", help="imagenet (a download), random, or a .weights.h5", metavar="WEIGHTS")
    vgg_layer: str = field("block2_conv2", help="layer of VGG19 that the features come from", metavar="NAME")

    def __post_init__(self) -> None:
        _check(self, "at least 1", lambda value: value >= 1, "filters", "discriminator_filters")
        _check(self, "0 or more", lambda value: value >= 0, "blocks", "more_blocks")
        require(bool(self.init) or not self.more_blocks, "--more-blocks", "0 without --init", self.more_blocks)
        require(bool(self.init) or not self.light_only, "--light-only", "off without --init", self.light_only)


@dataclass(frozen=True)
class ObjectiveSettings:
    """the losses: stage two's three terms, and terms that both stages may have beside them (0: as published)"""

    mse_weight: float = field(1.0, help="weight of the MSE in stage two", metavar="F")
    vgg_weight: float = field(0.1, help="weight of the VGG term in stage two", metavar="F")
    adversarial_weight: float = field(0.2, help="weight of the adversarial term in stage two", metavar="F")
    detail_weight: float = field(0.0, help="weight of the detail term: MSE, each block's mean removed", metavar="F")
    strokes_weight: float = field(0.0, help="weight of the strokes term: MAE, each block's mean removed", metavar="F")
    colour_weight: float = field(
        0.0, help="weight of the colour term: MAE of the colours without brightness", metavar="F"
    )
    reading_weight: float = field(0.0, help="weight of the reading term: MAE of --recogniser's features", metavar="F")

    def __post_init__(self) -> None:
        _check(self, "0 or more", lambda value: value >= 0, *(each.name for each in fields(ObjectiveSettings)))


def weights_of(settings: ObjectiveSettings) -> dict[str, float]:
    """Name of a term -> its weight in stage two, of the recipe's terms and of those `OPTIONS` that are asked for."""
    weights = {"mse": settings.mse_weight, "vgg": settings.vgg_weight, "adversarial": settings.adversarial_weight}
    options = {name: getattr(settings, f"{name}_weight") for name in OPTIONS}
    return weights | {name: weight for name, weight in options.items() if weight}


def stage_one(weights: dict[str, float]) -> dict[str, float]:
    """Of the terms' weights in stage two, those of stage one: the MSE, weighing 1 there, and the options."""
    return {"mse": 1.0} | {name: weights[name] for name in OPTIONS if name in weights}


@dataclass(frozen=True)
class ScheduleSettings:
    """the two stages: steps, batches, learning rates, averaged weights"""

    pretrain_steps: int = field(20000, help="steps of stage one (MSE only)", metavar="N")
    adversarial_steps: int = field(5000, help="steps of stage two (hybrid loss)", metavar="N")
    batch_size: int = field(32, help="tiles per step, over all devices together", metavar="N")
    pretrain_learning_rate: float = field(5e-4, help="highest learning rate of stage one", metavar="F")
    g_learning_rate: float = field(1e-4, help="highest learning rate of the generator in stage two", metavar="F")
    d_learning_rate: float = field(5e-5, help="highest learning rate of the discriminator", metavar="F")
    warmup_steps: int = field(500, help="steps of rising learning rate, at most a tenth of a stage", metavar="N")
    final_rate: float = field(0.02, help="learning rate at a stage's end, as a share of its highest", metavar="F")
    clip_norm: float = field(0.5, help="limit of the gradients' global norm", metavar="F")
    ema: bool = field(True, help="validate and ship the plain weights, not their running average")
    ema_decay: float = field(0.999, help="decay of the running average, reached after a warm-up", metavar="F")

    def __post_init__(self) -> None:
        _check(self, "0 or more", lambda value: value >= 0, "pretrain_steps", "adversarial_steps", "warmup_steps")
        _check(self, "at least 1", lambda value: value >= 1, "batch_size")
        rates = ("pretrain_learning_rate", "g_learning_rate", "d_learning_rate", "clip_norm")
        _check(self, "above 0", lambda value: value > 0, *rates)
        _check(self, "between 0 and 1", lambda value: 0 <= value <= 1, "final_rate", "ema_decay")
        steps = self.pretrain_steps + self.adversarial_steps
        require(steps > 0, "--pretrain-steps", "above 0 in one stage at least", 0)

    def steps(self, stage: str) -> int:
        """Steps of "pretrain" or "adversarial"."""
        return {"pretrain": self.pretrain_steps, "adversarial": self.adversarial_steps}[stage]


@dataclass(frozen=True)
class BalanceSettings:
    """the balance of generator and discriminator"""

    balance: str = field("fixed", help="how the two are kept level", choices=("fixed", "adaptive"))
    discriminator_every: int = field(1, help="update the discriminator every Nth step only", metavar="N")
    balance_low: float = field(0.6, help="adaptive: accuracy below which the discriminator is weak", metavar="F")
    balance_high: float = field(0.85, help="adaptive: accuracy above which it is strong", metavar="F")
    balance_max_factor: float = field(4.0, help="adaptive: most that a learning rate is raised", metavar="F")
    balance_max_every: int = field(4, help="adaptive: longest interval between updates of one side", metavar="N")
    balance_steps: int = field(50, help="adaptive: steps between two corrections", metavar="N")

    def __post_init__(self) -> None:
        counts = ("discriminator_every", "balance_max_factor", "balance_max_every", "balance_steps")
        _check(self, "at least 1", lambda value: value >= 1, *counts)
        _check(self, "between 0 and 1", lambda value: 0 <= value <= 1, "balance_low", "balance_high")
        require(self.balance_low < self.balance_high, "--balance-low", "below --balance-high", self.balance_low)


@dataclass(frozen=True)
class WatchSettings:
    """looking and saving"""

    log_every: int = field(50, help="steps between two rows of log.csv", metavar="N")
    validate_every: int = field(1000, help="steps between two validations", metavar="N")
    validation_limit: int = field(256, help="validation tiles used, spread evenly; 0: all", metavar="N")
    reading_limit: int = field(200, help="validation tiles that the reader reads, too; 0: none", metavar="N")
    real: tuple[str, ...] = field(
        (),
        type=path,
        action="append",
        help="folder of real pictures to score, too: with text.csv, or lq/ and hr/; may be given several times",
        metavar="DIR",
    )
    select: str = field(
        "char_acc",
        help="weights that a stage ships: those read best on tiles (char_acc) or on --real, of highest PSNR, or last",
        choices=("char_acc", "real", "psnr", "last"),
    )
    save_minutes: float = field(10.0, help="minutes between two saves of the state", metavar="F")

    def __post_init__(self) -> None:
        _check(self, "at least 1", lambda value: value >= 1, "log_every", "validate_every")
        _check(self, "0 or more", lambda value: value >= 0, "validation_limit", "reading_limit")
        _check(self, "above 0", lambda value: value > 0, "save_minutes")
        if self.select == "real" and not self.real:
            raise ValueError("--select real needs --real DIR, the pictures to choose by")


PARTS = (DataSettings, NetworkSettings, ObjectiveSettings, ScheduleSettings, BalanceSettings, WatchSettings)


# a dataclass takes the fields of its last base first
@dataclass(frozen=True)
class Settings(WatchSettings, BalanceSettings, ScheduleSettings, ObjectiveSettings, NetworkSettings, DataSettings):
    """All settings of one run. Raises ValueError naming the flag that is wrong."""

    run: str = field("", type=path, help="new folder for everything that the run leaves (required)", metavar="DIR")
    precision: str = field("auto", help="number format of the computation", choices=("auto", *POLICIES))
    deterministic: bool = field(False, help="the same seed gives the same bits, at some cost in speed")

    def __post_init__(self) -> None:
        for part in PARTS:
            part.__post_init__(self)

    def part(self, kind: type[P]) -> P:
        """The settings of one part alone."""
        return kind(**{each.name: getattr(self, each.name) for each in fields(kind)})


def _check(settings, allowed: str, holds: Callable, *names: str) -> None:
    for name in names:
        value = getattr(settings, name)
        require(holds(value), f"--{name.replace('_', '-')}", allowed, value)


def parse(description: str, argv: Sequence[str] | None) -> tuple[Settings, bool]:
    """(settings, whether the run is a resumed one). Raises ValueError, also for a flag that contradicts the run's."""
    parser = make_parser(Settings, description)
    parser.add_argument("--resume", action="store_true", help="go on with the run in --run, with the settings it has")
    values = given(Settings, parser, argv, SECTION)
    resume = values.pop("resume")
    if not values.get("run"):
        raise ValueError("--run DIR is required: the folder that the run's files go to")
    if resume:
        return resumed_settings(values), True
    if not values.get("tiles"):
        raise ValueError("--tiles DIR is required: a folder that preprocess.py made")
    return Settings(**values), False


def resumed_settings(values: dict) -> Settings:
    """The stored settings of the run `values["run"]`; every other given setting must agree with them."""
    file = Path(values["run"]) / CONFIG_NAME
    stored = config_of_run(file.parent)["settings"]
    known = {each.name for each in fields(Settings)}
    stored = from_json(Settings, {name: value for name, value in stored.items() if name in known}, str(file))
    if not stored.get("tiles"):
        raise ValueError(f"--resume: {file} is damaged: it does not say where the tiles are")
    settings = Settings(**{**stored, "run": values["run"]})
    for each in fields(Settings):
        value, own = values.get(each.name), getattr(settings, each.name)
        if each.name in values and value != own:
            raise ValueError(
                f"{flag_of(each)} {value} contradicts the run, which has {own}; leave it out to go on with the run as "
                "it is, or start a new run"
            )
    return settings


def config_of_run(run: Path) -> dict:
    """The run's `config.json`. Raises ValueError that names the file where there is none, or one that is broken."""
    file = run / CONFIG_NAME
    if not file.exists():
        raise ValueError(f"--resume: {run} holds no {CONFIG_NAME}; there is no run to go on with")
    try:
        config = json.loads(read_text(file))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"--resume: {file} cannot be read: {error}") from error
    if not isinstance(config, dict) or not isinstance(config.get("settings"), dict):
        raise ValueError(f"--resume: {file} is damaged: it does not hold the run's settings")
    if config.get("precision") not in POLICIES:
        raise ValueError(f"--resume: {file} is damaged: precision must be one of {', '.join(POLICIES)}")
    return config
