"""Generator files: which come with the project, what the JSON beside one says, and which one gives a second opinion.

Nothing here loads a network or a library, so a program can first check the file that it is given.
"""

import json
import os
from importlib.util import find_spec
from pathlib import Path

from data.files import read_text

PRETRAINED = Path(__file__).resolve().parents[1] / "checkpoints" / "pretrained"
# the names that train.py gives to the second stage's result and the first one's
STAGES = ("generator", "pretrain")
# the first starts in a second, the other needs TensorFlow
SUFFIXES = (".onnx", ".keras")
MAX_INFO_BYTES = 1 << 20


def shipped(folder: Path = PRETRAINED, precision: str = "auto") -> list[Path]:
    """The generators of the folder, each as .onnx if it lies there, else as .keras. ValueError where there are none.

    precision: of these, "bfloat16" needs OpenVINO or the .keras archive.
    """
    suffixes = SUFFIXES[1:] if precision == "bfloat16" and find_spec("openvino") is None else SUFFIXES
    files = ([folder / f"{stage}{suffix}" for suffix in suffixes] for stage in STAGES)
    found = [next(path for path in some if path.is_file()) for some in files if any(path.is_file() for path in some)]
    if not found:
        raise ValueError(f"no generator in {folder}: give one with --checkpoint FILE, or make one with train.py")
    return found


def default_checkpoint(folder: Path = PRETRAINED, precision: str = "auto") -> Path:
    """The shipped generator that its JSON recommends, else the first there is. ValueError where there is none."""
    found = shipped(folder, precision)
    return next((path for path in found if read_info(path).get("recommended") is True), found[0])


def check_checkpoint(path: str | os.PathLike) -> Path:
    """The path of a generator file that may be one, by its name. ValueError for any other."""
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"checkpoint {path}: must be a .keras or an .onnx file")
    if not path.is_file():
        raise ValueError(f"checkpoint {path}: no such file")
    return path


def second_opinion(checkpoint: str | os.PathLike) -> Path | None:
    """The other stage's generator beside this one, of the same file type; None where there is none."""
    path = Path(checkpoint)
    if path.stem not in STAGES:
        return None
    other = path.with_name(STAGES[1 - STAGES.index(path.stem)] + path.suffix)
    return other if other.is_file() else None


def read_info(path: Path) -> dict:
    """The JSON beside a checkpoint: how it was made and what to expect of it; {} where there is none that can be
    read."""
    try:
        return parse_info(read_text(path.with_suffix(".json"), MAX_INFO_BYTES))
    except (OSError, ValueError):
        return {}


def parse_info(text: str) -> dict:
    """A JSON object; {} for anything else."""
    try:
        info = json.loads(text)
    # RecursionError: for lists nested deeper than calls may be
    except (ValueError, RecursionError):
        return {}
    return info if isinstance(info, dict) else {}
