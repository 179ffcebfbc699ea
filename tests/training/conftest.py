"""Runs of a few steps spend their time on tracing graphs, drawing curves and building networks that they hardly use.
Graphs are run in test_steps.py and in the slow tests, curves are drawn in test_run_folder.py, and all of VGG19 is built
in test_losses.py and in the slow tests' processes."""

import keras
import pytest
import tensorflow as tf


@pytest.fixture(scope="package", autouse=True)
def brisk():
    tf.config.run_functions_eagerly(True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.run_folder.draw_curves", lambda rows, offsets, path: path.touch())
        patch.setattr("keras.applications.VGG19", beginning_of_vgg19)
        yield
    tf.config.run_functions_eagerly(False)


def beginning_of_vgg19(include_top: bool, weights: str | None) -> keras.Model:
    """Its first layer, the one that these tests compare features of."""
    assert not include_top
    assert weights is None, "random ones: nothing is downloaded"
    picture = keras.Input((None, None, 3))
    convolution = keras.layers.Conv2D(64, 3, activation="relu", padding="same", name="block1_conv1")
    return keras.Model(picture, convolution(picture), name="vgg19")


@pytest.fixture(scope="module")
def graphs():
    """As in use."""
    tf.config.run_functions_eagerly(False)
    yield
    tf.config.run_functions_eagerly(True)
