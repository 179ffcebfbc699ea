import math

import keras
import numpy as np

import losses


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
