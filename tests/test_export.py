import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import onnx
import pytest
from tiny_generators import tiny_model, write_onnx
from tiny_runs import DIGITS, SHAPE

import export
from models.answerer import find_answerer, load_answerer
from models.enhancer import load_generator, restore
from models.generator import build_generator
from models.recogniser import NAMES, build_recogniser

pytest.importorskip("tf2onnx", reason="make test does not install what only exports need")

ROOT = Path(__file__).resolve().parents[1]
FORMATS = [
    ("onnx", "tiny.onnx"),
    pytest.param("saved_model", "tiny", marks=pytest.mark.slow),
    pytest.param("litert", "tiny.tflite", marks=pytest.mark.slow),
]


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """An archive whose layers were stored with a bfloat16 policy, which ONNX Runtime refuses unless it is undone."""
    path = tmp_path_factory.mktemp("generator") / "tiny.keras"
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        tiny_model().save(path)
    finally:
        keras.config.set_dtype_policy("float32")
    path.with_suffix(".json").write_text(json.dumps({"role": "pretrain", "min_effective_width_px": 31}))
    return path


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("format", "name"), FORMATS)
def test_every_format_gives_the_same_pictures(archive, tmp_path, capsys, format, name):
    if format == "litert" and tuple(map(int, keras.__version__.split(".")[:2])) < (3, 13):
        pytest.skip("this Keras has no LiteRT exporter")
    out = tmp_path / "new" / name
    assert export.main(["--checkpoint", str(archive), "--format", format, "--out", str(out)]) == 0
    assert "the same as Keras within" in capsys.readouterr().out
    assert [path.name for path in out.parent.iterdir()] == [name]
    generator, other = load_generator(archive, "float32"), export.READERS[format](str(out))
    for size in ((32, 64), (48, 192)):
        batch = np.random.default_rng(1).random((2, *size, 3), dtype=np.float32)
        np.testing.assert_allclose(np.asarray(other(batch)), generator.run(batch), atol=1e-3)
    if format == "onnx":
        onnx = load_generator(out, "float32")
        assert (str(onnx.backend), onnx.scale) == ("ONNX Runtime, float32", 1)
        assert onnx.info == {"role": "pretrain", "min_effective_width_px": 31}
        odd = np.random.default_rng(2).random((3, 37, 61, 3), dtype=np.float32)
        np.testing.assert_allclose(restore(onnx, odd), restore(generator, odd), atol=1e-3)


@pytest.fixture(scope="module")
def exported(archive, tmp_path_factory):
    """The archive as ONNX, which takes seconds to make."""
    out = tmp_path_factory.mktemp("exported") / "tiny.onnx"
    assert export.main(["--checkpoint", str(archive), "--format", "onnx", "--out", str(out)]) == 0
    return out


@pytest.mark.slow
def test_a_difference_is_an_error_and_leaves_nothing(archive, exported, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(export, "write", lambda model, generator, file, format: shutil.copy(exported, file))
    read = export.READERS["onnx"]
    monkeypatch.setitem(export.READERS, "onnx", lambda path: lambda batch: read(path)(batch) + 0.002)
    out = tmp_path / "wrong.onnx"
    assert export.main(["--checkpoint", str(archive), "--format", "onnx", "--out", str(out)]) == 2
    assert "differs from Keras by 0.002" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", [np.nan, 0.5])
def test_the_check_sees_numbers_that_are_none(archive, wrong):
    generator = load_generator(archive, "float32")
    with pytest.raises(ValueError, match="differs"):
        export.check(generator, lambda batch: generator.run(batch) + wrong)
    with pytest.raises(ValueError, match="makes"):
        export.check(generator, lambda batch: generator.run(batch)[:, 1:])


@pytest.mark.filterwarnings("ignore")
def test_a_generator_is_exported_with_what_its_recogniser_reads(tmp_path):
    archive, out = tmp_path / "generator.keras", tmp_path / "generator.onnx"
    model = build_generator(1, 8, 2, reads=SHAPE, names=DIGITS)
    names = model.get_layer(NAMES)
    names.set_weights([np.random.default_rng(0).normal(0, 0.2, each.shape) for each in names.get_weights()])
    model.save(archive)
    assert export.main(["--checkpoint", str(archive), "--format", "onnx", "--out", str(out)]) == 0
    pictures = np.random.default_rng(1).random((2, 64, 192, 3), dtype=np.float32)
    drawn, read = load_generator(out, "float32").run(pictures)
    np.testing.assert_allclose(drawn, model(pictures, training=False), atol=1e-3)
    np.testing.assert_allclose(read, load_answerer(archive).run(pictures), atol=1e-3)
    # a difference in what is read is seen, too
    with pytest.raises(ValueError, match="differs"):
        export.check(load_generator(archive, "float32"), lambda batch: (model(batch), np.ones((len(batch), 48, 11))))


def test_wrong_arguments(archive, tmp_path, capsys):
    cases = [
        (archive, "onnx", tmp_path / "x.keras"),
        (archive, "litert", tmp_path / "x"),
        (archive, "saved_model", tmp_path),
        (tmp_path / "x.onnx", "onnx", tmp_path / "y.onnx"),
    ]
    for checkpoint, format, out in cases:
        assert export.main(["--checkpoint", str(checkpoint), "--format", format, "--out", str(out)]) == 2
    missing = ["--checkpoint", str(tmp_path / "x.keras"), "--format", "onnx", "--out", str(tmp_path / "y.onnx")]
    assert export.main(missing) == 2
    assert "no such file" in capsys.readouterr().err


def test_missing_packages_are_named(archive, tmp_path, monkeypatch, capsys):
    def missing(*_, **__):
        raise ImportError("No module named 'tf2onnx'")

    monkeypatch.setattr(keras.Model, "export", missing)
    arguments = ["--checkpoint", str(archive), "--format", "onnx", "--out", str(tmp_path / "y.onnx")]
    assert export.main(arguments) == 2
    assert "requirements-export.txt" in capsys.readouterr().err


def test_large_weights_are_stored_in_16_bits(exported):
    large = [each for each in onnx.load(exported).graph.initializer if np.prod(each.dims) >= export.LARGE]
    stored = {each.data_type for each in large}
    assert stored == {onnx.TensorProto.FLOAT16}


def test_weights_beyond_16_bits_stay_as_they_are(tmp_path):
    path = write_onnx(tmp_path / "net.onnx")
    network = onnx.load(path)
    network.graph.initializer.append(onnx.numpy_helper.from_array(np.full((4096,), 1e6, np.float32), "wide"))
    network.graph.node.append(onnx.helper.make_node("ReduceMean", ["wide"], ["mean"], keepdims=0))
    network.graph.node.append(onnx.helper.make_node("Mul", ["sr", "mean"], ["scaled"]))
    network.graph.output[0].name = "scaled"
    onnx.save(network, path)
    before = path.read_bytes()
    assert export.shorten(load_generator(path), str(path), 0.5) == 0.5
    assert path.read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [2, 8, 14])
def test_a_plain_kill_leaves_no_folder(archive, tmp_path, seconds):
    arguments = ["--checkpoint", str(archive), "--format", "onnx", "--out", str(tmp_path / "out" / "tiny.onnx")]
    process = subprocess.Popen([sys.executable, "export.py", *arguments], cwd=ROOT)
    time.sleep(seconds)
    process.terminate()
    process.wait(60)
    left = [path.name for path in (tmp_path / "out").glob("*")] if (tmp_path / "out").is_dir() else []
    assert left in ([], ["tiny.onnx"])


@pytest.mark.filterwarnings("ignore")
def test_an_exported_recogniser_answers_as_the_archive_does(tmp_path):
    archive, out = tmp_path / "recogniser.keras", tmp_path / "recogniser.onnx"
    build_recogniser(10, SHAPE).save(archive)
    archive.with_suffix(".json").write_text(json.dumps({"characters": DIGITS}))
    assert export.main(["--checkpoint", str(archive), "--format", "onnx", "--out", str(out)]) == 0
    pictures = np.random.default_rng(1).random((2, 64, 192, 3), dtype=np.float32)
    answers = [load_answerer(path) for path in (archive, out)]
    assert [each.characters for each in answers] == [DIGITS, DIGITS]
    of_archive, of_onnx = (each.run(pictures) for each in answers)
    np.testing.assert_allclose(of_archive.sum(axis=-1), 1, rtol=1e-5)
    np.testing.assert_allclose(of_onnx, of_archive, atol=1e-3)
    # beside a generator it is the one that answers, and needs no JSON
    archive.with_suffix(".json").unlink()
    assert find_answerer(tmp_path / "generator.onnx").characters == DIGITS
