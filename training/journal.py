"""Writes a run's log.csv, curves.png, samples/ and TensorBoard files. Only the chief keeps a journal."""

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from data.files import read_text, replacing, write_bytes
from data.io import encode_png
from training.devices import on_jax
from training.settings import TERMS

COLUMNS = (
    "stage", "step", "seconds", "tiles_per_second", "wait_share",
    *(name for term in TERMS for name in (term, f"weighted_{term}")),
    "g_loss", "d_loss", "d_real", "d_fake", "d_accuracy", "d_accuracy_running", "fake_spread",
    "g_learning_rate", "d_learning_rate", "g_every", "d_every", "g_gradient_norm", "d_gradient_norm", "loss_scale",
    *(f"gradient_{term}" for term in TERMS),
    "val_psnr_db", "val_ssim", "val_char_acc", "val_plate_acc", "real_char_acc",
)  # fmt: skip
TEXT_COLUMNS = ("stage",)
GAP_PX = 4
# panel -> (columns, unit, logarithmic, validation: drawn dashed)
PANELS = {
    "generator's terms, weighted": (tuple(f"weighted_{term}" for term in TERMS), "loss", True, False),
    "validation": (("val_psnr_db",), "PSNR in dB", False, True),
    "discriminator": (("d_accuracy", "d_accuracy_running"), "share right", False, False),
    "validation, structure and reading": (
        ("val_ssim", "val_char_acc", "real_char_acc"),
        "SSIM, share of characters",
        False,
        True,
    ),
    "learning rates": (("g_learning_rate", "d_learning_rate"), "per step", True, False),
    "gradient at the last layer": (tuple(f"gradient_{term}" for term in TERMS), "norm", True, False),
}


class Log:
    """A CSV file to which a training appends rows; it may hold those of an earlier sitting. texts: columns that do not
    hold numbers. Raises ValueError for a file that is no log."""

    def __init__(self, path: Path, columns: Sequence[str], texts: Sequence[str] = TEXT_COLUMNS) -> None:
        self.path, self.columns = path, columns
        self.rows = read_log(path, texts) if path.exists() else []
        self.keep(lambda row: True)

    def keep(self, wanted: Callable[[dict], bool]) -> None:
        """Drop all other rows."""
        self.rows = [row for row in self.rows if wanted(row)]
        with replacing(self.path, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(self.columns)
            writer.writerows(map(self._cells, self.rows))

    def add(self, row: dict) -> None:
        unknown = set(row) - set(self.columns)
        assert not unknown, f"columns without a place in {self.path.name}: {unknown}"
        self.rows.append(row)
        with open(self.path, "a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow(self._cells(row))

    def _cells(self, row: dict) -> list[str]:
        return [_text(row.get(name)) for name in self.columns]


class Journal:
    """Appends to the files of one run folder, which may hold those of an earlier sitting."""

    def __init__(self, run: Path, more_columns: Sequence[str] = ()) -> None:
        self.run, self.log = run, Log(run / "log.csv", (*COLUMNS, *more_columns))
        (run / "samples").mkdir(exist_ok=True)
        self.board = None
        # TensorFlow writes TensorBoard's files
        if not on_jax():
            import tensorflow as tf

            self.board = tf.summary.create_file_writer(str(run / "tensorboard"))

    def keep_until(self, done: dict[str, int]) -> None:
        """Drop the rows after the saved state: their steps will be repeated. done: stage -> steps done."""
        self.log.keep(lambda row: row["step"] <= done.get(row["stage"], -1))

    def add(self, row: dict, board_step: int) -> None:
        """One row of log.csv, and the same figures for TensorBoard."""
        self.log.add(row)
        if self.board is None:
            return
        import tensorflow as tf

        with self.board.as_default(step=board_step):
            for name, value in row.items():
                if name not in (*TEXT_COLUMNS, "step") and value is not None:
                    tf.summary.scalar(f"{row['stage']}/{name}", value)

    def add_samples(
        self, lq: np.ndarray, sr: np.ndarray, hr: np.ndarray, stage: str, step: int, board_step: int
    ) -> None:
        """samples/STAGE_STEP.png: one row per plate, columns LQ, SR, HR. All uint8."""
        sheet = sample_sheet(lq, sr, hr)
        path = self.run / "samples" / f"{stage}_{step:07d}.png"
        write_bytes(path, encode_png(sheet))
        if self.board is None:
            return
        import tensorflow as tf

        with self.board.as_default(step=board_step):
            tf.summary.image("samples LQ SR HR", sheet[None])
        self.board.flush()

    def draw_curves(self, stage_offsets: dict[str, int]) -> None:
        """curves.png from all rows so far."""
        draw_curves(self.log.rows, stage_offsets, self.run / "curves.png")

    def close(self) -> None:
        if self.board is not None:
            self.board.close()


def read_log(path: Path, texts: Sequence[str] = TEXT_COLUMNS) -> list[dict]:
    """The rows of a log.csv; empty cells are left out of their row. A torn last line is dropped. texts: columns that do
    not hold numbers. Raises ValueError that names the file where it is no log."""
    rows = []
    try:
        table = csv.DictReader(io.StringIO(read_text(path), newline=""))
        for cells in table:
            if None in cells or None in cells.values():
                continue
            row = {name: float(cell) for name, cell in cells.items() if cell and name not in texts}
            rows.append({**{name: cells[name] for name in texts}, **row, "step": int(row["step"])})
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise ValueError(f"{path} is damaged ({error}); move it away to go on without its rows") from error
    return rows


def sample_sheet(lq: np.ndarray, sr: np.ndarray, hr: np.ndarray) -> np.ndarray:
    """(N, h, w, 3), (N, H, W, 3), (N, H, W, 3) uint8 -> one picture, N rows of LQ (enlarged to H x W), SR, HR."""
    count, height, width, _ = hr.shape
    lq = lq.repeat(height // lq.shape[1], axis=1).repeat(width // lq.shape[2], axis=2)
    sheet = np.full((count * (height + GAP_PX) - GAP_PX, 3 * (width + GAP_PX) - GAP_PX, 3), 255, np.uint8)
    for row, plates in enumerate(zip(lq, sr, hr, strict=True)):
        for column, plate in enumerate(plates):
            top, left = row * (height + GAP_PX), column * (width + GAP_PX)
            sheet[top : top + height, left : left + width] = plate
    return sheet


def _text(value) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def draw_curves(rows: list[dict], stage_offsets: dict[str, int], path: Path) -> None:
    """Draw the rows of log.csv. stage_offsets: stage -> steps before its first, so that both share one axis."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(3, 2, figsize=(12, 10), layout="constrained")
    for axis, (title, (columns, unit, logarithmic, dashed)) in zip(axes.flat, PANELS.items(), strict=True):
        drawn = False
        for column in columns:
            points = [
                (stage_offsets[row["stage"]] + row["step"], row[column]) for row in rows if row.get(column) is not None
            ]
            drawn |= any(value > 0 for _, value in points)
            if points:
                axis.plot(*zip(*points, strict=True), linestyle="--" if dashed else "-", marker=".", ms=3, label=column)
        if stage_offsets["adversarial"] and axis.lines:
            axis.axvline(stage_offsets["adversarial"], color="grey", linewidth=0.8)
        axis.set(title=title, xlabel="step", ylabel=unit, yscale="log" if logarithmic and drawn else "linear")
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize="small")
        else:
            axis.text(0.5, 0.5, "nothing yet", ha="center", va="center", transform=axis.transAxes)
    with replacing(path) as file:
        figure.savefig(file, dpi=100, format="png")
    pyplot.close(figure)
