"""What a run writes for people: log.csv, curves.png, samples/ and TensorBoard's files. Only the chief makes one."""

import csv
from pathlib import Path

import numpy as np

from data.io import encode_png, replacing, write_bytes
from training.devices import on_jax
from training.terms import TERMS

COLUMNS = (
    "stage", "step", "seconds", "tiles_per_second", "wait_share",
    *(name for term in TERMS for name in (term, f"weighted_{term}")),
    "g_loss", "d_loss", "d_real", "d_fake", "d_accuracy", "d_accuracy_running", "fake_spread",
    "g_learning_rate", "d_learning_rate", "g_every", "d_every", "g_gradient_norm", "d_gradient_norm", "loss_scale",
    *(f"gradient_{term}" for term in TERMS),
    "val_psnr_db", "val_ssim", "val_char_acc", "val_plate_acc",
)  # fmt: skip
TEXT_COLUMNS = ("stage",)
GAP_PX = 4


class Journal:
    """Appends to the files of one run folder, which may hold those of an earlier sitting."""

    def __init__(self, run: Path) -> None:
        self.path, self.run = run / "log.csv", run
        (run / "samples").mkdir(exist_ok=True)
        self.board = None
        # TensorFlow writes TensorBoard's files
        if not on_jax():
            import tensorflow as tf

            self.board = tf.summary.create_file_writer(str(run / "tensorboard"))
        self.rows = read_log(self.path) if self.path.exists() else []
        self._rewrite()

    def keep_until(self, done: dict[str, int]) -> None:
        """Drop the rows behind the saved state: their steps will be taken again. done: stage -> steps done."""
        self.rows = [row for row in self.rows if row["step"] <= done.get(row["stage"], -1)]
        self._rewrite()

    def add(self, row: dict, board_step: int) -> None:
        """One row of log.csv, and the same figures for TensorBoard."""
        unknown = set(row) - set(COLUMNS)
        assert not unknown, f"columns without a place in log.csv: {unknown}"
        self.rows.append(row)
        with open(self.path, "a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow([_text(row.get(name)) for name in COLUMNS])
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
        from training.curves import draw_curves

        draw_curves(self.rows, stage_offsets, self.run / "curves.png")

    def close(self) -> None:
        if self.board is not None:
            self.board.close()

    def _rewrite(self) -> None:
        with replacing(self.path, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            writer.writerows([_text(row.get(name)) for name in COLUMNS] for row in self.rows)


def read_log(path: Path) -> list[dict]:
    """The rows of a log.csv; cells without a number are left out of their row. A torn last line is dropped."""
    with open(path, newline="", encoding="utf-8") as file:
        table = [row for row in csv.DictReader(file) if None not in row.values()]
    rows = []
    for cells in table:
        row = {name: float(cell) for name, cell in cells.items() if cell and name not in TEXT_COLUMNS}
        rows.append({"stage": cells["stage"], **row, "step": int(row["step"])})
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
