"""Training with JAX: the same as with TensorFlow. In processes of their own, since Keras has one back end per
process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_runs import SHAPE, as_flags, make_tiles, read_rows, tiny_settings

import train
from data.tiles import Row, format_rows
from models.generator import build_generator
from models.loading import load_archive
from models.recogniser import build_recogniser

pytest.importorskip("jax")
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("graphs")]
ROOT = Path(__file__).parents[2]
CHARACTERS = "0123456789"


def with_jax(*command: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    return subprocess.run([sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> dict[str, Path]:
    """Tiles of which some have a text, a generator and a recogniser to begin with: each back end has its own random
    numbers."""
    folder = tmp_path_factory.mktemp("given")
    tiles = make_tiles(folder / "tiles", size=(32, 64))
    rows = [Row(f"{split}{i:02d}", split, "p.jpg", f"{i}7", "DE") for split in ("train", "val") for i in range(4)]
    (tiles / "manifest.csv").write_text(format_rows(rows), encoding="utf-8")
    paths = {"tiles": tiles, "init": folder / "init.keras", "recogniser": folder / "recogniser.keras"}
    generator, recogniser = build_generator(1, 8, 2), build_recogniser(len(CHARACTERS), SHAPE)
    rng = np.random.default_rng(0)
    # else the pictures hardly depend on the rest
    for name in ("difference", "gain"):
        kernel = generator.get_layer(name).kernel
        kernel.assign(rng.normal(0, 0.05, kernel.shape))
    generator.save(paths["init"])
    recogniser.save(paths["recogniser"])
    paths["recogniser"].with_suffix(".json").write_text(json.dumps({"characters": CHARACTERS}))
    return paths


def settings_of(given, run, **changes):
    options = {"reading_weight": 0.5, "strokes_weight": 0.4, "log_every": 1, "reading_limit": 0, "pretrain_steps": 6}
    # steps whose signs differ by chance then lead less far apart
    options["pretrain_learning_rate"] = 1e-4
    files = {"init": str(given["init"]), "recogniser": str(given["recogniser"])}
    return tiny_settings(given["tiles"], run, **{**files, **options, "adversarial_steps": 0, **changes})


def assert_nearly_the_same(given, one: Path, other: Path) -> None:
    """Beside what training changed: Adam takes its first steps by the signs of gradients that may be zero but for
    rounding."""
    lq = np.random.default_rng(1).random((2, 32, 64, 3), dtype=np.float32)
    before, *after = (np.asarray(load_archive(path)(lq, training=False)) for path in (given["init"], one, other))
    assert np.abs(after[0] - after[1]).mean() < 0.1 * np.abs(after[0] - before).mean()


def test_stage_one_takes_the_same_steps(given, tmp_path):
    runs = {name: tmp_path / name for name in ("tensorflow", "jax")}
    assert train.main(as_flags(settings_of(given, runs["tensorflow"]))) == 0
    done = with_jax("train.py", *as_flags(settings_of(given, runs["jax"])))
    assert done.returncode == 0, done.stderr
    rows = [read_rows(run) for run in runs.values()]
    for term in ("mse", "strokes", "reading", "g_loss", "g_gradient_norm"):
        one, other = ([float(row[term]) for row in each] for each in rows)
        assert one == pytest.approx(other, rel=1e-2), term
    assert_nearly_the_same(given, *(run / "pretrain.keras" for run in runs.values()))
    about = json.loads((runs["jax"] / "pretrain.json").read_text(encoding="utf-8"))
    assert set(about) & {"jax", "tensorflow"} == {"jax"}


def test_a_run_goes_on_where_it_was_stopped_and_on_the_other_back_end(given, tmp_path):
    """The state is the same arrays: begun with TensorFlow, ended with JAX."""
    straight, moved = tmp_path / "straight", tmp_path / "moved"
    plain = {"recogniser": "", "reading_weight": 0.0}
    assert train.main(as_flags(settings_of(given, straight, **plain))) == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.loop.Run._stops", lambda run, logs: run.progress.step == 3)
        assert train.main(as_flags(settings_of(given, moved, **plain))) == 130
    done = with_jax("train.py", "--run", str(moved), "--resume")
    assert done.returncode == 0, done.stderr
    assert_nearly_the_same(given, straight / "pretrain.keras", moved / "pretrain.keras")


def test_stage_two_needs_tensorflow(given, tmp_path):
    done = with_jax("train.py", *as_flags(settings_of(given, tmp_path / "run", adversarial_steps=3)))
    assert done.returncode == 2
    assert "on JAX there is stage one only" in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_recogniser_trains(given, tmp_path):
    path = tmp_path / "further.keras"
    done = with_jax(
        "-m", "training.recogniser", "--tiles", str(given["tiles"]), "--out", str(path), "--steps", "6",
        "--batch-size", "4", "--blocks", "0", "0", "0", "1",
        "--workers", "1", "--cache", "--validate-every", "3", "--learning-rate", "1e-3",
        "--precision", "mixed_bfloat16",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # three times on the way
    assert done.stdout.count("read whole on validation") == 4
    assert {each.name for each in tmp_path.iterdir()} == {"further.keras", "further.json"}
    assert all(np.isfinite(weight).all() for weight in load_archive(path).get_weights())
