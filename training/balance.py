"""Keeps generator and discriminator in balance (Goodfellow, NIPS 2016 tutorial, arXiv 1701.00160, section 4).

"fixed": the discriminator is updated every Nth step, at two fixed rates. "adaptive": a running accuracy of the
discriminator says which side is strong; the weak side's learning rate is raised and the strong side updated less often,
within bounds. Decisions are made at fixed steps and depend only on the accuracies so far, so a resumed run decides the
same.
"""

from dataclasses import asdict, dataclass

from training.settings import BalanceSettings

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
