import keras
import numpy as np
import pytest
import tensorflow as tf

from training import steps
from training.steps import Adam, Averages, reduce_and_clip


@pytest.fixture
def strategy():
    return tf.distribute.get_strategy()


def random_gradients(count: int) -> list[list[tf.Tensor]]:
    rng = np.random.default_rng(0)
    return [
        [tf.constant(rng.normal(size=(3, 2)), tf.float32), tf.constant(rng.normal(), tf.float32)] for _ in range(count)
    ]


def test_steps_equal_those_of_keras(strategy):
    ours = [tf.Variable(tf.ones((3, 2))), tf.Variable(2.0)]
    theirs = [keras.Variable(np.ones((3, 2))), keras.Variable(2.0)]
    adam, reference = Adam(strategy, ours), keras.optimizers.Adam(1e-2, epsilon=steps.EPSILON)
    for gradients in random_gradients(6):
        adam.apply(gradients, tf.constant(True), tf.constant(1e-2))
        reference.apply(gradients, theirs)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.numpy(), keras.ops.convert_to_numpy(b), rtol=1e-5)
    assert float(adam.count) == 6


def test_overflowing_step_changes_nothing_but_halves_the_loss_scale(strategy):
    variables = [tf.Variable(tf.ones((3, 2))), tf.Variable(2.0)]
    adam = Adam(strategy, variables, scale_loss=True)
    first, second = random_gradients(2)
    adam.apply(first, tf.constant(True), tf.constant(1e-2))
    before = [v.numpy() for v in (*variables, *adam.first, *adam.second, adam.count)]
    scale = float(adam.loss_scale)
    adam.apply([tf.zeros_like(g) for g in second], tf.constant(False), tf.constant(1e-2))
    for old, new in zip(before, (*variables, *adam.first, *adam.second, adam.count), strict=True):
        np.testing.assert_array_equal(old, new.numpy())
    assert float(adam.loss_scale) == scale / 2


def test_loss_scale_grows_again_after_steady_steps(strategy, monkeypatch):
    monkeypatch.setattr(steps, "SCALE_UP_STEPS", 3)
    adam = Adam(strategy, [tf.Variable(1.0)], scale_loss=True)
    for _ in range(3):
        adam.apply([tf.constant(0.1)], tf.constant(True), tf.constant(1e-3))
    assert float(adam.loss_scale) == 2 * steps.FIRST_LOSS_SCALE


def test_gradients_are_unscaled_then_clipped_by_their_common_norm():
    scaled = [tf.constant([3.0, 0.0]) * 8, tf.constant([4.0]) * 8]
    gradients, norm, finite = reduce_and_clip(scaled, clip_norm=1.0, loss_scale=8.0)
    assert (float(norm), bool(finite)) == (5.0, True)
    np.testing.assert_allclose(gradients[0], [0.6, 0.0], rtol=1e-6)
    np.testing.assert_allclose(gradients[1], [0.8], rtol=1e-6)


def test_small_gradients_are_left_alone_and_broken_ones_zeroed():
    gradients, _, _ = reduce_and_clip([tf.constant([0.3])], clip_norm=1.0, loss_scale=1.0)
    np.testing.assert_allclose(gradients[0], [0.3], rtol=1e-6)
    gradients, _, finite = reduce_and_clip([tf.constant([np.nan, 1.0])], clip_norm=1.0, loss_scale=1.0)
    assert not bool(finite)
    np.testing.assert_array_equal(gradients[0], [0.0, 0.0])


def test_average_warms_up_then_decays_slowly(strategy):
    variable = tf.Variable(0.0)
    averages = Averages(strategy, [variable], decay=0.5)
    variable.assign(1.0)
    averages.update()
    # decay (1 + 1) / (10 + 1)
    assert float(averages.values[0]) == pytest.approx(1 - 2 / 11)
    for _ in range(100):
        averages.update()
    variable.assign(0.0)
    averages.update()
    assert float(averages.values[0]) == pytest.approx(0.5, abs=1e-6)


def test_forgetting_leaves_a_new_optimiser(strategy):
    variable = tf.Variable(1.0)
    adam = Adam(strategy, [variable])
    adam.apply([tf.constant(1.0)], tf.constant(True), tf.constant(1e-3))
    adam.reset()
    assert all(float(v) == 0 for v in (*adam.first, *adam.second, adam.count))
