"""A small reader of plates that tells the generator in training which differences make another character.

It is not the reader of evaluation, which training never sees: a generator that learned from its own judge would only please
the judge. The idea of a loss from a character recogniser is that of Nascimento et al. 2024, "Enhancing License Plate
Super-Resolution: A Layout-Aware and Character-Driven Approach" (arXiv 2408.15103).
"""

import keras
from keras import layers, ops

from models.exposure import Standardise

WIDTHS = (32, 64, 96, 96, 128)  # of the convolutions
STRIDES = ((2, 2), (2, 2), (2, 1), (1, 1), (2, 1))  # a character is 16 pixels wide or so: columns stay narrow
COLUMN_WIDTH = 192
COLUMN_PX = 4  # of the picture: the product of the strides
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
    x = ops.mean(x, axis=1)  # the text lies at any height of a window
    x = layers.Conv1D(COLUMN_WIDTH, 5, padding="same", use_bias=False, name="neighbours")(x)
    x = layers.LeakyReLU(LEAK)(layers.BatchNormalization(name="norm_neighbours")(x))
    return keras.Model(picture, layers.Dense(1 + characters, dtype="float32", name="logits")(x), name="recogniser")
