"""The benchmark is frozen: what the published figures were measured on must not change by accident.

A few of its photos and tiles are made anew and compared with small copies of them. Where this fails, either mend what
changed the renderer, the crop, the preset "benchmark" or the degradations; or measure every published figure again, and
write the copies anew with `python tests/test_frozen.py`.
"""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from data.photos import Photo
from data.preprocessing import Recipe, make_pairs
from data.synthetic.rendering import write_photo
from data.tiles import read_tile, tile_url

COPIES = Path(__file__).with_name("frozen_benchmark.json")
# as in the Makefile
SEED = 20260
INDICES = (0, 3, 500, 1000, 1500, 1999)
RECIPE = Recipe(straighten=False, preset="benchmark", val=0, test=1, seed=SEED)
# width, height of a copy
SMALL = (12, 6)
# of 255: decoders differ by a step or so, a changed stage by far more
TOLERANCE = 2


def make(folder: Path, index: int, known_as: str = "") -> dict:
    """What there is to remember of one photo and its pair. known_as: the name it had; the damage is drawn by it."""
    new_name, text, country = write_photo(folder, SEED, index)
    name = known_as or new_name
    (folder / new_name).rename(folder / name)
    # the name's last two fields, brightness and sharpness, may differ by one from one processor to another
    assert new_name.split("-")[:-2] == name.split("-")[:-2], "the plate lies elsewhere"
    for side in ("hr", "lq"):
        (folder / "tiles" / "test" / side).mkdir(parents=True, exist_ok=True)
    found = make_pairs(Photo(name, "", (text, country)), RECIPE, str(folder), str(folder / "tiles"))
    copy = {"name": name, "text": text, "country": country, "photo": small(read_tile(str(folder / name)))}
    for row in found.rows:
        copy |= {"steps": row.degradation}
        copy |= {
            side: small(read_tile(tile_url(str(folder / "tiles"), "test", side, row.key))) for side in ("hr", "lq")
        }
    return copy


def small(picture: np.ndarray) -> list:
    return cv2.resize(picture, SMALL, interpolation=cv2.INTER_AREA).tolist()


@pytest.mark.parametrize("number", range(len(INDICES)))
def test_photos_tiles_and_their_damage_are_those_of_the_published_figures(number, tmp_path):
    frozen = json.loads(COPIES.read_text(encoding="utf-8"))[number]
    made = make(tmp_path, INDICES[number], frozen["name"])
    pictures = {"photo", "hr", "lq"} & set(frozen)
    assert set(made) == set(frozen)
    for key in set(frozen) - pictures:
        assert made[key] == frozen[key], key
    for key in pictures:
        np.testing.assert_allclose(made[key], frozen[key], atol=TOLERANCE, err_msg=key)


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        copies = [make(Path(scratch), index) for index in INDICES]
    COPIES.write_text(
        "[\n" + ",\n".join(json.dumps(copy, ensure_ascii=False) for copy in copies) + "\n]\n", encoding="utf-8"
    )
