from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from drawn_plates import reading

from reading.answer import (
    AS_POOLED,
    INPUT,
    KNOTS,
    RECOGNISER,
    RESULT,
    UNKNOWN,
    Answer,
    Known,
    Rule,
    answer,
    as_reading,
    characters,
    fit,
    fit_trust,
    vote,
)
from reading.reader import ALPHABET, Reading

EVEN = Rule({RECOGNISER: 1, INPUT: 1, RESULT: 1})


def spelt(text: str, probability: float, other: str = "Z"):
    seen = reading(*[part for char in text for part in ((char, probability, other), ("", 1))])
    return replace(seen, confidence=0.9)


def test_readings_that_agree_are_surer_than_one_that_is_contradicted():
    agreed = answer({RECOGNISER: [spelt("KA7", 0.7)], INPUT: [spelt("KA7", 0.7)]}, EVEN)
    doubted = answer({RECOGNISER: [spelt("KA7", 0.9)], INPUT: [spelt("KB7", 0.6, "A")]}, EVEN)
    assert agreed.text == doubted.best_text == "KA7"
    assert doubted.probabilities[1] < doubted.probabilities[0]
    assert doubted.alternatives[1][0] == "B"
    assert doubted.probability == pytest.approx(np.prod(doubted.probabilities))


def test_a_character_below_one_half_is_not_given():
    seen = {RECOGNISER: [spelt("K8", 0.6, "B")], INPUT: [spelt("KB", 0.6, "8")]}
    torn = answer(seen, EVEN)
    assert torn.text == "K" + UNKNOWN
    assert {torn.best_text[1], torn.alternatives[1][0]} == {"8", "B"}
    assert torn.probabilities[1] < 0.5 < torn.probabilities[0]


def test_probabilities_of_all_characters_and_none_sum_to_at_most_one():
    some = answer({RECOGNISER: [spelt("KA7", 0.8, "X")]}, EVEN)
    assert all(0 < sum(p for _, p in each) <= 1 for each in some.candidates)


def test_what_most_do_not_see_is_left_out_and_what_most_see_stays():
    short, long = spelt("K7", 0.9), spelt("KA7", 0.9)
    assert answer({RECOGNISER: [short], INPUT: [short], RESULT: [long]}, EVEN).best_text == "K7"
    kept = answer({RECOGNISER: [long], INPUT: [short], RESULT: [long]}, EVEN)
    assert kept.best_text == "KA7"


def test_a_reading_that_is_not_sure_of_itself_counts_less():
    unsure, sure = (replace(spelt(text, 0.9, "A"), confidence=c) for text, c in (("8", 0.3), ("B", 0.9)))
    assert answer({RECOGNISER: [unsure], INPUT: [sure]}, EVEN).best_text == "B"
    assert (
        answer({RECOGNISER: [replace(unsure, confidence=0.9)], INPUT: [replace(sure, confidence=0.3)]}, EVEN).best_text
        == "8"
    )


def test_several_readings_of_a_source_share_its_weight():
    rule = Rule({RECOGNISER: 1, INPUT: 1.2})
    one = answer({RECOGNISER: [spelt("8", 0.9, "B")], INPUT: [spelt("B", 0.9, "8")]}, rule)
    several = answer({RECOGNISER: [spelt("8", 0.9, "B")] * 5, INPUT: [spelt("B", 0.9, "8")]}, rule)
    assert one.best_text == several.best_text == "B"
    assert one.probability == pytest.approx(several.probability)


def test_frames_may_share_a_sources_weight_unequally():
    seen = {INPUT: [spelt("8", 0.9, "B"), spelt("B", 0.9, "8")]}
    assert answer(seen, EVEN, {INPUT: [0.9, 0.1]}).best_text == "8"
    assert answer(seen, EVEN, {INPUT: [0.1, 0.9]}).best_text == "B"


def test_a_chinese_serial_has_no_letters_o_and_i():
    assert answer({INPUT: [spelt("京AO1I", 0.9)]}, EVEN).best_text == "京A011"
    assert answer({INPUT: [spelt("AO1I", 0.9)]}, EVEN).best_text == "AO1I"


def test_a_province_that_the_reader_misses_stays_before_a_chinese_serial_alone():
    def answered(serial: str) -> Answer:
        missed = spelt(serial, 0.9)
        return answer({RECOGNISER: [spelt("京" + serial, 0.6)], INPUT: [missed], RESULT: [missed]}, EVEN)

    assert answered("AB1234").best_text == "京AB1234"
    # as sure as those that see it
    assert answered("AB1234").probabilities[0] == pytest.approx(0.6, abs=0.01)
    assert answered("4B123").best_text == "4B123"


@pytest.mark.parametrize("serial", ["RK605AB", "1435GK", "SI819AK"])
def test_a_coat_of_arms_that_the_recogniser_alone_takes_for_a_province_is_none(serial):
    """Slovak plates were answered with a Chinese province: the recogniser has half of the weight."""
    missed = spelt(serial, 0.9)
    seen = {RECOGNISER: [spelt("宁" + serial, 0.9)] * 3, INPUT: [missed], RESULT: [missed]}
    shipped = Rule({RECOGNISER: 1.0, INPUT: 0.7, RESULT: 0.3})
    assert answer(seen, shipped).best_text == serial
    # of a serial that was read wrong all who see one may be right
    everywhere = {source: [spelt("宁" + serial, 0.9)] for source in seen}
    assert answer(everywhere, shipped).best_text[0] == "宁"


@pytest.mark.parametrize("serial", ["A88888", "BD12345", "BDA1234", "B12345F", "0T9048", "A1234警"])
def test_each_form_of_a_chinese_serial_keeps_a_province_that_the_reader_misses(serial):
    missed = spelt(serial, 0.9)
    seen = {RECOGNISER: [spelt("粤" + serial, 0.9)], INPUT: [missed], RESULT: [missed]}
    assert answer(seen, EVEN).best_text == "粤" + serial


def test_what_looks_like_an_unknown_province_is_one_where_others_see_one():
    seen = {RECOGNISER: [spelt("京AB1234", 0.6)], INPUT: [spelt("?AB1234", 0.5, "京")]}
    assert answer(seen, EVEN).best_text == "京AB1234"
    # an emblem is none, and the letter O stays
    emblem = {RECOGNISER: [spelt("?KO1234", 0.6, "B")], INPUT: [spelt("KO1234", 0.9)], RESULT: [spelt("KO1234", 0.9)]}
    assert answer(emblem, EVEN).best_text == "KO1234"


def test_nobody_who_reads_anything():
    empty = answer({RECOGNISER: [reading(("", 1))], INPUT: [reading(("", 1))]}, EVEN)
    assert empty == Answer()
    assert (empty.text, empty.probability) == ("", 0.0)
    assert answer({}, EVEN) == Answer()
    # one that is not trusted does not count
    assert answer({RESULT: [spelt("A", 1)]}, Rule({RECOGNISER: 1})) == Answer()


def test_the_recognisers_columns_are_a_reading():
    names = "AB京Ω"
    columns = np.full((7, 5), 0.02)
    # blank, A, A, blank, A, 京, one that no plate has
    for row, best in zip(columns, (0, 1, 1, 0, 1, 3, 4), strict=True):
        row[best] = 0.92
    seen = as_reading(columns, names)
    assert seen.text == "AA京?"
    assert seen.confidences == pytest.approx((0.92,) * 4, abs=1e-6)
    np.testing.assert_allclose(seen.steps.sum(axis=1), 1, rtol=1e-5)
    assert answer({RECOGNISER: [seen]}, EVEN).best_text.startswith("AA京")


CURVE = (0.4, 0.8, 0.5, 1.9, -0.5)


@pytest.mark.parametrize("known", [None, {}, {"weights": {}}, {"weights": {"input": -1}}, {"weights": {"input": "1"}},
                                   {"weights": {"input": 0}, "trust": CURVE}, [1]])  # fmt: skip
def test_a_rule_that_makes_no_sense_is_not_followed(known):
    assert Rule.from_info({"answer": known}) == Rule.from_info({})


def test_a_rule_comes_from_the_json():
    known = {"weights": {"recogniser": 2, "input": 0}, "trust": list(CURVE)}
    assert Rule.from_info({"answer": known}) == Rule({"recogniser": 2, "input": 0}, CURVE)


@pytest.mark.parametrize("trust", [None, [0.2, 1.3, -1.2], [-0.1, 1, 1, 1, 0], ["1", 1, 1, 1, 0], 1,
                                   [1, 1, 1, 1, float("nan")]])  # fmt: skip
def test_a_curve_of_another_kind_leaves_probabilities_as_pooled(trust):
    assert Rule.from_info({"answer": {"weights": {"input": 1}, "trust": trust}}) == Rule({"input": 1}, AS_POOLED)


def plates(recognised: str, read: str, count: int, truth: str = "KA7", sure: float = 0.9) -> list[Known]:
    seen = {RECOGNISER: [spelt(recognised, sure, "A")], INPUT: [spelt(read, 0.95, "B")]}
    return [Known(seen, truth, "DE")] * count


def test_a_fitted_rule_trusts_who_is_right():
    misread, well_read = plates("KB7", "KA7", 8), plates("KA7", "KB7", 8)
    trusting = fit([misread + plates("KA7", "KA7", 2)])
    doubting = fit([well_read + plates("KA7", "KA7", 2)])
    assert answer(misread[0].readings, trusting).best_text == "KA7"
    assert answer(well_read[0].readings, doubting).best_text == "KA7"
    assert doubting.weights[INPUT] == 0


def test_a_large_set_does_not_outvote_small_ones():
    rendered, real = plates("KA7", "KQ7", 30, sure=0.6), [plates("KB7", "KA7", 2, sure=0.99)] * 2
    assert fit([rendered + [plate for some in real for plate in some]]).weights[INPUT] <= 1
    assert fit([rendered, *real]).weights[INPUT] > 1


def test_the_fitted_curve_gives_as_much_trust_as_is_deserved():
    # given with 0.9, right in two of three
    rule = fit([plates("KA7", "KA7", 20) + plates("KA7", "KA7", 10, truth="QQQ")])
    given = answer({RECOGNISER: [spelt("KA7", 0.9, "X")], INPUT: [spelt("KA7", 0.95, "X")]}, rule)
    assert given.probabilities == pytest.approx((2 / 3,) * 3, abs=0.08)


def curve(trust: tuple[float, ...], pooled: np.ndarray) -> np.ndarray:
    """What `trust` makes of a probability of a single reading."""
    odds = np.log(pooled) - np.log1p(-pooled)
    ends = (-np.inf, *KNOTS, np.inf)
    parts = [
        slope * (np.clip(odds, *ends) - np.clip(0, *ends))
        for slope, ends in zip(trust[:-1], pairwise(ends), strict=True)
    ]
    return 1 / (1 + np.exp(-(sum(parts) + trust[-1])))


@pytest.mark.parametrize("true", [CURVE, AS_POOLED, (1.5, 0.6, 1.2, 0.7, 0.3)])
def test_a_curve_is_found_again(true):
    rng = np.random.default_rng(0)
    pooled = rng.uniform(0.02, 0.999, 20000)
    right = rng.random(20000) < curve(true, pooled)
    found = fit_trust(pooled, right, np.ones(20000))
    np.testing.assert_allclose(curve(found, pooled), curve(true, pooled), atol=0.03)


def test_the_curve_as_pooled_changes_nothing():
    pooled = np.linspace(0.01, 0.99, 50)
    np.testing.assert_allclose(curve(AS_POOLED, pooled), pooled, rtol=1e-6)
    seen = {RECOGNISER: [spelt("KA7", 0.6, "X")]}
    assert answer(seen, Rule(EVEN.weights)).probabilities == pytest.approx((0.6,) * 3, abs=0.02)


def test_a_curve_never_falls():
    pooled = np.linspace(0.05, 0.95, 400)
    # right less often, the more is given
    *slopes, _ = fit_trust(pooled, np.arange(400) % 10 > pooled * 10, np.ones(400))
    assert min(slopes) >= 0
    assert fit_trust(np.full(5, 0.9), np.ones(5, bool), np.ones(5)) == pytest.approx(AS_POOLED, abs=0.5)


@pytest.mark.parametrize("trust", [CURVE, (1.0, 1.0, 1.0, 1.0, 3.0), (0.0, 0.0, 0.0, 0.0, -6.0)])
def test_a_curve_keeps_the_order_of_the_candidates(trust):
    seen = {RECOGNISER: [spelt("KA7", 0.6, "X")], INPUT: [spelt("KX7", 0.55, "A")]}
    pooled, given = answer(seen, EVEN), answer(seen, replace(EVEN, trust=trust))
    assert given.best_text == pooled.best_text
    for some in given.candidates:
        assert all(a >= b for (_, a), (_, b) in pairwise(some))
        assert sum(p for _, p in some) <= 1 + 1e-9


def test_there_is_nothing_to_fit_where_nothing_is_read():
    with pytest.raises(ValueError, match="no plate"):
        fit([[Known({INPUT: [reading(("", 1))]}, "KA7", "DE")]])
    with pytest.raises(ValueError, match="no plate"):
        fit([])


# --- Voting -----------------------------------------------------------------------------------------------------------


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
