"""Trains the recogniser that `train.py --recogniser` builds into a generator.

    python -m training.recogniser --tiles datasets/tiles --out checkpoints/recogniser.keras

It learns to read damaged plates, the damage made anew each time. Leaves the archive and a .json with the characters it
knows and how much of the validation tiles it reads. Stopped? The same command goes on where the last saved part ended.

With CTC alone, the network answers "all blank" for thousands of steps. So the first steps assume that the characters
are evenly spread over the plate, and also show clean plates. After that, CTC finds where the characters are.
"""

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from data.console import first_line, say
from data.dataset import HELD, ROOM_PX, Batches, Pairs, cache_tiles, check_crop, echoed
from data.files import only_run_in, read_text
from data.io import to_float
from data.preprocessing import MARGIN as PLATE_MARGIN
from data.sampler import PRESETS
from data.settings import field, from_json, path, require, run_module
from data.tiles import Row, open_tiles, read_manifest, spread_evenly, stored_size
from models.loading import import_keras
from reading.matching import comparable, is_readable
from training.run_folder import State, load_begun, restore, save_state
from training.settings import window

# of the classes; the characters follow from 1 on
BLANK = 0
# characters of a plate
LONGEST = 12
# of the steps
EVENLY_SPREAD = 1 / 8
# validation tiles, while training
LOOKED_AT = 240
# clean tiles from which a recogniser without names for characters learns them, and the steps that it takes
NAMED_FROM, NAMING_STEPS, NAMING_BATCH = 4000, 1500, 32
# on each side of the plate, as a share of the tile's width
MARGIN = PLATE_MARGIN / (1 + 2 * PLATE_MARGIN)
# of the settings that a recipe has for several programs, in a file for --config
SECTION = "recogniser"
# residual blocks of the three stages of cells, and of the columns (models/recogniser.py)
BLOCKS = (3, 8, 15, 10)
# settings that do not affect the result
INDIFFERENT = ("out", "workers", "cache", "validate_every")


@dataclass(frozen=True)
class RecogniserSettings:
    """Raises ValueError naming the flag that is wrong."""

    tiles: str = field(type=path, help="tile folder of preprocess.py, with texts in its manifest", metavar="DIR")
    out: str = field(type=path, help="the archive to write (.keras)", metavar="FILE")
    init: str = field("", type=path, help="recogniser, or generator that carries one, to start from", metavar="FILE")
    blocks: tuple[int, ...] = field(BLOCKS, nargs=4, help="residual blocks: cells (3) and columns", metavar="N")
    steps: int = field(6000, help="steps of training", metavar="N")
    batch_size: int = field(32, help="plates per step", metavar="N")
    learning_rate: float = field(2e-3, help="highest learning rate", metavar="F")
    loss_power: float = field(
        0.0, help="0: CTC; up to 1: plates that are hard to read count less; for fine-tuning with --init", metavar="F"
    )
    preset: str = field("street", help="what damages the plates", choices=sorted(PRESETS))
    randomise: bool = field(False, help="bend, turn, thin and thicken the plates: for rendered ones")
    crop: tuple[int, ...] = field((), type=window, help="train on windows, as wide as the tiles", metavar="HxW")
    echo: int = field(
        1,
        choices=tuple(range(1, HELD + 1)),
        help=f"show each damaged plate N times (1 to {HELD}): for GPUs that learn faster than batches are made",
        metavar="N",
    )
    precision: str = field(
        "auto", help="number format of the computation", choices=("auto", "float32", "mixed_bfloat16")
    )
    validate_every: int = field(250, help="steps between two looks at validation tiles, and saves", metavar="N")
    workers: int = field(1, help="processes that make the batches; 0: none", metavar="N")
    cache: bool = field(False, help="keep the decoded tiles in one mapped file beside --out")
    seed: int = field(0, help="seed of weights, order and damage", metavar="N")

    def __post_init__(self) -> None:
        require(self.steps >= 1, "--steps", "at least 1", self.steps)
        require(self.batch_size >= 1, "--batch-size", "at least 1", self.batch_size)
        require(self.learning_rate > 0, "--learning-rate", "above 0", self.learning_rate)
        require(0 <= self.loss_power <= 1, "--loss-power", "between 0 and 1", self.loss_power)
        require(self.validate_every >= 1, "--validate-every", "at least 1", self.validate_every)
        require(self.workers >= 0, "--workers", "0 or more", self.workers)
        require(self.seed >= 0, "--seed", "0 or more", self.seed)
        blocks = len(self.blocks) == 4 and min(self.blocks) >= 0
        require(blocks, "--blocks", "four numbers of 0 or more", self.blocks)

    def deciding(self) -> dict:
        """The settings that affect the result."""
        return {name: value for name, value in asdict(self).items() if name not in INDIFFERENT}


def readable(rows: list[Row], split: str) -> dict[str, str]:
    """Key -> text, of the plates of one line whose text is known."""
    known = [row for row in rows if row.split == split and is_readable(row.text, row.country)]
    texts = {row.key: comparable(row.text, row.country, province=True) for row in known}
    return {key: text for key, text in texts.items() if len(text) <= LONGEST}


def pairs_of(settings: RecogniserSettings, split: str, texts: dict[str, str]) -> Pairs:
    """The clean tiles that have a text, to be damaged by --preset."""
    found = [pair for pair in open_tiles(settings.tiles, split, clean_only=True).pairs if pair.key in texts]
    if not found:
        raise ValueError(f"--tiles {settings.tiles}: no tile of the split {split} has a text in the manifest")
    keys, urls, _ = zip(*found, strict=True)
    return Pairs(keys, urls, preset=settings.preset, seed=settings.seed)


def windows_of(settings: RecogniserSettings, pairs: Pairs) -> Pairs:
    """The pairs as training shows them: changed a little each time, and windows of --crop."""
    height, width = stored_size(pairs.hr_urls[0])
    crop = check_crop(settings.crop, (height, width))
    if crop and crop[1] != width:
        raise ValueError(
            f"--crop must be as wide as the tiles, {width}, or it cuts characters off; got {crop[0]}x{crop[1]}"
        )
    # each time another window of this one is shown
    if crop and settings.echo > 1:
        crop = min(crop[0] + ROOM_PX, height), width
    return replace(pairs, augment=True, randomise=settings.randomise, crop=crop)


def labels_of(pairs: Pairs, texts: dict[str, str], characters: str) -> np.ndarray:
    """(N, LONGEST) int32: the classes of each tile's characters, then zeros."""
    labels = np.zeros((len(pairs), LONGEST), np.int32)
    for row, key in zip(labels, pairs.keys, strict=True):
        row[: len(texts[key])] = [1 + characters.index(c) for c in texts[key]]
    return labels


def evenly_spread(labels: np.ndarray, columns: int) -> np.ndarray:
    """(N, columns) int32: the class of each column, were the characters spread evenly between the tile's margins."""
    place = ((np.arange(columns) + 0.5) / columns - MARGIN) / (1 - 2 * MARGIN)
    spread = np.floor(place * np.count_nonzero(labels, axis=1)[:, None]).astype(int)
    inside = (place >= 0) & (place < 1)
    return np.where(inside, np.take_along_axis(labels, np.where(inside, spread, 0), axis=1), BLANK)


def examples(
    settings: RecogniserSettings, batches: Batches, answers: np.ndarray, steps: range, with_clean: bool
) -> Iterator[tuple]:
    """(tiles (N, H, W, 3) float32 in [0, 1], their answers) of each step: damaged ones, and half of them clean where
    asked."""
    from keras import ops

    plates = settings.batch_size // 2 if with_clean else settings.batch_size

    def stream(first: int, last: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for number, (shown, clean) in enumerate(batches.stream(first, last, plates), start=first):
            tiles = [batches.pairs.at(position)[1] for position in range(number * plates, (number + 1) * plates)]
            own = answers[tiles]
            yield (np.concatenate([shown, clean]), np.concatenate([own, own])) if with_clean else (shown, own)

    if settings.echo == 1:
        some = stream(steps.start, steps.stop)
    else:
        height = settings.crop[0] if settings.crop else stored_size(batches.pairs.hr_urls[0])[0]
        some = echoed(stream, steps, settings.echo, height)
    # to the device as bytes, a quarter of what floats would be
    for tiles, own in some:
        yield ops.cast(ops.convert_to_tensor(tiles), "float32") / 255, own


def train(settings: RecogniserSettings) -> None:
    """Train and write the archive. Raises ValueError for tiles without texts, and for a state that is damaged or of
    other settings."""
    rows = read_manifest(settings.tiles)
    texts = {split: readable(rows, split) for split in ("train", "val")}
    characters = "".join(sorted(set("".join(texts["train"].values()))))
    pairs = windows_of(settings, pairs_of(settings, "train", texts["train"]))
    held_out = pairs_of(settings, "val", texts["val"]) if texts["val"] else None

    # late: keras takes seconds
    keras = import_keras()
    from training.devices import choose_precision

    labels = labels_of(pairs, texts["train"], characters)
    # for the lock and the cache: several networks may be trained into one folder
    working = Path(settings.out).with_suffix(".work")
    with only_run_in(working, "--out"):
        try:
            adopt_older(settings)
            begun = load_begun(state_file(settings), settings.deciding(), ())
            precision, reason = choose_precision(begun[1]["precision"] if begun else settings.precision)
            say(f"{len(pairs)} plates, {len(characters)} characters; precision: {precision} ({reason})")
            keras.utils.set_random_seed(settings.seed)
            keras.mixed_precision.set_global_policy(precision)
            model = begin(settings, begun, pairs, labels, characters)
            if not begun:
                save(model, settings, precision)
            seen = plates_to_read(held_out, texts["val"], LOOKED_AT) if held_out else None
            pairs = cache_tiles(pairs, working) if settings.cache else pairs
            with Batches(pairs, settings.workers) as batches:
                for step, loss in fit(model, settings, batches, labels):
                    save(model, settings, precision)
                    read = f"; read whole on validation: {reading_of(model, characters, *seen)}" if seen else ""
                    say(f"step {step}; loss {loss:.3g}{read}")
            about = {"characters": characters, "precision": precision, "settings": settings.deciding()}
            finish(model, settings, about, plates_to_read(held_out, texts["val"]) if held_out else None)
        finally:
            shutil.rmtree(working, ignore_errors=True)


def finish(model, settings: RecogniserSettings, about: dict, plates: tuple | None) -> None:
    """Write the archive, and what the .json beside it says: `about`, and how much of the plates it reads."""
    from models.loading import in_policy
    from training.networks import as_shipped, write_archive

    model = in_policy(model, "float32")
    model.set_weights(as_shipped(model.get_weights(), about["precision"]))
    if plates is not None:
        about |= {"validation": reading_of(model, about["characters"], *plates)}
    write_archive(model, Path(settings.out), about)
    state_file(settings).unlink(missing_ok=True)
    say(f"{settings.out}; read whole on validation: {about.get('validation', 'no tiles with texts')}")


def parts_of(done: int, first: int, steps: int, every: int) -> list[tuple[int, int]]:
    """(start, stop) of what is trained between two saves, from the step `done` on; none crosses `first`. `every` may
    have been another one before."""
    bounds = sorted({done, *range(0, first, every), *range(first, steps, every), steps})
    return [part for part in pairwise(bounds) if part[0] >= done]


def fit(model, settings: RecogniserSettings, batches: Batches, labels: np.ndarray) -> Iterator[tuple[int, float]]:
    """Train from where the model stands; gives the step after each part, and the part's mean loss."""
    import keras

    from losses import GeneralisedCTC
    from models.recogniser import COLUMN_PX

    done, first = int(model.optimizer.iterations), 0 if settings.init else round(settings.steps * EVENLY_SPREAD)
    spread = evenly_spread(labels, stored_size(batches.pairs.hr_urls[0])[1] // COLUMN_PX)
    for start, stop in parts_of(done, first, settings.steps, settings.validate_every):
        by_ctc = start >= first
        # one optimiser for both losses: its schedule counts all steps
        if start in (done, first):
            per_column = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            model.compile(model.optimizer, GeneralisedCTC(settings.loss_power) if by_ctc else per_column)
        answers = labels if by_ctc else spread
        some = examples(settings, batches, answers, range(start, stop), with_clean=not by_ctc)
        # a bar for a terminal alone: Keras does not bear that a pipe is closed
        told = model.fit(some, steps_per_epoch=stop - start, shuffle=False, verbose=int(sys.stdout.isatty()))
        yield stop, told.history["loss"][-1]


def begin(settings: RecogniserSettings, begun: State | None, pairs: Pairs, labels: np.ndarray, characters: str):
    """The model with its optimiser: a new one, or as the state `begun` has it. Raises ValueError for a state that does
    not fit, and for an --init that holds no recogniser."""
    import keras

    from models.recogniser import Shape, build_recogniser

    shape = Shape(blocks=settings.blocks[:3], column_blocks=settings.blocks[3])
    if begun:
        model = build_recogniser(len(characters), Shape(**begun[1]["shape"]))
    elif settings.init:
        model = started_from(settings.init, shape, pairs, labels, characters)
    else:
        model = build_recogniser(len(characters), shape)
    warmup = max(1, settings.steps // 20)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, settings.steps - warmup, alpha=0.01, warmup_target=settings.learning_rate, warmup_steps=warmup
    )
    model.compile(keras.optimizers.Adam(rate, clipnorm=5.0))
    model.optimizer.build(model.trainable_variables)
    if begun:
        restore(variables_of(model), begun[0])
    return model


def started_from(init: str, shape, pairs: Pairs, labels: np.ndarray, characters: str):
    """A recogniser with the weights of another, or of the one that a generator carries, and at least its blocks. Where
    that has no names for characters, or those of another alphabet, they are learned first. Raises ValueError where
    there is none in `init`."""
    from models.generator import take_over
    from models.recogniser import HEAD, build_recogniser, layers_of_recogniser, recogniser_of, shape_of
    from models.shipped import read_info
    from training.networks import load_given

    source = load_given(init, "--init", "what training.recogniser has left, or a generator that carries it")
    own = shape_of(source)
    if own is None:
        raise ValueError(f"--init {init} holds no recogniser")
    model = build_recogniser(len(characters), own.deepened(shape))
    take_over(model, layers_of_recogniser(source))
    carried = recogniser_of(source)
    known = carried or (source, read_info(Path(init)).get("characters"))
    if known[1] == characters:
        take_over(model, [known[0].get_layer(HEAD)])
    else:
        learn_names(model, pairs, labels)
    return model


def learn_names(model, pairs: Pairs, labels: np.ndarray) -> None:
    """Fit only the layer that names characters, on the other layers' features of clean tiles: the errors of an
    untrained layer would spoil the others."""
    import keras

    from models.recogniser import HEAD

    chosen = spread_evenly(len(pairs), NAMED_FROM)
    pictures = to_float(np.stack([pairs.read("hr", tile) for tile in chosen]))
    columns = keras.Model(model.input, model.get_layer(HEAD).input).predict(pictures, batch_size=16, verbose=0)
    head = keras.Sequential(
        [keras.Input(columns.shape[1:]), keras.layers.Dense(model.output_shape[-1], dtype="float32")]
    )
    head.compile(keras.optimizers.Adam(1e-2), keras.losses.CTC())
    rng, names = np.random.default_rng(0), labels[chosen]
    some = (rng.choice(len(chosen), NAMING_BATCH) for _ in range(NAMING_STEPS))
    known = ((columns[each], names[each]) for each in some)
    head.fit(known, steps_per_epoch=NAMING_STEPS, shuffle=False, verbose=0)
    model.get_layer(HEAD).set_weights(head.get_weights())


def variables_of(model) -> dict[str, list]:
    """What a state holds."""
    return {"model": model.variables, "optimizer": model.optimizer.variables}


def save(model, settings: RecogniserSettings, precision: str) -> None:
    """All that an interrupted run goes on from; the optimiser's count of steps says how far it is."""
    from models.recogniser import shape_of

    about = {"precision": precision, "shape": asdict(shape_of(model)), "settings": settings.deciding()}
    save_state(state_file(settings), variables_of(model), about)


def state_file(settings: RecogniserSettings) -> Path:
    """Beside the archive to write."""
    return Path(settings.out).with_suffix(".state.npz")


def adopt_older(settings: RecogniserSettings) -> None:
    """Write the state anew of a run that an earlier version has begun: an archive, with its settings in a .json beside
    it. Raises ValueError where they are damaged."""
    import losses  # noqa: F401  its loss is looked up by name
    from models.recogniser import PREFIX

    archive = state_file(settings).with_suffix(".keras")
    about = archive.with_suffix(".json")
    if not about.exists():
        return
    try:
        model = import_keras().saving.load_model(archive, safe_mode=True)
        known = {name: value for name, value in json.loads(read_text(about)).items() if name in settings.deciding()}
        begun = replace(settings, **from_json(RecogniserSettings, known, str(about)))
    # Keras raises many kinds, for many faults of a file
    except Exception as error:
        raise ValueError(
            f"{archive} or its .json is damaged ({first_line(error)}); remove both to begin anew"
        ) from error
    save(model, begun, model.get_layer(f"{PREFIX}conv1").dtype_policy.name)
    for file in (about, archive):
        file.unlink()


def plates_to_read(pairs: Pairs, texts: dict[str, str], limit: int = 0) -> tuple[dict[str, np.ndarray], list[str]]:
    """({"damaged", "clean": (N, H, W, 3) float32}, texts) of at most `limit` tiles (0: all), the same ones every
    time."""
    chosen = spread_evenly(len(pairs), limit)
    sides = zip(*map(pairs.fixed, chosen), strict=True)
    pictures = [to_float(np.stack(side)) for side in sides]
    return dict(zip(("damaged", "clean"), pictures, strict=True)), [texts[pairs.keys[tile]] for tile in chosen]


def reading_of(model, characters: str, pictures: dict[str, np.ndarray], texts: list[str]) -> dict:
    """{"damaged", "clean": share of plates read whole, "n"}."""
    right = {}
    for name, some in pictures.items():
        read = decode(model.predict(some, batch_size=16, verbose=0), characters)
        right[name] = float(np.mean([a == b for a, b in zip(read, texts, strict=True)]))
    return right | {"n": len(texts)}


def decode(logits: np.ndarray, characters: str) -> list[str]:
    """The text of each picture: the best class of every column, repetitions and blanks left out (CTC, greedily)."""
    best = np.argmax(logits, axis=-1)
    new = np.diff(best, axis=1, prepend=-1) != 0
    return ["".join(characters[i - 1] for i in row[kept & (row != BLANK)]) for row, kept in zip(best, new, strict=True)]


def main(argv: Sequence[str] | None = None) -> int:
    again = "the same command goes on from the last saved part"
    name = "training.recogniser"
    return run_module(name, train, RecogniserSettings, __doc__, argv, section=SECTION, when_stopped=again)


if __name__ == "__main__":
    sys.exit(main())
