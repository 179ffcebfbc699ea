"""The terms of the generator's loss: their weights in both stages, and their values as training goes on.

The values are fetched in batches, so the device does not wait for the host at every step.
"""

import math

import numpy as np

from training.failures import TrainingFailed
from training.settings import ObjectiveSettings

# terms beyond the recipe, in both stages on request
OPTIONS = ("detail", "strokes", "colour", "reading")
# of the generator's loss
TERMS = ("mse", *OPTIONS, "vgg", "adversarial")
CHECKED = (*TERMS, "g_loss", "d_loss", "g_gradient_norm", "d_gradient_norm")


def weights_of(settings: ObjectiveSettings) -> dict[str, float]:
    """Name of a term -> its weight in stage two, of the recipe's terms and of those `OPTIONS` that are asked for."""
    weights = {"mse": settings.mse_weight, "vgg": settings.vgg_weight, "adversarial": settings.adversarial_weight}
    options = {name: getattr(settings, f"{name}_weight") for name in OPTIONS}
    return weights | {name: weight for name, weight in options.items() if weight}


def stage_one(weights: dict[str, float]) -> dict[str, float]:
    """Of the terms' weights in stage two, those of stage one: the MSE, weighing 1 there, and the options."""
    return {"mse": 1.0} | {name: weights[name] for name in OPTIONS if name in weights}


class Terms:
    """half: gradients may overflow, because the loss scale then skips their step."""

    def __init__(self, half: bool) -> None:
        self.half = half
        # not looked at yet
        self._pending: list[tuple[int, dict]] = []
        # since the last row of the log
        self._gathered: dict[str, list[float]] = {}

    def add(self, step: int, terms: dict) -> None:
        """The terms of a step (counted from 1), as tensors."""
        self._pending.append((step, terms))

    def look(self, stage: str) -> list[float]:
        """Fetch what is pending; returns the discriminator's accuracies among it, in order.

        Raises TrainingFailed, naming step and term, for the first number that is not finite.
        """
        pending, self._pending = self._pending, []
        accuracies = []
        for step, terms in pending:
            for name, term in terms.items():
                number = float(term)
                self._check(stage, step, name, number)
                self._gathered.setdefault(name, []).append(number)
                if name == "d_accuracy":
                    accuracies.append(number)
        return accuracies

    def means(self) -> dict[str, float]:
        """The mean of every term over the steps looked at since the last call."""
        gathered, self._gathered = self._gathered, {}
        return {name: float(np.mean(numbers)) for name, numbers in gathered.items()}

    def _check(self, stage: str, step: int, name: str, number: float) -> None:
        if name not in CHECKED or math.isfinite(number) or (self.half and name.endswith("norm")):
            return
        raise TrainingFailed(
            f"the term {name} is {number} at step {step} of stage {stage}; the state saved last is from before "
            "it. Start a new "
            "run with a lower learning rate or --clip-norm, or with --precision float32"
        )
