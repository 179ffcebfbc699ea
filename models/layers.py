"""Layers that Keras lacks: pixels moved into channels and back, the illumination taken out and put back, features
scaled and shifted, and a batch norm that a CPU trains fast.

Layers rather than `keras.ops` calls where an archive saved with one Keras must load with another (Keras 3.12, the last
for Python 3.10, has no pixel shuffle), and where a computation must stay in float32 whatever the body does. Pictures
are NHWC in [0, 1].
"""

from collections.abc import Sequence

import keras
from keras import layers, ops


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

    As copies in channels that move into space: Keras' own UpSampling2D loses the shape of what it returns, and LiteRT
    then cannot run the convolution behind it.
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


# added to the variance: variation below 0.01 is coding noise, and should not be stretched to 1
FAINTEST = 1e-4
# natural logarithm; a plate four and a half stops too dark needs 1.6
MOST_GAIN = 3.0


class _Float32Layer(keras.layers.Layer):
    """Takes its inputs as they are, and computes in float32."""

    def __init__(self, **kwargs) -> None:
        super().__init__(autocast=False, **kwargs)


@keras.saving.register_keras_serializable(package="plates")
class Standardise(_Float32Layer):
    """(N, H, W, 3) -> the pictures with mean 0 per colour and variance 1 over all three (N, H, W, 3); their mean (N, 1,
    1, 3) and the logarithm of their standard deviation (N, 1, 1, 1)."""

    def call(self, pictures):
        pictures = ops.cast(pictures, "float32")
        mean = ops.mean(pictures, axis=(1, 2), keepdims=True)
        centred = pictures - mean
        deviation = ops.sqrt(ops.mean(ops.square(centred), axis=(1, 2, 3), keepdims=True) + FAINTEST)
        return ops.cast(centred / deviation, self.compute_dtype), mean, ops.log(deviation)

    def compute_output_shape(self, input_shape):
        return input_shape, (input_shape[0], 1, 1, 3), (input_shape[0], 1, 1, 1)

    def compute_output_spec(self, pictures):
        shapes = self.compute_output_shape(pictures.shape)
        dtypes = (self.compute_dtype, "float32", "float32")
        return tuple(keras.KerasTensor(shape, dtype) for shape, dtype in zip(shapes, dtypes, strict=True))


@keras.saving.register_keras_serializable(package="plates")
class Relight(_Float32Layer):
    """[pictures (N, H, W, 3), their mean, gain, offset (N, 1, 1, 3), difference (N, H, W, 3)] -> pictures (N, H, W, 3)
    float32:

    mean + exp(gain) * (pictures - mean) + offset + difference. Zeros return the pictures exactly.
    """

    def call(self, inputs):
        pictures, mean, gain, offset, difference = (ops.cast(each, "float32") for each in inputs)
        # keeps the result of a wild training step finite
        gain = MOST_GAIN * ops.tanh(gain / MOST_GAIN)
        return pictures + (ops.exp(gain) - 1) * (pictures - mean) + offset + difference

    def compute_output_shape(self, input_shapes):
        return input_shapes[0]

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(inputs[0].shape, "float32")


def scaled_and_shifted(x, seen, names: Sequence[str]):
    """x * (1 + gate) + shift, both linear in `seen` (the spatial feature transform, Wang et al. 2018, arXiv 1804.02815,
    Eq. 3).

    x: (..., features); seen has as many axes, of length 1 where it holds for all places. Untrained, gate and shift are
    zero: a trained network goes on as it is, and learns to use what is seen. names: of gate, shift, product and sum.
    """
    gate_name, shift_name, gated_name, sum_name = names
    gate, shift = (
        layers.Dense(x.shape[-1], kernel_initializer="zeros", name=name)(seen) for name in (gate_name, shift_name)
    )
    return layers.Add(name=sum_name)([x, layers.Multiply(name=gated_name)([x, gate]), shift])


@keras.saving.register_keras_serializable(package="plates")
class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Batch norm that trains with TensorFlow's fused operation instead of Keras' twenty. Other back ends compile the
    twenty into one by themselves.

    For features (..., channels) with two or three axes beside the channels. Numbers agree but for rounding, and the
    moving variance is the unbiased one. On two cores in bfloat16, steps of 64 windows of a recogniser take 376 ms
    instead of 533.
    """

    def call(self, inputs, training=None, mask=None):
        if not (training and self.trainable) or keras.config.backend() != "tensorflow":
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        flat = ops.expand_dims(inputs, 1) if len(inputs.shape) == 3 else inputs
        normed, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            flat, self.gamma.value, self.beta.value, epsilon=self.epsilon, is_training=True
        )
        for moving, new in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + new * (1 - self.momentum))
        return ops.squeeze(normed, 1) if flat is not inputs else normed


@keras.saving.register_keras_serializable(package="plates")
class Names(keras.layers.Layer):
    """Passes columns (N, columns, features) on as they are, and carries what would name a character in each: the
    weights of a recogniser's last layer, and the characters that these stand for. They are not trained.

    A generator needs no names to draw. Its archive carries them for programs that want the recogniser's answer
    (`models.recogniser.recogniser_of`).
    """

    def __init__(self, characters: str, **kwargs) -> None:
        super().__init__(**kwargs)
        self.characters = characters

    def build(self, input_shape) -> None:
        classes = 1 + len(self.characters)
        self.kernel = self.add_weight((input_shape[-1], classes), initializer="zeros", name="kernel", trainable=False)
        self.bias = self.add_weight((classes,), initializer="zeros", name="bias", trainable=False)

    def call(self, columns):
        return columns

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self) -> dict:
        return {**super().get_config(), "characters": self.characters}
