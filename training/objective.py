"""What a run optimises: the terms of the generator's loss with their weights in both stages, and the balance of
generator and discriminator in the second.

The terms' values are fetched in batches, so the device does not wait for the host at every step. The balance follows
Goodfellow (NIPS 2016 tutorial, arXiv 1701.00160, section 4). "fixed": the discriminator is updated every Nth step, at
two fixed rates. "adaptive": a running accuracy of the discriminator says which side is strong; the weak side's learning
rate is raised and the strong side updated less often, within bounds. Decisions are made at fixed steps and depend only
on the accuracies so far, so a resumed run decides the same.
"""

import math
from dataclasses import asdict, dataclass

import numpy as np

from training.devices import TrainingFailed
from training.settings import BalanceSettings, ObjectiveSettings

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


# of the running accuracy: about 50 updates of the discriminator
MEMORY = 0.98
# factor on the weak side's learning rate at each correction
RAISE = 1.25
# accuracy that the running figure starts from: neither side strong
LEVEL = 0.75


@dataclass
class Balance:
    """The state of the game; with `adaptive` False, only the running accuracy changes."""

    adaptive: bool
    low: float
    high: float
    max_factor: float
    max_every: int
    steps: int
    d_every: int = 1
    # the discriminator's interval when both sides are equally strong
    d_every_level: int = 1
    g_every: int = 1
    d_factor: float = 1.0
    g_factor: float = 1.0
    accuracy: float = LEVEL

    def turns(self, step: int) -> tuple[bool, bool]:
        """(update the generator, update the discriminator) at this step; one of them at least."""
        update_g = step % self.g_every == 0
        update_d = step % self.d_every == 0
        return update_g or not update_d, update_d

    def observe(self, accuracy: float) -> None:
        """Take in the accuracy of one update of the discriminator."""
        self.accuracy = MEMORY * self.accuracy + (1 - MEMORY) * accuracy

    def is_due(self, step: int) -> bool:
        """Whether a correction falls after this step (counted from 1)."""
        return self.adaptive and step % self.steps == 0

    def correct(self) -> None:
        """One correction towards the level range; inside it, everything moves back towards equal treatment."""
        if self.accuracy > self.high:
            self._favour("g", "d")
        elif self.accuracy < self.low:
            self._favour("d", "g")
        else:
            self.g_factor, self.d_factor = (max(1.0, factor / RAISE) for factor in (self.g_factor, self.d_factor))
            self.g_every = max(1, self.g_every - 1)
            self.d_every += (self.d_every < self.d_every_level) - (self.d_every > self.d_every_level)

    def _favour(self, weak: str, strong: str) -> None:
        """First undo what favoured the strong side, then help the weak one."""
        factor, every = f"{weak}_factor", f"{strong}_every"
        setattr(self, f"{strong}_factor", max(1.0, getattr(self, f"{strong}_factor") / RAISE))
        if getattr(self, f"{weak}_every") > 1:
            setattr(self, f"{weak}_every", getattr(self, f"{weak}_every") - 1)
            return
        setattr(self, factor, min(self.max_factor, getattr(self, factor) * RAISE))
        setattr(self, every, min(self.max_every, getattr(self, every) + 1))

    def state(self) -> dict:
        return asdict(self)


def from_settings(settings: BalanceSettings) -> Balance:
    """The balance at the start of stage two."""
    return Balance(
        adaptive=settings.balance == "adaptive",
        low=settings.balance_low,
        high=settings.balance_high,
        max_factor=settings.balance_max_factor,
        max_every=max(settings.balance_max_every, settings.discriminator_every),
        steps=settings.balance_steps,
        d_every=settings.discriminator_every,
        d_every_level=settings.discriminator_every,
    )
