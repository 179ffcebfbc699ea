"""The run folder of `train.py`: made once, described by config.json, never overwritten, held by one process at a time;
the state, from which this and every other training goes on; and the journal, in which people see how it goes.

The state is one file, `state.npz`, replaced in one move. It holds the variables of networks and optimisers as float32
arrays, named `group/index`, and a JSON text `meta`: the steps done, and what else the training needs to go on. NumPy
loads it without pickle.
"""

import csv
import dataclasses
import datetime
import importlib
import io
import json
import platform
import shutil
import subprocess
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from data.files import LOCK, PART, only_run_in, open_regular, read_text, replacing, write_bytes, write_text
from data.io import encode_png
from training.devices import on_jax
from training.settings import CONFIG_NAME, TERMS, Settings, config_of_run

# the generator that the run began with, where it was not a new one
INIT_NAME = "init.keras"
STATE_NAME = "state.npz"
FORMAT = 1
# the group of training.detector; and what else its states of before this format hold, whose arrays are in no group
DETECTOR, META_OF_BEFORE = "network", ("step", "settings")

# group -> its arrays; what else was saved
State = tuple[dict[str, list[np.ndarray]], dict]


@contextmanager
def held(folder: Path, resume: bool) -> Iterator[None]:
    """Keep the folder for this process. Raises ValueError for a folder that another run holds, and for a new run in one
    that holds something already.

    A new run that ends before it has a config.json leaves nothing, and takes nothing over from one that was killed
    before. A resumed run removes what a killed one had not finished writing.
    """
    check_folder(folder, resume)
    made = not folder.exists()
    with only_run_in(folder, "--run"):
        # another run may have begun meanwhile
        check_folder(folder, resume)
        remove_parts(folder)
        if not resume:
            _remove_beginning(folder)
        try:
            yield
        finally:
            if not resume and not (folder / CONFIG_NAME).exists():
                _remove_beginning(folder)
                (folder / LOCK).unlink(missing_ok=True)
                if made:
                    folder.rmdir()


def _remove_beginning(folder: Path) -> None:
    """What a run has written when it has no config.json yet."""
    for name in (INIT_NAME, STATE_NAME):
        (folder / name).unlink(missing_ok=True)


def remove_parts(folder: Path) -> None:
    """What a killed run had not finished writing."""
    for path in folder.glob(f".*{PART}"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def check_folder(folder: Path, resume: bool) -> None:
    """Raises ValueError for a new run in a folder that holds something already, other than the beginning of a run that
    was killed before it had a config.json."""
    if resume or not folder.exists():
        return
    beginning = (LOCK, INIT_NAME, STATE_NAME)
    if not folder.is_dir() or any(each.name not in beginning and each.suffix != PART for each in folder.iterdir()):
        raise ValueError(
            f"--run {folder} is not empty; --resume goes on with the run in it, another name starts a new one"
        )


def begin(settings: Settings, precision: str, devices: str, state: dict[str, list]) -> None:
    """Write the state before the first step, and then config.json, which makes the folder one that can be resumed."""
    folder = Path(settings.run)
    save_state(folder / STATE_NAME, state, {})
    about = {"settings": dataclasses.asdict(settings), "precision": precision, "devices": devices}
    write_json(folder / CONFIG_NAME, {**about, **environment()})


def write_json(path: Path, content: dict) -> None:
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def stored_precision(folder: Path) -> tuple[str, str]:
    """(the precision that the run was started with, whatever this machine would choose; why)."""
    return config_of_run(folder)["precision"], "as the run began"


def describe(settings: Settings, tile: tuple[int, int], precision: str, characters: str) -> dict:
    """The content of the .json beside an archive: how the network was made.

    window_px: the height of the windows that training cut from the tiles, 0 for whole tiles; who applies the generator
    must know it (`models/enhancer.py`). characters: that the recogniser in it has names for (`models/answerer.py`).
    """
    about = {"tile": list(tile), "window_px": settings.crop[0] if settings.crop else 0}
    if characters:
        about["characters"] = characters
    about |= {"made": datetime.date.today().isoformat(), "precision": precision}
    return about | {"settings": dataclasses.asdict(settings), **environment()}


def environment() -> dict[str, str]:
    """What else affects the result: the program's version and the libraries'."""
    import keras
    import numpy

    backend = importlib.import_module(keras.config.backend())
    versions = {module.__name__: module.__version__ for module in (backend, keras, numpy)}
    return {"commit": _commit(), "python": platform.python_version(), **versions}


def _commit() -> str:
    """Of the repository this file lies in; "unknown" outside of one."""
    command = ["git", "rev-parse", "HEAD"]
    try:
        found = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip()


# --- The state --------------------------------------------------------------------------------------------------------


def save_state(path: Path, groups: dict[str, list], meta: dict) -> None:
    """Write the state atomically. Raises OSError where that fails, for example on a full disk; the old file then
    remains."""
    arrays = {f"{group}/{i}": _array(v) for group, variables in groups.items() for i, v in enumerate(variables)}
    text = json.dumps({"format": FORMAT, "arrays": len(arrays), **meta})
    with replacing(path, durable=True) as file:
        np.savez(file, meta=np.array(text), **arrays)


def load_state(path: Path) -> State:
    """(arrays by group, meta) of a saved state. Raises ValueError for a file that is missing or damaged."""
    if not path.exists():
        raise ValueError(f"{path} is missing, without which the run cannot go on; start a new run")
    try:
        with open_regular(path) as file, np.load(file, allow_pickle=False) as stored:
            meta = json.loads(str(stored["meta"])) if "meta" in stored else _meta_of_before(stored)
            groups: dict[str, list] = {}
            for name in stored.files:
                if name not in ("meta", *META_OF_BEFORE):
                    groups.setdefault(name.rpartition("/")[0] or DETECTOR, []).append(stored[name])
        found = sum(map(len, groups.values()))
        if meta.get("arrays", found) != found:
            raise ValueError(f"{found} of {meta['arrays']} arrays")
    # of many kinds, for the many ways in which such a file can be damaged
    except Exception as error:
        raise ValueError(f"{path} is damaged, or no saved state: {error}; start a new run") from error
    if meta.get("format") != FORMAT:
        raise ValueError(f"{path} is not of the format that this program reads, {FORMAT}")
    return groups, meta


def _meta_of_before(stored) -> dict:
    settings = json.loads(str(stored["settings"])) if "settings" in stored else {}
    return {"format": FORMAT, "step": int(stored["step"]), "settings": settings}


def load_begun(path: Path, settings: dict, indifferent: Collection[str]) -> State | None:
    """The state from which the same command goes on; None where there is none. indifferent: settings that may differ
    from those saved in it. Raises ValueError where others do, and as `load_state`."""
    if not path.exists():
        return None
    groups, meta = load_state(path)
    begun = meta.get("settings", {})
    # JSON has lists for tuples
    now = json.loads(json.dumps(settings))
    differing = [
        f"--{name.replace('_', '-')} {before} (now {now[name]})"
        for name, before in begun.items()
        if name in now and name not in indifferent and now[name] != before
    ]
    if differing:
        raise ValueError(
            f"{path} is of a training with other settings, {', '.join(differing)}: finish that one, remove it, or give "
            "another --out"
        )
    return groups, meta


def restore(groups: dict[str, list], stored: dict[str, list[np.ndarray]]) -> None:
    """Assign the stored arrays to the variables of the same groups. Raises ValueError where they do not fit, and then
    assigns none."""
    for group, variables in groups.items():
        arrays = stored.get(group, [])
        if [tuple(variable.shape) for variable in variables] != [array.shape for array in arrays]:
            raise ValueError(f"the saved state does not fit this run: {group} has {len(arrays)} arrays of other shapes")
    for group, variables in groups.items():
        for variable, array in zip(variables, stored.get(group, []), strict=True):
            variable.assign(array)


def _array(variable) -> np.ndarray:
    return np.asarray(variable, dtype=np.float32)


# --- The journal: log.csv, samples, curves.png and TensorBoard's files, of the chief alone ----------------------------

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
