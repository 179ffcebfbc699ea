"""The discriminator: is this tile a clean photo or the generator's work? (SRGAN, arXiv 1609.04802, Fig. 4.)"""

import keras
from keras import layers

# SRGAN, section 2.1.1
LEAK = 0.2


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
