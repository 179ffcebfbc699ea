"""The pictures that a visitor can click, in docs/examples: tools/page_examples.py makes them."""

import json
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "examples"
INDEX = "examples.json"


class Plate(NamedTuple):
    path: Path
    text: str
    country: str


class Examples(NamedTuple):
    """singles: path and corners' text of each, with `labels`. burst: frames of one plate. clean: to be damaged."""

    singles: list[tuple[Path, str]]
    labels: list[str]
    burst: list[Path]
    clean: list[Plate]


def read_examples(folder: Path = FOLDER) -> Examples:
    """Raises ValueError where they are missing."""
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"no examples in {folder}: make them with python -m tools.page_examples --out {folder}"
        ) from error
    return Examples(
        singles=[(folder / each["file"], each["corners"]) for each in index["singles"]],
        labels=[each["label"] for each in index["singles"]],
        burst=[folder / name for name in index["burst"]],
        clean=[Plate(folder / each["file"], each["text"], each["country"]) for each in index["clean"]],
    )
