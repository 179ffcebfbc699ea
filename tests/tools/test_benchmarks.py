"""What benchmarks compute of what they see; the speeds themselves are not tested."""

import numpy as np
import pytest

from data.labelled import Pair, Plate
from reading.reader import Reading
from tools.benchmarks.real import WAYS, Seen, characters_given, lines, rates


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
    return [Seen(readings[0], (0.9, 0.9, 0.9, 0.9)), Seen(readings[1], (0.9, 0.9, 0.9, 0.4))]


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


def test_characters_given_and_which_are_right(pairs, seen):
    probabilities, right = characters_given(pairs, seen)
    assert probabilities.tolist() == [0.9] * 7 + [0.4]
    assert right.tolist() == [True] * 7 + [False]
