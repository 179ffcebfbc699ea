"""The weights that a run is judged by and leaves behind: averaged unless told otherwise, the last or the best, in
float32."""

import math
from pathlib import Path

import numpy as np

from models.enhancer import from_model, restore
from models.loading import in_policy
from training import networks
from training.validation import Validator

# what --select goes by
FIGURES = {"psnr": "val_psnr_db", "char_acc": "val_char_acc"}


class Shipping:
    """validator: None without validation tiles, and in workers that are not the chief. about: for the JSON beside
    archives."""

    def __init__(self, trainer, validator: Validator | None, select: str, about: dict) -> None:
        self.trainer, self.validator, self.select, self.about = trainer, validator, select, about
        self.model = in_policy(trainer.generator, "float32")
        self.forget_best()

    def forget_best(self) -> None:
        """A new stage begins."""
        self.best, self.best_weights, self.figures = -math.inf, [], {}

    def current_weights(self) -> list[np.ndarray]:
        averages = self.trainer.averages
        return [np.asarray(v, np.float32) for v in (averages.values if averages else self.trainer.g_variables)]

    def chosen_weights(self) -> list[np.ndarray]:
        """The best by --select so far, else the current ones."""
        return self.best_weights or self.current_weights()

    def validate(self) -> tuple[dict, tuple]:
        """(figures, (lq, sr, hr) samples) of the current weights; remembers them if they are the best."""
        weights = self.current_weights()
        self._set_weights(weights)
        generator = from_model(self.model)
        figures, sr = self.validator.figures(lambda lq: restore(generator, lq))
        figure = figures.get(FIGURES.get(self.select, ""))
        if self.select == "last":
            self.figures = figures
        elif figure is not None and figure > self.best:
            self.best, self.best_weights, self.figures = figure, weights, figures
        return figures, self.validator.samples(sr)

    def _set_weights(self, weights: list[np.ndarray]) -> None:
        """What is validated is what ships. A built-in recogniser's weights are no part of these: they never change."""
        weights = networks.as_shipped(weights, self.about["precision"])
        for variable, weight in zip(self.model.trainable_variables, weights, strict=True):
            variable.assign(weight)

    def write(self, path: Path, stage: str, steps: int, warnings: list[str]) -> None:
        """The archive and the JSON beside it."""
        self._set_weights(self.chosen_weights())
        about = {**self.about, "stage": stage, "steps": steps, "validation": self.figures, "warnings": warnings}
        networks.write_archive(self.model, path, about)
