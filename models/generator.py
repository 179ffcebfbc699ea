"""The generator: low-quality plates in, clean plates out.

Pictures are NHWC float32 RGB in [0, 1]; the output is not clipped. The body works at a quarter of the output's
resolution (an eighth for scale 8) whatever the input's size, so the cost does not depend on the scale:

    scale 1   SpaceToDepth(4) -> body -> two enlargements     (the default: same size in and out)
    scale 2   SpaceToDepth(2) -> body -> two enlargements
    scale 4                      body -> two enlargements     (SRGAN, Ledig et al. 2017, arXiv 1609.04802, Fig. 4)
    scale 8                      body -> three enlargements

Deviations from SRGAN, each for a reason: no batch norm (it shifts colours at test time; EDSR, arXiv 1707.02921, and
ESRGAN, arXiv 1809.00219, dropped it); leaky ReLU for PReLU (one pass over memory less, and fused into the convolution
on CPUs); the body gets the picture without its illumination, and predicts what to add and a new illumination
(`models/layers.py`), so an untrained generator already returns its input; enlargements by two that repeat pixels and
convolve, where SRGAN's sub-pixel convolutions left a grid of four pixels that a reader took for strokes (Odena et al.
2016, "Deconvolution and checkerboard artifacts"), and that narrow as the resolution grows.

A generator may carry a recogniser (`models/recogniser.py`), frozen: what that sees in each column scales and shifts the
input of every block (the spatial feature transform of Wang et al. 2018, arXiv 1804.02815, Eq. 3), so that the body
knows which characters are likely where. How to draw them it learns from the pictures alone.
"""

from collections.abc import Callable, Iterable

import keras
import numpy as np
from keras import layers, ops

from data.tiles import SCALES
from models.layers import Names, Relight, RepeatPixels, SpaceToDepth, Standardise, scaled_and_shifted
from models.recogniser import HEAD, NAMES, PREFIX, Shape, read_cells, read_columns, shape_of

# pixels folded into channels before the body
STEM_BLOCK = {1: 4, 2: 2, 4: 1, 8: 1}
# SRGAN's 9 where nothing is folded; 3 folded cells already span 12 pixels
STEM_KERNEL = {1: 3, 2: 5, 4: 9, 8: 9}
# beta in ESRGAN, section 3.1
RESIDUAL_SCALE = 0.2
# channels that each convolution of a dense block adds; ESRGAN's value
DENSE_GROWTH = 32
# of the enlargements, for very narrow test networks and scale 8
MIN_CHANNELS = 8
# of the illumination layer
ILLUMINATION_FEATURES = 64
# layers keep the names that they have in archives
ILLUMINATION_LAYERS = ("judge_light", "gain", "offset")
# slope of the leaky ReLU below zero
LEAK = 0.2
# that scale and shift the input of a block
HINT_LAYERS = ("gate", "hint", "gated", "hinted")
# between recogniser and body: CTC names a character in one column, it is drawn in three or four
LISTEN_BLOCKS = 2


def build_generator(
    scale: int = 1,
    filters: int = 64,
    blocks: int = 16,
    body: str = "srresnet",
    reads: Shape | None = None,
    names: str = "",
) -> keras.Model:
    """A fully convolutional generator: (N, H, W, 3) -> (N, H*scale, W*scale, 3), for H and W that the stem's block
    divides.

    reads: the shape of the recogniser that it carries, whose weights `take_over` fills in; None for none. names: the
    characters that this recogniser has names for, "" where they are not carried along.
    Raises ValueError when the scale or the body is not one of those above.
    """
    if scale not in SCALES:
        raise ValueError(f"scale must be 1, 2, 4 or 8, got {scale}")
    if reads and scale == 8:
        raise ValueError(
            "a generator with a recogniser needs scale 1, 2 or 4: at 8 its body is coarser than the columns read"
        )
    if body not in BODIES:
        raise ValueError(f"generator must be one of {', '.join(BODIES)}, got {body!r}")

    lq = keras.Input((None, None, 3), name="lq")
    evened, mean, contrast = Standardise(name="standardise")(lq)
    illumination = layers.Concatenate(name="light")([mean, contrast])

    x = evened if STEM_BLOCK[scale] == 1 else SpaceToDepth(STEM_BLOCK[scale], name="stem_fold")(evened)
    x = _conv(filters, STEM_KERNEL[scale], name="stem")(x)
    # the body gets the illumination, too, since noise grows in the dark
    x = shallow = _activate(
        layers.Add(name="stem_light")([x, layers.Dense(filters, name="light_features")(illumination)])
    )
    columns = _columns(evened, scale, reads, names) if reads else None
    for index in range(blocks):
        if reads:
            x = scaled_and_shifted(x, columns, [f"{part}{index + 1}" for part in HINT_LAYERS])
        x = BODIES[body](x, filters, f"block{index + 1}")
    x = features = layers.Add(name="long_skip")([_branch_end(filters, name="body_end")(x), shallow])

    for index in range(3 if scale == 8 else 2):
        # half the channels at each doubling: at full resolution they cost most and are needed least
        channels = max(filters >> (index + 1), MIN_CHANNELS)
        x = RepeatPixels(2, name=f"grow{index + 1}")(x)
        x = _activate(_conv(channels, 3, name=f"upsample{index + 1}")(x))
    # pixels that are good already need not pass through the body
    if scale == 1:
        x = layers.Concatenate(name="pixels")([x, evened])
    x = _activate(_conv(channels, 3, name="refine")(x))

    # zeros: training starts from the input itself, not from noise that has to be unlearned first
    difference = layers.Conv2D(3, 3, padding="same", kernel_initializer="zeros", name="difference")(x)
    gain, offset = _new_illumination(features, illumination)
    base = lq if scale == 1 else layers.UpSampling2D(scale, interpolation="bilinear", name="enlarge")(lq)
    sr = Relight(name="sr", dtype="float32")([base, mean, gain, offset, difference])
    generator = keras.Model(lq, sr, name=f"{body}_x{scale}")
    freeze(generator)
    return generator


def freeze(generator: keras.Model, illumination_only: bool = False) -> None:
    """Freeze the recogniser; with illumination_only, all but the illumination layers."""
    for layer in generator.layers:
        layer.trainable = layer.name in ILLUMINATION_LAYERS if illumination_only else not layer.name.startswith(PREFIX)


def take_over(model: keras.Model, given: Iterable[keras.Layer]) -> None:
    """Copy weights between layers of the same name, from the given layers to the model's. Raises ValueError for a layer
    that the model does not have."""
    own = {layer.name: layer for layer in model.layers}
    for layer in given:
        if layer.weights:
            if layer.name not in own:
                raise ValueError(f"there is no place for its layer {layer.name}")
            own[layer.name].set_weights(layer.get_weights())


def change_nothing(generator: keras.Model, block: int) -> None:
    """Make a residual block (counted from 1) return its input until training continues: the start of one that is added
    to a trained generator. Raises ValueError for a body whose blocks have no skip around the whole of them."""
    if architecture(generator).get("body") != "srresnet":
        raise ValueError(f"blocks can be added to srresnet alone, this is {generator.name}")
    last = generator.get_layer(f"block{block}_conv2")
    last.set_weights([np.zeros_like(weights) for weights in last.get_weights()])


def with_reading(generator: keras.Model) -> keras.Model:
    """The generator with a second output, the probabilities (N, W/4, 1 + characters) of its recogniser, as
    `with_probabilities` has them; as it is where it carries none with names for characters, or enlarges: its recogniser
    then sees another enlargement than one by itself is shown."""
    made = architecture(generator)
    if made.get("scale") != 1 or not made["names"]:
        return generator
    names = generator.get_layer(NAMES)
    head = layers.Dense(1 + len(names.characters), dtype="float32", name=HEAD)
    probabilities = layers.Softmax(dtype="float32", name="probabilities")(head(names.output))
    head.set_weights(names.get_weights())
    return keras.Model(generator.input, [generator.output, probabilities], name=generator.name)


def architecture(generator: keras.Model) -> dict:
    """The arguments of `build_generator` that made it; {} for a model that it did not make."""
    layers_by_name = {layer.name: layer for layer in generator.layers}
    body, _, scale = generator.name.rpartition("_x")
    if body not in BODIES:
        return {}
    blocks = sum(name.startswith("block") and name.endswith("_add") for name in layers_by_name)
    names = layers_by_name[NAMES].characters if NAMES in layers_by_name else ""
    made = {"scale": int(scale), "filters": layers_by_name["stem"].filters, "blocks": blocks, "body": body}
    return {**made, "reads": shape_of(generator), "names": names}


def _columns(evened, scale: int, shape: Shape, names: str):
    """(N, H, W, 3) -> (N, 1, W*scale/4, features): the recogniser's features, in columns as wide as the body's
    cells."""
    if scale > 1:
        evened = layers.UpSampling2D(scale, interpolation="bilinear", name="enlarge_to_read")(evened)
    columns = read_columns(read_cells(evened, shape), shape)
    if names:
        columns = Names(names, name=NAMES)(columns)
    columns = ops.expand_dims(columns, axis=1)
    for index in range(LISTEN_BLOCKS):
        y = _activate(_column_conv(shape.column_width, "he_normal", name=f"listen{index + 1}a")(columns))
        y = _column_conv(shape.column_width, "zeros", name=f"listen{index + 1}b")(y)
        columns = layers.Add(name=f"listen{index + 1}")([columns, y])
    return columns


def _column_conv(width: int, initializer: str, name: str) -> layers.Conv2D:
    return layers.Conv2D(width, (1, 5), padding="same", kernel_initializer=initializer, name=name)


def _new_illumination(features, illumination):
    """Gain and offset per colour, (N, 1, 1, 3) each, from the picture's features and its illumination; zeros at
    first."""
    seen = layers.GlobalAveragePooling2D(keepdims=True, name="seen")(features)
    seen = layers.Concatenate(name="seen_light")([seen, illumination])
    seen = _activate(
        layers.Dense(ILLUMINATION_FEATURES, kernel_initializer="he_normal", name=ILLUMINATION_LAYERS[0])(seen)
    )
    return tuple(layers.Dense(3, kernel_initializer="zeros", name=name)(seen) for name in ILLUMINATION_LAYERS[1:])


def _residual_block(x, filters: int, name: str):
    """SRGAN's residual block without batch norm."""
    y = _activate(_conv(filters, 3, name=f"{name}_conv1")(x))
    y = _branch_end(filters, name=f"{name}_conv2")(y)
    return layers.Add(name=f"{name}_add")([x, y])


def _rrdb(x, filters: int, name: str):
    """ESRGAN's residual-in-residual dense block (arXiv 1809.00219, Fig. 4): three dense blocks, each scaled and
    added."""
    y = x
    for index in range(3):
        y = _dense_block(y, filters, f"{name}_dense{index + 1}")
    return layers.Add(name=f"{name}_add")([x, layers.Rescaling(RESIDUAL_SCALE, name=f"{name}_scale")(y)])


def _dense_block(x, filters: int, name: str):
    features = [x]
    for index in range(4):
        joined = features[0] if index == 0 else layers.Concatenate(name=f"{name}_join{index}")(features)
        features.append(_activate(_conv(DENSE_GROWTH, 3, name=f"{name}_conv{index + 1}")(joined)))
    y = _branch_end(filters, name=f"{name}_conv5")(layers.Concatenate(name=f"{name}_join4")(features))
    return layers.Add(name=f"{name}_add")([x, layers.Rescaling(RESIDUAL_SCALE, name=f"{name}_scale")(y)])


BODIES: dict[str, Callable] = {"srresnet": _residual_block, "rrdb": _rrdb}


def _conv(filters: int, kernel: int, name: str) -> layers.Conv2D:
    return layers.Conv2D(filters, kernel, padding="same", kernel_initializer="he_normal", name=name)


def _branch_end(filters: int, name: str) -> layers.Conv2D:
    """The last convolution of a branch that is added to a skip: initialised small, so that many of them do not add up
    to activations from which bfloat16 training cannot recover (variance 0.02 / fan-in)."""
    small = keras.initializers.VarianceScaling(scale=0.02, mode="fan_in", distribution="truncated_normal")
    return layers.Conv2D(filters, 3, padding="same", kernel_initializer=small, name=name)


def _activate(x):
    return layers.LeakyReLU(negative_slope=LEAK)(x)
