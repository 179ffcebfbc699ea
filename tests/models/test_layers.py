"""The fused layer and Keras' own say the same."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.layers import FusedBatchNormalization


@pytest.mark.parametrize("shape", [(4, 6, 10, 5), (4, 30, 5)], ids=["cells", "columns"])
def test_it_trains_and_applies_as_keras_own(shape):
    rng = np.random.default_rng(0)
    x, weights = (tf.constant(rng.normal(0.3, 2, shape), tf.float32) for _ in range(2))
    results = []
    for kind in (keras.layers.BatchNormalization, FusedBatchNormalization):
        layer = kind(momentum=0.5)
        layer.build(shape)
        layer.gamma.assign([0.5, 1.0, 1.5, 2.0, 0.0])
        with tf.GradientTape() as tape:
            tape.watch(x)
            trained = layer(x, training=True)
            loss = tf.reduce_sum(trained * weights)
        slopes = tape.gradient(loss, [x, *layer.trainable_variables])
        results.append([trained, *slopes, layer.moving_mean, layer.moving_variance, layer(x, training=False)])
    unbiased = 1 + 1 / (np.prod(shape[:-1]) - 1)
    np.testing.assert_allclose(
        (results[1][-2] - 0.5) / (results[0][-2] - 0.5),
        unbiased,
        rtol=1e-4,
        # half of the moving variance is the 1 that it began with
    )
    for own, fused in zip(*(each[:-2] for each in results), strict=True):
        np.testing.assert_allclose(fused, own, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(results[1][-1], results[0][-1], rtol=0.01, atol=1e-4)


def test_frozen_it_learns_no_averages_and_bfloat16_stays_bfloat16():
    layer = FusedBatchNormalization(dtype="mixed_bfloat16")
    x = tf.random.stateless_normal((2, 4, 4, 3), (0, 0), dtype=tf.bfloat16)
    assert layer(x, training=True).dtype == tf.bfloat16
    before = np.asarray(layer.moving_mean)
    assert np.abs(before).max() > 0
    layer.trainable = False
    layer(x, training=True)
    np.testing.assert_array_equal(layer.moving_mean, before)
