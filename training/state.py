"""Saving and restoring everything that a run needs to go on: one file, replaced in one move.

`state.npz` holds every variable of the trainer as a float32 array, named `group/index`, and a JSON text `meta`: the
stage, the steps done in it, and the state of the balance. NumPy loads it without pickle.
"""

import json
import zipfile
from pathlib import Path

import numpy as np

from data.io import replacing

STATE_NAME = "state.npz"
FORMAT = 1


def save_state(path: Path, groups: dict[str, list], meta: dict) -> None:
    """Write the state atomically. Raises OSError where that fails, a full disk say; the old file then remains."""
    arrays = {f"{group}/{i}": _array(v) for group, variables in groups.items() for i, v in enumerate(variables)}
    text = json.dumps({"format": FORMAT, **meta})
    write_atomically(path, lambda file: np.savez(file, meta=np.array(text), **arrays))


def write_atomically(path: Path, write) -> None:
    """Call `write(binary file)` on a temporary neighbour of `path`, then move it into place."""
    try:
        with replacing(path, durable=True) as file:
            write(file)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def load_state(path: Path) -> tuple[dict[str, list[np.ndarray]], dict]:
    """(arrays by group, meta) of a saved state. Raises ValueError for a file that is none."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            meta = json.loads(str(stored["meta"]))
            groups: dict[str, list] = {}
            for name in stored.files:
                if name != "meta":
                    groups.setdefault(name.rpartition("/")[0], []).append(stored[name])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is no saved state of a run: {error}") from error
    if meta.get("format") != FORMAT:
        raise ValueError(f"{path} has state format {meta.get('format')}, this program reads {FORMAT}")
    return groups, meta


def restore(groups: dict[str, list], stored: dict[str, list[np.ndarray]]) -> None:
    """Assign the stored arrays to the variables of the same groups. Raises ValueError where they do not fit."""
    for group, variables in groups.items():
        arrays = stored.get(group, [])
        shapes = [tuple(variable.shape) for variable in variables], [array.shape for array in arrays]
        if shapes[0] != shapes[1]:
            raise ValueError(f"the saved state does not fit this run: {group} has {len(arrays)} arrays of other shapes")
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)


def _array(variable) -> np.ndarray:
    return np.asarray(variable, dtype=np.float32)
