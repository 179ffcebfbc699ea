"""Takes the light out of a picture before the body sees it, and puts the right light back at the end.

A plate's blur is the same at noon and at dusk. A body that sees every picture at one brightness and contrast learns to take it
away once, not for each light anew; what the light should have been is a matter of six numbers a picture.

Layers rather than `keras.ops` calls, because both must compute in float32 whatever the body does: half precision has too few
steps between 0 and 1 for a picture.
"""

import keras
from keras import ops

FAINTEST = 1e-4  # added to the variance: what varies by less than 0.01 is noise of the coding, not worth a stretch to 1
MOST_GAIN = 3.0  # natural logarithm; a plate four and a half stops too dark needs 1.6


class _Float32Layer(keras.layers.Layer):
    """Takes its inputs as they are, and computes in float32."""

    def __init__(self, **kwargs) -> None:
        super().__init__(autocast=False, **kwargs)


@keras.saving.register_keras_serializable(package="plates")
class Standardise(_Float32Layer):
    """(N, H, W, 3) -> the pictures with mean 0 per colour and variance 1 over all three (N, H, W, 3); their mean (N, 1, 1, 3)
    and the logarithm of their standard deviation (N, 1, 1, 1)."""

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
    """[pictures (N, H, W, 3), their mean, gain, offset (N, 1, 1, 3), difference (N, H, W, 3)] -> pictures (N, H, W, 3) float32:

    mean + exp(gain) * (pictures - mean) + offset + difference. Zeros return the pictures exactly.
    """

    def call(self, inputs):
        pictures, mean, gain, offset, difference = (ops.cast(each, "float32") for each in inputs)
        gain = MOST_GAIN * ops.tanh(gain / MOST_GAIN)  # a wild step of training must not end in infinity
        return pictures + (ops.exp(gain) - 1) * (pictures - mean) + offset + difference

    def compute_output_shape(self, input_shapes):
        return input_shapes[0]

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(inputs[0].shape, "float32")
