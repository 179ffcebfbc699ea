"""The networks that a run begins with: new, grown, or with a recogniser built in."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny_runs import DIGITS, SHAPE, as_flags, make_plates, make_recogniser, read_rows, tiny_settings

import losses
import train
from models.generator import ILLUMINATION_LAYERS, architecture, build_generator
from models.loading import load_archive
from models.recogniser import HEAD, NAMES, PREFIX, Shape
from training import loop
from training.networks import Networks, build_networks, rounded, with_architecture
from training.settings import NetworkSettings

TILE = (32, 64)


@pytest.fixture(scope="module")
def plates(tmp_path_factory):
    return make_plates(tmp_path_factory.mktemp("plates"))


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return make_recogniser(tmp_path_factory.mktemp("recogniser") / "recogniser.keras")


def networks_of(run, terms=("mse",), **changes) -> Networks:
    settings = tiny_settings("tiles", run, **changes).part(NetworkSettings)
    return build_networks(settings, terms, TILE, 1, "float32", run)


@pytest.fixture(scope="module")
def reading_run(archive, plates, tmp_path_factory):
    """A run whose generator carries the recogniser."""
    run = tmp_path_factory.mktemp("reading") / "run"
    few = {"pretrain_steps": 4, "adversarial_steps": 0, "pretrain_learning_rate": 1e-2, "validation_limit": 2}
    assert train.main(as_flags(tiny_settings(plates, run, recogniser=str(archive), ema=False, **few))) == 0
    return run


def test_a_generator_with_a_recogniser_listens_to_it_and_leaves_it_as_it_is(archive, reading_run):
    reader, generator = load_archive(archive), load_archive(reading_run / "pretrain.keras")
    shared = [layer.name for layer in reader.layers if layer.name.startswith(PREFIX) and layer.weights]
    assert len(shared) > 10
    for name in shared:
        for old, new in zip(reader.get_layer(name).get_weights(), generator.get_layer(name).get_weights(), strict=True):
            # kernels are rounded to what bfloat16 computes with anyway
            if old.ndim > 1:
                old = np.asarray(tf.cast(tf.cast(old, tf.bfloat16), tf.float32))
            np.testing.assert_array_equal(old, new, err_msg=name)
    for name in ("hint1", "gate1", "listen2b"):
        assert np.abs(generator.get_layer(name).kernel).max() > 0, name
    made = {"scale": 1, "filters": 8, "blocks": 1, "body": "srresnet", "reads": SHAPE, "names": DIGITS}
    assert architecture(generator) == made
    for old, new in zip(reader.get_layer(HEAD).get_weights(), generator.get_layer(NAMES).get_weights(), strict=True):
        np.testing.assert_allclose(old, new, rtol=2**-8, err_msg="names")
    about = json.loads((reading_run / "pretrain.json").read_text(encoding="utf-8"))
    assert about["characters"] == DIGITS


def test_blocks_are_added_to_a_trained_generator(reading_run, tmp_path):
    init = reading_run / "pretrain.keras"
    grown, was = networks_of(tmp_path / "run", init=str(init), more_blocks=2).generator, load_archive(init)
    assert architecture(grown) == {**architecture(was), "blocks": 3}
    lq = np.random.default_rng(0).random((2, 32, 64, 3), dtype=np.float32)
    np.testing.assert_allclose(grown(lq), was(lq), atol=1e-6)
    # but it can learn
    assert np.abs(grown.get_layer("block3_conv1").kernel).max() > 0
    with pytest.raises(ValueError, match="--more-blocks must be 0 without --init, got 2"):
        tiny_settings("tiles", "run", more_blocks=2)


def test_the_light_is_trained_alone(reading_run, tmp_path):
    init = str(reading_run / "pretrain.keras")
    alone, again = (networks_of(tmp_path, init=init, light_only=only).generator for only in (True, False))
    trained = {layer.name for layer in alone.layers if layer.trainable_variables}
    assert trained == set(ILLUMINATION_LAYERS)
    assert len(again.trainable_variables) > len(ILLUMINATION_LAYERS) * 2, "the next run trains the others again"
    with pytest.raises(ValueError, match="--light-only must be off without --init, got True"):
        tiny_settings("tiles", "run", light_only=True)


def test_a_recogniser_with_fewer_blocks_does_not_replace_one_with_more(reading_run, tmp_path):
    shallow = make_recogniser(tmp_path / "shallow.keras", Shape(SHAPE.widths, (1, 0, 1), SHAPE.column_width, 1))
    with pytest.raises(ValueError, match="its own recogniser has more blocks than the one given"):
        networks_of(tmp_path / "run", init=str(reading_run / "pretrain.keras"), recogniser=str(shallow))


def test_a_missing_recogniser_is_not_blamed_on_the_generator(reading_run, tmp_path):
    given = {"init": str(reading_run / "pretrain.keras"), "recogniser": str(tmp_path / "nowhere.keras")}
    with pytest.raises(ValueError, match=r"^--recogniser .*nowhere\.keras: no such file"):
        networks_of(tmp_path / "run", **given)


def test_blocks_cannot_be_added_to_every_body(tmp_path):
    build_generator(filters=8, blocks=1, body="rrdb").save(tmp_path / "dense.keras")
    with pytest.raises(
        ValueError, match="cannot take a recogniser or blocks in: blocks can be added to srresnet alone"
    ):
        networks_of(tmp_path / "run", init=str(tmp_path / "dense.keras"), more_blocks=1)


def test_the_reading_term_is_the_distance_of_what_the_recogniser_sees(archive, reading_run, tmp_path):
    reader = load_archive(archive)
    reader.set_weights(rounded(reader.get_weights()))
    layers = [reader.get_layer(f"{PREFIX}attention").input, reader.get_layer(HEAD).input]
    hr, lq = np.random.default_rng(0).random((2, 2, 32, 64, 3), dtype=np.float32)
    observers = networks_of(tmp_path, ("mse", "reading"), init=str(reading_run / "pretrain.keras")).observers
    assert set(observers) == {"reading"}
    clean, restored = (
        [np.asarray(each) for each in observers["reading"](picture, training=False)] for picture in (hr, lq)
    )
    for one, other in zip(clean, keras.Model(reader.input, layers)(hr, training=False), strict=True):
        np.testing.assert_allclose(one, np.asarray(other), atol=1e-5)
    term = np.asarray(losses.generator_terms(hr, lq, {"reading": (clean, restored)})["reading"])
    (cells, columns), (other_cells, other_columns) = clean, restored
    expected = np.abs(cells - other_cells).mean((1, 2, 3)) + np.abs(columns - other_columns).mean((1, 2))
    np.testing.assert_allclose(term, expected, rtol=1e-5)
    assert np.all(term > 0)


@pytest.mark.slow
def test_both_stages_weigh_the_reading_term_and_a_resumed_run_too(archive, plates, tmp_path, monkeypatch):
    """Which needs the recogniser's file no more."""
    own, run = tmp_path / "recogniser.keras", tmp_path / "run"
    own.write_bytes(archive.read_bytes())
    settings = tiny_settings(plates, run, recogniser=str(own), reading_weight=0.5, log_every=1, detail_weight=2.0,
                             pretrain_steps=2, adversarial_steps=1)  # fmt: skip
    with monkeypatch.context() as patch:
        patch.setattr(loop.Run, "_stops", lambda run, logs: run.progress.step == 1)
        assert train.main(as_flags(settings)) == 130
    own.unlink()
    assert train.main(["--run", str(run), "--resume"]) == 0
    rows = read_rows(run)
    assert {row["stage"] for row in rows} == {"pretrain", "adversarial"}
    for row in rows:
        assert float(row["weighted_reading"]) == pytest.approx(0.5 * float(row["reading"]), rel=1e-4)
        assert float(row["reading"]) > 0
        if row["stage"] == "pretrain":
            whole = float(row["mse"]) + float(row["weighted_detail"]) + float(row["weighted_reading"])
            assert float(row["g_loss"]) == pytest.approx(whole, rel=1e-4)


def test_a_reading_term_needs_a_recogniser(plates, tmp_path, capsys):
    settings = tiny_settings(plates, tmp_path / "run", reading_weight=0.5)
    assert train.main(as_flags(settings)) == 2
    assert "--reading-weight needs a generator that carries a recogniser" in capsys.readouterr().err


def test_a_generator_learns_to_listen_from_where_it_stands(archive, tmp_path):
    """--init without a recogniser, and then with one: the same pictures at first."""
    plain = build_generator(1, 8, 2)
    plain.get_layer("difference").kernel.assign(np.full((3, 3, 8, 3), 0.05, "float32"))
    plain.save(tmp_path / "plain.keras")
    files = {"init": str(tmp_path / "plain.keras"), "recogniser": str(archive)}
    listening = networks_of(tmp_path / "run", **files).generator
    lq = np.random.default_rng(0).random((1, 32, 64, 3), dtype=np.float32)
    np.testing.assert_allclose(listening(lq, training=False), plain(lq, training=False), atol=1e-5)
    settings = with_architecture(tiny_settings("tiles", "run", **files), listening)
    assert settings.blocks == 2, "the generator's own, whatever the flags say"


def test_a_generator_is_no_recogniser(plates, reading_run, tmp_path, capsys):
    settings = tiny_settings(plates, tmp_path / "run", recogniser=str(reading_run / "generator.keras"))
    assert train.main(as_flags(settings)) == 2
    assert "generator.keras is not a recogniser; train one with" in capsys.readouterr().err


def test_a_recogniser_that_is_not_there_is_named(plates, tmp_path, capsys):
    settings = tiny_settings(plates, tmp_path / "run", recogniser=str(tmp_path / "nowhere.keras"))
    assert train.main(as_flags(settings)) == 2
    assert "nowhere.keras: no such file; give what training.recogniser has left" in capsys.readouterr().err


def test_a_generator_of_another_make_is_trained_on_as_it_is_but_takes_no_recogniser_in(
    archive, plates, tmp_path, capsys
):
    picture = keras.Input((None, None, 3))
    changed = keras.layers.Conv2D(3, 3, padding="same", kernel_initializer="zeros", name="difference")(picture)
    foreign = tmp_path / "foreign.keras"
    keras.Model(picture, keras.layers.Add()([picture, changed]), name="foreign").save(foreign)
    settings = {"init": str(foreign), "pretrain_steps": 1, "adversarial_steps": 0}
    assert train.main(as_flags(tiny_settings(plates, tmp_path / "run", **settings))) == 0
    assert load_archive(tmp_path / "run" / "pretrain.keras").count_params() == 84
    assert train.main(as_flags(tiny_settings(plates, tmp_path / "other", recogniser=str(archive), **settings))) == 2
    assert "foreign.keras cannot take a recogniser or blocks in" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()
