"""The generator: low-quality plates in, clean plates out.

Pictures are NHWC float32 RGB in [0, 1]; the output is not clipped. The body works at a quarter of the output's resolution
(an eighth for scale 8) whatever the input's size, so the cost does not depend on the scale:

    scale 1   SpaceToDepth(4) -> body -> two sub-pixel x2 stages       (the default: same size in and out)
    scale 2   SpaceToDepth(2) -> body -> two sub-pixel x2 stages
    scale 4                      body -> two sub-pixel x2 stages       (SRGAN, Ledig et al. 2017, arXiv 1609.04802, Fig. 4)
    scale 8                      body -> three sub-pixel x2 stages

Deviations from SRGAN, each for a reason: no batch norm (it shifts colours at test time; EDSR, arXiv 1707.02921, and
ESRGAN, arXiv 1809.00219, dropped it); leaky ReLU for PReLU (one pass over memory less, and fused into the convolution on
CPUs); sub-pixel stages that narrow as the resolution grows (at 256 channels each they would cost as much as seven residual
blocks); and the body predicts the difference to the (enlarged) input, so an untrained generator already returns its input.
"""

from collections.abc import Callable

import keras
from keras import layers, ops

from models.pixel_shuffle import DepthToSpace, SpaceToDepth

SCALES = (1, 2, 4, 8)
STEM_BLOCK = {1: 4, 2: 2, 4: 1, 8: 1}  # pixels folded into channels before the body
STEM_KERNEL = {1: 3, 2: 5, 4: 9, 8: 9}  # SRGAN's 9 where nothing is folded; 3 folded cells already span 12 pixels
RESIDUAL_SCALE = 0.2  # beta in ESRGAN, section 3.1
DENSE_GROWTH = 32  # channels that each convolution of a dense block adds; ESRGAN's value
MIN_CHANNELS = 8  # of the sub-pixel stages, for very narrow test networks and scale 8
LEAK = 0.2  # slope of the leaky ReLU below zero


def build_generator(scale: int = 1, filters: int = 64, blocks: int = 16, body: str = "srresnet") -> keras.Model:
    """A fully convolutional generator: (N, H, W, 3) -> (N, H*scale, W*scale, 3), for H and W that the stem's block divides.

    Raises ValueError when the scale or the body is not one of those above.
    """
    if scale not in SCALES:
        raise ValueError(f"scale must be 1, 2, 4 or 8, got {scale}")
    if body not in BODIES:
        raise ValueError(f"generator must be one of {', '.join(BODIES)}, got {body!r}")

    lq = keras.Input((None, None, 3), name="lq")
    x = lq if STEM_BLOCK[scale] == 1 else SpaceToDepth(STEM_BLOCK[scale], name="stem_fold")(lq)
    x = shallow = _activate(_conv(filters, STEM_KERNEL[scale], name="stem")(x))
    for index in range(blocks):
        x = BODIES[body](x, filters, f"block{index + 1}")
    x = layers.Add(name="long_skip")([_branch_end(filters, name="body_end")(x), shallow])

    for index in range(3 if scale == 8 else 2):
        # half the channels at each doubling: at full resolution they cost most and are needed least
        channels = max(filters >> (index + 1), MIN_CHANNELS)
        x = DepthToSpace(2, name=f"shuffle{index + 1}")(_conv(4 * channels, 3, name=f"upsample{index + 1}")(x))
        x = _activate(x)
    # zeros: training starts from the input itself, not from noise that has to be unlearned first
    difference = layers.Conv2D(3, 3, padding="same", kernel_initializer="zeros", name="difference")(x)
    base = lq if scale == 1 else layers.UpSampling2D(scale, interpolation="bilinear", name="enlarge")(lq)
    # float32 out of the last layer: half precision has too few steps between 0 and 1 for a picture
    sr = layers.Add(name="sr", dtype="float32")([base, difference])
    generator = keras.Model(lq, sr, name=f"{body}_x{scale}")
    _start_without_checkerboard(generator)
    return generator


def _start_without_checkerboard(generator: keras.Model) -> None:
    """Give the four channels that become one 2 x 2 block of pixels the same kernel (ICNR: Aitken et al. 2017, arXiv
    1707.02937, section 3): the sub-pixel stages then start as plain enlargement, not with a pattern to unlearn."""
    for layer in generator.layers:
        if layer.name.startswith("upsample"):
            own = layer.kernel[..., : layer.filters // 4]
            layer.kernel.assign(ops.tile(own, (1, 1, 1, 4)))


def _residual_block(x, filters: int, name: str):
    """SRGAN's residual block without batch norm."""
    y = _activate(_conv(filters, 3, name=f"{name}_conv1")(x))
    y = _branch_end(filters, name=f"{name}_conv2")(y)
    return layers.Add(name=f"{name}_add")([x, y])


def _rrdb(x, filters: int, name: str):
    """ESRGAN's residual-in-residual dense block (arXiv 1809.00219, Fig. 4): three dense blocks, each scaled and added."""
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
    """The last convolution of a branch that is added to a skip: started small, so that many of them do not add up to
    activations that bfloat16 training cannot leave again (variance 0.02 / fan-in)."""
    small = keras.initializers.VarianceScaling(scale=0.02, mode="fan_in", distribution="truncated_normal")
    return layers.Conv2D(filters, 3, padding="same", kernel_initializer=small, name=name)


def _activate(x):
    return layers.LeakyReLU(negative_slope=LEAK)(x)
