"""The run folder of `train.py`: made once, described by config.json, never overwritten, held by one process at a time;
and the state, from which this and every other training goes on.

The state is one file, `state.npz`, replaced in one move. It holds the variables of networks and optimisers as float32
arrays, named `group/index`, and a JSON text `meta`: the steps done, and what else the training needs to go on. NumPy
loads it without pickle.
"""

import dataclasses
import datetime
import importlib
import json
import platform
import shutil
import subprocess
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from data.files import LOCK, PART, only_run_in, open_regular, replacing, write_text
from training.settings import CONFIG_NAME, Settings, read_config

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

    A new run that ends before it has a config.json leaves nothing. A resumed run removes what a killed one had not
    finished writing.
    """
    check_folder(folder, resume)
    made = not folder.exists()
    with only_run_in(folder, "--run"):
        # another run may have begun meanwhile
        check_folder(folder, resume)
        remove_parts(folder)
        try:
            yield
        finally:
            if not resume and not (folder / CONFIG_NAME).exists():
                for name in (INIT_NAME, STATE_NAME, LOCK):
                    (folder / name).unlink(missing_ok=True)
                if made:
                    folder.rmdir()


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
    return read_config(folder)["precision"], "as the run began"


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
