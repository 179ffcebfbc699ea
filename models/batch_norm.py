"""Batch normalisation that a CPU trains fast."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="plates")
class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Keras' own, which in training takes some twenty operations, done there in TensorFlow's one. Other back ends compile the
    twenty into one by themselves.

    For features (..., channels) with two or three axes beside the channels. Numbers agree but for rounding, and the moving
    variance is the unbiased one. On two cores in bfloat16, steps of 64 windows of a recogniser take 376 ms instead of 533.
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
