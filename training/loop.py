"""The course of a run: its two stages, step by step, with what happens between the steps (log, validation, saving)."""

import math
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tensorflow as tf

from data.batches import Batches
from models.enhancer import from_model
from models.enhancer import restore as restore_pictures
from training import networks, state
from training.balance import Balance, from_settings
from training.clock import Clock
from training.schedule import rate_at

STAGES = ("pretrain", "adversarial")
ARCHIVES = {"pretrain": "pretrain.keras", "adversarial": "generator.keras"}
FINITE_TERMS = ("mse", "vgg", "adversarial", "g_loss", "d_loss", "g_gradient_norm", "d_gradient_norm")
COLLAPSE_ACCURACY = 0.995  # running accuracy of a discriminator that is never wrong any more
COLLAPSE_SPREAD = 1e-3  # standard deviation of the fakes' logits when all fakes are alike


class Interrupted(Exception):
    """Somebody asked the run to stop; its state is saved."""


class TrainingFailed(Exception):
    """The run cannot go on; the last good state is kept."""


@dataclass
class Progress:
    """Where a run stands: everything of its state that is no array."""

    stage: str = STAGES[0]
    step: int = 0  # steps done in this stage
    seconds: float = 0.0  # of training, all sessions together
    best: float = -math.inf  # figure of --select, of this stage
    balance: dict = field(default_factory=dict)


class Run:
    """One run in this process. journal and validator are None in workers that are not the chief (and without tiles)."""

    def __init__(self, settings, trainer, batches: Batches, journal, validator, about: dict, chief: bool) -> None:
        self.settings, self.trainer, self.batches = settings, trainer, batches
        self.journal, self.validator, self.about, self.chief = journal, validator, about, chief
        self.folder = Path(settings.run)
        self.progress = Progress()
        self.balance: Balance = from_settings(settings)
        self.shipped = networks.in_policy(trainer.generator, "float32")
        self.best_weights: list[np.ndarray] = []
        self.stop_asked = False
        self.pending: list[tuple[int, dict]] = []  # steps whose terms have not been looked at yet
        self.gathered: dict[str, list[float]] = {}  # terms since the last row of the log
        self.last_row: dict = {}
        self.saved_at = time.monotonic()
        self.warned: set[str] = set()

    # -- the state

    def groups(self) -> dict[str, list]:
        """All variables that are saved, by name."""
        t = self.trainer
        groups = {"generator": t.g_variables, **_prefixed("g_adam", t.g_adam.state())}
        if t.averages is not None:
            groups |= _prefixed("averages", t.averages.state())
        if t.discriminator is not None:
            groups["discriminator"] = [each.value for each in t.discriminator.weights]
            groups |= _prefixed("d_adam", t.d_adam.state())
        return groups

    def save(self) -> None:
        """Write the state; only after every step so far has been found finite."""
        self.flush()
        self.saved_at = time.monotonic()
        if not self.chief:
            return
        self.progress.balance = self.balance.state()
        best = {"best": self.best_weights} if self.best_weights else {}
        state.save_state(self.folder / state.STATE_NAME, {**self.groups(), **best}, vars(self.progress))

    def load(self) -> None:
        """Take up the saved state, if there is one."""
        path = self.folder / state.STATE_NAME
        if not path.exists():
            return
        stored, meta = state.load_state(path)
        self.best_weights = stored.pop("best", [])
        state.restore(self.groups(), stored)
        self.progress = Progress(**{name: meta[name] for name in vars(Progress())})
        self.balance = Balance(**self.progress.balance)
        if self.journal is not None:
            place = STAGES.index(self.progress.stage)
            done = {stage: self.settings.steps(stage) for stage in STAGES[:place]}
            self.journal.keep_until({**done, self.progress.stage: self.progress.step})

    # -- the stages

    def train(self, bar) -> None:
        """Both stages from where the run stands. bar: makes a progress bar from (stage, steps, steps done)."""
        for stage in STAGES[STAGES.index(self.progress.stage) :]:
            if stage != self.progress.stage:
                self._enter(stage)
            if self.settings.steps(stage) and self.progress.step < self.settings.steps(stage):
                with bar(stage, self.settings.steps(stage), self.progress.step) as shown:
                    self._run_stage(stage, shown)
        if self.settings.adversarial_steps == 0:
            self._ship("adversarial", "pretrain")

    def _enter(self, stage: str) -> None:
        """Stage two starts from what stage one ships, with optimisers that know nothing of stage one."""
        if self.settings.pretrain_steps and self.settings.steps(stage):
            weights = self._chosen_weights()
            for variable, weight in zip(self.trainer.g_variables, weights, strict=True):
                variable.assign(weight)
            self.trainer.g_adam.reset()
            if self.trainer.averages is not None:
                self.trainer.averages.reset()
        self.progress.stage, self.progress.step, self.progress.best = stage, 0, -math.inf
        self.best_weights = []

    def _run_stage(self, stage: str, bar) -> None:
        settings, steps = self.settings, self.settings.steps(stage)
        iterator = iter(self._dataset(steps))
        clock = Clock()
        for step in range(self.progress.step, steps):
            with clock.waiting():
                batch = next(iterator)
            self._step(stage, step, batch)
            done = self.progress.step = step + 1
            clock.count(settings.batch_size)
            bar.update(1)
            last, validates = done == steps, done % settings.validate_every == 0
            if done % settings.log_every == 0 or validates or last or self.balance.is_due(done):
                self.flush()
            if stage == "adversarial" and self.balance.is_due(done):
                self.balance.correct()
            if validates or last or done % settings.log_every == 0:
                self._log(stage, batch if validates or last else None, clock, bar)
            if self.stop_asked:
                self.save()
                raise Interrupted(f"stopped at step {done} of stage {stage}, as asked; go on with --resume")
            if last:
                self._ship(stage, stage)
            if last or time.monotonic() - self.saved_at > 60 * settings.save_minutes:
                self.save()

    def _dataset(self, steps: int):
        strategy, settings = self.trainer.strategy, self.settings
        shares = strategy.num_replicas_in_sync

        def make(context):
            local = shares // context.num_input_pipelines
            own = range(context.input_pipeline_id * local, (context.input_pipeline_id + 1) * local)
            return self.batches.dataset(self.progress.step, steps, settings.batch_size, shares, own)

        if shares == 1:
            return make(tf.distribute.InputContext())
        return strategy.distribute_datasets_from_function(make)

    def _step(self, stage: str, step: int, batch) -> None:
        rates = self.rates(stage, step)
        tensors = {name: tf.constant(rate, tf.float32) for name, rate in rates.items()}
        if stage == "pretrain":
            terms = self.trainer.pretrain(batch, tensors["g_learning_rate"])
        else:
            turns = self.balance.turns(step)
            terms = self.trainer.adversarial(batch, tensors["g_learning_rate"], tensors["d_learning_rate"], *turns)
        self.pending.append((step + 1, terms))

    def rates(self, stage: str, step: int) -> dict[str, float]:
        """Learning rates of a step: the schedule, and in stage two the balance's factors."""
        s, steps = self.settings, self.settings.steps(stage)

        def rate(highest):
            return rate_at(step, steps, highest, s.warmup_steps, s.final_rate)

        if stage == "pretrain":
            return {"g_learning_rate": rate(s.pretrain_learning_rate)}
        return {
            "g_learning_rate": rate(s.g_learning_rate) * self.balance.g_factor,
            "d_learning_rate": rate(s.d_learning_rate) * self.balance.d_factor,
        }

    # -- between the steps

    def flush(self) -> None:
        """Look at the terms of the steps since the last look: stop at the first that is not finite."""
        pending, self.pending = self.pending, []
        for step, terms in pending:
            numbers = {name: float(term) for name, term in terms.items()}
            self._check_finite(step, numbers)
            if "d_accuracy" in numbers:
                self.balance.observe(numbers["d_accuracy"])
            for name, number in numbers.items():
                self.gathered.setdefault(name, []).append(number)

    def _check_finite(self, step: int, numbers: dict[str, float]) -> None:
        scaled = self.trainer.g_adam.scale_loss  # overflowing gradients are then usual, and skipped
        for name in FINITE_TERMS:
            if name in numbers and not math.isfinite(numbers[name]) and not (scaled and name.endswith("norm")):
                raise TrainingFailed(
                    f"the term {name} is {numbers[name]} at step {step} of stage {self.progress.stage}; the state saved last "
                    "is from before it. Lower the learning rate or the clip norm in a new run, or use --precision float32"
                )

    def _log(self, stage: str, batch, clock: Clock, bar) -> None:
        """One row of the log: means since the last row; with a batch also validation and gradient norms."""
        gathered, self.gathered = self.gathered, {}
        speed = clock.figures()
        self.progress.seconds += clock.lap()
        row = {"stage": stage, "step": self.progress.step, "seconds": self.progress.seconds, **speed}
        row |= {name: float(np.mean(numbers)) for name, numbers in gathered.items()}
        row |= self.rates(stage, self.progress.step - 1)
        weights = self.trainer.weights if stage == "adversarial" else {"mse": 1.0}
        row |= {f"weighted_{name}": weight * row[name] for name, weight in weights.items()}
        if stage == "adversarial":
            row |= {"d_accuracy_running": self.balance.accuracy}
            row |= {"g_every": self.balance.g_every, "d_every": self.balance.d_every}
            self._watch_collapse(row, bar)
        else:
            row["g_loss"] = row["mse"]
        if batch is not None:
            if stage == "adversarial":
                norms = self.trainer.gradient_norms(batch)
                row |= {f"gradient_{name}": float(norm) for name, norm in norms.items()}
            row |= self._validate(stage)
        self.last_row |= row
        if self.journal is not None:
            self.journal.add(row, self._board_step(stage))
            if batch is not None:
                self.journal.draw_curves({"pretrain": 0, "adversarial": self.settings.pretrain_steps})
        bar.show(self.last_row)
        clock.lap()  # validation is no training time

    def _validate(self, stage: str) -> dict:
        """Figures of the weights as they would be shipped; remembers the best ones if asked to."""
        if self.validator is None:
            return {}
        weights = self._current_weights()
        self.shipped.set_weights(weights)
        generator = from_model(self.shipped)
        figures, sr = self.validator.figures(lambda lq: restore_pictures(generator, lq))
        self.journal.add_samples(*self.validator.samples(sr), stage, self.progress.step, self._board_step(stage))
        if self.settings.select != "last":
            figure = figures["val_psnr_db" if self.settings.select == "psnr" else "val_char_acc"]
            if figure is not None and figure > self.progress.best:
                self.progress.best, self.best_weights = figure, weights
        return {name: figure for name, figure in figures.items() if figure is not None}

    def _watch_collapse(self, row: dict, bar) -> None:
        """Say once what looks like a lost game; the run goes on, for it may recover."""
        if row["d_accuracy_running"] > COLLAPSE_ACCURACY:
            self._warn(
                bar, "the discriminator is never wrong any more: the generator learns little from it. Try "
                "--balance adaptive, a larger --discriminator-every or a lower --d-learning-rate",
            )  # fmt: skip
        if row.get("fake_spread", 1.0) < COLLAPSE_SPREAD and self.settings.batch_size > 1:
            self._warn(bar, "all the generator's pictures look alike to the discriminator: the game may have collapsed")

    def _warn(self, bar, text: str) -> None:
        if text not in self.warned:
            self.warned.add(text)
            bar.write(f"step {self.progress.step}: {text}")

    # -- what is shipped

    def _current_weights(self) -> list[np.ndarray]:
        variables = self.trainer.averages.values if self.trainer.averages is not None else self.trainer.g_variables
        return [np.asarray(variable, np.float32) for variable in variables]

    def _chosen_weights(self) -> list[np.ndarray]:
        return self.best_weights or self._current_weights()

    def _ship(self, archive: str, stage: str) -> None:
        if not self.chief:
            return
        self.shipped.set_weights(self._chosen_weights())
        figures = {name: value for name, value in self.last_row.items() if name.startswith("val_")}
        about = {**self.about, "stage": stage, "steps": self.settings.steps(stage), "validation": figures}
        networks.write_archive(self.shipped, self.folder / ARCHIVES[archive], about)

    def _board_step(self, stage: str) -> int:
        return self.progress.step + (self.settings.pretrain_steps if stage == "adversarial" else 0)


def _prefixed(prefix: str, groups: dict[str, list]) -> dict[str, list]:
    return {f"{prefix}/{name}": variables for name, variables in groups.items()}
