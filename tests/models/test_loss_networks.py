import keras
import numpy as np
import pytest

from models.loss_networks import FEATURE_UNIT, build_discriminator, build_features


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
