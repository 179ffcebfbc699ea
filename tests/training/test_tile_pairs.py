import dataclasses
import shutil

import numpy as np
import pytest
from tiny_runs import TILE, make_tiles, tiny_part

from data.dataset import Pairs
from training.settings import DataSettings
from training.tile_pairs import cache_tiles, find_pairs


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_tiles(tmp_path_factory.mktemp("tiles"), train=10)


def found(folder, **flags) -> tuple[Pairs, Pairs | None]:
    """As train.py finds them."""
    return find_pairs(str(folder), **tiny_part(DataSettings, **flags).shown())


def test_clean_tiles_are_enough_to_damage_them_anew(tmp_path):
    folder = make_tiles(tmp_path / "tiles")
    for split in ("train", "val"):
        shutil.rmtree(folder / split / "lq")
    train, val = found(folder, degrade_online=True)
    assert (len(train), len(val)) == (12, 4)
    assert train.pair(0, 0)[0].shape == (*TILE, 3)
    with pytest.raises(ValueError, match="lack a partner"):
        found(folder)


def test_a_folder_whose_name_is_not_utf8_is_refused_by_name(tmp_path):
    folder = make_tiles(tmp_path / "tu\udce9les")
    with pytest.raises(ValueError, match="names in UTF-8 alone"):
        found(folder)


def test_folder_without_splits_keeps_some_pairs_for_validation(tmp_path):
    folder = make_tiles(tmp_path, train=60, val=0) / "train"
    train, val = found(folder)
    assert len(train) + len(val) == 60
    assert 0 < len(val) < 12
    assert not set(train.keys) & set(val.keys)


def test_window_that_does_not_fit_is_refused(folder):
    with pytest.raises(ValueError, match=r"--crop must divide by 16 and fit into the tiles of 16x32, got 32x32"):
        found(folder, crop=(32, 32))


def test_scale_is_that_of_the_tiles(tmp_path):
    folder = make_tiles(tmp_path, scale=2)
    assert found(folder)[0].scale == 2
    with pytest.raises(ValueError, match="--scale 4 contradicts the tiles, whose low-quality side is 1/2"):
        found(folder, scale=4)


def test_cached_tiles_are_the_same_tiles(folder, tmp_path):
    pairs, _ = found(folder)
    cached = cache_tiles(pairs, tmp_path)
    assert set(cached.caches) == {"hr", "lq"}
    cached = dataclasses.replace(cached, hr_urls=(), lq_urls=())
    for one, other in zip(cached.batch(0, 10), pairs.batch(0, 10), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_clean_tile_is_varied_before_it_is_damaged_and_never_for_validation(folder):
    train, val = found(folder, degrade_online=True, randomise=True, augment=False)
    plain = dataclasses.replace(train, randomise=False)
    varied = [not np.array_equal(train.pair(0, tile)[1], plain.pair(0, tile)[1]) for tile in range(10)]
    assert sum(varied) >= 5
    assert train.pair(0, 0)[0].shape == (*TILE, 3)
    np.testing.assert_array_equal(train.pair(0, 0)[1], train.pair(0, 0)[1])
    assert isinstance(val, Pairs)
    np.testing.assert_array_equal(val.fixed(0)[1], val.read("hr", 0))


def test_stored_partners_cannot_follow():
    with pytest.raises(ValueError, match="needs --degrade-online"):
        tiny_part(DataSettings, randomise=True)
