"""The recogniser: a small network that reads damaged plates. Its features can be built into a generator
(`build_generator`), which then knows which characters are likely, as in Ma et al. 2021, "Text Prior Guided Scene Text
Image Super-resolution" (arXiv 2106.15368).

It is not the reader of evaluation, which takes no part in training: a generator that learned from its own judge would
only please the judge.
"""

import re
from dataclasses import dataclass

import keras
from keras import layers, ops

from models.layers import FusedBatchNormalization, SpaceToDepth, Standardise, scaled_and_shifted

# of the picture, folded into channels at once: a character is 16 pixels wide or so, columns stay narrow
COLUMN_PX = 4
# of each level of the cells: characters keep their width, and lose height
STRIDES = ((1, 1), (2, 1), (2, 1))
NAME = "recogniser"
# the layer that names characters, of no use to a generator
HEAD = "logits"
# of the names of the layers, which a generator takes over
PREFIX = "read_"
# the layer in which a generator carries the names for characters of its recogniser
NAMES = "names"


@dataclass(frozen=True)
class Shape:
    """How wide and how deep a recogniser is: the three levels of its cells, and its columns.

    widths, column_width: features. blocks, column_blocks: residual blocks. Each block of the columns reaches two
    columns further to both sides, since long blur spreads a character over its neighbours.
    """

    widths: tuple[int, ...] = (64, 96, 128)
    blocks: tuple[int, ...] = (3, 8, 15)
    column_width: int = 192
    column_blocks: int = 10

    def deepened(self, other: "Shape") -> "Shape":
        """As wide as this one, with the blocks of whichever of both has more."""
        blocks = tuple(max(pair) for pair in zip(self.blocks, other.blocks, strict=True))
        return Shape(self.widths, blocks, self.column_width, max(self.column_blocks, other.column_blocks))


SHAPE = Shape()


def build_recogniser(characters: int, shape: Shape = SHAPE) -> keras.Model:
    """Pictures (N, H, W, 3) float32 in [0, 1] of plates of one line -> logits (N, W/4, 1 + characters) of every column.

    Class 0 is the blank of CTC (Graves et al. 2006). Fully convolutional: a window of a plate has its answer, too.
    """
    eye = build_eye(shape)
    _, columns = eye.outputs
    logits = layers.Dense(1 + characters, dtype="float32", name=HEAD)(columns)
    return keras.Model(eye.inputs[0], logits, name=NAME)


def with_probabilities(recogniser: keras.Model) -> keras.Model:
    """The same, with probabilities of every column instead of logits."""
    return keras.Model(recogniser.input, layers.Softmax(name="probabilities")(recogniser.output), name=NAME)


def build_eye(shape: Shape = SHAPE) -> keras.Model:
    """A recogniser without its names for characters: pictures -> [features of each cell, features of each column]."""
    picture = keras.Input((None, None, 3), name="picture")
    # a plate has the same text in any illumination
    evened, _, _ = Standardise(name="standardise")(picture)
    cells = read_cells(evened, shape)
    return keras.Model(picture, [cells, read_columns(cells, shape)], name="eye")


def shape_of(model: keras.Model) -> Shape | None:
    """Of the recogniser that a model is or carries; None where there is none."""
    named = {layer.name: layer for layer in model.layers}
    if f"{PREFIX}columns" not in named:
        return None

    def count(part: str) -> int:
        return sum(re.fullmatch(rf"{PREFIX}{part}_[0-9]+", name) is not None for name in named)

    levels = [f"conv{level}" for level in range(1, len(STRIDES) + 1)]
    widths = tuple(named[f"{PREFIX}{level}"].filters for level in levels)
    return Shape(widths, tuple(map(count, levels)), named[f"{PREFIX}columns"].filters, count("columns"))


def recogniser_of(generator: keras.Model) -> tuple[keras.Model, str] | None:
    """(the recogniser that a generator carries, by itself; the characters of its classes 1, 2, ...). None where it
    carries none, or one without names for characters. Its pictures are as large as the generator's output."""
    names = next((layer for layer in generator.layers if layer.name == NAMES), None)
    if names is None:
        return None
    recogniser = build_recogniser(len(names.characters), shape_of(generator))
    for layer in layers_of_recogniser(generator):
        if layer.weights:
            recogniser.get_layer(layer.name).set_weights(layer.get_weights())
    recogniser.get_layer(HEAD).set_weights(names.get_weights())
    return recogniser, names.characters


def layers_of_recogniser(model: keras.Model) -> list[keras.Layer]:
    """Those of the recogniser that a model is or carries, without its names for characters; [] where there is none."""
    return [layer for layer in model.layers if layer.name.startswith(PREFIX)]


def read_cells(evened, shape: Shape):
    """Pictures without their illumination, (N, H, W, 3) -> the features of each cell, (N, H/16, W/4, 128)."""
    x = SpaceToDepth(COLUMN_PX, name=f"{PREFIX}fold")(evened)
    for level, (width, strides, blocks) in enumerate(zip(shape.widths, STRIDES, shape.blocks, strict=True), start=1):
        x = layers.ReLU()(_normed_conv(x, layers.Conv2D, width, 3, f"conv{level}", strides))
        x = _in_context(x, f"context{level}")
        for block in range(1, blocks + 1):
            x = _residual(x, layers.Conv2D, width, 3, f"conv{level}_{block}")
    return x


def read_columns(cells, shape: Shape):
    """Features of each cell -> features of each column, (N, W/4, column_width)."""
    # the text may lie at any height of a window, so each column attends to the rows that show something
    heights = layers.Softmax(axis=1, name=f"{PREFIX}heights")(layers.Conv2D(1, 1, name=f"{PREFIX}attention")(cells))
    x = ops.sum(layers.Multiply(name=f"{PREFIX}attended")([cells, heights]), axis=1)
    x = layers.ReLU()(_normed_conv(x, layers.Conv1D, shape.column_width, 5, "columns"))
    x = _in_context(x, "columns_context")
    for block in range(1, shape.column_blocks + 1):
        x = _residual(x, layers.Conv1D, shape.column_width, 5, f"columns_{block}")
    return x


def _in_context(x, name: str):
    """x scaled and shifted by what the whole picture shows: blur is the same all over a plate, so the other characters
    help to read each one (after Hu et al. 2018, "Squeeze-and-Excitation Networks", arXiv 1709.01507)."""
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
