"""Runs both stages; logs, validates and saves between steps, and keeps generator and discriminator in balance.

The terms' values are fetched in batches, so the device does not wait for the host at every step. The balance follows
Goodfellow (NIPS 2016 tutorial, arXiv 1701.00160, section 4). "fixed": the discriminator is updated every Nth step, at
two fixed rates. "adaptive": a running accuracy of the discriminator says which side is strong; the weak side's learning
rate is raised and the strong side updated less often, within bounds. Decisions are made at fixed steps and depend only
on the accuracies so far, so a resumed run decides the same.
"""

import math
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from data.console import ending_signals, printable
from data.dataset import Batches
from training.devices import Interrupted, TrainingFailed
from training.run_folder import STATE_NAME, Journal, load_state, restore, save_state
from training.settings import TERMS, BalanceSettings, ScheduleSettings, WatchSettings
from training.validation import ShippedWeights

STAGES = ("pretrain", "adversarial")
ARCHIVES = {"pretrain": "pretrain.keras", "adversarial": "generator.keras"}
# running accuracy of a discriminator that is hardly ever wrong
COLLAPSE_ACCURACY = 0.995
# spread of the fakes relative to the clean tiles', below which the fakes are nearly all alike
COLLAPSE_SPREAD = 0.1
# of a stage, at most: short runs still reach the highest rate
WARMUP_SHARE = 0.1
# what must be finite
CHECKED = (*TERMS, "g_loss", "d_loss", "g_gradient_norm", "d_gradient_norm")


class Terms:
    """The loss terms of each step: fetched a batch of steps at a time, checked, and averaged for the log.

    half: gradients may overflow, because the loss scale then skips their step."""

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


# --- The balance ------------------------------------------------------------------------------------------------------

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


def balance_from(settings: BalanceSettings) -> Balance:
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


# --- Speed, and the bar on the terminal -------------------------------------------------------------------------------

# column of log.csv -> its label in the bar
SHOWN = {"g_loss": "G", "d_loss": "D", "d_accuracy": "acc", "val_psnr_db": "PSNR", "wait_share": "wait"}


class Clock:
    """Counts tiles and seconds between two laps."""

    def __init__(self) -> None:
        self.lap()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Time spent inside counts as waiting for data."""
        start = time.perf_counter()
        yield
        self.waited += time.perf_counter() - start

    def count(self, tiles: int) -> None:
        self.tiles += tiles

    def figures(self) -> dict[str, float]:
        """Of the time since the last lap."""
        seconds = max(time.perf_counter() - self.start, 1e-9)
        return {"tiles_per_second": self.tiles / seconds, "wait_share": self.waited / seconds}

    def lap(self) -> float:
        """Start anew; returns the seconds since the last lap."""
        now = time.perf_counter()
        seconds = now - getattr(self, "start", now)
        self.start, self.tiles, self.waited = now, 0, 0.0
        return seconds


class Bar:
    """A bar of one stage; silent for workers that are not the chief. A context manager."""

    def __init__(self, stage: str, steps: int, done: int, silent: bool = False) -> None:
        self.bar = tqdm(
            total=steps, initial=done, desc=stage, unit="step", disable=silent, dynamic_ncols=True, mininterval=1.0
        )

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, *_) -> None:
        self.bar.close()

    def update(self, steps: int) -> None:
        self.bar.update(steps)

    def show(self, row: dict) -> None:
        """The current figures of a row of log.csv."""
        shown = {label: f"{row[name]:.4g}" for name, label in SHOWN.items() if row.get(name) is not None}
        self.bar.set_postfix(shown, refresh=False)

    def write(self, text: str) -> None:
        """A line above the bar."""
        if not self.bar.disable:
            tqdm.write(printable(text), file=sys.stderr)


# --- The run ----------------------------------------------------------------------------------------------------------


@dataclass
class Progress:
    """The part of a run's state that is not arrays."""

    stage: str = STAGES[0]
    # steps done in this stage
    step: int = 0
    # of training, all sittings together
    seconds: float = 0.0
    # figure of --select, of this stage
    best: float | None = None
    # all figures of the weights that would be shipped
    figures: dict = field(default_factory=dict)
    balance: dict = field(default_factory=dict)
    warnings: list = field(default_factory=list)


class Run:
    """One run in this process. journal: None in workers that are not the chief."""

    def __init__(
        self,
        folder: Path,
        schedule: ScheduleSettings,
        watch: WatchSettings,
        balance: Balance,
        trainer,
        batches: Batches,
        shipped: ShippedWeights,
        journal: Journal | None,
    ) -> None:
        self.folder, self.schedule, self.watch, self.balance = folder, schedule, watch, balance
        self.trainer, self.batches, self.shipped, self.journal = trainer, batches, shipped, journal
        self.chief = journal is not None
        self.progress = Progress()
        self.terms = Terms(half=trainer.g_adam.scale_loss)
        self.shown: dict = {}
        self.stop_asked = False
        self.saved_at = time.monotonic()

    # -- the state

    def save(self) -> None:
        """Write the state, once every step so far is known to be finite."""
        self._look()
        self.saved_at = time.monotonic()
        if not self.chief:
            return
        shipped, best = self.shipped, {}
        self.progress.balance, self.progress.figures = self.balance.state(), shipped.figures
        if shipped.best_weights:
            best, self.progress.best = {"best": shipped.best_weights}, shipped.best
        save_state(self.folder / STATE_NAME, {**self.trainer.state(), **best}, vars(self.progress))

    def load(self) -> None:
        """Continue from the saved state. Raises ValueError where it is missing, damaged or of another run."""
        stored, meta = load_state(self.folder / STATE_NAME)
        best = stored.pop("best", [])
        restore(self.trainer.state(), stored)
        self.progress = Progress(**{name: meta[name] for name in vars(Progress()) if name in meta})
        if self.progress.balance:
            self.balance = Balance(**self.progress.balance)
        if best:
            self.shipped.best, self.shipped.best_weights = self.progress.best, best
        self.shipped.figures = self.progress.figures
        if self.journal is not None:
            self.journal.keep_until(self._done())

    def _done(self) -> dict[str, int]:
        """Steps done of each stage begun."""
        before = STAGES[: STAGES.index(self.progress.stage)]
        return {**{stage: self.schedule.steps(stage) for stage in before}, self.progress.stage: self.progress.step}

    # -- the stages

    def train(self, stage: str) -> None:
        """Run a stage from the present step on; a finished stage is skipped."""
        if STAGES.index(stage) < STAGES.index(self.progress.stage):
            return
        if stage != self.progress.stage:
            self._enter(stage)
        steps = self.schedule.steps(stage)
        if self.progress.step < steps:
            with Bar(stage, steps, self.progress.step, silent=not self.chief) as bar:
                self._take_steps(stage, steps, bar)

    def finish(self) -> None:
        """Wait for all workers: one that leaves early would look like one that died."""
        if self._is_cluster():
            self.trainer.any_worker(False)

    def _enter(self, stage: str) -> None:
        """Stage two starts from what stage one ships, with a fresh optimiser."""
        if self.schedule.pretrain_steps and self.schedule.steps(stage):
            weights = self.shipped.chosen_weights()
            # only the chief has validated
            if self._is_cluster():
                weights = self.trainer.of_the_chief(weights, self.chief)
            self.trainer.restart_from(weights)
        self.shipped.forget_best()
        self.progress.stage, self.progress.step, self.progress.best = stage, 0, None

    def _take_steps(self, stage: str, steps: int, bar) -> None:
        iterator, clock = iter(self.trainer.dataset(self.batches, self.progress.step, steps)), Clock()
        for step in range(self.progress.step, steps):
            with clock.waiting():
                batch = next(iterator)
            self._step(stage, step, batch)
            self.progress.step = step + 1
            clock.count(self.schedule.batch_size)
            bar.update(1)
            self._between_steps(stage, steps, batch, clock, bar)

    def _step(self, stage: str, step: int, batch) -> None:
        rates = [np.asarray(rate, np.float32) for rate in self.rates(stage, step).values()]
        if stage == "pretrain":
            terms = self.trainer.pretrain(batch, *rates)
        else:
            terms = self.trainer.adversarial(batch, *rates, *self.balance.turns(step))
        self.terms.add(step + 1, terms)

    def rates(self, stage: str, step: int) -> dict[str, float]:
        """Learning rates of a step: the schedule, and in stage two the balance's factors."""
        s, steps = self.schedule, self.schedule.steps(stage)

        def rate(highest: float) -> float:
            return rate_at(step, steps, highest, s.warmup_steps, s.final_rate)

        if stage == "pretrain":
            return {"g_learning_rate": rate(s.pretrain_learning_rate)}
        return {
            "g_learning_rate": rate(s.g_learning_rate) * self.balance.g_factor,
            "d_learning_rate": rate(s.d_learning_rate) * self.balance.d_factor,
        }

    # -- between the steps

    def _between_steps(self, stage: str, steps: int, batch, clock: Clock, bar) -> None:
        watch, done = self.watch, self.progress.step
        last = done == steps
        validates = last or done % watch.validate_every == 0
        logs = validates or done % watch.log_every == 0
        if stage == "adversarial" and self.balance.is_due(done):
            self._look()
            self.balance.correct()
        if logs:
            self._log(stage, batch if validates else None, clock, bar)
        if last:
            self._ship(stage)
        stops = self._stops(logs)
        if stops or last or time.monotonic() - self.saved_at > 60 * watch.save_minutes:
            self.save()
        if stops:
            raise Interrupted(f"stopped after step {done} of stage {stage}, as asked; go on with --resume")

    def _stops(self, logs: bool) -> bool:
        """Whether to stop here. Several machines must stop at the same step, so they ask each other, now and then."""
        if not self._is_cluster():
            return self.stop_asked
        return logs and self.trainer.any_worker(self.stop_asked)

    def _is_cluster(self) -> bool:
        return getattr(self.trainer.strategy, "cluster_resolver", None) is not None

    def _look(self) -> None:
        for accuracy in self.terms.look(self.progress.stage):
            self.balance.observe(accuracy)

    def _log(self, stage: str, batch, clock: Clock, bar) -> None:
        """One row of the log: means since the last row; with a batch also validation and gradient norms."""
        self._look()
        speed = clock.figures()
        self.progress.seconds += clock.lap()
        row = {"stage": stage, "step": self.progress.step, "seconds": self.progress.seconds, **speed}
        row |= self.terms.means() | self.rates(stage, self.progress.step - 1)
        weights = self.trainer.weights if stage == "adversarial" else self.trainer.pretrain_weights
        row |= {f"weighted_{name}": weight * row[name] for name, weight in weights.items()}
        if stage == "adversarial":
            balance = self.balance
            row |= {"d_accuracy_running": balance.accuracy, "g_every": balance.g_every, "d_every": balance.d_every}
            self._watch_collapse(row, bar)
        if batch is not None:
            row |= self._look_closely(stage, batch)
        if self.journal is not None:
            self.journal.add(row, self._whole_step())
            if batch is not None:
                self.journal.draw_curves({"pretrain": 0, "adversarial": self.schedule.pretrain_steps})
        self.shown |= row
        bar.show(self.shown)
        # validating is not training
        clock.lap()

    def _look_closely(self, stage: str, batch) -> dict:
        """Gradient norms of the terms, and validation of the weights that would be shipped."""
        figures = {}
        if stage == "adversarial":
            norms = self.trainer.gradient_norms(batch)
            figures = {f"gradient_{name}": float(norm) for name, norm in norms.items()}
        if self.shipped.validates():
            validation, samples = self.shipped.validate()
            if samples is not None:
                self.journal.add_samples(*samples, stage, self.progress.step, self._whole_step())
            figures |= {name: figure for name, figure in validation.items() if figure is not None}
        return figures

    def _watch_collapse(self, row: dict, bar) -> None:
        """Warn once about signs of collapse; the run goes on, since it may recover."""
        signs = {
            "the discriminator is hardly ever wrong, so the generator learns little from it: try --balance adaptive, a "
            "larger --discriminator-every or a lower --d-learning-rate": row["d_accuracy_running"] > COLLAPSE_ACCURACY,
            "the generator's pictures are nearly all alike: training has collapsed": row["fake_spread"]
            < COLLAPSE_SPREAD,
        }
        for text, seen in signs.items():
            if seen and text not in self.progress.warnings:
                self.progress.warnings.append(text)
                bar.write(f"step {self.progress.step}: {text}")

    def _ship(self, stage: str) -> None:
        if not self.chief:
            return
        final = ARCHIVES[stage] if self.schedule.adversarial_steps or stage == "adversarial" else None
        # without a stage two, stage one's generator is the result
        for name in {final} if final else ARCHIVES.values():
            self.shipped.write(self.folder / name, stage, self.progress.step, self.progress.warnings)

    def _whole_step(self) -> int:
        """Steps of both stages, for axes that they share."""
        return sum(self._done().values())


@contextmanager
def stoppable(run: Run) -> Iterator[None]:
    """Inside, Ctrl-C, SIGTERM and SIGHUP let the run end its step, save and leave; a second one ends it at once."""

    def ask(number, _frame) -> None:
        run.stop_asked = True
        signal.signal(number, signal.SIG_DFL)

    before = {number: signal.signal(number, ask) for number in ending_signals()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def rate_at(step: int, steps: int, highest: float, warmup_steps: int, final: float) -> float:
    """Learning rate of step 0, 1, ... `steps` - 1: rising linearly, then a cosine from `highest` to `final *
    highest`."""
    warmup = min(warmup_steps, int(WARMUP_SHARE * steps))
    if step < warmup:
        return highest * (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(1, steps - warmup)
    return highest * (final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress)))
