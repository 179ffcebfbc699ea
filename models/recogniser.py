"""A small reader of plates, trained on damaged ones. Its features can be built into a generator (`build_generator`),
which then draws with an idea of what may stand there, as in Ma et al. 2021, "Text Prior Guided Scene Text Image
Super-resolution" (arXiv 2106.15368).

It is not the reader of evaluation, which training never sees: a generator that learned from its own judge would only
please the judge.
"""

import keras
from keras import layers, ops

from models.layers import FusedBatchNormalization, SpaceToDepth, Standardise, scaled_and_shifted

# of the picture, folded into channels at once: a character is 16 pixels wide or so, columns stay narrow
COLUMN_PX = 4
# width, strides and further residual blocks of each stage
STAGES = ((64, (1, 1), 3), (96, (2, 1), 8), (128, (2, 1), 15))
COLUMN_WIDTH = 192
# each reaches two columns further to both sides: long blur spreads a character over its neighbours
COLUMN_BLOCKS = 10
NAME = "recogniser"
# the layer that names characters, of no use to a generator
HEAD = "logits"
# of the names of the layers, which a generator takes over
PREFIX = "read_"


def build_recogniser(characters: int) -> keras.Model:
    """Pictures (N, H, W, 3) float32 in [0, 1] of plates of one line -> logits (N, W/4, 1 + characters) of every column.

    Class 0 is the blank of CTC (Graves et al. 2006). Fully convolutional: a window of a plate has its answer, too.
    """
    eye = build_eye()
    _, columns = eye.outputs
    logits = layers.Dense(1 + characters, dtype="float32", name=HEAD)(columns)
    return keras.Model(eye.inputs[0], logits, name=NAME)


def build_eye() -> keras.Model:
    """A recogniser without its names for characters: pictures -> [what it sees in each cell, and in each column]."""
    picture = keras.Input((None, None, 3), name="picture")
    # a plate says the same in any light
    evened, _, _ = Standardise(name="standardise")(picture)
    cells = read_cells(evened)
    return keras.Model(picture, [cells, read_columns(cells)], name="eye")


def layers_of_recogniser(model: keras.Model) -> list[keras.Layer]:
    """Those of the recogniser that a model is or carries, less its names for characters; [] where there is none."""
    return [layer for layer in model.layers if layer.name.startswith(PREFIX)]


def read_cells(evened):
    """Pictures without their light, (N, H, W, 3) -> what the recogniser sees in each cell, (N, H/16, W/4, 128)."""
    x = SpaceToDepth(COLUMN_PX, name=f"{PREFIX}fold")(evened)
    for stage, (width, strides, blocks) in enumerate(STAGES, start=1):
        x = layers.ReLU()(_normed_conv(x, layers.Conv2D, width, 3, f"conv{stage}", strides))
        x = _in_context(x, f"context{stage}")
        for block in range(1, blocks + 1):
            x = _residual(x, layers.Conv2D, width, 3, f"conv{stage}_{block}")
    return x


def read_columns(cells):
    """What the recogniser sees in each cell -> in each column, (N, W/4, COLUMN_WIDTH)."""
    # the text lies at any height of a window: each column looks where there is something to see
    heights = layers.Softmax(axis=1, name=f"{PREFIX}heights")(layers.Conv2D(1, 1, name=f"{PREFIX}attention")(cells))
    x = ops.sum(layers.Multiply(name=f"{PREFIX}attended")([cells, heights]), axis=1)
    x = layers.ReLU()(_normed_conv(x, layers.Conv1D, COLUMN_WIDTH, 5, "columns"))
    x = _in_context(x, "columns_context")
    for block in range(1, COLUMN_BLOCKS + 1):
        x = _residual(x, layers.Conv1D, COLUMN_WIDTH, 5, f"columns_{block}")
    return x


def _in_context(x, name: str):
    """x scaled and shifted by what the whole picture shows: all of a plate is blurred alike, so what blurred the other
    characters helps to read each (after Hu et al. 2018, "Squeeze-and-Excitation Networks", arXiv 1709.01507)."""
    whole = ops.mean(x, axis=tuple(range(1, x.ndim - 1)), keepdims=True)
    whole = layers.Dense(x.shape[-1] // 2, "relu", kernel_initializer="he_normal", name=f"{PREFIX}{name}")(whole)
    names = [f"{PREFIX}{name}_{part}" for part in ("gate", "shift", "gated", "shifted")]
    return scaled_and_shifted(x, whole, names)


def _residual(x, kind, width: int, kernel: int, name: str):
    """The residual block of He et al. 2016 (arXiv 1512.03385, Fig. 2), rectified after the sum. Untrained, it changes
    nothing (Goyal et al. 2017, arXiv 1706.02677, section 5.1), so a trained recogniser can be given more of them."""
    y = layers.ReLU()(_normed_conv(x, kind, width, kernel, f"{name}a"))
    y = _normed_conv(y, kind, width, kernel, f"{name}b", scale="zeros")
    return layers.ReLU()(layers.Add(name=f"{PREFIX}{name}")([x, y]))


def _normed_conv(x, kind, width: int, kernel: int, name: str, strides=1, scale: str = "ones"):
    convolution = kind(
        width, kernel, strides, padding="same", use_bias=False, kernel_initializer="he_normal", name=f"{PREFIX}{name}"
    )
    return FusedBatchNormalization(gamma_initializer=scale, name=f"{PREFIX}{name}_norm")(convolution(x))
