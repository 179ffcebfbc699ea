"""The objectives: their terms, and the networks that nothing else needs; the weights are in `training/settings.py`.

    discriminator = CE(D(G(x)), 0) + CE(D(y), 1)
    generator     = MSE(G(x), y) + 0.1 * VGG(G(x), y) + 0.2 * CE(D(G(x)), 1)

Pictures are NHWC float32 in [0, 1], logits (N, 1). Every term is one number per picture, (N,) float32, so that the
caller can average over the global batch, however many devices it is spread over.

The discriminator D tells whether a tile is a clean photo or the generator's work (SRGAN, arXiv 1609.04802, Fig. 4). In
VGG19's features clean and restored pictures are compared (Johnson et al. 2016, arXiv 1603.08155; SRGAN, Eq. 5).
"""

from collections.abc import Collection
from pathlib import Path

import keras
from keras import layers, ops

from data.quality import LUMA

# half a character's height or so
DETAIL_BLOCK_PX = 16
COLOUR_BLOCK_PX = 4


def mse(hr, sr):
    """Mean squared error of each picture, or of each picture's features (SRGAN Eq. 5)."""
    return _mean(ops.square(_difference(hr, sr)))


def mae(hr, sr):
    """Mean absolute error of each picture's features. Where either of two characters may stand, it favours one of them,
    the squared error something between the two."""
    return _mean(ops.abs(_difference(hr, sr)))


def detail(hr, sr):
    """Mean squared error of each picture after the mean of each block of 16 x 16 pixels is subtracted from both.

    Nobody can know how bright a dark plate really was. In the MSE of dark plates, this doubt outweighs the characters.
    The detail term is the MSE without it. Height and width must be multiples of 16.
    """
    difference = _difference(hr, sr)
    means = ops.average_pool(difference, DETAIL_BLOCK_PX, DETAIL_BLOCK_PX)
    return _mean(ops.square(difference)) - _mean(ops.square(means))


def strokes(hr, sr):
    """Mean absolute error of each picture after the mean of each block of 16 x 16 pixels is subtracted from both.

    Where a Q is likelier than an O, the squared error favours a faint tail (mean), the absolute error a full one
    (median). Height and width must be multiples of 16.
    """
    difference = _difference(hr, sr)
    means = ops.average_pool(difference, DETAIL_BLOCK_PX, DETAIL_BLOCK_PX)
    for axis in (1, 2):
        means = ops.repeat(means, DETAIL_BLOCK_PX, axis=axis)
    return _mean(ops.abs(difference - means))


def colour(hr, sr):
    """Mean absolute error of each picture's colours without brightness, in blocks of 4 x 4 pixels.

    Most of the MSE of a dark plate is doubt about its brightness, and the strokes term ignores anything wider than a
    block. Without the colour term, white plates turn green in pink light, and good pictures are tinted. Height and
    width must be multiples of 4.
    """
    blocks = ops.average_pool(_difference(hr, sr), COLOUR_BLOCK_PX, COLOUR_BLOCK_PX)
    return _mean(ops.abs(blocks - ops.sum(blocks * ops.convert_to_tensor(LUMA, "float32"), axis=-1, keepdims=True)))


def _difference(hr, sr):
    return ops.cast(hr, "float32") - ops.cast(sr, "float32")


def _mean(errors):
    """Of each picture: (N, ...) -> (N,)."""
    return ops.mean(errors, axis=tuple(range(1, len(errors.shape))))


PIXEL_OPTIONS = {"detail": detail, "strokes": strokes, "colour": colour}
FEATURE_TERMS = {"vgg": mse, "reading": mae}


# --- Both objectives --------------------------------------------------------------------------------------------------


def cross_entropy(logits, real: bool):
    """-log p of the given answer. `real` True: CE(., 1) = softplus(-logit); False: CE(., 0) = softplus(logit)."""
    logits = ops.cast(logits[:, 0], "float32")
    return ops.softplus(-logits if real else logits)


def discriminator_loss(real_logits, fake_logits):
    """CE(D(G(x)), 0) + CE(D(y), 1); 2 ln 2 for a discriminator that cannot tell."""
    return cross_entropy(fake_logits, real=False) + cross_entropy(real_logits, real=True)


def generator_terms(hr, sr, features=None, fake_logits=None, options: Collection[str] = ()) -> dict:
    """The generator's unweighted terms by name: "mse" always, the others on request.

    features: name in `FEATURE_TERMS` -> lists of features of the clean and of the restored pictures, whose errors add
    up. options: which of `PIXEL_OPTIONS` to add. These and "reading" are not part of the recipe (`--detail-weight`
    and so on).
    """
    terms = {"mse": mse(hr, sr)}
    terms |= {name: error(hr, sr) for name, error in PIXEL_OPTIONS.items() if name in options}
    for name, pair in (features or {}).items():
        terms[name] = sum(FEATURE_TERMS[name](*maps) for maps in zip(*pair, strict=True))
    if fake_logits is not None:
        terms["adversarial"] = cross_entropy(fake_logits, real=True)
    return terms


# --- The recogniser's loss --------------------------------------------------------------------------------------------


@keras.saving.register_keras_serializable(package="plates")
class GeneralisedCTC(keras.losses.CTC):
    """The recogniser's loss: (1 - p^power) / power, where p is the probability that CTC gives the whole plate (the
    generalised cross-entropy of Zhang & Sabuncu 2018, arXiv 1805.07836, Eq. 6); -log p, plain CTC, for power 0.

    With -log p, plates that nobody can read weigh most, and they teach noise. The greater the power, up to 1, the less
    they count.
    """

    def __init__(self, power: float = 0.0, **kwargs) -> None:
        super().__init__(**kwargs)
        self.power = power

    def call(self, y_true, y_pred):
        loss = super().call(y_true, y_pred)
        return -ops.expm1(-self.power * loss) / self.power if self.power else loss

    def get_config(self) -> dict:
        return {**super().get_config(), "power": self.power}


# --- The networks that only the objectives need -----------------------------------------------------------------------

# SRGAN, section 2.1.1
LEAK = 0.2
# Divided by 255 the features are in the unit of pictures in [0, 1]: 0.1 VGG is then about 0.6 on degraded tiles, beside
# an MSE of 0.07. SRGAN's 12.75 is meant for a deeper layer, and would make this term 3,400 times the MSE.
FEATURE_UNIT = 255.0


def build_discriminator(tile: tuple[int, int] = (96, 192), filters: int = 64) -> keras.Model:
    """Pictures (N, height, width, 3) float32 in [0, 1] -> (N, 1) logits; above 0 means "real".

    Eight convolutions, channels doubling as the resolution halves; batch norm in all but the first. Deviation from
    SRGAN: global average pooling instead of flattening, which keeps the dense layer small and independent of the tile's
    size. The batch norm is synchronised, since replicas that each normalise by their own share of the batch learn other
    weights than one device with all of it.
    """
    picture = keras.Input((*tile, 3), name="picture")
    x = layers.Rescaling(2.0, offset=-1.0, name="centre")(picture)
    x = layers.LeakyReLU(LEAK)(
        layers.Conv2D(filters, 3, padding="same", kernel_initializer="he_normal", name="conv1")(x)
    )
    widths = (filters, 2 * filters, 2 * filters, 4 * filters, 4 * filters, 8 * filters, 8 * filters)
    for index, width in enumerate(widths, start=2):
        strides = 2 if index % 2 == 0 else 1
        x = layers.Conv2D(
            width, 3, strides, padding="same", use_bias=False, kernel_initializer="he_normal", name=f"conv{index}"
        )(x)
        x = layers.BatchNormalization(synchronized=True, name=f"norm{index}")(x)
        x = layers.LeakyReLU(LEAK)(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.LeakyReLU(LEAK)(layers.Dense(16 * filters, name="dense")(x))
    return keras.Model(picture, layers.Dense(1, dtype="float32", name="logit")(x), name="discriminator")


def build_features(weights: str = "imagenet", layer: str = "block2_conv2") -> keras.Model:
    """A frozen model: pictures (N, H, W, 3) float32 in [0, 1] -> features of `layer` before its activation, / 255.

    weights: "imagenet" (downloaded by Keras), "random" (no download, a weaker but working loss) or the path of a
    `.weights.h5` file of VGG19 without its top. Raises ValueError for an unknown layer or a missing file, and
    ConnectionError when the download fails.
    """
    vgg = _vgg19(weights)
    convolutions = [each.name for each in vgg.layers if isinstance(each, layers.Conv2D)]
    if layer not in convolutions:
        raise ValueError(f"VGG layer must be one of {', '.join(convolutions)}, got {layer!r}")

    picture = keras.Input((None, None, 3), name="picture")
    x = keras.applications.vgg19.preprocess_input(picture * 255.0)
    for each in vgg.layers[1:]:
        if each.name == layer:
            x = _without_activation(each)(x)
            break
        x = each(x)
    model = keras.Model(
        picture, layers.Rescaling(1 / FEATURE_UNIT, name="unit", dtype="float32")(x), name=f"vgg19_{layer}"
    )
    model.trainable = False
    return model


def _vgg19(weights: str) -> keras.Model:
    if weights in ("imagenet", "random"):
        try:
            return keras.applications.VGG19(include_top=False, weights=None if weights == "random" else weights)
        # the download code of Keras raises a bare Exception
        except Exception as error:
            raise ConnectionError(
                f"the VGG19 weights could not be downloaded ({error}); give a file with --vgg-weights PATH, or "
                "--vgg-weights random for a weaker loss without any download"
            ) from error
    if not Path(weights).is_file():
        raise ValueError(f"--vgg-weights {weights}: no such file; give a VGG19 .weights.h5 file, imagenet or random")
    return keras.applications.VGG19(include_top=False, weights=str(weights))


def _without_activation(convolution: layers.Conv2D) -> layers.Conv2D:
    """The same convolution, sharing nothing but a copy of its weights, that stops before the ReLU."""
    bare = layers.Conv2D.from_config({**convolution.get_config(), "activation": None})
    bare.build(convolution.input.shape)
    bare.set_weights(convolution.get_weights())
    return bare
