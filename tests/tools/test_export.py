import json

import keras
import numpy as np
import pytest
from tiny_generators import tiny_model

from models.enhancer import load_generator, restore
from tools import export

pytest.importorskip("tf2onnx", reason="make test does not install what only exports need")

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
        onnx = load_generator(out)
        assert (onnx.backend, onnx.precision, onnx.scale) == ("onnx", "float32", 1)
        assert onnx.info == {"role": "pretrain", "min_effective_width_px": 31}
        odd = np.random.default_rng(2).random((3, 37, 61, 3), dtype=np.float32)
        np.testing.assert_allclose(restore(onnx, odd), restore(generator, odd), atol=1e-3)


def test_a_difference_is_an_error_and_leaves_nothing(archive, tmp_path, monkeypatch, capsys):
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


def test_wrong_arguments(archive, tmp_path, capsys):
    cases = [
        (archive, "onnx", tmp_path / "x.keras"),
        (archive, "litert", tmp_path / "x"),
        (archive, "saved_model", tmp_path),
        (tmp_path / "x.onnx", "onnx", tmp_path / "y.onnx"),
    ]
    for checkpoint, format, out in cases:
        with pytest.raises(SystemExit) as stopped:
            export.main(["--checkpoint", str(checkpoint), "--format", format, "--out", str(out)])
        assert stopped.value.code == 2
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
