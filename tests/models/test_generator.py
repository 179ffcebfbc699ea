import keras
import numpy as np
import pytest

from models.generator import STEM_BLOCK, build_generator
from models.layers import Relight, RepeatPixels, SpaceToDepth, Standardise
from models.loading import in_policy


@pytest.mark.parametrize("body", ["srresnet", "rrdb"])
@pytest.mark.parametrize("scale", [1, 2, 4, 8])
def test_output_is_scale_times_the_input_for_several_sizes(scale, body):
    generator = build_generator(scale, filters=8, blocks=1, body=body)
    for height, width in [(8, 12), (12, 8)]:
        lq = np.zeros((2, height, width, 3), "float32")
        assert generator(lq, training=False).shape == (2, height * scale, width * scale, 3)


def test_untrained_generator_returns_its_input_exactly():
    lq = np.random.default_rng(0).random((1, 16, 24, 3), dtype="float32")
    sr = build_generator(1, filters=8, blocks=2)(lq, training=False)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(sr), lq)


def test_untrained_enlarging_generator_keeps_the_brightness():
    lq = np.full((1, 8, 8, 3), 0.3, "float32")
    sr = build_generator(4, filters=8, blocks=1)(lq, training=False)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(sr), 0.3, atol=1e-6)


def test_saved_archive_gives_the_same_output_in_safe_mode(tmp_path):
    generator = build_generator(1, filters=8, blocks=1)
    generator.get_layer("difference").kernel.assign(np.full((3, 3, 8, 3), 0.1, "float32"))
    lq = np.random.default_rng(0).random((1, 16, 24, 3), dtype="float32")
    generator.save(tmp_path / "g.keras")
    again = keras.saving.load_model(tmp_path / "g.keras", safe_mode=True)
    before, after = (keras.ops.convert_to_numpy(each(lq, training=False)) for each in (generator, again))
    assert np.abs(before - lq).max() > 0.01, "the body must act, or the comparison shows nothing"
    np.testing.assert_array_equal(before, after)


def test_every_input_pixel_reaches_the_output():
    """Which of the input's pixels does the centre of the output see? All in its 4 x 4 cell, or the stem drops some."""
    import tensorflow as tf

    generator = build_generator(1, filters=16, blocks=1)
    generator.get_layer("difference").kernel.assign(np.full((3, 3, 8, 3), 0.1, "float32"))
    lq = tf.random.stateless_uniform((1, 24, 24, 3), seed=(0, 1))
    with tf.GradientTape() as tape:
        tape.watch(lq)
        difference = keras.Model(generator.input, generator.get_layer("difference").output)
        seen = tf.reduce_sum(difference(lq, training=False)[:, 8:16, 8:16])
    assert np.all(np.abs(tape.gradient(seen, lq).numpy()[0, 8:16, 8:16]).max(axis=-1) > 0)


@pytest.mark.parametrize(
    ("kwargs", "words"), [({"scale": 3}, "scale must be 1, 2, 4 or 8, got 3"), ({"body": "unet"}, "unet")]
)
def test_unknown_settings_are_named(kwargs, words):
    with pytest.raises(ValueError, match=words):
        build_generator(**kwargs)


def test_default_is_under_the_shipping_size():
    assert build_generator().count_params() * 4 < 25e6
    assert set(STEM_BLOCK) == {1, 2, 4, 8}


@pytest.mark.parametrize("native", [True, False])
def test_pixels_are_folded_and_repeated(native, monkeypatch):
    """With the operations that newer versions of Keras have, and with our own for older ones."""
    if not native:
        monkeypatch.delattr(keras.ops, "space_to_depth", raising=False)
        monkeypatch.delattr(keras.ops, "depth_to_space", raising=False)
    pictures = np.random.default_rng(0).random((2, 8, 12, 3), dtype="float32")
    folded = SpaceToDepth(4)(pictures)
    assert folded.shape == (2, 2, 3, 48)
    # cell (0, 1) holds pixels (0..3, 4..7), row by row
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(folded)[0, 0, 1], pictures[0, :4, 4:8].reshape(-1))
    repeated = keras.ops.convert_to_numpy(RepeatPixels(2)(pictures))
    np.testing.assert_array_equal(repeated, pictures.repeat(2, axis=1).repeat(2, axis=2))


def test_an_even_picture_gives_an_even_one_whatever_the_weights():
    """No grid: away from the border, all pixels of an even picture must come out alike, trained or not."""
    generator = build_generator(1, filters=8, blocks=0)
    rng = np.random.default_rng(0)
    for weight in generator.trainable_variables:
        weight.assign(rng.normal(0, 0.3, weight.shape))
    sr = keras.ops.convert_to_numpy(generator(np.full((1, 64, 64, 3), 0.4, "float32"), training=False))
    assert np.abs(sr - 0.4).max() > 0.01, "the weights must act, or the comparison shows nothing"
    assert np.ptp(sr[:, 24:40, 24:40], axis=(1, 2)).max() < 1e-5


def test_the_body_sees_the_same_plate_by_day_and_by_night():
    rng = np.random.default_rng(0)
    day = rng.random((1, 16, 24, 3), dtype="float32")
    evened, mean, contrast = (keras.ops.convert_to_numpy(each) for each in Standardise()(day))
    assert abs(evened.mean()) < 1e-5
    assert abs(evened.std() - 1) < 0.01
    by_night, night_mean, night_contrast = (keras.ops.convert_to_numpy(each) for each in Standardise()(day / 4))
    # the floor under the variance shows a little
    np.testing.assert_allclose(by_night, evened, atol=0.03)
    np.testing.assert_allclose(night_mean, mean / 4, rtol=1e-5)
    assert abs(contrast - night_contrast - np.log(4)).max() < 0.03


def test_new_light_is_mean_gain_and_offset():
    lq = np.random.default_rng(0).random((1, 4, 6, 3), dtype="float32")
    mean = lq.mean(axis=(1, 2), keepdims=True)
    gain, offset = np.full((1, 1, 1, 3), 0.5, "float32"), np.full((1, 1, 1, 3), 0.1, "float32")
    sr = Relight()([lq, mean, gain, offset, np.full_like(lq, 0.01)])
    factor = np.exp(3 * np.tanh(0.5 / 3))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(sr), mean + factor * (lq - mean) + 0.11, atol=1e-5)


def test_light_is_computed_in_float32_whatever_the_body_does():
    lq = np.random.default_rng(0).random((1, 16, 24, 3), dtype="float32")
    half = in_policy(build_generator(1, filters=8, blocks=1), "mixed_bfloat16")
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(half(lq, training=False)), lq)
