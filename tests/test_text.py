"""Names and texts that would do something where they are written."""

import csv
import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from data.console import cell, literal, printable
from data.files import read_text, write_text

ROOT = Path(__file__).resolve().parents[1]
FORMULAS = ('=HYPERLINK("http://evil.example","x")', "+1+1", "-1+1", "@SUM(1)", "\t=1+1", "\r=1+1", "＝1+1", "a;=1+1")
ESCAPES = ("\x1b[2J", "\x1b]0;title\x07", "\x9b2J", "\r", "\b", "\u202e", "\udcff", "\x7f")
MATHS = (r"$\foo{$", "$a", "$a$", r"\$", "a$b$c$", "$$")


def drawn(text: str, **more) -> np.ndarray:
    figure = Figure(figsize=(3, 1), dpi=60)
    canvas = FigureCanvasAgg(figure)
    figure.text(0.1, 0.5, text, **more)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_is_computed(text):
    written = cell(text)
    assert not any(part.startswith(tuple("=+-@\t\r＝＋－＠")) for part in written.split(";"))
    assert len(written) > len(text)


@pytest.mark.parametrize("value", [-1.5, -3, "-1.5", "-3", "+7", "-1e-05", "-0.0123", "12", ""])
def test_numbers_stay_numbers(value):
    assert cell(value) == value


@pytest.mark.parametrize("value", ["京A12345", "a - b", "plate-1.png", "AB=1", "a; -b", None, True])
def test_other_cells_stay_as_they_are(value):
    assert cell(value) == value


@pytest.mark.parametrize("text", ESCAPES)
def test_nothing_steers_the_terminal(text):
    for made in (printable(f"a{text}b"), cell(f"a{text}b"), literal(f"a{text}b")):
        assert made.isprintable()
        assert made[0] + made[-1] == "ab"
        made.encode()


def test_a_name_that_the_system_does_not_decode_is_utf8_where_it_can_be():
    undecoded = "車 é".encode().decode("ascii", "surrogateescape")
    assert printable(undecoded) == cell(undecoded) == "車 é"
    assert printable("a\udce9") == "a\\xdce9"
    assert printable("a\ud800") == "a\\xd800"


def test_a_text_with_a_name_that_is_not_utf8_can_be_written_and_read_again(tmp_path):
    about = {"tiles": "tuiles \udce9t\udce9 é"}
    write_text(tmp_path / "config.json", json.dumps(about, ensure_ascii=False))
    assert json.loads(read_text(tmp_path / "config.json")) == about


@pytest.mark.parametrize("text", MATHS)
def test_figures_take_texts_at_their_word(text):
    np.testing.assert_array_equal(drawn(literal(text)), drawn(text, parse_math=False))


# --- Where they are written -------------------------------------------------------------------------------------------


def run(*command: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1"}
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=300,
    )


def steers(done: subprocess.CompletedProcess) -> bool:
    return any(char in done.stdout + done.stderr for char in "\x1b\x9b\x07\b")


EVIL = "\x1b]0;owned\x07\x9b2J"


@pytest.mark.parametrize(
    "command",
    [
        ("enhance.py", EVIL, "--out", "{out}"),
        ("enhance.py", "{photos}", "--out", "{out}", "--checkpoint", EVIL),
        ("preprocess.py", "--raw", EVIL, "--out", "{out}"),
        ("preprocess.py", "--raw", "{photos}", "--out", "{out}", "--format", "ccpd"),
        ("train.py", "--tiles", EVIL, "--run", "{out}"),
        ("evaluate.py", "--tiles", EVIL, "--out", "{out}"),
        ("evaluate.py", "--lq-only", "{photos}", "--out", "{out}", "--checkpoint", EVIL + ".keras"),
        ("export.py", "--checkpoint", EVIL + ".keras", "--format", "onnx", "--out", "{out}.onnx"),
        ("app.py", "--checkpoint", EVIL),
        # what argparse itself says
        ("enhance.py", "--out", "{out}", "--workers", EVIL, "x"),
        ("enhance.py", "--corners", EVIL, "1,1", "1,1", "1,1", "x"),
        ("evaluate.py", "--precision", EVIL, "--tiles", "x"),
        ("preprocess.py", EVIL, f"--{EVIL}"),
        ("train.py", f"--pretrain-{EVIL}"),
        ("app.py", "--port", EVIL),
        ("-m", "data.synthetic", "--out", "{photos}", "--count", "1"),
        pytest.param(("-m", "training.average", f"{EVIL}.keras", "--out", "{out}.keras"), marks=pytest.mark.slow),
    ],
)
def test_no_script_lets_a_name_steer_the_terminal(tmp_path, command):
    photos = tmp_path / f"photos{EVIL}"
    photos.mkdir()
    (photos / f"a{EVIL}.jpg{EVIL}").write_bytes(b"no picture")
    (photos / f"b{EVIL}.jpg").write_bytes(b"no picture")
    done = run(*(word.format(photos=photos, out=tmp_path / f"out{EVIL}") for word in command))
    assert done.returncode != 0
    assert "Traceback" not in done.stderr, done.stderr
    assert done.stderr.strip()
    assert not steers(done), ascii(done.stdout + done.stderr)


PROGRAMS = [
    *("training.average", "training.detector", "training.recogniser", "enhancing.calibrate", "data.degrade"),
    *(
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in sorted((ROOT / "tools").rglob("[a-z]*.py"))
        if "__main__" in path.read_text(encoding="utf-8")
    ),
]


@pytest.mark.parametrize("name", PROGRAMS)
def test_no_other_program_lets_an_argument_steer_the_terminal(name, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["program", f"--{EVIL}", EVIL])
    with pytest.raises(SystemExit):
        runpy.run_module(name, run_name="__main__")
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert not {"\x1b", "\x9b", "\x07"} & set(error), ascii(error)


@pytest.mark.slow
def test_hostile_names_and_texts_pass_through_an_evaluation(tmp_path, generator):
    """evaluate.py on pictures whose names and texts are formulas of all three kinds."""
    photos = tmp_path / "photos"
    photos.mkdir()
    names = ["=1+1.png", "$\\foo{$.png", "@x\x1b[2J.png", "-a.png"]
    texts = ["=HYPERLINK(1)", "$\\foo{$", "+A1\x1b[2J", "-B2"]
    for number, name in enumerate(names):
        pixels = np.random.default_rng(number).integers(0, 255, (48, 96, 3), np.uint8)
        Image.fromarray(pixels).save(photos / name)
    with (photos / "text.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(
            [("file", "text", "country"), *((n, t, "$x") for n, t in zip(names, texts, strict=True))]
        )
    out = tmp_path / "out"
    checkpoint = str(generator.rename(tmp_path / "=1+1$.keras"))
    done = run("evaluate.py", "--lq-only", str(photos), "--out", str(out), "--checkpoint", checkpoint)
    assert done.returncode == 0, done.stderr
    assert not steers(done), ascii(done.stdout + done.stderr)
    with (out / "per_plate.csv").open(encoding="utf-8", newline="") as file:
        cells = [each for row in csv.reader(file) for each in row]
    assert_harmless(cells)
    assert json.loads((out / "metrics.json").read_text())["tiles"]["n"] == 4


@pytest.mark.slow
def test_hostile_names_pass_through_enhancing(tmp_path, generator):
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("=1+1.png", "@x\x1b[2J.png", "-a.png", "-5.png"):
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (48, 96, 3), np.uint8)).save(photos / name)
    for name in ("=2.exe\x1b[2J", "\x1b[2J.\x1b[2J"):
        (photos / name).write_bytes(b"no picture")
    out = tmp_path / "out"
    # from inside the folder, so that the names begin with what they begin with
    script = f"import os, sys; sys.path.insert(0, {str(ROOT)!r}); os.chdir({str(photos)!r}); import enhance; "
    script += f"sys.exit(enhance.main(['--out', {str(out)!r}, '--checkpoint', {str(generator)!r}, '--read', '--', "
    done = run("-c", script + "*sorted(os.listdir('.'))]))")
    assert done.returncode in (0, 1), done.stderr
    assert not steers(done), ascii(done.stdout + done.stderr)
    with (out / "report.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    assert_harmless([each for row in rows for each in row.values()])
    assert all(float(row["brightness_before"]) >= 0 for row in rows if row["status"] == "done")


def assert_harmless(cells: list[str]) -> None:
    for each in cells:
        assert each.isprintable(), ascii(each)
        try:
            float(each)
        except ValueError:
            assert not each.startswith(tuple("=+-@")), each


@pytest.fixture
def generator(tmp_path) -> Path:
    from models.generator import build_generator

    path = tmp_path / "tiny.keras"
    build_generator(filters=8, blocks=1).save(path)
    return path
