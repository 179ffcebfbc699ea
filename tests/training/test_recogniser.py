"""The training of the recogniser."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from tiny_runs import DIGITS, SHAPE, make_plates, make_recogniser, make_tiles

from data.files import only_run_in
from data.sampler import PRESETS
from models.generator import build_generator
from models.loading import load_archive
from models.recogniser import HEAD, NAMES, PREFIX, shape_of
from training import recogniser
from training.run_folder import save_state


@pytest.fixture(scope="module")
def plates(tmp_path_factory):
    return make_plates(tmp_path_factory.mktemp("plates"))


def test_repetitions_and_blanks_are_left_out():
    best = [[0, 1, 1, 0, 1, 2, 2, 0], [0] * 8]
    assert recogniser.decode(np.eye(3)[best], "AB") == ["AAB", ""]


def test_characters_are_spread_evenly_between_the_margins():
    spread = recogniser.evenly_spread(np.array([[5, 7, 0], [3, 0, 0]]), 12)
    assert spread.tolist() == [[0, 5, 5, 5, 5, 5, 7, 7, 7, 7, 7, 0], [0] + [3] * 10 + [0]]


@pytest.mark.parametrize(("every", "stops"), [(250, [500, 600]), (100, [300, 400, 500, 600]), (1000, [600])])
def test_a_training_goes_on_with_other_saves_where_it_stopped(every, stops):
    parts = recogniser.parts_of(250, 0, 600, every)
    assert [start for start, _ in parts] == [250, *stops[:-1]]
    assert [stop for _, stop in parts] == stops
    assert recogniser.parts_of(600, 0, 600, every) == []


def test_no_part_of_a_training_has_two_losses():
    assert recogniser.parts_of(0, 3, 9, 2) == [(0, 2), (2, 3), (3, 5), (5, 7), (7, 9)]


@pytest.fixture(scope="module")
def archive(graphs, plates, tmp_path_factory):
    """A trained one, for tests of the slow tier."""
    path = tmp_path_factory.mktemp("recogniser") / "recogniser.keras"
    # damage is for tiles nine times as large
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "street", replace(PRESETS["street"], untouched=1.0))
        patch.setattr(recogniser, "EVENLY_SPREAD", 0.6)
        assert recogniser.main(as_command(plates, path, (1, 1, 2, 2))) == 0
    return path


def as_command(plates, path, blocks=(0, 0, 0, 1), **changes) -> list[str]:
    flags = {"steps": 320, "batch-size": 8, "workers": 0, "learning-rate": 2e-3, "precision": "float32"} | changes
    flags = {"validate-every": 2} | flags if flags["steps"] < 10 else flags
    shape = ["--blocks", *map(str, blocks)]
    return ["--tiles", str(plates), "--out", str(path), *shape, *(f"--{name}={v}" for name, v in flags.items())]


@pytest.mark.slow
def test_it_learns_to_read(archive):
    about = json.loads(archive.with_suffix(".json").read_text(encoding="utf-8"))
    assert about["characters"] == "0123456789"
    # the plate of two lines is left out
    assert about["validation"]["n"] == 7
    assert about["validation"]["clean"] >= 0.7
    # an optimiser would make the file three times as large
    assert not keras.saving.load_model(archive).compiled


@pytest.mark.slow
@pytest.mark.parametrize(("more", "older"), [({}, False), ({}, True), ({"echo": 3, "crop": "16x64"}, False)])
def test_an_interrupted_training_goes_on_to_the_same_recogniser(more, older, plates, tmp_path, monkeypatch, capsys):
    weights = {}
    monkeypatch.setattr(recogniser, "EVENLY_SPREAD", 0.5)
    for name, stopped_after in (("straight", None), ("stopped", 2)):
        path = tmp_path / f"{name}.keras"
        command = as_command(plates, path, steps=4, **more)
        if stopped_after:
            parts = []
            with monkeypatch.context() as patch:
                patch.setattr(recogniser, "save", stop_after(parts, stopped_after, recogniser.save))
                assert recogniser.main(command) == 130
            assert "the same command goes on" in capsys.readouterr().err
            if older:
                as_left_by_an_earlier_version(*parts[-1])
            assert recogniser.main(as_command(plates, path, steps=6, **more)) == 2
            assert "other settings, --steps 4 (now 6)" in capsys.readouterr().err
        assert recogniser.main(command) == 0
        weights[name] = load_archive(path).get_weights()
        assert {each.name for each in tmp_path.glob(f"{name}*")} == {f"{name}.keras", f"{name}.json"}
    for one, other in zip(*weights.values(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.slow
def test_an_interrupted_training_goes_on_in_a_new_process(plates, tmp_path, monkeypatch):
    monkeypatch.setattr(recogniser, "save", stop_after([], 3, recogniser.save))
    command = as_command(plates, tmp_path / "recogniser.keras", steps=6)
    assert recogniser.main(command) == 130
    root = Path(recogniser.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-m", "training.recogniser", *command], cwd=root, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def stop_after(parts: list, count: int, save):
    def save_and_stop(*arguments):
        save(*arguments)
        parts.append(arguments)
        if len(parts) == count:
            raise KeyboardInterrupt

    return save_and_stop


def as_left_by_an_earlier_version(model, settings, precision) -> None:
    """Its state was an archive with the optimiser in it, and its settings stood beside it."""
    state = recogniser.state_file(settings)
    state.unlink()
    model.save(state.with_suffix(".keras"))
    state.with_suffix(".json").write_text(json.dumps(settings.deciding()))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("r.state.npz", b"no state", "r.state.npz is damaged, or no saved state"),
        ("r.state.npz", None, "is of a training with other settings, --steps 9 (now 4)"),
        ("r.state.json", b"{}", "r.state.keras or its .json is damaged"),
    ],
)
def test_a_state_that_does_not_fit_is_named_and_kept(plates, tmp_path, capsys, name, content, words):
    state = tmp_path / name
    if content is None:
        save_state(state, {}, {"precision": "float32", "settings": {"steps": 9}})
    else:
        state.write_bytes(content)
    before = state.read_bytes()
    assert recogniser.main(as_command(plates, tmp_path / "r.keras", steps=4)) == 2
    assert words in capsys.readouterr().err
    assert state.read_bytes() == before
    assert not (tmp_path / "r.work").exists()


def test_a_training_at_work_is_left_alone(plates, tmp_path, capsys):
    with only_run_in(tmp_path / "r.work"):
        assert recogniser.main(as_command(plates, tmp_path / "r.keras")) == 2
    assert "another run is writing there" in capsys.readouterr().err


def test_windows_must_show_the_whole_text(plates, tmp_path, capsys):
    assert recogniser.main(as_command(plates, tmp_path / "r.keras", crop="32x48")) == 2
    assert "--crop must be as wide as the tiles, 64" in capsys.readouterr().err


@pytest.mark.slow
def test_a_recogniser_goes_on_from_another(plates, tmp_path, capsys):
    path, archive = tmp_path / "further.keras", make_recogniser(tmp_path / "first.keras", SHAPE)
    assert recogniser.main(as_command(plates, path, init=archive, steps=4, **{"learning-rate": 1e-9})) == 0
    name = f"{PREFIX}conv1"
    for old, new in zip(*(load_archive(each).get_layer(name).get_weights() for each in (archive, path)), strict=True):
        np.testing.assert_allclose(old, new, atol=1e-6)
    assert recogniser.main(as_command(plates, tmp_path / "other.keras", init=tmp_path / "nowhere.keras")) == 2
    assert "nowhere.keras: no such file" in capsys.readouterr().err
    assert not list(tmp_path.glob("other*"))


@pytest.mark.slow
@pytest.mark.parametrize("named", [True, False])
def test_the_recogniser_that_a_generator_carries_goes_on_too(named, archive, plates, tmp_path, capsys):
    """With its names for characters; generators of before have none, and they are learned again, from clean tiles."""
    path, generator = tmp_path / "again.keras", tmp_path / "generator.keras"
    carrying = build_generator(1, 8, 1, reads=shape_of(load_archive(archive)), names=DIGITS if named else "")
    for layer in load_archive(archive).layers:
        if layer.weights and (named or layer.name != HEAD):
            carrying.get_layer(NAMES if layer.name == HEAD else layer.name).set_weights(layer.get_weights())
    carrying.save(generator)
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


@pytest.mark.slow
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
