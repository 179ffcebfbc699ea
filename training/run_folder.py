"""The run folder: made once, described by config.json, never overwritten."""

import dataclasses
import datetime
import json
import os
import platform
import shutil
import subprocess
from pathlib import Path

from training.config import CONFIG_NAME, Settings, read_config

INIT_NAME = "init.keras"  # the copy of --init that makes the run folder complete


def check_folder(settings: Settings, resume: bool) -> None:
    """Raises ValueError for a new run in a folder that holds something already."""
    folder = Path(settings.run)
    if not resume and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(
            f"--run {folder} is not empty; --resume goes on with the run in it, another name starts a new one"
        )


def init_file(settings: Settings) -> Path:
    """Where the generator to start from lies: in the run folder once there is one, for the original may vanish. Raises
    ValueError where it is in neither place."""
    copy = Path(settings.run) / INIT_NAME
    path = copy if copy.exists() else Path(settings.init)
    if not path.is_file():
        raise ValueError(f"--init {path}: no such file; give a generator.keras that a run has left")
    return path


def make_folder(settings: Settings, precision: str, devices: str) -> None:
    """The folder with its config.json, and the copy of --init."""
    folder = Path(settings.run)
    folder.mkdir(parents=True, exist_ok=True)
    if settings.init:
        partial = folder / (INIT_NAME + ".partial")
        shutil.copyfile(settings.init, partial)
        os.replace(partial, folder / INIT_NAME)
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
    import tensorflow

    versions = {module.__name__: module.__version__ for module in (tensorflow, keras, numpy)}
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
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(partial, path)
