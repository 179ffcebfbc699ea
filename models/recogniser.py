"""A small reader of plates that tells the generator in training which differences make another character.

It is not the reader of evaluation, which training never sees: a generator that learned from its own judge would only please
the judge. The idea of a loss from a character recogniser is that of Nascimento et al. 2024, "Enhancing License Plate
Super-Resolution: A Layout-Aware and Character-Driven Approach" (arXiv 2408.15103).
"""

import keras
import numpy as np
from keras import layers, ops

from models.exposure import Standardise

BLANK = 0  # of the classes; the characters follow from 1 on
WIDTHS = (32, 64, 96, 96, 128)  # of the convolutions
STRIDES = ((2, 2), (2, 2), (2, 1), (1, 1), (2, 1))  # a character is 16 pixels wide or so: columns stay narrow
LEAK = 0.1


def build_recogniser(characters: int) -> keras.Model:
    """Pictures (N, H, W, 3) float32 in [0, 1] of plates of one line -> logits (N, W/4, 1 + characters) of every column.

    Class 0 is the blank of CTC (Graves et al. 2006). Fully convolutional: a window of a plate has its answer, too.
    """
    picture = keras.Input((None, None, 3), name="picture")
    x, _, _ = Standardise(name="standardise")(picture)  # a plate says the same in any light
    for index, (width, strides) in enumerate(zip(WIDTHS, STRIDES, strict=True), start=1):
        x = layers.Conv2D(width, 3, strides, padding="same", use_bias=False, name=f"conv{index}")(x)
        x = layers.LeakyReLU(LEAK)(layers.BatchNormalization(name=f"norm{index}")(x))
    # the text lies at any height of the tile: each column looks where it finds the most of a character
    height = ops.softmax(layers.Conv2D(1, 1, name="height")(x), axis=1)
    x = ops.sum(x * height, axis=1)
    x = layers.LeakyReLU(LEAK)(layers.Conv1D(WIDTHS[-1], 5, padding="same", name="neighbours")(x))
    return keras.Model(picture, layers.Dense(1 + characters, dtype="float32", name="logits")(x), name="recogniser")


def decode(logits: np.ndarray, characters: str) -> list[str]:
    """The text of each picture: the best class of every column, repetitions and blanks left out (CTC, greedily)."""
    best = np.argmax(logits, axis=-1)
    new = np.diff(best, axis=1, prepend=-1) != 0
    return ["".join(characters[i - 1] for i in row[kept & (row != BLANK)]) for row, kept in zip(best, new, strict=True)]
