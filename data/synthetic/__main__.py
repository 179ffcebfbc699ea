"""Renders street photos of licence plates in CCPD's form, for training without any real plate.

    python -m data.synthetic --out datasets/photos --count 20000

leaves JPEGs named as CCPD names them, and text.csv (file,text,country) with what CCPD's names cannot spell. Every photo
follows from (seed, its number) alone: the same seed gives the same bytes, whatever the number of workers. With --film,
films of cars that drive by, see data/synthetic/drive.py.
"""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data.console import say
from data.settings import field, path, require, run_module
from data.synthetic.drive import render_films
from data.synthetic.rendering import draw_sheet, render_folder


@dataclass(frozen=True)
class Settings:
    out: str = field(type=path, metavar="DIR", help="a new folder for the photos")
    count: int = field(metavar="N", help="how many photos, or films")
    film: bool = field(False, help="films (MP4) with the place and text of every plate in every frame (CSV)")
    seed: int = field(0, metavar="N", help="another seed, other photos")
    any_letters: bool = field(
        False, help="half of the letters drawn from A to Z, whatever a country's rule (not China's)"
    )
    varied: bool = field(
        False, help="for training: such letters, and countries, typefaces, colours and marks that the benchmark lacks"
    )
    workers: int | None = field(None, metavar="N", help="processes (default: one per core)")
    sheet: str | None = field(
        None, type=path, metavar="FILE", help="also draw a contact sheet of the first 60 photos into this PNG"
    )

    def __post_init__(self) -> None:
        require(self.count >= 1, "--count", "1 or more", self.count)
        require(self.workers is None or self.workers >= 1, "--workers", "1 or more", self.workers)
        require(self.seed >= 0, "--seed", "0 or more", self.seed)
        require(not (self.film and self.sheet), "--sheet", "absent with --film", self.sheet)

    @property
    def variety(self) -> str:
        """One of VARIETIES."""
        return "varied" if self.varied else "any letters" if self.any_letters else "benchmark"


def render_all(settings: Settings) -> None:
    """Raises ValueError for a folder that holds anything already, OSError."""
    write = render_films if settings.film else render_folder
    write(Path(settings.out), settings.count, settings.seed, settings.workers or os.cpu_count(), settings.variety)
    if settings.sheet:
        draw_sheet(Path(settings.sheet), settings.seed, settings.variety)
    say(f"{settings.count} {'films' if settings.film else 'photos'} in {settings.out}")


def main(argv: Sequence[str] | None = None) -> int:
    return run_module("data.synthetic", render_all, Settings, __doc__, argv, section="photos")


if __name__ == "__main__":
    sys.exit(main())
