"""The run folder: made once, described by config.json, never overwritten."""

import dataclasses
import datetime
import importlib
import json
import platform
import subprocess
from pathlib import Path

from data.io import write_text
from training.config import CONFIG_NAME, Settings, read_config

# the generator that the run began with, where it was not a new one
INIT_NAME = "init.keras"


def check_folder(settings: Settings, resume: bool) -> None:
    """Raises ValueError for a new run in a folder that holds something already."""
    folder = Path(settings.run)
    if not resume and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(
            f"--run {folder} is not empty; --resume goes on with the run in it, another name starts a new one"
        )


def make_folder(settings: Settings, precision: str, devices: str) -> None:
    """The folder with its config.json, which makes it one that can be resumed."""
    folder = Path(settings.run)
    folder.mkdir(parents=True, exist_ok=True)
    settings_dict = dataclasses.asdict(settings)
    write_json(
        folder / CONFIG_NAME, {"settings": settings_dict, "precision": precision, "devices": devices, **environment()}
    )


def stored_precision(settings: Settings) -> tuple[str, str]:
    """(the precision that the run was started with, whatever this machine would choose; why)."""
    return read_config(Path(settings.run))["precision"], "as the run began"


def describe(settings: Settings, tile: tuple[int, int], precision: str) -> dict:
    """What the .json beside an archive says of its making."""
    made = datetime.date.today().isoformat()
    settings_dict = dataclasses.asdict(settings)
    return {"tile": list(tile), "made": made, "precision": precision, "settings": settings_dict, **environment()}


def environment() -> dict[str, str]:
    """What else decides the result: the program's version and the libraries'."""
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


def write_json(path: Path, content: dict) -> None:
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
