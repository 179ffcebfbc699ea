"""What benchmarks compute of what they see; the speeds themselves are not tested."""

import json

import numpy as np
import pytest

from data.straighten import plate_width
from data.tiles import Pair, Plate
from models.detector import Detection
from reading.answer import Answer
from reading.reader import Reading
from tools.benchmarks import detector, speed
from tools.benchmarks.real import SECOND, WAYS, Seen, lines, rates


@pytest.fixture
def seen():
    """Two plates: enhancing mends the first and spoils the second; the answer has both but for a character."""
    texts = {
        "input": ("AB13", "CD34"),
        "whole": ("AB13", "CD34"),
        "result": ("AB12", "CD3A"),
        "answer": ("AB12", "CD33"),
    }
    readings = [{way: Reading(texts[way][i], 0.95) for way in WAYS} for i in range(2)]
    given = [("AB12", (0.92, 0.92, 0.92, 0.92)), ("CD33", (0.92, 0.92, 0.92, 0.4))]
    return [
        Seen(each, Answer(tuple(((char, p),) for char, p in zip(text, probabilities, strict=True))))
        for each, (text, probabilities) in zip(readings, given, strict=True)
    ]


@pytest.fixture
def pairs():
    picture = np.zeros((8, 16, 3), np.uint8)
    return [Pair(Plate(text, "", text=text, country="DE"), picture) for text in ("AB12", "CD34")]


def test_rates_by_way(pairs, seen):
    figures = rates(pairs, seen)
    assert {way: figures[way]["plate_acc"]["value"] for way in WAYS} == dict.fromkeys(WAYS, 0.5)
    assert figures["answer"]["char_acc"]["value"] == pytest.approx(7 / 8)
    # of the one plate that could be read
    assert (figures["result"]["flip_rate"]["count"], figures["result"]["flip_rate"]["n"]) == (1, 1)
    assert figures["result"]["confidently_wrong"]["count"] == 1
    rows = lines("some", figures)
    assert len(rows) == len(WAYS)
    assert rows[2].startswith("| some | result | 2 | 50.0 ")
    assert "| 1 of 1 |" in rows[2]


def test_a_second_reader_does_harm_to_its_own_reading_of_the_input(pairs, seen):
    read = [("AB13", "AB12"), ("CD34", "CD34")]
    again = [each.readings | {way: Reading(text, 0.5) for way, text in zip(SECOND, own, strict=True)}
             for each, own in zip(seen, read, strict=True)]  # fmt: skip
    figures = rates(pairs, [Seen(*each) for each in zip(again, (one.answer for one in seen), strict=True)])
    assert (figures["result"]["flip_rate"]["count"], figures[SECOND[1]]["flip_rate"]["count"]) == (1, 0)
    assert figures[SECOND[1]]["flip_rate"]["n"] == 1
    assert [row.split(" | ")[5] for row in lines("some", figures)][-2:] == ["", "0 of 1"]


# --- Speed ------------------------------------------------------------------------------------------------------------


def speed_report(**measured) -> dict:
    about = {
        "cpu": "CPU",
        "cores": 2,
        "flags": ["avx2"],
        "system": "Linux",
        "python": "3.11",
        "packages": {"numpy": "2"},
    }
    known = {name: {"load": 0.5, "figures": some, "problem": ""} for name, some in measured.items()}
    return {"machine": about | {"code": "abc", "date": "2026-11-28"}, "parts": known}


def test_the_table_goes_between_its_marks_and_nothing_else_changes(tmp_path):
    document, report = tmp_path / "B.md", speed_report(start=[("help", 0.1234, "s", "0.1 s of CPU")])
    document.write_text(f"before\n{speed.BEGIN}\nold\n{speed.END}\nafter\n")
    speed.write_table(document, report)
    speed.write_table(document, report)
    text = document.read_text()
    assert (text[:7], text[-6:], "old" in text) == ("before\n", "after\n", False)
    assert text.count("| help | 0.123 s | 0.1 s of CPU | 0.5 |") == 1
    assert "CPU, 2 cores (avx2)" in text
    document.write_text("no marks")
    with pytest.raises(ValueError, match=r"B\.md has no lines <!-- make bench"):
        speed.write_table(document, report)


def test_the_document_has_the_marks():
    assert speed.BEGIN in speed.DOCUMENT.read_text(encoding="utf-8")


def test_the_share_of_batches_is_of_the_time_of_all_cores(monkeypatch):
    monkeypatch.setattr(speed.os, "cpu_count", lambda: 2)
    steps = [("training, pretrain, float32", 50, "windows/s", ""), ("training, pretrain, mixed_bfloat16", 25, "", "")]
    report = speed_report(batches=[("making a window of stage one", 10, "ms", "")], train=steps)
    # 20 ms on two cores beside 10 ms of one
    assert [figure.value for figure in speed.share_of_batches(report["parts"])] == [pytest.approx(20)]
    assert list(speed.share_of_batches({})) == []


def test_a_process_is_measured_with_what_it_starts():
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'sum(range(3_000_000))'])"
    spent = speed.run_script("-c", code)
    assert min(spent.cpu, spent.seconds) > 0.03
    assert spent.mebibytes > 5
    with pytest.raises(ChildProcessError, match="ZeroDivisionError"):
        speed.run_script("-c", "1 / 0")


def test_parts_that_are_not_asked_for_keep_their_figures(tmp_path, monkeypatch):
    monkeypatch.setattr(speed, "measure", lambda part, folder: ([speed.Figure(part, 1.0, "s")], ""))
    document, out = tmp_path / "B.md", tmp_path / "bench.json"
    document.write_text(f"{speed.BEGIN}\n{speed.END}\n")
    flags = ["--out", str(out), "--document", str(document)]
    assert speed.main([*flags, "--parts", "plate"]) == 0
    assert speed.main([*flags, "--parts", "start"]) == 0
    report = json.loads(out.read_text())
    assert [name for name, part in report["parts"].items() if part["figures"]] == ["start", "plate"]
    assert {"cpu", "cores", "flags", "packages"} <= report["machine"].keys()
    assert speed.main([*flags, "--parts", "nothing"]) == 2


def test_rendered_plates_are_as_wide_as_their_kind_says_and_lie_in_the_picture_or_not():
    for kind in (detector.KINDS[0], next(kind for kind in detector.KINDS if kind.outside)):
        picture, corners = detector.render(kind, 1)
        assert picture.shape == (*detector.RENDERED_PX, 3)
        assert plate_width(corners) == pytest.approx(kind.width_px, rel=1e-6)
        assert bool(corners[:, 0].min() < 0) == (kind.outside > 0)
        again = detector.render(kind, 1)
        assert (again[0] == picture).all()
        assert (again[1] == corners).all()


def test_of_rendered_plates_those_found_are_counted_and_those_elsewhere(monkeypatch):
    monkeypatch.setattr(detector, "KINDS", detector.KINDS[3:5])
    truths = iter(detector.render(kind, index)[1] for kind in detector.KINDS for index in range(2))

    class Finds:
        """The first plate of each kind; of the second one nothing, but something in the corner."""

        def __init__(self):
            self.found = [lambda t: t, lambda t: t * 0 + [[9, 9], [0, 9], [0, 0], [9, 0]]] * 2

        def detect(self, picture):
            return [Detection(self.found.pop(0)(next(truths)), 0.9, 0, 0)]

    rows = list(detector.measure_rendered(Finds(), 2, None))[2:]
    assert rows == [f"| {kind.name} | 2 | 1 | 1 | 1.00 | 1 |" for kind in detector.KINDS]
