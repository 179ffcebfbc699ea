import pytest

from training.failures import TrainingFailed
from training.objective import Terms, stage_one, weights_of
from training.settings import ObjectiveSettings


def test_without_further_flags_the_weights_are_those_of_the_recipe():
    weights = weights_of(ObjectiveSettings())
    assert weights == {"mse": 1.0, "vgg": 0.1, "adversarial": 0.2}
    assert stage_one(weights) == {"mse": 1.0}


def test_stage_one_has_the_terms_that_both_stages_have():
    weights = weights_of(ObjectiveSettings(mse_weight=0.5, strokes_weight=0.4))
    assert weights == {"mse": 0.5, "vgg": 0.1, "adversarial": 0.2, "strokes": 0.4}
    assert stage_one(weights) == {"mse": 1.0, "strokes": 0.4}


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
