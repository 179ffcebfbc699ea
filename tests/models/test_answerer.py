import keras
import numpy as np
import pytest
from tiny_runs import DIGITS, SHAPE

from models.answerer import load_answerer
from models.enhancer import load_generator
from models.generator import architecture, build_generator, take_over, with_reading
from models.loading import in_policy, load_archive
from models.recogniser import HEAD, NAMES, build_recogniser, recogniser_of


@pytest.fixture(scope="module")
def pair():
    """A recogniser, and a generator that carries it."""
    rng = np.random.default_rng(0)
    recogniser, generator = build_recogniser(10, SHAPE), build_generator(1, 8, 1, reads=SHAPE, names=DIGITS)
    for layer in recogniser.layers:
        weights = [each + rng.uniform(0, 0.05, each.shape).astype("float32") for each in layer.get_weights()]
        layer.set_weights(weights)
        if weights:
            generator.get_layer(NAMES if layer.name == HEAD else layer.name).set_weights(weights)
    return recogniser, generator


@pytest.fixture
def pictures():
    return np.random.default_rng(1).random((2, 32, 64, 3), dtype=np.float32)


def test_a_generator_answers_as_the_recogniser_that_it_carries(pair, pictures, tmp_path):
    recogniser, generator = pair
    generator.save(tmp_path / "generator.keras")
    answerer = load_answerer(tmp_path / "generator.keras")
    assert answerer.characters == DIGITS
    answer = answerer.run(pictures)
    assert answer.shape == (2, 16, 11)
    np.testing.assert_allclose(answer.sum(axis=-1), 1, rtol=1e-5)
    np.testing.assert_allclose(answer, keras.ops.softmax(recogniser(pictures, training=False)), atol=1e-4)


def test_a_generator_tells_what_its_recogniser_reads_in_the_pass_that_draws(pair, pictures, tmp_path):
    _, generator = pair
    generator.save(tmp_path / "generator.keras")
    drawn, read = load_generator(tmp_path / "generator.keras", "float32").run(pictures)
    np.testing.assert_allclose(drawn, generator(pictures, training=False), atol=1e-6)
    np.testing.assert_allclose(read, load_answerer(tmp_path / "generator.keras").run(pictures), atol=1e-4)


@pytest.mark.parametrize(
    "made", [{"scale": 1}, {"scale": 1, "reads": SHAPE}, {"scale": 2, "reads": SHAPE, "names": "7"}]
)
def test_others_only_draw(made):
    generator = build_generator(filters=8, blocks=1, **made)
    assert with_reading(generator) is generator


def test_the_names_change_no_picture_and_are_not_trained(pair, pictures):
    _, generator = pair
    plain = build_generator(1, 8, 1, reads=SHAPE)
    take_over(plain, (layer for layer in generator.layers if layer.name != NAMES))
    np.testing.assert_array_equal(generator(pictures, training=False), plain(pictures, training=False))
    names = generator.get_layer(NAMES)
    assert not names.trainable_variables
    assert len(generator.trainable_variables) == len(plain.trainable_variables)


def test_the_names_survive_another_precision_and_are_seen_from_outside(pair):
    _, generator = pair
    copy = in_policy(generator, "mixed_bfloat16")
    assert architecture(copy) == architecture(generator)
    assert architecture(copy)["names"] == DIGITS
    for one, other in zip(copy.get_layer(NAMES).get_weights(), generator.get_layer(NAMES).get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_there_is_no_answer_without_a_recogniser_or_without_names(tmp_path):
    for number, generator in enumerate((build_generator(1, 8, 1), build_generator(1, 8, 1, reads=SHAPE))):
        path = tmp_path / f"{number}.keras"
        generator.save(path)
        assert load_answerer(path) is None
        assert recogniser_of(load_archive(path)) is None
