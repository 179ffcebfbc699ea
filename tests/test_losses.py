import math

import keras
import numpy as np
import pytest

import losses
from losses import FEATURE_UNIT, build_discriminator, build_features


def test_logits_of_zero_cost_ln_2():
    zero = np.zeros((2, 1), "float32")
    np.testing.assert_allclose(losses.cross_entropy(zero, real=True), math.log(2), rtol=1e-6)
    np.testing.assert_allclose(losses.discriminator_loss(zero, zero), 2 * math.log(2), rtol=1e-6)


def test_cross_entropy_at_known_logits_is_per_picture():
    logits = np.array([[3.0], [-1.0]], "float32")
    expected = [-math.log(1 / (1 + math.exp(-3))), -math.log(1 / (1 + math.exp(1)))]
    np.testing.assert_allclose(losses.cross_entropy(logits, real=True), expected, rtol=1e-5)
    np.testing.assert_allclose(losses.cross_entropy(-logits, real=False), expected, rtol=1e-5)


def test_large_logits_stay_finite():
    huge = np.array([[1e4], [-1e4]], "float32")
    assert np.isfinite(losses.discriminator_loss(huge, huge)).all()


def test_mse_of_a_known_offset_is_per_picture():
    hr = np.zeros((2, 4, 4, 3), "float32")
    sr = np.stack([np.full((4, 4, 3), 0.5), np.full((4, 4, 3), 0.1)]).astype("float32")
    np.testing.assert_allclose(losses.mse(hr, sr), [0.25, 0.01], rtol=1e-5)


def test_half_precision_pictures_are_compared_in_float32():
    hr, sr = np.full((1, 4, 4, 3), 0.5, "float16"), np.full((1, 4, 4, 3), 0.5005, "float16")
    assert losses.mse(hr, sr).dtype in ("float32", np.float32)


def test_terms_follow_what_is_given():
    picture, features = np.zeros((1, 4, 4, 3), "float32"), np.ones((1, 2, 2, 8), "float32")
    assert set(losses.generator_terms(picture, picture)) == {"mse"}
    terms = losses.generator_terms(
        picture, picture, {"vgg": ([features], [3 * features])}, fake_logits=np.zeros((1, 1), "float32")
    )
    np.testing.assert_allclose(terms["vgg"], 4.0)
    np.testing.assert_allclose(terms["adversarial"], math.log(2), rtol=1e-6)


def test_detail_is_the_mse_without_each_blocks_mean():
    rng = np.random.default_rng(0)
    hr, sr = rng.random((2, 2, 32, 48, 3), dtype="float32")
    difference = (hr - sr).reshape(2, 2, 16, 3, 16, 3)
    expected = np.mean((difference - difference.mean(axis=(2, 4), keepdims=True)) ** 2, axis=(1, 2, 3, 4, 5))
    np.testing.assert_allclose(np.asarray(losses.detail(hr, sr)), expected, rtol=1e-4)
    np.testing.assert_allclose(np.asarray(losses.detail(hr, hr + 0.3)), 0, atol=1e-6)


def test_strokes_are_the_absolute_error_without_each_blocks_mean():
    rng = np.random.default_rng(0)
    hr, sr = rng.random((2, 2, 32, 48, 3), dtype="float32")
    difference = (hr - sr).reshape(2, 2, 16, 3, 16, 3)
    expected = np.mean(np.abs(difference - difference.mean(axis=(2, 4), keepdims=True)), axis=(1, 2, 3, 4, 5))
    np.testing.assert_allclose(np.asarray(losses.strokes(hr, sr)), expected, rtol=1e-4)
    np.testing.assert_allclose(np.asarray(losses.strokes(hr, hr + 0.3)), 0, atol=1e-6)


def test_strokes_are_least_for_the_likelier_picture_where_the_mse_is_least_for_the_mean():
    tail = np.zeros((1, 16, 16, 3), "float32")
    tail[:, :4, :4] = 1
    may_be = np.repeat(np.concatenate([tail, np.zeros_like(tail)]), (6, 4), axis=0)
    drawn = {share: np.repeat(share * tail, 10, axis=0) for share in (0.0, 0.6, 1.0)}
    for error, least in ((losses.detail, 0.6), (losses.strokes, 1.0)):
        assert min(drawn, key=lambda share: float(np.mean(error(may_be, drawn[share])))) == least


def test_colour_is_the_absolute_error_of_small_blocks_colours_whatever_their_brightness():
    rng = np.random.default_rng(0)
    hr, sr = rng.random((2, 2, 16, 24, 3), dtype="float32")
    blocks = (hr - sr).reshape(2, 4, 4, 6, 4, 3).mean(axis=(2, 4))
    expected = np.mean(np.abs(blocks - (blocks @ [0.299, 0.587, 0.114])[..., None]), axis=(1, 2, 3))
    np.testing.assert_allclose(np.asarray(losses.colour(hr, sr)), expected, rtol=1e-4)
    np.testing.assert_allclose(np.asarray(losses.colour(hr, hr - 0.3)), 0, atol=1e-6)
    greenish = hr + np.float32([0, 0.1, 0])
    assert float(np.mean(losses.colour(hr, greenish))) > 0.04


def test_generalised_ctc_is_ctc_at_power_0_and_counts_what_cannot_be_read_less():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 0.1, (2, 8, 5)).astype("float32")
    labels = np.array([[1, 2, 3], [4, 1, 0]])
    # the first plate is read, the second is not
    logits[0, range(8), [1, 1, 2, 2, 3, 3, 0, 0]] += 8
    plain = np.asarray(keras.losses.CTC(reduction=None)(labels, logits))
    assert plain[0] < 3 < plain[1]
    np.testing.assert_allclose(losses.GeneralisedCTC(reduction=None)(labels, logits), plain, rtol=1e-5)
    loss = losses.GeneralisedCTC(0.5, reduction=None)
    np.testing.assert_allclose(loss(labels, logits), (1 - np.exp(-0.5 * plain)) / 0.5, rtol=1e-4, atol=1e-5)
    again = losses.GeneralisedCTC.from_config(loss.get_config())
    np.testing.assert_allclose(again(labels, logits), loss(labels, logits))


# --- The networks that only the objectives need -----------------------------------------------------------------------


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


def test_features_are_those_of_keras_before_the_activation_in_picture_units():
    keras.utils.set_random_seed(0)
    vgg = keras.applications.VGG19(include_top=False, weights=None)
    pictures = np.random.default_rng(0).random((1, 16, 16, 3), dtype="float32")
    by_hand = keras.applications.vgg19.preprocess_input(pictures * 255.0)
    for name in ("block1_conv1", "block1_conv2", "block1_pool", "block2_conv1", "block2_conv2"):
        by_hand = vgg.get_layer(name)(by_hand)

    keras.utils.set_random_seed(0)
    ours = keras.ops.convert_to_numpy(build_features("random")(pictures))
    assert ours.shape == (1, 8, 8, 128)
    assert ours.min() < 0, "pre-activation features have negative values"
    np.testing.assert_allclose(np.maximum(ours, 0) * FEATURE_UNIT, by_hand, rtol=1e-4, atol=1e-3)


def test_is_frozen():
    features = build_features("random", "block1_conv1")
    assert features.trainable_variables == []


def test_unknown_layer_and_missing_file_are_named(tmp_path):
    with pytest.raises(ValueError, match="block9_conv9"):
        build_features("random", "block9_conv9")
    with pytest.raises(ValueError, match=r"missing\.h5"):
        build_features(str(tmp_path / "missing.h5"))


def test_failed_download_says_what_to_do_instead(monkeypatch):
    def refuse(**_):
        raise Exception("URL fetch failure")

    monkeypatch.setattr(keras.applications, "VGG19", refuse)
    with pytest.raises(ConnectionError, match="--vgg-weights random"):
        build_features("imagenet")


def test_real_weights_have_the_measured_scale(shared):
    """Mean and spread of block2_conv2 on photo-like input, in the unit of pictures (103 and 230 before the
    division)."""
    from PIL import Image

    photo = next((shared / "ccpd" / "frames").iterdir())
    with Image.open(photo) as picture:
        pixels = np.asarray(picture.convert("RGB"), "float32")[None, 400:592, 200:500] / 255
    features = keras.ops.convert_to_numpy(build_features(str(shared / "vgg19" / "vgg19_notop.weights.h5"))(pixels))
    assert 0.3 < np.maximum(features, 0).std() < 3
