import pytest
from drawn_plates import reading

from reading.reader import ALPHABET, Reading
from reading.voting import characters, vote


def test_characters_of_a_reading_are_its_runs():
    text, probabilities = characters(reading(("A", 0.6), ("A", 0.9), ("", 1), ("A", 0.7), ("1", 0.8)))
    assert text == "AA1"
    assert probabilities[:, ALPHABET.index("A")][:2] == pytest.approx([1, 1], abs=1e-3)


def test_one_sure_reader_beats_two_unsure_ones():
    doubting = reading(("B", 0.55, "8"), ("1", 0.9))
    sure = reading(("8", 0.98, "B"), ("1", 0.9))
    assert vote([doubting, doubting, sure], [1, 1, 1]).text == "81"
    assert vote([doubting, doubting, sure], [1, 1, 0.1]).text == "B1"


def test_voting_mends_errors_that_differ_from_frame_to_frame():
    truth = "KA7X24"
    frames = []
    for wrong in range(3):
        chars = list(truth)
        chars[wrong] = "Q"
        frames.append(reading(*[part for char in chars for part in ((char, 0.8, "Z"), ("", 1))]))
    elected = vote(frames, [1, 1, 1])
    assert elected.text == truth
    assert 0.5 < elected.confidence < 0.9


def test_a_character_that_most_frames_do_not_see_falls():
    short, long = reading(("A", 0.9), ("1", 0.9)), reading(("A", 0.9), ("7", 0.9), ("1", 0.9))
    assert vote([short, short, long], [1, 1, 1]).text == "A1"
    assert vote([short, long, long], [1, 1, 1]).text == "A71"


def test_votes_of_nobody():
    assert vote([reading(("", 1))], [1]) == ("", ())
    assert vote([reading(("A", 1))], [0]).text == ""
    with pytest.raises(ValueError, match="keep_steps"):
        vote([Reading("A")], [1])
