import csv
import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.text import Text

from data.io import encode_png
from data.straighten import plate_width
from data.tiles import Failure, Material, Pair, Plate
from evaluation import report
from evaluation.figures import grid, reliability_diagram
from evaluation.report import binned, by_quartile, curves, select, summarise
from evaluation.scoring import Score, Table, difficulty_of
from evaluation.tables import build, for_terminal, sentences, share
from reading.reader import Reading

TEXTS = ["皖AE587T", "AB123", "CD456", "EF789", "GH/12", "KL321", "MN654", "OP987"]
COUNTRIES = ["CN"] + ["DE"] * 7
BEFORE = ["AE587T", "AB123", "XXX", "XXX", "GH12", "", "MN654", "OP987"]
AFTER = ["AE587T", "AB1", "CD456", "XXX", "GH12", "KL321", "MN654", "XX987"]


def made_up_table(folder):
    """Eight plates, one on two lines; right before: 4 of 7, right after: 4 of 7, of which 2 flipped and 2 gained."""
    rng = np.random.default_rng(0)
    plates = []
    for i, (text, country) in enumerate(zip(TEXTS, COUNTRIES, strict=True)):
        path = folder / f"{i}.png"
        path.write_bytes(encode_png(rng.integers(0, 255, (32, 64, 3), np.uint8)))
        plates.append(Plate(f"p{i}", str(path), str(path), text, country, group=f"photo{i}"))
    scores = {
        "input": [Score(Reading(text, 0.5), 15.0 + i, 0.5) for i, text in enumerate(BEFORE)],
        "baseline": [Score(Reading(text, 0.5), 14.0, 0.4) for text in BEFORE],
        "net": [Score(Reading(text, 0.95), 20.0 + i, 0.7) for i, text in enumerate(AFTER)],
        "clean": [Score(Reading(text, 0.99)) for text in TEXTS],
    }
    return Table(plates, scores, [{"brightness": 0.1 * i, "input_psnr": 15.0 + i} for i in range(8)])


def facts(table, failures=()):
    return {
        "checkpoints": {"net": {"file": "net.keras", "sha256": "0"}},
        "tiles": {"folder": "tiles", "split": "test", "n": 8, "photos": 8},
        "notes": report.notes(Material(table.plates, "manifest"), table, list(failures), read=True),
        "failed": report.failed(list(failures)),
        "settings": {"seed": 0},
        "versions": {"python": "3"},
    }


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("report")
    table = made_up_table(tmp_path)
    metrics = report.collect(table, True, 0, facts(table, [Failure("broken.png", "truncated")]))
    # the generator leaves every picture as it is
    from models.enhancer import Generator

    report.write(tmp_path / "out", table, metrics, {"net": Generator(lambda batch: batch)}, read=True)
    return tmp_path / "out"


def test_flips_and_gains_of_a_made_up_table(tmp_path):
    net = summarise(made_up_table(tmp_path), read=True)["methods"]["net"]
    assert net["plate_acc"]["value"] == pytest.approx(4 / 7)
    assert (net["flip_rate"]["count"], net["flip_rate"]["n"]) == (2, 4)
    assert (net["gain_rate"]["count"], net["gain_rate"]["n"]) == (2, 3)
    assert (net["confidently_wrong"]["count"], net["confidently_wrong"]["n"]) == (3, 7)
    assert net["two_line"] == 1
    assert net["psnr"] == pytest.approx(23.5)


def test_nothing_flips_in_the_input_and_the_clean_tiles(tmp_path):
    methods = summarise(made_up_table(tmp_path), read=True)["methods"]
    for name in ("input", "clean"):
        assert "flip_rate" not in methods[name]
        assert methods[name]["confidently_wrong"]["count"] == 0
    assert methods["clean"]["psnr"] is None


def test_without_reading_there_are_no_rates(tmp_path):
    summary = summarise(made_up_table(tmp_path), read=False)
    assert "plate_acc" not in summary["methods"]["net"]
    assert summary["curves"] == {}


def test_the_files_that_are_left(written):
    names = {path.name for path in written.iterdir()}
    assert names == {"metrics.json", "per_plate.csv", "grid.png", "by_difficulty.png", "report.html"}


def test_metrics_json_has_what_the_readme_promises(written):
    metrics = json.loads((written / "metrics.json").read_text(encoding="utf-8"))
    for figures in (metrics["input"], metrics["baseline"], metrics["clean"], metrics["checkpoints"]["net"]):
        for name in ("plate_acc", "plate_acc_within_1", "char_acc"):
            for part in (figures, figures["with_province"]):
                assert set(part[name]) == {"value", "ci95", "n"}
                assert part[name]["ci95"][0] <= part[name]["value"] <= part[name]["ci95"][1]
        assert {"psnr", "ssim", "colour_error"} <= set(figures)
    assert metrics["checkpoints"]["net"]["checkpoint"]["sha256"] == "0"
    assert metrics["failed"] == [{"file": "broken.png", "reason": "truncated"}]
    assert {"settings", "versions", "by_difficulty"} <= set(metrics)


def test_per_plate_csv_has_a_row_per_plate(written):
    rows = list(csv.DictReader(io.StringIO((written / "per_plate.csv").read_text(encoding="utf-8"))))
    assert [row["text"] for row in rows] == TEXTS
    assert rows[1]["net_right"] == "0"
    assert rows[1]["net_distance"] == "2"
    assert rows[1]["net_confidently_wrong"] == "1"
    # on two lines: it does not count
    assert rows[4]["net_right"] == ""
    assert float(rows[2]["net_psnr"]) == 22


def test_the_report_needs_no_network(written):
    page = (written / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"(src|href)=.?(http|//)", page)
    assert "<script" not in page
    assert page.count("data:image/png;base64,") == 2
    assert "1 plates on two lines are left out" in page
    assert "2 of 4" in page


def test_text_from_a_manifest_cannot_break_the_page(tmp_path):
    table = made_up_table(tmp_path)
    metrics = report.collect(table, True, 0, facts(table))
    metrics["tiles"]["folder"] = "<script>alert(1)</script>"
    assert "<script" not in build(metrics, b"", None)


def test_a_checkpoint_gets_a_sentence_in_words(tmp_path):
    table = made_up_table(tmp_path)
    text = " ".join(sentences(report.collect(table, True, 0, facts(table))))
    assert "Enhanced by net, 57.1 %" in text
    assert "7 of them count" in text


def test_the_grid_shows_best_median_and_worst_by_rule(tmp_path):
    table = made_up_table(tmp_path)
    shown = select(table, read=True, per_part=2)
    assert [part for part, _ in shown] == ["best"] * 2 + ["median"] * 2 + ["worst"] * 2
    # characters right, then PSNR: p6, p5, p2, p0 whole; p7 and p1 3/5; p3 none; p4 is on two lines
    assert [i for _, i in shown] == [6, 5, 0, 7, 1, 3]
    assert 4 not in {i for _, i in select(table, read=True)}


def test_the_grid_shows_a_photo_once(tmp_path):
    table = made_up_table(tmp_path)
    plates = [Plate(**{**vars(plate), "group": "same"}) for plate in table.plates]
    assert len(select(Table(plates, table.scores, table.difficulty), read=True)) == 1


def test_without_reading_the_psnr_ranks(tmp_path):
    shown = select(made_up_table(tmp_path), read=False, per_part=1)
    assert shown[0] == ("best", 7)
    assert shown[-1] == ("worst", 0)


def test_shares_as_text():
    assert share({"value": 0.5, "ci95": [0.4, 0.6], "n": 10}) == "50.0 % (40–60)"
    assert share({"value": 0.25, "ci95": [0, 0.5], "n": 4, "count": 1}) == "1/4 = 25.0 % (0–50)"
    assert share({"value": None, "ci95": None, "n": 0}) == "–"


def test_the_terminal_table_leaves_out_what_nobody_has(tmp_path):
    table = for_terminal(summarise(made_up_table(tmp_path), read=True)["methods"])
    assert "plates right" in table
    assert "VGG" not in table
    assert "clean tiles put through" not in table


def test_figures_that_are_not_finite_become_null():
    assert report.finite({"a": [float("nan"), 1.0], "b": float("inf")}) == {"a": [None, 1.0], "b": None}


def test_hostile_names_and_texts_are_written_as_they_are(tmp_path):
    table = made_up_table(tmp_path)
    hostile = ["=HYPERLINK(1)", "$\\foo{$", "+1", "-1+1", "@x", "\x1b[2J", "$", "a$b$"]
    plates = [replace(p, text=t, key=t, country=t) for p, t in zip(table.plates, hostile, strict=True)]
    scores = {f"=1+1${name}\x1b[2J": values for name, values in table.scores.items() if name == "net"}
    scores |= {name: table.scores[name] for name in ("input", "baseline")}
    for values in scores.values():
        values[:] = [replace(score, reading=Reading(t, 0.5)) for score, t in zip(values, hostile, strict=True)]
    table = Table(plates, scores, table.difficulty)
    pictures = {name: [np.zeros((32, 64, 3))] * 8 for name in scores}
    figure = grid([("best", plate) for plate in plates], pictures, scores, read=True)
    assert report._png(figure)
    cells = [each for row in csv.reader(io.StringIO(report.per_plate_csv(table, read=True))) for each in row]
    assert "+1" in cells
    assert "'-1+1" in cells
    assert not [each for each in cells if each.startswith(("=", "@", "-")) or not each.isprintable()]
    assert "\x1b" not in for_terminal({name: {"psnr": 1.0} for name in scores})


def test_the_grid_has_words_that_a_visitor_of_the_page_knows(tmp_path):
    table = made_up_table(tmp_path)
    scores = dict.fromkeys(("input", "pretrain", "generator", "mine"), table.scores["net"])
    pictures = {name: [np.zeros((32, 64, 3))] * 8 for name in scores}
    figure = grid([("best", plate) for plate in table.plates], pictures, scores, read=True)
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == ["as they are", "enhanced", "enhanced, second network", "mine"]
    said = {text.get_text() for text in figure.findobj(Text)}
    assert any("likeness" in each for each in said)
    assert not any(word in each for each in said for word in ("SSIM", "dB", "pretrain", "generator"))


@pytest.mark.filterwarnings("error")
def test_texts_and_names_of_any_script_are_drawn_without_a_warning(tmp_path):
    table = made_up_table(tmp_path)
    scripts = ["京A12345", "กข1234", "ب12345", "가1234", "মে১২", "\U0001f697\U0001f697", "x" * 40 + "浙", "АВ\u0378"]
    plates = [
        replace(p, text=t if i % 2 else "", key=t, country=t)
        for i, (p, t) in enumerate(zip(table.plates, scripts, strict=True))
    ]
    scores = {f"模型 京 {name} ทดสอบ": values for name, values in table.scores.items()}
    for values in scores.values():
        values[:] = [replace(score, reading=Reading(t, 0.5)) for score, t in zip(values, scripts, strict=True)]
    pictures = {name: [np.zeros((32, 64, 3))] * 8 for name in scores}
    assert report._png(grid([("best", plate) for plate in plates], pictures, scores, read=True))
    bins = [{"given": 0.5, "right": 0.4, "n": 3}]
    assert report._png(reliability_diagram(dict.fromkeys(scores, bins)))


CORNERS = ((180, 70), (20, 70), (20, 30), (180, 30))


def table(values, name="brightness"):
    n = len(values)
    return Table(
        [Plate(str(i), "") for i in range(n)],
        {"input": [Score(psnr=float(i)) for i in range(n)]},
        [{name: value} for value in values],
    )


def count(subset, method):
    return {"n": len(subset.plates), "first": subset.plates[0].key}


def test_rows_of_text_csv_that_do_not_count_are_told():
    material = Material([], "text.csv", unmatched=["text.csv: gone.png"], twice=["text.csv: a.png"])
    told = report.notes(material, Table([], {}, []), [], read=True)
    assert [note.partition(",")[0] for note in told] == [
        "1 rows of text.csv name no picture here",
        "1 pictures have two texts in text.csv",
    ]


def pair(steps=None, hr=True, brightness=51):
    lq = np.full((96, 192, 3), brightness, np.uint8)
    return Pair(Plate("k", "", corners=CORNERS, steps=steps), lq, lq if hr else None)


def test_plate_width_is_the_mean_of_both_edges():
    assert plate_width(CORNERS) == 160
    assert plate_width(((180, 70), (20, 70), (40, 30), (160, 30))) == 140


def test_measures_of_a_known_degradation():
    steps = [{"stage": "motion", "length": 12.0, "angle": 0.0}, {"stage": "down", "factor": 4.0}]
    measures = difficulty_of(pair(steps), 17.5)
    assert measures["effective_width"] == pytest.approx(40)
    assert measures["blur_length"] == pytest.approx(12)
    assert measures["brightness"] == pytest.approx(0.2)
    assert measures["input_psnr"] == 17.5


def test_measures_without_manifest_and_without_clean_side():
    assert set(difficulty_of(pair(), 17.5)) == {"brightness", "input_psnr"}
    assert difficulty_of(pair(hr=False), None) == {"brightness": pytest.approx(0.2), "effective_width": 192}


def test_quartiles_hold_equally_many_plates():
    rows = by_quartile(table(list(range(12))), count)["brightness"]
    assert [row["n"] for row in rows] == [3, 3, 3, 3]
    assert [(row["low"], row["high"]) for row in rows] == [(0, 2), (3, 5), (6, 8), (9, 11)]
    assert rows[2]["methods"]["input"] == {"n": 3, "first": "6"}


def test_equal_plates_stay_together():
    rows = binned(table([0.0] * 7 + [1.0, 2.0, 3.0]), "brightness", 4, count)
    assert rows[0]["n"] == 7
    assert sum(row["n"] for row in rows) == 10
    assert [row["n"] for row in binned(table([5.0] * 4), "brightness", 4, count)] == [4]


def test_curves_have_as_many_parts_as_the_plates_bear():
    assert len(curves(table(list(range(10))), count)["brightness"]) == 2
    assert len(curves(table(list(range(1000))), count)["brightness"]) == 8


def test_a_measure_that_some_plates_lack_is_left_out():
    some = table([1.0, 2.0])
    some.difficulty[1].clear()
    assert by_quartile(some, count) == {}
