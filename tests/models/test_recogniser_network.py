"""The recogniser as a network, and generators that carry one."""

import keras
import numpy as np
import pytest
from tiny_runs import SHAPE

from models.generator import build_generator, take_over
from models.recogniser import Shape, build_recogniser, shape_of


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_the_shape_is_read_from_what_a_network_is_or_carries():
    assert shape_of(build_recogniser(5, SHAPE)) == SHAPE
    assert shape_of(build_generator(1, 8, 1, reads=SHAPE)) == SHAPE
    assert shape_of(build_generator(1, 8, 1)) is None


def test_the_light_does_not_matter_and_windows_have_answers(rng):
    model = build_recogniser(5, SHAPE)
    picture = rng.random((1, 32, 64, 3), dtype=np.float32)
    answer = np.asarray(model(picture, training=False))
    assert answer.shape == (1, 16, 6)
    np.testing.assert_allclose(model(0.4 * picture + 0.1, training=False), answer, rtol=0.01, atol=0.02)
    assert model(picture[:, :16, :48], training=False).shape == (1, 12, 6)


def test_a_trained_recogniser_can_be_given_more_blocks(rng):
    shallow, more = build_recogniser(5, SHAPE), Shape(SHAPE.widths, (2, 1, 2), SHAPE.column_width, 2)
    # as if trained: no block is without effect
    for layer in shallow.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.gamma.assign(rng.uniform(0.5, 1.0, layer.gamma.shape))
    picture = rng.random((1, 32, 64, 3), dtype=np.float32)
    answer = np.asarray(shallow(picture, training=False))

    deep = build_recogniser(5, SHAPE.deepened(more))
    assert shape_of(deep) == more
    take_over(deep, shallow.layers)
    assert len(deep.layers) > len(shallow.layers)
    np.testing.assert_allclose(deep(picture, training=False), answer, rtol=1e-4, atol=1e-4)


def test_what_the_rest_of_the_plate_shows_counts_everywhere(rng):
    model = build_recogniser(5, SHAPE)
    # too long for convolutions to look from end to end
    one, other = np.full((2, 1, 32, 400, 3), 0.5, np.float32)
    one[:, :, :8] = rng.random((1, 32, 8, 3))
    # in the same light
    other[:, :, :8] = one[:, ::-1, :8]

    def difference_at_the_end() -> float:
        at_end = [np.asarray(model(picture, training=False))[0, -1] for picture in (one, other)]
        return np.abs(at_end[0] - at_end[1]).max()

    assert difference_at_the_end() < 1e-5
    for layer in model.layers:
        if layer.name.endswith(("_gate", "_shift")):
            layer.kernel.assign(rng.normal(0, 0.3, layer.kernel.shape))
    assert difference_at_the_end() > 1e-3


@pytest.mark.parametrize("scale", [2, 4])
def test_enlarging_generators_read_too(scale):
    generator = build_generator(scale, 8, 1, reads=SHAPE)
    assert generator(np.zeros((1, 32, 48, 3), "float32"), training=False).shape == (1, 32 * scale, 48 * scale, 3)
    with pytest.raises(ValueError, match="needs scale 1, 2 or 4"):
        build_generator(8, 8, 1, reads=SHAPE)
