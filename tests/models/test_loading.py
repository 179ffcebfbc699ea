"""Hostile and damaged generator files are refused with a reason, and TensorFlow is quiet."""

import json
import os
import resource
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import h5py
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tiny_generators import tiny_model, write_onnx

from models import loading
from models.enhancer import load_generator
from models.loading import FEW, choose_backend, load

ROOT = Path(__file__).resolve().parents[2]


def archive(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name.replace("_", "."), content)
    return path


def test_an_archive_that_unpacks_to_gigabytes_is_refused_unopened(tmp_path, monkeypatch):
    monkeypatch.setattr("models.loading.import_keras", lambda: pytest.fail("loaded first"))
    monkeypatch.setattr("models.loading.MAX_UNPACKED_BYTES", 30_000_000)
    bomb = archive(tmp_path / "bomb.keras", config_json="{}", weights_h5=bytes(31_000_000))
    with pytest.raises(ValueError, match=r"bomb\.keras: it unpacks to 31 MB"):
        load_generator(bomb)
    with pytest.raises(ValueError, match="21 MB of them its description"):
        load_generator(archive(tmp_path / "config.keras", config_json=b" " * 21_000_000))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"text"])
def test_what_is_no_archive_is_refused_before_keras_is_loaded(tmp_path, monkeypatch, content):
    monkeypatch.setattr("models.loading.import_keras", lambda: pytest.fail("loaded first"))
    (tmp_path / "net.keras").write_bytes(content)
    with pytest.raises(ValueError, match=r"net\.keras: not a \.keras archive"):
        load_generator(tmp_path / "net.keras")


@pytest.mark.parametrize("config", ["[" * 100_000, '{"module": ' * 50_000, "{}", '{"class_name": "Functional"}'])
def test_a_description_nested_too_deeply_or_empty_is_refused(tmp_path, config):
    path = archive(tmp_path / "net.keras", config_json=config, metadata_json="{}", weights_h5=b"")
    with pytest.raises(ValueError, match=r"net\.keras: Keras cannot load it"):
        load_generator(path)


def changed(folder, name, change):
    """The archive of a tiny network with other members: change(members) gets and changes {name: bytes}."""
    tiny_model().save(folder / "sound.keras")
    with zipfile.ZipFile(folder / "sound.keras") as sound:
        members = {each: sound.read(each) for each in sound.namelist()}
    change(members)
    with zipfile.ZipFile(folder / name, "w") as file:
        for each, content in members.items():
            file.writestr(each, content)
    return folder / name


@pytest.mark.parametrize(("setting", "value"), [("filters", 10**12), ("filters", 10**7), ("kernel_size", [30_000] * 2)])
def test_a_sound_description_of_a_huge_network_is_refused_without_making_it(tmp_path, setting, value):
    def grow(members):
        description = json.loads(members["config.json"])
        layer = next(each for each in description["config"]["layers"] if each["class_name"] == "Conv2D")
        layer["config"][setting] = value
        members["config.json"] = json.dumps(description)

    path = changed(tmp_path, "huge.keras", grow)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=r"huge\.keras: Keras cannot load it.*more than 1000 MB"):
        load_generator(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        ({"shape": (900_000_000,), "chunks": (100_000,), "compression": "gzip"}, "unpacks to 3600 MB"),
        ({"shape": (3, 3), "external": [("/etc/passwd", 0, 36)]}, "weights lie in other files"),
    ],
)
def test_weights_that_are_more_than_the_file_holds_or_lie_elsewhere_are_refused(tmp_path, monkeypatch, array, reason):
    def replace(members):
        (tmp_path / "weights.h5").write_bytes(members["model.weights.h5"])
        with h5py.File(tmp_path / "weights.h5", "a") as file:
            names = []
            file.visit(names.append)
            place = next(name for name in names if isinstance(file[name], h5py.Dataset))
            del file[place]
            file.create_dataset(place, dtype="f4", **array)
        members["model.weights.h5"] = (tmp_path / "weights.h5").read_bytes()

    path = changed(tmp_path, "arrays.keras", replace)
    monkeypatch.setattr("models.loading.import_keras", lambda: pytest.fail("loaded first"))
    with pytest.raises(ValueError, match=rf"arrays\.keras: .*{reason}"):
        load_generator(path)


def test_an_onnx_file_may_have_a_name_that_is_not_utf8(tmp_path):
    path = tmp_path / os.fsdecode(b"mod\xe8le.onnx")
    write_onnx(path, gain=0.5)
    tile = np.full((1, 32, 64, 3), 0.5, np.float32)
    np.testing.assert_allclose(load(path, "float32").run(tile), 0.25, atol=1e-6)
    np.testing.assert_allclose(load(path, "float32").run(np.repeat(tile, FEW + 1, 0)), 0.25, atol=1e-6)


def test_a_few_pictures_share_one_session_and_many_get_another(tmp_path, monkeypatch):
    opened = []
    open_one = loading.open_session
    monkeypatch.setattr(
        loading, "open_session", lambda path, threads: opened.append(threads) or open_one(path, threads)
    )
    run = load(write_onnx(tmp_path / "net.onnx", gain=0.5), "float32").run
    batch = np.random.default_rng(0).random((FEW + 1, 16, 16, 3), dtype=np.float32)
    few, sessions = run(batch[:FEW]), list(opened)
    many = run(batch)
    assert sessions == [0]
    assert opened == [0, 1]
    np.testing.assert_allclose(few, many[:FEW], atol=1e-6)
    np.testing.assert_allclose(many, batch * 0.5, atol=1e-6)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_second_output_comes_along(tmp_path, precision):
    if precision == "bfloat16":
        pytest.importorskip("openvino")
    run = load(write_onnx(tmp_path / "net.onnx", gain=0.5, read_px=4), precision).run
    batch = np.random.default_rng(0).random((FEW + 1, 16, 32, 3), dtype=np.float32)
    for some in (batch[:FEW], batch):
        pictures, read = run(some)
        np.testing.assert_allclose(pictures, some * 0.5, atol=1 / 256)
        np.testing.assert_allclose(read, some.reshape(-1, 16, 8, 4, 3).mean(axis=(1, 3)), atol=1 / 128)


def test_a_second_output_of_another_kind_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"not a generator: beside a picture it makes \(\(1, 2, 3\),\)"):
        load_generator(write_onnx(tmp_path / "net.onnx", read_px=8), "float32")


def test_what_stands_in_an_onnx_file_may_be_nonsense(tmp_path):
    path = write_onnx(tmp_path / "net.onnx", info={"tile": "x", "strength": [1], "window_px": {}})
    generator = load_generator(path)
    assert (generator.width_px, generator.strength, generator.window_px) == (192, 1, 0)
    path = write_onnx(tmp_path / "huge.onnx", info={"tile": [96, 100_000]})
    with pytest.raises(ValueError, match="tiles of 96 x 100000"):
        load_generator(path)


@pytest.mark.slow
def test_loading_a_keras_archive_says_nothing(tmp_path):
    tiny_model().save(tmp_path / "net.keras")
    (tmp_path / "net.json").write_text(json.dumps({"strength": 0.5}))
    code = (
        "import numpy, sys; from models.enhancer import load_generator; "
        "load_generator(sys.argv[1]).run(numpy.zeros((1, 16, 16, 3), 'float32'))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "net.keras")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("file", "precision", "fast", "openvino", "chosen"),
    [
        ("net.onnx", "auto", False, False, "ONNX Runtime, float32"),
        ("net.onnx", "auto", False, True, "ONNX Runtime, float32"),
        ("net.onnx", "auto", True, False, "ONNX Runtime, float32"),
        ("net.onnx", "auto", True, True, "OpenVINO, bfloat16"),
        ("net.onnx", "float32", True, True, "ONNX Runtime, float32"),
        ("net.onnx", "bfloat16", False, True, "OpenVINO, bfloat16"),
        ("net.keras", "auto", True, False, "Keras, bfloat16"),
        ("net.keras", "auto", False, True, "Keras, float32"),
    ],
)
def test_one_place_chooses_what_computes(monkeypatch, file, precision, fast, openvino, chosen):
    monkeypatch.setattr(loading, "cpu_has_bfloat16", lambda: fast)
    monkeypatch.setattr(loading, "find_spec", lambda name: object() if openvino else None)
    assert str(choose_backend(Path(file), precision)) == chosen


def test_bfloat16_of_an_onnx_file_without_openvino_says_what_is_missing(monkeypatch):
    monkeypatch.setattr(loading, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="bfloat16 needs OpenVINO"):
        choose_backend(Path("net.onnx"), "bfloat16")


def test_openvino_computes_the_same(tmp_path):
    pytest.importorskip("openvino")
    path = write_onnx(tmp_path / "net.onnx", gain=0.5, info={"strength": 0.25})
    batch = np.random.default_rng(0).random((5, 32, 48, 3), dtype=np.float32)
    generator = load_generator(path, "bfloat16")
    assert (str(generator.backend), generator.strength) == ("OpenVINO, bfloat16", 0.25)
    # a bfloat16 has eight bits of precision
    np.testing.assert_allclose(generator.run(batch), load_generator(path, "float32").run(batch), atol=1 / 256)


def test_a_file_is_tried_under_a_limit_of_memory_before_openvino_gets_it(tmp_path):
    pytest.importorskip("openvino")
    (tmp_path / "net.onnx").write_bytes(b"text")
    with pytest.raises(ValueError, match=r"net\.onnx: ONNX Runtime cannot run it"):
        load_generator(tmp_path / "net.onnx", "bfloat16")


def write_greedy(path, sizes, of_picture=False):
    """A network that adds the mean of a constant, in a file of some hundred bytes. sizes: of the constant. of_picture:
    times the picture's, so that the network fails only where a picture is large enough."""
    shape = [None, None, None, 3]
    times = [helper.make_node("Shape", ["lq"], ["picture"]), helper.make_node("Mul", ["picture", "sizes"], ["product"])]
    network = helper.make_graph(
        [
            *(times if of_picture else []),
            helper.make_node("ConstantOfShape", ["product" if of_picture else "sizes"], ["\x1b[2Jbig"]),
            helper.make_node("ReduceMean", ["\x1b[2Jbig"], ["mean"], keepdims=0),
            helper.make_node("Add", ["lq", "mean"], ["sr"]),
        ],
        "generator",
        [helper.make_tensor_value_info("lq", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("sr", TensorProto.FLOAT, shape)],
        [helper.make_tensor("sizes", TensorProto.INT64, [len(sizes)], sizes)],
    )
    onnx.save(helper.make_model(network, opset_imports=[helper.make_opsetid("", 15)], ir_version=8), path)
    return path


@pytest.mark.parametrize("sizes", [[1 << 30], [10 << 30], [1 << 15, 1 << 15]])
def test_an_onnx_file_that_asks_for_gigabytes_is_refused_at_once(tmp_path, capfd, sizes):
    path = write_greedy(tmp_path / "greedy.onnx", sizes)
    for precision in ("float32", "bfloat16") if find_spec("openvino") else ("float32",):
        with pytest.raises(ValueError, match=r"greedy\.onnx: ONNX Runtime cannot run it"):
            load_generator(path, precision)
    assert capfd.readouterr() == ("", "")


def test_a_network_that_asks_for_gigabytes_only_while_it_runs_fails_by_name(tmp_path, capfd):
    path = write_greedy(tmp_path / "greedy.onnx", [1, 64, 64, 1], of_picture=True)
    generator = load_generator(path, "float32")
    with pytest.raises(ValueError, match=r"greedy\.onnx: it fails on a picture of 960 x 1920"):
        generator.run(np.zeros((1, 960, 1920, 3), np.float32))
    # and it can go on with smaller ones
    assert generator.run(np.zeros((2, 16, 16, 3), np.float32)).shape == (2, 16, 16, 3)
    assert capfd.readouterr() == ("", "")
