import numpy as np

from models.discriminator import build_discriminator


def test_one_float32_logit_per_picture():
    discriminator = build_discriminator((32, 64), filters=4)
    logits = discriminator(np.zeros((3, 32, 64, 3), "float32"), training=False)
    assert logits.shape == (3, 1)
    assert "float32" in str(logits.dtype)


def test_halves_the_resolution_four_times():
    discriminator = build_discriminator((96, 192), filters=4)
    assert discriminator.get_layer("conv8").output.shape == (None, 6, 12, 32)


def test_batch_norm_is_synchronised_and_learns_its_averages():
    discriminator = build_discriminator((32, 64), filters=4)
    norm = discriminator.get_layer("norm2")
    assert norm.synchronized
    before = np.array(norm.moving_mean)
    discriminator(np.random.default_rng(0).random((4, 32, 64, 3), dtype="float32"), training=True)
    assert np.abs(np.array(norm.moving_mean) - before).max() > 0
