"""What is installed: a wheel with the networks and two commands, and requirements without TensorFlow that suffice."""

import shutil
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from PIL import Image
from tiny_generators import write_onnx

ROOT = Path(__file__).resolve().parents[1]
# all that requirements-enhance.txt leaves out
ABSENT = ("tensorflow", "keras", "dask", "distributed", "matplotlib", "onnx", "tf2onnx", "jax")
WITHOUT = f"""
import importlib.abc, sys

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in {ABSENT!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
"""


def test_the_wheel_names_every_package_that_enhancing_needs():
    settings = pytest.importorskip("tomllib").loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {"data", "models", "reading", "evaluation", "enhancing", "page", "tools"}
    found = {
        file.parent.relative_to(ROOT).as_posix() for each in folders for file in (ROOT / each).rglob("__init__.py")
    }
    named = {name.removeprefix("plate_enhance.").replace(".", "/") for name in settings["packages"]}
    assert named - {"plate_enhance"} == found - {"tools/benchmarks"}
    for pattern in settings["package-data"]["plate_enhance"]:
        assert list(ROOT.glob(pattern)), pattern
    listed = {file for pattern in settings["package-data"]["plate_enhance"] for file in ROOT.glob(pattern)}
    beside = {file for each in found for file in (ROOT / each).iterdir() if file.is_file() and file.suffix != ".py"}
    assert beside <= listed, "what lies beside a package's code, it opens"


def test_enhancing_needs_no_more_than_its_requirements(tmp_path):
    plate = tmp_path / "plate.png"
    Image.effect_noise((192, 64), 60).convert("RGB").save(plate)
    write_onnx(tmp_path / "net.onnx")
    call = ["enhance.main([", f"{str(plate)!r}, '--read', '--side-by-side', '--uncertainty', '--paste', '--out', "]
    code = f"{WITHOUT}import enhance; sys.exit({''.join(call)}{str(tmp_path / 'out')!r}, '--checkpoint', "
    code += f"{str(tmp_path / 'net.onnx')!r}]))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/plate.png").exists()


def test_the_page_needs_no_more_than_its_requirements(tmp_path):
    pytest.importorskip("gradio", reason="make test does not install Gradio")
    write_onnx(tmp_path / "net.onnx")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    code = WITHOUT + (
        "import app, os, signal, threading\n"
        "opened = app.open_page\n"
        "app.open_page = lambda *all: (opened(*all), os.kill(os.getpid(), signal.SIGTERM))[0]\n"
        f"sys.exit(app.main(['--port', '{port}', '--checkpoint', {str(tmp_path / 'net.onnx')!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert "The page is at http" in done.stdout, done.stderr


@pytest.mark.slow
def test_the_wheel_runs_by_itself(tmp_path):
    """Unpacked beside the installed libraries, away from this folder."""
    command = [sys.executable, "-m", "pip", "wheel", str(ROOT), "--no-deps", "--wheel-dir", str(tmp_path)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    finally:
        for left in (ROOT / "build", *ROOT.glob("*.egg-info")):
            shutil.rmtree(left, ignore_errors=True)
    wheel = next(tmp_path.glob("*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "site")
    assert {name.partition("/")[0] for name in names if ".dist-info" not in name} == {"plate_enhance"}
    assert "plate_enhance/checkpoints/pretrained/detector.onnx" in names
    plate = tmp_path / "plate.png"
    Image.effect_noise((192, 64), 60).convert("RGB").save(plate)
    write_onnx(tmp_path / "net.onnx")
    code = f"{WITHOUT}sys.argv[0] = 'plate-enhance'; from plate_enhance.tools import enhance; sys.exit(enhance())"
    done = subprocess.run(
        [sys.executable, "-c", code, str(plate), "--checkpoint", str(tmp_path / "net.onnx")],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "site"), "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "enhanced/plate.png").exists()
