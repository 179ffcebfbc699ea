"""Damaged pictures, and programs named as pictures, through preprocess.py, enhance.py and evaluate.py."""

# ruff: noqa: F811 (fixtures)
import contextlib
import csv
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image, features
from plate_photos import (
    PLATE,
    draw_photo,
    one_thread,  # noqa: F401 (a fixture)
    quick,  # noqa: F401 (a fixture)
    report,
    run,
)
from tiny_generators import write_onnx

import enhance
import evaluate
from data.io import encode_png
from data.tiles import read_manifest, stored_size

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", *(("AVIF",) if features.check("avif") else ()))
# one good picture to so many damaged ones
GOOD_SHARE = 11


def draw_crop(seed: int) -> np.ndarray:
    left, top, right, bottom = PLATE
    return draw_photo(seed)[top:bottom, left:right]


def write_damaged(folder: Path, count: int) -> set[str]:
    """`count` damaged pictures and a few good ones; the names of the good ones."""
    folder.mkdir()
    for number in range(count):
        form = FORMATS[number % len(FORMATS)]
        whole = io.BytesIO()
        Image.fromarray(draw_crop(number)).save(whole, format=form)
        rng = np.random.default_rng(number)
        damaged = np.frombuffer(whole.getvalue(), np.uint8).copy()
        # in the header half of the time: there is most to break
        reach = 200 if rng.random() < 0.5 else damaged.size
        places = rng.integers(0, min(reach, damaged.size), int(rng.integers(1, 20)))
        damaged[places] = rng.integers(0, 256, places.size, dtype=np.uint8)
        # cut off, too, in two of three
        (folder / f"{number:03d}.{form.lower()}").write_bytes(damaged.tobytes()[: damaged.size - number % 3 * 100])
    good = {f"good-{number}.jpg" for number in range(-(-count // GOOD_SHARE))}
    for number, name in enumerate(sorted(good)):
        Image.fromarray(draw_crop(1000 + number)).save(folder / name, quality=95)
    return good


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("count", [36, pytest.param(660, marks=pytest.mark.slow)])
def test_damaged_pictures_never_end_a_run_nor_lose_a_good_one(tmp_path, quick, count):
    good = write_damaged(tmp_path / "raw", count)
    generator = write_onnx(tmp_path / "net.onnx", info={"made": "by hand"})
    anything = ("--min-contrast", 0, "--min-sharpness", 0, "--brightness", -1, 2, "--min-plate-width", 1)
    assert run(tmp_path / "raw", tmp_path / "tiles", "--format", "crops", *anything) == 1
    assert sum(report(tmp_path / "tiles")["photos"].values()) == count + len(good)
    assert good <= {row.source for row in read_manifest(tmp_path / "tiles")}

    raw, checkpoint = str(tmp_path / "raw"), ("--checkpoint", str(generator))
    assert enhance.main([raw, "--whole", "--out", str(tmp_path / "results"), *checkpoint]) == 1
    with open(tmp_path / "results/report.csv", encoding="utf-8-sig", newline="") as file:
        rows = {Path(row["input"]).name: row["status"] for row in csv.DictReader(file)}
    assert len(rows) == count + len(good)
    assert {rows[name] for name in good} == {"done"}

    assert evaluate.main(["--lq-only", raw, "--no-ocr", "--out", str(tmp_path / "scores"), *checkpoint]) == 1
    failed = json.loads((tmp_path / "scores/metrics.json").read_text(encoding="utf-8"))["failed"]
    scored = list(csv.DictReader((tmp_path / "scores/per_plate.csv").read_text(encoding="utf-8").splitlines()))
    assert len(scored) + len(failed) == count + len(good)
    assert good <= {row["key"] for row in scored}


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 30 20\n%%EndComments\nshowpage\n"


@pytest.fixture
def started(tmp_path, monkeypatch):
    """A file that is there once anybody has started Ghostscript."""
    tools, mark = tmp_path / "tools", tmp_path / "started"
    tools.mkdir()
    (tools / "gs").write_text(f"#!/bin/sh\ntouch '{mark}'\n")
    (tools / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    (tmp_path / "plate.eps").write_bytes(EPS)
    with Image.open(tmp_path / "plate.eps") as image, contextlib.suppress(OSError):
        image.load()
    assert mark.exists(), "Pillow itself starts it"
    mark.unlink()
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    return mark


def test_a_program_named_as_a_picture_is_run_nowhere(tmp_path, quick, started, capsys):
    """In --raw, in a tile folder, in --lq-only, and as an input."""
    raw, tiles, checkpoint = tmp_path / "raw", tmp_path / "tiles", write_onnx(tmp_path / "net.onnx")
    for folder in (raw, tiles / "test/hr", tiles / "test/lq"):
        folder.mkdir(parents=True)
        (folder / "plate.jpg").write_bytes(EPS)
        (folder / "sound.jpg").write_bytes(encode_png(draw_crop(1)))
    out = str(tmp_path / "out")
    assert run(raw, tmp_path / "made", "--format", "crops") == 1
    assert report(tmp_path / "made")["reasons"]["not a picture"]["files"] == ["plate.jpg"]
    for place in (("--tiles", str(tiles)), ("--lq-only", str(raw))):
        assert evaluate.main([*place, "--no-ocr", "--out", out, "--checkpoint", str(checkpoint)]) == 1
        assert "an EPS file is a program" in (tmp_path / "out/metrics.json").read_text(encoding="utf-8")
    assert enhance.main([str(raw), "--whole", "--out", str(tmp_path / "results"), "--checkpoint", str(checkpoint)]) == 1
    assert "an EPS file is a program" in capsys.readouterr().err
    with pytest.raises(ValueError, match="not a picture"):
        stored_size(str(tiles / "test/hr/plate.jpg"))
    assert not started.exists()
