import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny_runs import tiny_part

import losses
from losses import build_discriminator, build_features
from models.generator import build_generator
from training.networks import Networks
from training.settings import ScheduleSettings
from training.steps import Trainer

pytestmark = pytest.mark.usefixtures("graphs")

WEIGHTS = {"mse": 1.0, "vgg": 0.1, "adversarial": 0.2}
RATE = tf.constant(1e-3)


@pytest.fixture(scope="module")
def trainer(graphs) -> Trainer:
    keras.utils.set_random_seed(0)
    generator = build_generator(1, filters=8, blocks=1)
    generator.get_layer("difference").kernel.assign(np.full((3, 3, 8, 3), 0.02, "float32"))
    observers = {"vgg": build_features("random", "block1_conv1")}
    networks = Networks(generator, build_discriminator((16, 32), filters=4), observers)
    return Trainer(tf.distribute.get_strategy(), networks, WEIGHTS, tiny_part(ScheduleSettings))


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    # a colour per cell of the stem
    hr = rng.integers(0, 256, (4, 4, 8, 3), dtype=np.uint8).repeat(4, axis=1).repeat(4, axis=2)
    return tf.constant(hr // 2), tf.constant(hr)


def snapshot(trainer: Trainer) -> dict[str, list[np.ndarray]]:
    parts = {
        "g": trainer.g_variables,
        "d": trainer.d_variables,
        "vgg": [weight.value for weight in trainer.observers["vgg"].weights],
        "ema": trainer.averages.values,
    }
    return {name: [variable.numpy() for variable in variables] for name, variables in parts.items()}


def changed(before: dict, after: dict) -> set[str]:
    return {
        name for name in before if any(not np.array_equal(a, b) for a, b in zip(before[name], after[name], strict=True))
    }


def as_floats(batch) -> list:
    return [tf.cast(pictures, tf.float32) / 255 for pictures in batch]


def test_stage_one_minimises_the_mse_alone(trainer, batch):
    lq, hr = as_floats(batch)
    expected = float(tf.reduce_mean(losses.mse(hr, trainer.generator(lq, training=True))))
    before = snapshot(trainer)
    terms = trainer.pretrain(batch, RATE)
    assert float(terms["mse"]) == pytest.approx(expected, rel=1e-5)
    assert float(terms["g_loss"]) == float(terms["mse"])
    assert changed(before, snapshot(trainer)) == {"g", "ema"}


def test_stage_two_loss_is_the_hybrid_one(trainer, batch):
    lq, hr = as_floats(batch)
    sr = trainer.generator(lq, training=True)
    fake, real = trainer.discriminator(sr, training=True), trainer.discriminator(hr, training=True)
    mse = np.mean((hr - sr) ** 2)
    vgg = np.mean((trainer.observers["vgg"](hr) - trainer.observers["vgg"](sr)) ** 2)
    adversarial = np.mean(np.log1p(np.exp(-fake)))
    terms = {name: float(term) for name, term in trainer.adversarial(batch, RATE, RATE, True, True).items()}
    assert terms["mse"] == pytest.approx(mse, rel=1e-4)
    assert terms["vgg"] == pytest.approx(vgg, rel=1e-4)
    assert terms["adversarial"] == pytest.approx(adversarial, rel=1e-4)
    assert terms["g_loss"] == pytest.approx(mse + 0.1 * vgg + 0.2 * adversarial, rel=1e-4)
    assert terms["d_loss"] == pytest.approx(np.mean(np.log1p(np.exp(fake)) + np.log1p(np.exp(-real))), rel=1e-4)
    assert terms["d_accuracy"] == pytest.approx((np.mean(real > 0) + np.mean(fake <= 0)) / 2)


@pytest.mark.parametrize(
    ("update_g", "update_d", "expected"),
    [(True, True, {"g", "d", "ema"}), (True, False, {"g", "ema"}), (False, True, {"d"})],
)
def test_each_side_is_still_during_the_turn_of_the_other(trainer, batch, update_g, update_d, expected):
    before = snapshot(trainer)
    trainer.adversarial(batch, RATE, RATE, update_g, update_d)
    assert changed(before, snapshot(trainer)) == expected


def test_looking_at_gradients_changes_nothing(trainer, batch):
    before = [variable.numpy() for group in trainer.state().values() for variable in group]
    norms = trainer.gradient_norms(batch)
    assert set(norms) == set(WEIGHTS)
    assert all(float(norm) > 0 for norm in norms.values())
    for old, variable in zip(before, (v for group in trainer.state().values() for v in group), strict=True):
        np.testing.assert_array_equal(old, variable.numpy())


def test_gradient_norms_are_those_of_the_weighted_terms(trainer, batch):
    lq, hr = as_floats(batch)
    with tf.GradientTape() as tape:
        mse = tf.reduce_mean(losses.mse(hr, trainer.generator(lq, training=True)))
    expected = tf.norm(tape.gradient(mse, trainer.last_kernel))
    assert float(trainer.gradient_norms(batch)["mse"]) == pytest.approx(float(expected), rel=1e-3)


def test_fakes_that_are_all_alike_have_no_spread(trainer, batch):
    alike = tf.repeat(batch[0][:1], 4, axis=0), batch[1]
    assert float(trainer.adversarial(alike, RATE, RATE, True, False)["fake_spread"]) < 0.01
    assert float(trainer.adversarial(batch, RATE, RATE, True, False)["fake_spread"]) > 0.2


def test_one_batch_can_be_learnt_by_heart(trainer, batch):
    first = float(trainer.pretrain(batch, tf.constant(1e-2))["mse"])
    for _ in range(100):
        last = float(trainer.pretrain(batch, tf.constant(1e-2))["mse"])
    assert last < 0.5 * first


def test_new_weights_come_with_fresh_optimiser_and_average(trainer):
    weights = [np.full(variable.shape, 0.5, np.float32) for variable in trainer.g_variables]
    trainer.restart_from(weights)
    for variables in (trainer.g_variables, trainer.averages.values):
        assert all(np.all(variable.numpy() == 0.5) for variable in variables)
    assert float(trainer.g_adam.count) == 0
    assert all(not np.any(variable.numpy()) for variable in trainer.g_adam.first)
