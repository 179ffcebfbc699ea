"""Trains the recogniser whose opinion `train.py --recogniser` asks for.

    python -m training.recogniser --tiles datasets/tiles --out checkpoints/recogniser.keras

It learns from the clean tiles and from damaged ones (the damage made anew each time), so that its answers to a half restored
plate mean something. Leaves the archive and a .json with the characters it knows and how much of the validation tiles it reads.

CTC alone stays for thousands of steps at "all blank". So the first third of the steps assumes that the characters stand
evenly spread over the plate, and only then CTC finds where they do.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from data import pairing
from data.batches import Batches
from data.pairs import Pairs
from data.tiles import Row, open_tiles, read_manifest
from evaluation.matching import comparable
from evaluation.metrics import is_readable

BLANK = 0  # of the classes; the characters follow from 1 on
LONGEST = 12  # characters of a plate
EVENLY_SPREAD = 1 / 3  # of the steps
MARGIN = pairing.MARGIN / (1 + 2 * pairing.MARGIN)  # on each side of the plate, as a share of the tile's width


def readable(rows: list[Row], split: str) -> dict[str, str]:
    """Key -> what stands on it, of the plates of one line whose text is known."""
    known = [row for row in rows if row.split == split and is_readable(row.text, row.country)]
    texts = {row.key: comparable(row.text, row.country, province=True) for row in known}
    return {key: text for key, text in texts.items() if len(text) <= LONGEST}


def pairs_of(tiles: str, split: str, texts: dict[str, str], seed: int) -> Pairs:
    """The clean tiles that have a text, to be damaged."""
    found = [pair for pair in open_tiles(tiles, split, clean_only=True).pairs if pair.key in texts]
    if not found:
        raise ValueError(f"--tiles {tiles}: no tile of the split {split} has a text in the manifest")
    keys, urls, _ = zip(*found, strict=True)
    return Pairs(keys, urls, preset="street", augment=split == "train", seed=seed)


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


def both_sides(batches: Batches, labels: np.ndarray, steps: range, batch_size: int):
    """A tf.data.Dataset of (damaged and clean tiles, their labels): (2 * batch_size, H, W, 3) and (2 * batch_size, L)."""
    import tensorflow as tf

    def label(step):
        positions = range(int(step) * batch_size, (int(step) + 1) * batch_size)
        return labels[[batches.pairs.at(position)[1] for position in positions]]

    def join(tiles, step):
        own = tf.ensure_shape(tf.numpy_function(label, [step], tf.int32, stateful=False), (batch_size, labels.shape[1]))
        return tf.cast(tf.concat(tiles, 0), tf.float32) / 255.0, tf.concat([own, own], 0)

    tiles = batches.dataset(steps.start, steps.stop, batch_size)
    return tf.data.Dataset.zip(tiles, tf.data.Dataset.range(steps.start, steps.stop)).map(join).prefetch(2)


def train(flags: argparse.Namespace) -> dict:
    """Train and write the archive; returns what the .json beside it says. Raises ValueError for tiles without texts."""
    rows = read_manifest(flags.tiles)
    texts = {split: readable(rows, split) for split in ("train", "val")}
    characters = "".join(sorted(set("".join(texts["train"].values()))))
    pairs = pairs_of(flags.tiles, "train", texts["train"], flags.seed)

    import keras  # late: it takes seconds

    from models.recogniser import COLUMN_PX, build_recogniser
    from training.networks import write_archive

    keras.utils.set_random_seed(flags.seed)
    model = build_recogniser(len(characters))
    warmup = flags.steps // 20
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, flags.steps - warmup, alpha=0.01, warmup_target=flags.learning_rate, warmup_steps=warmup
    )
    optimiser = keras.optimizers.Adam(rate, clipnorm=5.0)  # one for both parts: the schedule counts its steps
    labels, first = labels_of(pairs, texts["train"], characters), round(flags.steps * EVENLY_SPREAD)
    spread = evenly_spread(labels, pairs.read("hr", 0).shape[1] // COLUMN_PX)
    with Batches(pairs, flags.workers) as batches:
        for part, answers, loss in (
            (range(first), spread, keras.losses.SparseCategoricalCrossentropy(from_logits=True)),
            (range(first, flags.steps), labels, keras.losses.CTC()),
        ):
            model.compile(optimiser, loss)
            model.fit(both_sides(batches, answers, part, flags.batch_size), shuffle=False)
    about = {"characters": characters, "tiles": flags.tiles, "steps": flags.steps, "seed": flags.seed}
    if texts["val"]:
        about["validation"] = reading_of(model, characters, flags.tiles, texts["val"], flags.seed)
    write_archive(model, Path(flags.out), about)
    return about


def reading_of(model, characters: str, tiles: str, texts: dict[str, str], seed: int) -> dict:
    """{"clean", "damaged": share of the validation plates read whole, "n"}."""
    pairs = pairs_of(tiles, "val", texts, seed)
    lq, hr = (
        np.stack(side).astype(np.float32) / 255 for side in zip(*map(pairs.fixed, range(len(pairs))), strict=True)
    )
    right = {}
    for name, pictures in (("clean", hr), ("damaged", lq)):
        read = decode(model.predict(pictures, batch_size=64, verbose=0), characters)
        right[name] = float(np.mean([text == texts[key] for text, key in zip(read, pairs.keys, strict=True)]))
    return right | {"n": len(pairs)}


def decode(logits: np.ndarray, characters: str) -> list[str]:
    """The text of each picture: the best class of every column, repetitions and blanks left out (CTC, greedily)."""
    best = np.argmax(logits, axis=-1)
    new = np.diff(best, axis=1, prepend=-1) != 0
    return ["".join(characters[i - 1] for i in row[kept & (row != BLANK)]) for row, kept in zip(best, new, strict=True)]


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.recogniser",
        description=__doc__.split("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--tiles", required=True, metavar="DIR", help="tile folder of preprocess.py, with texts in its manifest")
    add("--out", required=True, metavar="FILE", help="the archive to write (.keras)")
    add("--steps", type=int, default=3000, metavar="N", help="steps of training")
    add("--batch-size", type=int, default=16, metavar="N", help="plates per step, each once clean and once damaged")
    add("--learning-rate", type=float, default=2e-3, metavar="F", help="highest learning rate")
    add("--workers", type=int, default=1, metavar="N", help="processes that make the batches; 0: none")
    add("--seed", type=int, default=0, metavar="N", help="seed of weights, order and damage")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    flags = parse(argv)
    try:
        about = train(flags)
    except (ValueError, OSError) as error:
        print(f"training.recogniser: {error}", file=sys.stderr)
        return 2
    print(f"{flags.out}; read whole on validation: {about.get('validation', 'no tiles with texts')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
