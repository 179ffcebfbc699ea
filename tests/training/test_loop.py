from itertools import pairwise

import pytest
from tiny_runs import tiny_part

from training.devices import TrainingFailed
from training.loop import Balance, Terms, balance_from, rate_at
from training.settings import BalanceSettings


def test_non_finite_term_stops_with_step_and_name():
    terms = Terms(half=False)
    terms.add(6, {"mse": 0.1, "vgg": 0.2})
    terms.add(7, {"mse": 0.1, "vgg": float("nan")})
    with pytest.raises(TrainingFailed, match="term vgg is nan at step 7 of stage adversarial"):
        terms.look("adversarial")


def test_overflowing_gradients_are_usual_in_half_precision():
    terms = Terms(half=True)
    terms.add(1, {"mse": 0.1, "g_gradient_norm": float("inf")})
    terms.look("pretrain")


def make_balance(**changes) -> Balance:
    settings = {"low": 0.6, "high": 0.85, "max_factor": 4.0, "max_every": 3, "steps": 10}
    return Balance(adaptive=True, **{**settings, **changes})


def test_fixed_balance_updates_the_discriminator_every_nth_step():
    balance = make_balance(d_every=3)
    assert [balance.turns(step) for step in range(4)] == [(True, True), (True, False), (True, False), (True, True)]


@pytest.mark.parametrize(("accuracy", "weak", "strong"), [(1.0, "g", "d"), (0.3, "d", "g")])
def test_weak_side_learns_faster_and_strong_side_less_often_within_bounds(accuracy, weak, strong):
    balance = make_balance(accuracy=accuracy)
    balance.correct()
    assert getattr(balance, f"{weak}_factor") == pytest.approx(1.25)
    assert (getattr(balance, f"{strong}_every"), getattr(balance, f"{weak}_every")) == (2, 1)
    for _ in range(50):
        balance.correct()
    assert getattr(balance, f"{weak}_factor") == 4.0
    assert getattr(balance, f"{strong}_every") == 3
    assert getattr(balance, f"{strong}_factor") == 1.0


def test_help_is_withdrawn_when_the_game_is_level_again():
    balance = make_balance(g_factor=2.0, d_every=3, accuracy=0.7)
    for _ in range(20):
        balance.correct()
    assert (balance.g_factor, balance.d_every) == (1.0, 1)


def test_level_game_goes_back_to_the_interval_that_the_user_asked_for():
    balance = make_balance(d_every=3, d_every_level=2, accuracy=0.7)
    for _ in range(20):
        balance.correct()
    assert balance.d_every == 2


def test_help_for_one_side_is_undone_before_the_other_is_helped():
    balance = make_balance(g_factor=1.25, d_every=2, accuracy=0.2)
    balance.correct()
    assert (balance.g_factor, balance.d_every, balance.g_every) == (1.0, 1, 1)


def test_one_side_at_least_moves_at_every_step():
    balance = make_balance(d_every=2, g_every=3)
    assert all(any(balance.turns(step)) for step in range(12))


def test_running_accuracy_follows_the_seen_ones():
    balance = make_balance(accuracy=0.5)
    for _ in range(300):
        balance.observe(0.9)
    assert balance.accuracy == pytest.approx(0.9, abs=0.01)


def test_corrections_fall_at_fixed_steps_and_only_when_adaptive():
    assert [step for step in range(1, 31) if make_balance().is_due(step)] == [10, 20, 30]
    fixed = balance_from(tiny_part(BalanceSettings, balance="fixed", discriminator_every=2))
    assert not any(fixed.is_due(step) for step in range(1, 1000))
    assert fixed.d_every == 2


def test_state_restores_the_balance():
    balance = make_balance(accuracy=0.95)
    balance.correct()
    assert Balance(**balance.state()) == balance


def test_schedule_rises_then_falls_as_a_cosine():
    rates = [rate_at(step, steps=1000, highest=1.0, warmup_steps=10, final=0.1) for step in range(1000)]
    assert rates[0] == pytest.approx(1 / 11)
    assert rates[10] == 1.0
    assert rates[10 + 495] == pytest.approx((1 + 0.1) / 2, abs=1e-3)
    assert rates[-1] == pytest.approx(0.1, abs=1e-3)
    assert all(a >= b for a, b in pairwise(rates[10:]))


def test_warmup_of_a_short_stage_is_a_tenth_of_it():
    assert rate_at(10, steps=100, highest=1.0, warmup_steps=500, final=0.0) == 1.0
