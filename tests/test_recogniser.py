"""The recogniser: its training, and generators that carry one."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tiny_runs import as_flags, make_tiles, read_rows, tiny_settings

import losses
import train
from data.presets import PRESETS
from data.tiles import Row, format_rows
from models import recogniser as parts
from models.generator import LIGHT_LAYERS, architecture, build_generator, take_over
from models.loading import load_archive
from models.recogniser import HEAD, PREFIX, build_recogniser
from training import loop, recogniser
from training.archives import rounded
from training.networks import make_generator, make_observers


@pytest.fixture(scope="module", autouse=True)
def few_blocks():
    """A recogniser that trains in seconds; what these tests ask does not depend on its depth."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "STAGES", ((64, (1, 1), 1), (96, (2, 1), 1), (128, (2, 1), 2)))
        patch.setattr(parts, "COLUMN_BLOCKS", 2)
        yield


def test_repetitions_and_blanks_are_left_out():
    best = [[0, 1, 1, 0, 1, 2, 2, 0], [0] * 8]
    assert recogniser.decode(np.eye(3)[best], "AB") == ["AAB", ""]


def test_characters_are_spread_evenly_between_the_margins():
    spread = recogniser.evenly_spread(np.array([[5, 7, 0], [3, 0, 0]]), 12)
    assert spread.tolist() == [[0, 5, 5, 5, 5, 5, 7, 7, 7, 7, 7, 0], [0] + [3] * 10 + [0]]


def test_the_light_does_not_matter_and_windows_have_answers():
    model = build_recogniser(5)
    picture = np.random.default_rng(0).random((1, 32, 64, 3), dtype=np.float32)
    answer = np.asarray(model(picture, training=False))
    assert answer.shape == (1, 16, 6)
    np.testing.assert_allclose(model(0.4 * picture + 0.1, training=False), answer, rtol=0.01, atol=0.02)
    assert model(picture[:, :16, :48], training=False).shape == (1, 12, 6)


def test_a_trained_recogniser_can_be_given_more_blocks(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(parts, "STAGES", tuple((width, strides, 1) for width, strides, _ in parts.STAGES))
        patch.setattr(parts, "COLUMN_BLOCKS", 1)
        shallow = build_recogniser(5)
    rng = np.random.default_rng(0)
    # as if trained: no block is without effect
    for layer in shallow.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.gamma.assign(rng.uniform(0.5, 1.0, layer.gamma.shape))
    picture = rng.random((1, 32, 64, 3), dtype=np.float32)
    answer = np.asarray(shallow(picture, training=False))

    deep = build_recogniser(5)
    take_over(deep, shallow.layers)
    assert len(deep.layers) > len(shallow.layers)
    np.testing.assert_allclose(deep(picture, training=False), answer, rtol=1e-4, atol=1e-4)


def test_what_the_rest_of_the_plate_shows_counts_everywhere():
    model, rng = build_recogniser(5), np.random.default_rng(0)
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


@pytest.fixture(scope="module")
def plates(tmp_path_factory):
    """Tiles of 32 x 64 with two digits each, and a manifest that says which."""
    folder, rows = tmp_path_factory.mktemp("plates"), []
    for split, count in (("train", 40), ("val", 8)):
        (folder / split / "hr").mkdir(parents=True)
        (folder / split / "lq").mkdir()
        for number in range(count):
            text, key = f"{number % 10}{number * 7 % 10}", f"{split}{number:02d}"
            tile = np.full((32, 64, 3), 230, np.uint8)
            cv2.putText(tile, text, (6, 27), cv2.FONT_HERSHEY_SIMPLEX, 1.1, (20, 20, 60), 3)
            for side, picture in (("hr", tile), ("lq", tile // 2)):
                Image.fromarray(picture).save(folder / split / side / f"{key}.png")
            rows.append(Row(key, split, f"{key}.jpg", text if number else "1/2", "DE"))
    (folder / "manifest.csv").write_text(format_rows(rows), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def archive(plates, tmp_path_factory):
    path = tmp_path_factory.mktemp("recogniser") / "recogniser.keras"
    # damage is for tiles nine times as large
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "street", replace(PRESETS["street"], untouched=1.0))
        patch.setattr(recogniser, "EVENLY_SPREAD", 0.6)
        assert recogniser.main(as_command(plates, path)) == 0
    return path


def as_command(plates, path, **changes) -> list[str]:
    flags = {"steps": 320, "batch-size": 8, "workers": 0, "learning-rate": 2e-3, "precision": "float32"} | changes
    return ["--tiles", str(plates), "--out", str(path), *(f"--{name}={value}" for name, value in flags.items())]


def test_it_learns_to_read(archive):
    about = json.loads(archive.with_suffix(".json").read_text(encoding="utf-8"))
    assert about["characters"] == "0123456789"
    # the plate of two lines is left out
    assert about["validation"]["n"] == 7
    assert about["validation"]["clean"] >= 0.7
    # an optimiser would make the file three times as large
    assert not keras.saving.load_model(archive).compiled


@pytest.mark.parametrize("more", [{}, {"echo": 3, "crop": "16x64"}])
def test_an_interrupted_training_goes_on_to_the_same_recogniser(more, plates, tmp_path, monkeypatch, capsys):
    weights = {}
    for name, stopped_after in (("straight", None), ("stopped", 3)):
        path = tmp_path / f"{name}.keras"
        command = as_command(plates, path, steps=40, **{"validate-every": 8}, **more)
        if stopped_after:
            parts = []
            with monkeypatch.context() as patch:
                patch.setattr(recogniser, "save_state", stop_after(parts, stopped_after, recogniser.save_state))
                assert recogniser.main(command) == 1
            assert recogniser.main(as_command(plates, path, steps=50)) == 2
            assert "interrupted run with other settings" in capsys.readouterr().err
        assert recogniser.main(command) == 0
        weights[name] = load_archive(path).get_weights()
        assert {each.name for each in tmp_path.glob(f"{name}*")} == {f"{name}.keras", f"{name}.json"}
    for one, other in zip(*weights.values(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_an_interrupted_training_goes_on_in_a_new_process(plates, tmp_path, monkeypatch):
    monkeypatch.setattr(recogniser, "save_state", stop_after([], 2, recogniser.save_state))
    command = as_command(plates, tmp_path / "recogniser.keras", steps=6, **{"validate-every": 2})
    assert recogniser.main(command) == 1
    root = Path(recogniser.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-m", "training.recogniser", *command], cwd=root, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def stop_after(parts: list, count: int, save_state):
    def save(*arguments):
        save_state(*arguments)
        parts.append(arguments)
        if len(parts) == count:
            raise KeyboardInterrupt

    return save


@pytest.fixture(scope="module")
def reading_run(archive, plates, tmp_path_factory):
    """A run whose generator carries the recogniser."""
    run = tmp_path_factory.mktemp("reading") / "run"
    settings = tiny_settings(
        plates, run, recogniser=str(archive), pretrain_steps=6, pretrain_learning_rate=1e-2, ema=False
    )
    assert train.main(as_flags(settings)) == 0
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
    assert architecture(generator) == {"scale": 1, "filters": 8, "blocks": 1, "body": "srresnet", "reads": True}
    assert (reading_run / "pretrain.keras").stat().st_size < 0.6 * 4 * generator.count_params()


def test_blocks_are_added_to_a_trained_generator(reading_run, plates, tmp_path):
    init = reading_run / "pretrain.keras"
    settings = tiny_settings(plates, tmp_path / "run", init=str(init), more_blocks=2, seed=1)
    grown, was = make_generator(settings, 1, "float32"), load_archive(init)
    assert architecture(grown) == {**architecture(was), "blocks": 3}
    lq = np.random.default_rng(0).random((2, 32, 64, 3), dtype=np.float32)
    np.testing.assert_allclose(grown(lq), was(lq), atol=1e-6)
    # but it can learn
    assert np.abs(grown.get_layer("block3_conv1").kernel).max() > 0
    with pytest.raises(ValueError, match="--more-blocks must be 0 without --init, got 2"):
        tiny_settings(plates, tmp_path / "run", more_blocks=2)


def test_the_light_is_trained_alone(reading_run, plates, tmp_path):
    init, run = reading_run / "pretrain.keras", tmp_path / "run"
    settings = tiny_settings(
        plates, run, init=str(init), light_only=True, colour_weight=1.0, pretrain_steps=6, pretrain_learning_rate=1e-2,
        adversarial_steps=0, ema=False,
    )  # fmt: skip
    assert train.main(as_flags(settings)) == 0
    before, after = load_archive(init), load_archive(run / "pretrain.keras")
    changed = set()
    for layer in before.layers:
        pairs = zip(layer.get_weights(), after.get_layer(layer.name).get_weights(), strict=True)
        if any(np.any(old != new) for old, new in pairs):
            changed.add(layer.name)
    assert changed == set(LIGHT_LAYERS)
    again = make_generator(tiny_settings(plates, tmp_path / "more", init=str(run / "pretrain.keras")), 1, "float32")
    assert len(again.trainable_variables) > len(LIGHT_LAYERS) * 2, "the next run trains the others again"
    with pytest.raises(ValueError, match="--light-only must be off without --init, got True"):
        tiny_settings(plates, run, light_only=True)


def test_a_missing_recogniser_is_not_blamed_on_the_generator(reading_run, plates, tmp_path):
    given = {"init": str(reading_run / "pretrain.keras"), "recogniser": str(tmp_path / "nowhere.keras")}
    with pytest.raises(ValueError, match=r"^--recogniser .*nowhere\.keras: no such file"):
        make_generator(tiny_settings(plates, tmp_path / "run", **given), 1, "float32")


def test_blocks_cannot_be_added_to_every_body(plates, tmp_path):
    build_generator(filters=8, blocks=1, body="rrdb").save(tmp_path / "dense.keras")
    settings = tiny_settings(plates, tmp_path / "run", init=str(tmp_path / "dense.keras"), more_blocks=1)
    with pytest.raises(
        ValueError, match="cannot take a recogniser or blocks in: blocks can be added to srresnet alone"
    ):
        make_generator(settings, 1, "float32")


def test_the_reading_term_is_the_distance_of_what_the_recogniser_sees(archive, plates, reading_run, tmp_path):
    reader = load_archive(archive)
    reader.set_weights(rounded(reader.get_weights()))
    layers = [reader.get_layer(f"{PREFIX}attention").input, reader.get_layer(HEAD).input]
    hr, lq = np.random.default_rng(0).random((2, 2, 32, 64, 3), dtype=np.float32)
    settings = tiny_settings(plates, tmp_path / "run", adversarial_steps=0, reading_weight=0.5)
    observers = make_observers(settings, load_archive(reading_run / "pretrain.keras"), "float32")
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


def test_both_stages_weigh_the_reading_term_and_a_resumed_run_too(archive, plates, tmp_path, monkeypatch):
    run = tmp_path / "run"
    settings = tiny_settings(plates, run, recogniser=str(archive), reading_weight=0.5, log_every=1, detail_weight=2.0)
    with monkeypatch.context() as patch:
        patch.setattr(loop.Run, "_stops", lambda run, logs: run.progress.step == 2)
        assert train.main(as_flags(settings)) == 1
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


def test_a_run_that_began_with_a_recogniser_needs_no_file_to_go_on(archive, plates, tmp_path, monkeypatch):
    own, run = tmp_path / "recogniser.keras", tmp_path / "run"
    own.write_bytes(archive.read_bytes())
    settings = tiny_settings(plates, run, recogniser=str(own), pretrain_steps=2, adversarial_steps=0)
    with monkeypatch.context() as patch:
        patch.setattr(loop.Run, "_stops", lambda run, logs: run.progress.step == 1)
        assert train.main(as_flags(settings)) == 1
    own.unlink()
    assert train.main(["--run", str(run), "--resume"]) == 0


def test_a_generator_learns_to_listen_from_where_it_stands(archive, plates, reading_run, tmp_path):
    """--init without a recogniser, and then with one: the same pictures at first."""
    plain, run = tmp_path / "plain.keras", tmp_path / "run"
    build_generator(1, 8, 2).save(plain)
    settings = tiny_settings(
        plates,
        run,
        init=str(plain),
        recogniser=str(archive),
        pretrain_steps=1,
        pretrain_learning_rate=1e-9,
        adversarial_steps=0,
    )
    assert train.main(as_flags(settings)) == 0
    lq = np.random.default_rng(0).random((1, 32, 64, 3), dtype=np.float32)
    before, after = (np.asarray(load_archive(each)(lq, training=False)) for each in (plain, run / "pretrain.keras"))
    np.testing.assert_allclose(after, before, atol=1e-5)
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))["settings"]
    assert config["blocks"] == 2, "the generator's own, whatever the flags say"


@pytest.mark.parametrize("scale", [2, 4])
def test_enlarging_generators_read_too(scale):
    generator = build_generator(scale, 8, 1, reads=True)
    assert generator(np.zeros((1, 32, 48, 3), "float32"), training=False).shape == (1, 32 * scale, 48 * scale, 3)
    with pytest.raises(ValueError, match="needs scale 1, 2 or 4"):
        build_generator(8, 8, 1, reads=True)


def test_a_generator_is_no_recogniser(plates, reading_run, tmp_path, capsys):
    settings = tiny_settings(plates, tmp_path / "run", recogniser=str(reading_run / "generator.keras"))
    assert train.main(as_flags(settings)) == 2
    assert "generator.keras is none; train one with" in capsys.readouterr().err


def test_a_recogniser_that_is_not_there_is_named(plates, tmp_path, capsys):
    settings = tiny_settings(plates, tmp_path / "run", recogniser=str(tmp_path / "nowhere.keras"))
    assert train.main(as_flags(settings)) == 2
    assert "nowhere.keras: no such file; give what training.recogniser has left" in capsys.readouterr().err


def test_windows_must_show_the_whole_text(plates, tmp_path, capsys):
    assert recogniser.main(as_command(plates, tmp_path / "r.keras", crop="32x48")) == 2
    assert "--crop must be as wide as the tiles, 64" in capsys.readouterr().err


def test_a_recogniser_goes_on_from_another(archive, plates, tmp_path, capsys):
    path = tmp_path / "further.keras"
    assert recogniser.main(as_command(plates, path, init=archive, steps=4, **{"learning-rate": 1e-9})) == 0
    name = f"{PREFIX}conv1"
    for old, new in zip(*(load_archive(each).get_layer(name).get_weights() for each in (archive, path)), strict=True):
        np.testing.assert_allclose(old, new, atol=1e-6)
    assert recogniser.main(as_command(plates, tmp_path / "other.keras", init=tmp_path / "nowhere.keras")) == 2
    assert "nowhere.keras: no such file" in capsys.readouterr().err
    assert not list(tmp_path.glob("other*"))


def test_the_recogniser_that_a_generator_carries_goes_on_too(archive, plates, reading_run, tmp_path, capsys):
    """It has no names for characters any more: they are learned again, from clean tiles."""
    path = tmp_path / "again.keras"
    generator = reading_run / "pretrain.keras"
    assert recogniser.main(as_command(plates, path, init=generator, steps=4, **{"learning-rate": 1e-9})) == 0
    for name in (f"{PREFIX}conv1", f"{PREFIX}columns_2b"):
        old, new = (load_archive(each).get_layer(name).kernel for each in (generator, path))
        np.testing.assert_allclose(old, new, atol=1e-6)
    old, new = (json.loads(each.with_suffix(".json").read_text(encoding="utf-8")) for each in (archive, path))
    # one plate of seven
    assert new["validation"]["clean"] >= old["validation"]["clean"] - 0.15
    blind = tmp_path / "blind.keras"
    build_generator(1, 8, 1).save(blind)
    assert recogniser.main(as_command(plates, tmp_path / "other.keras", init=blind)) == 2
    assert "blind.keras holds no recogniser" in capsys.readouterr().err


def test_names_of_another_alphabet_are_not_taken_for_these(archive, plates, tmp_path):
    model, other = load_archive(archive), tmp_path / "other.keras"
    kernel, bias = model.get_layer(HEAD).get_weights()
    model.get_layer(HEAD).set_weights([each[..., [0, *range(10, 0, -1)]] for each in (kernel, bias)])
    model.save(other)
    about = json.loads(archive.with_suffix(".json").read_text(encoding="utf-8"))
    other.with_suffix(".json").write_text(json.dumps(about | {"characters": "9876543210"}), encoding="utf-8")
    path = tmp_path / "further.keras"
    assert recogniser.main(as_command(plates, path, init=other, steps=4, **{"learning-rate": 1e-9})) == 0
    read = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["validation"]
    assert read["clean"] >= about["validation"]["clean"] - 0.15


def test_tiles_without_texts_teach_nothing(tmp_path, capsys):
    tiles = make_tiles(tmp_path / "tiles")
    assert recogniser.main(["--tiles", str(tiles), "--out", str(tmp_path / "r.keras")]) == 2
    assert "no tile of the split train has a text" in capsys.readouterr().err


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
