"""What other people's libraries are told, and in time: our defaults, unless the user says otherwise; and to send
nothing."""

import ast
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from tiny_runs import make_tiles

from data.console import DEFAULTS, SILENCE, ended_early, held_back, prepare_libraries
from data.tiles import Row, format_rows

ROOT = Path(__file__).resolve().parents[1]
FIRST_IMPORT = """
import importlib.abc, os, sys

class AtImport(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name in {watched!r}:
            print(name, *(os.environ.get(variable) for variable in {variables!r}))
            sys.stdout.flush()
            os._exit(0)

sys.meta_path.insert(0, AtImport())
"""


def test_what_the_user_has_set_stays(monkeypatch):
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    prepare_libraries()
    assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == "0"
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == DEFAULTS["TF_CPP_MIN_LOG_LEVEL"]


@pytest.mark.parametrize(
    "call",
    [
        "import train; from training.settings import Settings; train.train(Settings(tiles='{tiles}', run='{out}/run'))",
        "from training import recogniser; recogniser.main(['--tiles', '{tiles}', '--out', '{out}/r.keras'])",
        "from training import average; average.main(['{out}/a.keras', '--out', '{out}/b.keras'])",
        "import evaluate; own = 'checkpoints/pretrained/pretrain.keras', ;"
        "evaluate.evaluate(evaluate.Settings(tiles='{tiles}', split='train', checkpoints=own))",
        "from models.loading import import_keras; import_keras()",
    ],
)
def test_it_is_told_before_it_is_loaded(tmp_path, call):
    tiles = make_tiles(tmp_path / "tiles")
    keys = sorted(path.stem for path in (tiles / "train" / "hr").iterdir())
    (tiles / "manifest.csv").write_text(format_rows([Row(key, "train", f"{key}.jpg", "12", "DE") for key in keys]))
    code = call.format(tiles=tiles, out=tmp_path)
    assert told(code, ("keras", "tensorflow"), ["TF_ENABLE_ONEDNN_OPTS"])[1:] == ["1"]


def told(code: str, watched: tuple[str, ...], variables: list[str]) -> list[str]:
    """The first of the watched packages that the code imports, and what the environment then says to it."""
    environment = {name: value for name, value in os.environ.items() if name not in {*DEFAULTS, *SILENCE}}
    command = [sys.executable, "-c", FIRST_IMPORT.format(watched=watched, variables=variables) + code]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip(), done.stderr
    return done.stdout.splitlines()[-1].split()


READ = "import numpy; from reading.reader import Reader; Reader().read([numpy.zeros((48, 96, 3))])"
ENHANCE = "import enhance; enhance.main(['{out}/plate.png', '--out', '{out}/out', '--checkpoint', '{out}/tiny.onnx'])"
EVALUATE = "import evaluate; evaluate.main(['--tiles', '{tiles}', '--split', 'train', '--out', '{out}/report', {more}])"


@pytest.mark.parametrize(
    ("call", "imported"),
    [
        (ENHANCE, "onnxruntime"),
        (EVALUATE.replace("{more}", "'--no-ocr', '--checkpoint', '{out}/tiny.onnx'"), "onnxruntime"),
        ("import app; app.main(['--checkpoint', '{out}/tiny.onnx'])", "onnxruntime"),
        ("import app; app.open_page(app.Settings(), None, '{out}')", "gradio"),
        ("import export; export.read_onnx('{out}/tiny.onnx')", "onnxruntime"),
        (READ, "onnxruntime"),
    ],
)
def test_nothing_is_sent_by_what_is_loaded(tmp_path, call, imported):
    if "import app" in call:
        pytest.importorskip("gradio", reason="make test does not install Gradio")
    tiles = make_tiles(tmp_path / "tiles")
    keys = sorted(path.stem for path in (tiles / "train" / "hr").iterdir())
    (tiles / "manifest.csv").write_text(format_rows([Row(key, "train", f"{key}.jpg", "12", "DE") for key in keys]))
    Image.new("RGB", (192, 96), (90, 120, 150)).save(tmp_path / "plate.png")
    (tmp_path / "tiny.onnx").write_bytes(b"read only after the import")
    code = call.format(tiles=tiles, out=tmp_path)
    assert told(code, (imported,), list(SILENCE)) == [imported, *SILENCE.values()]


GRADIO_MODULES = ("guard", "layout", "limits", "several", "single", "tab")
GUARDED = {f"page.{name}" for name in GRADIO_MODULES}
SENDING = {"onnxruntime", "rapidocr", "gradio", "huggingface_hub"}
# each of them is called or imported by a function that has prepared the libraries
PREPARED = {("models/loading.py", "_bound_memory"), *((f"page/{name}.py", "") for name in GRADIO_MODULES)}


def test_every_import_of_what_would_send_comes_after_the_variables():
    """Whatever program begins: scripts, tools, trainings and exports all load it by these functions."""
    for path in sorted(ROOT.rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if name.split("/")[0] in ("tests", ".venv"):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for function in [tree, *(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))]:
            prepared = False
            for node in function.body:
                called = {getattr(each.func, "id", "") for each in ast.walk(node) if isinstance(each, ast.Call)}
                prepared = prepared or "prepare_libraries" in called
                own = () if isinstance(node, (ast.FunctionDef, ast.ClassDef)) else imported_by(node)
                sending = {module for module in own if module.split(".")[0] in SENDING or module in GUARDED}
                known = (name, getattr(function, "name", "")) in PREPARED
                assert prepared or known or not sending, f"{name}, line {node.lineno}: {sending}"


def imported_by(statement) -> set[str]:
    found = [node for node in ast.walk(statement) if isinstance(node, (ast.Import, ast.ImportFrom))]
    plain = {alias.name for node in found if isinstance(node, ast.Import) for alias in node.names}
    return plain | {node.module for node in found if isinstance(node, ast.ImportFrom) and node.module}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_comes_where_no_exception_can_leave_ends_the_program_all_the_same(number):
    code = """
import gc, os, signal, sys, time
from data.console import ended_early

def during_collection(phase, info):
    gc.callbacks.remove(during_collection)
    os.kill(os.getpid(), int(sys.argv[1]))

signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
gc.callbacks.append(during_collection)
try:
    with ended_early():
        gc.collect()
        time.sleep(20)
except KeyboardInterrupt:
    print("ended early")
"""
    command = [sys.executable, "-c", code, str(int(number))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("ended early\n", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_a_library_turns_into_an_error_is_the_end_that_was_asked_for(number, terminal):
    """As TensorFlow does with what is raised while it calls Python."""

    def export():
        try:
            os.kill(os.getpid(), number)
            time.sleep(5)
        except KeyboardInterrupt:
            raise ValueError("Keras cannot export onnx") from None

    with pytest.raises(KeyboardInterrupt), ended_early():
        export()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_beginning_that_cannot_be_broken_off_is_finished_first(number, terminal):
    done = []

    def work():
        with held_back():
            os.kill(os.getpid(), number)
            done.append("the beginning")
        done.append("the rest")

    with pytest.raises(KeyboardInterrupt), ended_early():
        work()
    assert done == ["the beginning"]


def test_what_the_signal_has_broken_in_a_beginning_is_no_error(terminal):
    def work():
        with held_back():
            os.kill(os.getpid(), signal.SIGINT)
            raise RuntimeError("Nanny failed to start")

    with pytest.raises(KeyboardInterrupt), ended_early():
        work()


def test_a_second_signal_does_not_wait(terminal):
    def work():
        with held_back():
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)
            pytest.fail("it went on")

    with pytest.raises(KeyboardInterrupt), ended_early():
        work()


@pytest.fixture
def terminal():
    """That is not ignored when it is closed, as it is under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL), signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in zip((signal.SIGHUP, signal.SIGINT), before, strict=True):
        signal.signal(number, handler)


@pytest.mark.parametrize("streams", [">&-", "2>&-", ">&- 2>&- <&-", ">/dev/full", ">/dev/full 2>/dev/full"])
def test_what_becomes_of_the_terminal_does_not_matter(tmp_path, streams):
    """The report is whole, and no file takes the place of a closed stream, into which libraries write."""
    code = """
import sys
from data.console import prepare_console, say
prepare_console()
with open(sys.argv[1], "w") as report:
    for number in range(3):
        say("a line")
        say("an error", error=True)
        print(number, report.fileno() > 2, file=report)
    print("argparse and tqdm", file=sys.stderr)
"""
    report = tmp_path / "report"
    command = f'exec "$0" -c "$1" "$2" {streams}'
    done = subprocess.run(
        ["sh", "-c", command, sys.executable, code, report], cwd=ROOT, capture_output=True, timeout=60
    )
    assert report.read_text() == "0 True\n1 True\n2 True\n"
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False)


def test_silence_holds_against_the_users_environment(monkeypatch):
    for name in SILENCE:
        monkeypatch.setenv(name, "0")
    prepare_libraries()
    assert {name: os.environ[name] for name in SILENCE} == SILENCE


@pytest.mark.parametrize(
    ("setting", "backend"),
    [
        ({"backend": "jax", "image_data_format": "channels_first", "floatx": "float16"}, "torch"),
        pytest.param({"backend": "torch"}, None, marks=pytest.mark.slow),
    ],
)
def test_the_users_own_settings_of_keras_change_nothing(tmp_path, setting, backend):
    (tmp_path / "keras.json").write_text(json.dumps(setting))
    code = """
from models.loading import import_keras
keras = import_keras()
from models.generator import build_generator
model = build_generator(filters=8, blocks=1)
print(keras.config.backend(), model.output_shape, model.layers[-1].compute_dtype)
"""
    environment = os.environ | {"KERAS_HOME": str(tmp_path)} | ({"KERAS_BACKEND": backend} if backend else {})
    if backend is None:
        environment.pop("KERAS_BACKEND", None)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200
    )
    assert done.stdout == "tensorflow (None, None, None, 3) float32\n", done.stderr
