"""The progress bar: losses, accuracy, PSNR, steps per second and the time left, on the terminal."""

import sys

from tqdm import tqdm

from data.text import printable

SHOWN = {"g_loss": "G", "d_loss": "D", "d_accuracy": "acc", "val_psnr_db": "PSNR", "wait_share": "wait"}


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
