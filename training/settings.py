"""Every setting of a training run: one frozen dataclass, from which the command line's flags are made.

The settings of a run lie in its `config.json`; a resumed run takes them from there.
"""

import argparse
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

CONFIG_NAME = "config.json"
# on by default; their flags are --no-ema and --no-augment
SWITCHES = ("ema", "augment")


def _flag(default, text: str, **options):
    """A field whose flag takes `options` of `argparse`."""
    return dataclasses.field(default=default, metadata={"help": text, **options})


@dataclasses.dataclass(frozen=True)
class Settings:
    """Checked settings of one run. Raises ValueError naming the flag that is wrong."""

    tiles: str = _flag("", "tile folder, as preprocess.py writes it, or any folder of pairs with hr/ and lq/")
    run: str = _flag("", "run folder, made new; it receives everything that the run leaves")
    init: str = _flag("", "generator archive (.keras) to start from; its architecture rules", metavar="FILE")
    # the two stages
    pretrain_steps: int = _flag(20000, "steps of stage one (MSE only)", metavar="N")
    adversarial_steps: int = _flag(5000, "steps of stage two (hybrid loss)", metavar="N")
    batch_size: int = _flag(32, "tiles per step, over all devices together", metavar="N")
    # the networks
    generator: str = _flag("srresnet", "body of the generator", choices=("srresnet", "rrdb"))
    filters: int = _flag(64, "width of the generator's body", metavar="N")
    blocks: int = _flag(16, "residual blocks of the generator", metavar="N")
    more_blocks: int = _flag(0, "residual blocks to add to those of --init", metavar="N")
    light_only: bool = _flag(False, "train nothing but the layers that judge light and colours, of --init")
    recogniser: str = _flag(
        "", "archive of training.recogniser (.keras), to be built into the generator", metavar="FILE"
    )
    discriminator_filters: int = _flag(64, "width of the discriminator's first layer", metavar="N")
    vgg_weights: str = _flag("imagenet", "imagenet (a download), random, or a .weights.h5 file", metavar="WEIGHTS")
    vgg_layer: str = _flag("block2_conv2", "layer of VGG19 that the features come from", metavar="NAME")
    # the losses
    mse_weight: float = _flag(1.0, "weight of the MSE in stage two", metavar="F")
    detail_weight: float = _flag(
        0.0, "weight in both stages of the MSE less its blocks' means (0: as published)", metavar="F"
    )
    strokes_weight: float = _flag(
        0.0, "weight in both stages of the absolute error less its blocks' means (0: as published)", metavar="F"
    )
    colour_weight: float = _flag(
        0.0, "weight in both stages of the colours' absolute error, brightness taken off (0: as published)", metavar="F"
    )
    reading_weight: float = _flag(
        0.0,
        "weight in both stages of how far the result differs from the clean tile for the built-in recogniser (0: "
        "as published)",
        metavar="F",
    )
    vgg_weight: float = _flag(0.1, "weight of the VGG term in stage two", metavar="F")
    adversarial_weight: float = _flag(0.2, "weight of the adversarial term in stage two", metavar="F")
    # the optimisers
    pretrain_learning_rate: float = _flag(5e-4, "highest learning rate of stage one", metavar="F")
    g_learning_rate: float = _flag(1e-4, "highest learning rate of the generator in stage two", metavar="F")
    d_learning_rate: float = _flag(5e-5, "highest learning rate of the discriminator", metavar="F")
    warmup_steps: int = _flag(500, "steps of rising learning rate, at most a tenth of a stage", metavar="N")
    final_rate: float = _flag(0.02, "learning rate at a stage's end, as a share of its highest (cosine)", metavar="F")
    clip_norm: float = _flag(0.5, "limit of the gradients' global norm, after reduction over devices", metavar="F")
    # the balance of the two sides
    discriminator_every: int = _flag(1, "update the discriminator every Nth step only", metavar="N")
    balance: str = _flag("fixed", "how the two sides are kept level", choices=("fixed", "adaptive"))
    balance_low: float = _flag(0.6, "adaptive: running accuracy below which the discriminator is weak", metavar="F")
    balance_high: float = _flag(0.85, "adaptive: running accuracy above which it is strong", metavar="F")
    balance_max_factor: float = _flag(4.0, "adaptive: most that a learning rate is raised", metavar="F")
    balance_max_every: int = _flag(4, "adaptive: longest interval between updates of one side", metavar="N")
    balance_steps: int = _flag(50, "adaptive: steps between two corrections", metavar="N")
    # averaged weights
    ema: bool = _flag(True, "validate and ship the plain weights, not their running average")
    ema_decay: float = _flag(0.999, "decay of the running average, reached after a warm-up", metavar="F")
    # the input
    degrade_online: bool = _flag(False, "take the clean tiles only, and damage them anew in every epoch")
    preset: str = _flag("street", "degradation preset of --degrade-online", metavar="NAME")
    scale: int = _flag(1, "with --degrade-online: how much smaller the low-quality tile is", choices=(1, 2, 4, 8))
    augment: bool = _flag(True, "train on the tiles as they are: no shift, zoom, turn or colour change")
    randomise: bool = _flag(
        False, "with --degrade-online: bend, turn, thin and thicken the plates, for rendered photos"
    )
    crop: str = _flag("", "train on windows of this size, cut anew out of each tile: cheaper steps", metavar="HxW")
    workers: int = _flag(2, "processes that make the batches; 0 makes them inside this process", metavar="N")
    cache: bool = _flag(False, "keep the decoded tiles in one mapped file in the run folder")
    # the machine
    precision: str = _flag(
        "auto", "number format of the computation", choices=("auto", "float32", "mixed_bfloat16", "mixed_float16")
    )
    deterministic: bool = _flag(False, "the same seed gives the same bits, at some cost in speed")
    seed: int = _flag(0, "seed of the weights, the order, the augmentation and the fresh degradations", metavar="N")
    # watching and saving
    log_every: int = _flag(50, "steps between two rows of log.csv", metavar="N")
    validate_every: int = _flag(1000, "steps between two validations", metavar="N")
    validation_limit: int = _flag(256, "validation tiles looked at, spread evenly; 0: all", metavar="N")
    reading_limit: int = _flag(200, "validation tiles that are also read by the recogniser", metavar="N")
    select: str = _flag(
        "char_acc",
        "which weights a stage ships: those read best, those of the highest PSNR, or the last",
        choices=("char_acc", "psnr", "last"),
    )
    save_minutes: float = _flag(10.0, "minutes between two saves of the state", metavar="F")

    def __post_init__(self) -> None:
        for name in ("batch_size", "filters", "discriminator_filters", "log_every", "validate_every", "balance_steps"):
            _require(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        for name in ("discriminator_every", "balance_max_every", "balance_max_factor"):
            _require(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        for name in ("pretrain_steps", "adversarial_steps", "blocks", "more_blocks", "warmup_steps", "workers", "seed"):
            _require(getattr(self, name) >= 0, name, "0 or more", getattr(self, name))
        for name in ("mse_weight", "detail_weight", "strokes_weight", "colour_weight", "reading_weight"):
            _require(getattr(self, name) >= 0, name, "0 or more", getattr(self, name))
        for name in ("vgg_weight", "adversarial_weight", "validation_limit", "reading_limit"):
            _require(getattr(self, name) >= 0, name, "0 or more", getattr(self, name))
        for name in ("pretrain_learning_rate", "g_learning_rate", "d_learning_rate", "clip_norm", "save_minutes"):
            _require(getattr(self, name) > 0, name, "above 0", getattr(self, name))
        for name in ("final_rate", "ema_decay", "balance_low", "balance_high"):
            _require(0 <= getattr(self, name) <= 1, name, "between 0 and 1", getattr(self, name))
        _require(self.balance_low < self.balance_high, "balance_low", "below --balance-high", self.balance_low)
        _require(bool(self.init) or not self.more_blocks, "more_blocks", "0 without --init", self.more_blocks)
        _require(bool(self.init) or not self.light_only, "light_only", "off without --init", self.light_only)
        self.window()
        _require(self.pretrain_steps + self.adversarial_steps > 0, "pretrain_steps", "above 0 in one stage at least", 0)

    def window(self) -> tuple[int, int]:
        """--crop as (height, width); () for whole tiles."""
        return parse_window(self.crop)

    def steps(self, stage: str) -> int:
        """Steps of "pretrain" or "adversarial"."""
        return {"pretrain": self.pretrain_steps, "adversarial": self.adversarial_steps}[stage]


def parse_window(crop: str) -> tuple[int, int]:
    """ "64x160" as (64, 160), "" as (). Raises ValueError for anything else."""
    if not crop:
        return ()
    sides = crop.lower().split("x")
    _require(len(sides) == 2 and all(side.isdigit() and int(side) > 0 for side in sides), "crop", "HxW", crop)
    return int(sides[0]), int(sides[1])


def _require(holds: bool, name: str, allowed: str, got) -> None:
    if not holds:
        raise ValueError(f"{flag_name(name)} must be {allowed}, got {got}")


def flag_name(field: str) -> str:
    """The flag of a field: `batch_size` -> `--batch-size`."""
    return f"--no-{field}" if field in SWITCHES else f"--{field.replace('_', '-')}"


def make_parser(description: str) -> argparse.ArgumentParser:
    """The command line: one flag per field, and --resume. Flags that are not given leave no trace in the result."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    for each in dataclasses.fields(Settings):
        options = dict(each.metadata)
        text = options.pop("help").replace("%", "%%")
        if isinstance(each.default, bool):
            options["action"] = "store_false" if each.default else "store_true"
        else:
            options["type"] = type(each.default)
            text += f" (default: {each.default})" if each.default != "" else ""
            if each.name in ("tiles", "run"):
                options["metavar"] = "DIR"
        parser.add_argument(flag_name(each.name), dest=each.name, default=argparse.SUPPRESS, help=text, **options)
    parser.add_argument("--resume", action="store_true", help="go on with the run in --run, with the settings it has")
    return parser


def parse(description: str, argv: Sequence[str] | None) -> tuple[Settings, bool]:
    """(settings, whether the run is a resumed one). Raises ValueError, also for a flag that contradicts the run's."""
    given = vars(make_parser(description).parse_args(argv))
    resume = given.pop("resume")
    if not given.get("run"):
        raise ValueError("--run DIR is required: the folder that the run's files go to")
    if resume:
        return resumed_settings(given), True
    if not given.get("tiles"):
        raise ValueError("--tiles DIR is required: a folder that preprocess.py made")
    return Settings(**given), False


def resumed_settings(given: dict) -> Settings:
    """The stored settings of the run `given["run"]`; every other given setting must agree with them."""
    stored = read_config(Path(given["run"]))["settings"]
    known = {each.name for each in dataclasses.fields(Settings)}
    for name, value in given.items():
        if name != "run" and stored.get(name) != value:
            raise ValueError(
                f"{flag_name(name)} {value} contradicts the run, which has {stored.get(name)}; leave it out to go on "
                "with the run as it is, or start a new run"
            )
    return Settings(
        **{name: value for name, value in stored.items() if name in known and name != "run"}, run=given["run"]
    )


def read_config(run: Path) -> dict:
    """The run's `config.json`. Raises ValueError where there is none."""
    try:
        return json.loads((run / CONFIG_NAME).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"--resume: {run} holds no {CONFIG_NAME}; there is no run to go on with") from None
    except ValueError as error:
        raise ValueError(f"--resume: {run / CONFIG_NAME} cannot be read: {error}") from error
