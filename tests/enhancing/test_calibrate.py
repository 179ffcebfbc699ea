import json

import numpy as np
import pytest
from drawn_plates import plate

from data.tiles import Pair, Plate
from enhancing import calibrate
from enhancing.calibrate import STRENGTHS, Trial, as_given, best, equal_shares, least_width, see, try_strengths, write
from enhancing.examining import Examiner
from models.enhancer import Generator
from reading.answer import Rule, fit
from reading.reader import Reader


def test_the_least_width_is_where_half_are_read_right():
    widths = np.arange(10, 110, dtype=float)
    right = (widths >= 60).astype(float)
    assert least_width(np.stack([widths, widths, right], axis=1)) == 60
    rng = np.random.default_rng(0)
    right = rng.random(3000) < 1 / (1 + np.exp(-(np.linspace(10, 110, 3000) - 45) / 8))
    noisy = np.stack([np.linspace(10, 110, 3000), np.ones(3000), right], axis=1)
    assert least_width(noisy) == pytest.approx(45, abs=4)


def test_calibration_is_written_beside_the_checkpoint(tmp_path):
    (tmp_path / "g.json").write_text('{"role": "generator"}')
    write(
        str(tmp_path / "g.keras"),
        (0.3, 0.1),
        41.26,
        Rule({"input": 1.0, "result": 0.2}, trust=(0.4, 0.8, 0.5, 1.9, -0.5)),
    )
    answer = {"weights": {"input": 1.0, "result": 0.2}, "trust": [0.4, 0.8, 0.5, 1.9, -0.5]}
    known = {"strength": 0.3, "readable_strength": 0.1, "min_effective_width_px": 41.3, "answer": answer}
    assert json.loads((tmp_path / "g.json").read_text()) == {"role": "generator", **known}


@pytest.mark.parametrize(
    ("right", "chosen"),
    [
        # of equals the least
        ({0.0: 300, 0.3: 400, 0.5: 400, 1.0: 350}, 0.3),
        # where none flips, the one that reads most
        ({0.0: 300, 0.3: 399, 0.5: 400, 1.0: 350}, 0.5),
        ({0.0: 0, 1.0: 0}, 0.0),
    ],
)
def test_the_lowest_strength_is_chosen_that_reads_as_many_as_any(right, chosen):
    trials = [Trial(strength, np.arange(600) < count, 0.7, 0.1) for strength, count in right.items()]
    assert best(trials) == (chosen, chosen)


@pytest.mark.parametrize(("more", "chosen"), [(1, 0.3), (10, 0.5)])
def test_a_flip_counts_more_than_what_chance_may_have_read(more, chosen):
    plates = np.arange(600)
    # at 0.5 it reads more plates, one or ten, and the first of those that were readable no longer
    trials = [Trial(0.0, plates < 300, 0.7, 0.1), Trial(0.3, plates < 390, 0.7, 0.1)]
    trials.append(Trial(0.5, (plates > 0) & (plates < 391 + more), 0.7, 0.1))
    assert best(trials) == (chosen, chosen)


def test_plates_won_and_lost_make_a_difference_less_certain():
    plates = np.arange(600)
    trials = [Trial(0.3, (plates >= 60) & (plates < 450), 0.7, 0.1), Trial(0.5, plates < 400, 0.7, 0.1)]
    # 50 won and 60 lost
    assert best(trials) == (0.3, 0.3)


def test_few_real_plates_count_as_much_as_many_tiles():
    tiles, real = np.arange(500), np.arange(30)
    # the tiles want strength, eight of thirty real plates are harmed by it
    weak = Trial(0.2, np.concatenate([tiles < 300, real < 28]), 0.7, 0.1)
    strong = Trial(0.8, np.concatenate([tiles < 330, real < 20]), 0.7, 0.1)
    shares = equal_shares([tiles, real])
    assert shares[:500].sum() == pytest.approx(shares[500:].sum())
    assert best([weak, strong]) == (0.8, 0.8)
    assert best([weak, strong], shares=shares) == (0.2, 0.2)


def test_what_can_be_read_as_it_is_gets_less_strength():
    plates = np.arange(600)
    readable = (plates < 300).astype(float)
    # those that can be read are spoilt at 1, the others mended by it
    trials = [Trial(0.1, readable > 0, 0.7, 0.1), Trial(1.0, readable == 0, 0.7, 0.1)]
    assert best(trials, readable) == (1.0, 0.1)
    # without a recogniser nobody can tell them apart
    assert best(trials) == (0.1, 0.1)


def test_trials_of_a_generator_that_mirrors_its_input():
    texts = ("KA7X24", "BN4M81")
    pairs = [Pair(Plate(text, "", text=text, country="DE"), (plate(text) * 255).astype(np.uint8)) for text in texts]
    generator = Generator(lambda batch: batch[:, :, ::-1])
    trials = try_strengths(generator, Reader(), as_given(Examiner(generator), pairs))
    assert [trial.strength for trial in trials] == list(STRENGTHS)
    assert trials[0].right.all()
    assert trials[0][2:] == (1, 0)
    assert not trials[-1].right.any()
    assert trials[-1].flipped == 1
    assert best(trials) == (0, 0)


def test_a_strength_chosen_by_other_plates_must_be_one(capsys):
    assert calibrate.main(["--tiles", "none", "--checkpoint", "none.keras", "--strength", "1.5"]) == 2
    assert "--strength must be a number of 0 to 1, got 1.5" in capsys.readouterr().err


def test_the_answers_rule_is_fitted_on_what_is_heard_of_tiles():
    texts = ("KA7X24", "BN4M81")
    pairs = [Pair(Plate(text, "", text=text, country="DE"), (plate(text) * 255).astype(np.uint8)) for text in texts]
    # a generator that leaves nothing
    examiner = Examiner(Generator(lambda batch: np.zeros_like(batch)), reader=Reader(keep_steps=True))
    measured, heard = see(examiner, as_given(examiner, pairs))
    # of a black result nothing is read
    assert measured.shape == (2, 3)
    assert (measured[:, 2] == 0).all()
    assert [each.text for each in heard] == list(texts)
    assert [list(each.readings) for each in heard] == [["input", "result"]] * 2
    rule = fit([heard])
    assert rule.weights == {"input": 1.0, "result": 0.0}
