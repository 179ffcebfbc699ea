import numpy as np
import pytest

from data.labelled import Pair, Plate
from data.straighten import plate_width
from evaluation.difficulty import binned, by_quartile, curves, measure
from evaluation.scoring import Score, Table

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


def pair(steps=None, hr=True, brightness=51):
    lq = np.full((96, 192, 3), brightness, np.uint8)
    return Pair(Plate("k", "", corners=CORNERS, steps=steps), lq, lq if hr else None)


def test_plate_width_is_the_mean_of_both_edges():
    assert plate_width(CORNERS) == 160
    assert plate_width(((180, 70), (20, 70), (40, 30), (160, 30))) == 140


def test_measures_of_a_known_degradation():
    steps = [{"stage": "motion", "length": 12.0, "angle": 0.0}, {"stage": "down", "factor": 4.0}]
    measures = measure(pair(steps), 17.5)
    assert measures["effective_width"] == pytest.approx(40)
    assert measures["blur_length"] == pytest.approx(12)
    assert measures["brightness"] == pytest.approx(0.2)
    assert measures["input_psnr"] == 17.5


def test_measures_without_manifest_and_without_clean_side():
    assert set(measure(pair(), 17.5)) == {"brightness", "input_psnr"}
    assert measure(pair(hr=False), None) == {"brightness": pytest.approx(0.2), "effective_width": 192}


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
