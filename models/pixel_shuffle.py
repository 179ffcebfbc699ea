"""Moving pixels between space and channels, for any height and width (after Shi et al. 2016, arXiv 1609.05158, Eq. 4).

Layers rather than `keras.ops` calls, because Keras 3.12 (the last for Python 3.10) has no such operation, and an archive saved
with one Keras must load with the other.
"""

import keras
from keras import ops


class _BlockLayer(keras.layers.Layer):
    """A layer with one setting: the side of the block of pixels that becomes, or comes from, channels."""

    def __init__(self, block: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.block = block

    def get_config(self) -> dict:
        return {**super().get_config(), "block": self.block}


@keras.saving.register_keras_serializable(package="plates")
class SpaceToDepth(_BlockLayer):
    """(N, H, W, C) -> (N, H/b, W/b, C*b*b): every input pixel is kept."""

    def call(self, pictures):
        if hasattr(ops, "space_to_depth"):
            return ops.space_to_depth(pictures, self.block)
        b = self.block
        _, height, width, channels = ops.shape(pictures)
        x = ops.reshape(pictures, (-1, height // b, b, width // b, b, channels))
        x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
        return ops.reshape(x, (-1, height // b, width // b, b * b * channels))

    def compute_output_shape(self, input_shape):
        n, height, width, channels = input_shape
        return (n, height and height // self.block, width and width // self.block, channels * self.block**2)


@keras.saving.register_keras_serializable(package="plates")
class RepeatPixels(_BlockLayer):
    """(N, H, W, C) -> (N, H*b, W*b, C): every pixel becomes a block of b x b alike.

    As copies in channels that move into space: Keras' own UpSampling2D loses the shape of what it returns, and LiteRT then
    cannot run the convolution behind it.
    """

    def call(self, features):
        b = self.block
        copies = ops.concatenate([features] * (b * b), axis=-1)
        if hasattr(ops, "depth_to_space"):
            return ops.depth_to_space(copies, b)
        _, height, width, channels = ops.shape(features)
        x = ops.reshape(copies, (-1, height, width, b, b, channels))
        x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
        return ops.reshape(x, (-1, height * b, width * b, channels))

    def compute_output_shape(self, input_shape):
        n, height, width, channels = input_shape
        return (n, height and height * self.block, width and width * self.block, channels)
