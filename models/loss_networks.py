"""The networks that only the loss needs: the discriminator, and VGG19's features.

The discriminator tells whether a tile is a clean photo or the generator's work (SRGAN, arXiv 1609.04802, Fig. 4). In
VGG19's features clean and restored pictures are compared (Johnson et al. 2016, arXiv 1603.08155; SRGAN, Eq. 5).
"""

from pathlib import Path

import keras
from keras import layers

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
