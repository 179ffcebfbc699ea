import dataclasses
import shutil
from collections import Counter

import numpy as np
import pytest
from tiny_runs import TILE, make_tiles, tiny_part

from data import dataset
from data.dataset import (
    HELD,
    Batches,
    Change,
    Pairs,
    apply_change,
    cache_tiles,
    draw_change,
    echoed,
    find_pairs,
    order,
    randomised,
)
from data.tiles import open_tiles
from training.settings import DataSettings


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_tiles(tmp_path_factory.mktemp("tiles"), train=10)


@pytest.fixture
def pairs(folder) -> Pairs:
    found = open_tiles(folder, "train").pairs
    return Pairs(*zip(*((each.key, each.hr, each.lq) for each in found), strict=True), seed=3)


@pytest.fixture
def online(pairs) -> Pairs:
    return dataclasses.replace(pairs, lq_urls=(), preset="street", augment=True)


def collect(stream) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(lq.numpy(), hr.numpy()) for lq, hr in stream]


def assert_same(first, second) -> None:
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a[0], b[0])
        np.testing.assert_array_equal(a[1], b[1])


def test_every_epoch_shows_every_tile_once_in_another_order(pairs):
    epochs = [[pairs.at(position) for position in range(start, start + 10)] for start in (0, 10, 20)]
    for number, epoch in enumerate(epochs):
        assert {each for each, _ in epoch} == {number}
        assert sorted(tile for _, tile in epoch) == list(range(10))
    assert [tile for _, tile in epochs[0]] != [tile for _, tile in epochs[1]]


def test_order_depends_on_the_seed():
    assert list(order(0, 0, 50)) != list(order(1, 0, 50))


def test_stored_pairs_come_as_they_are(pairs):
    lq, hr = pairs.batch(0, 10)
    assert (lq.dtype, hr.shape) == (np.uint8, (10, *TILE, 3))
    np.testing.assert_array_equal(lq, hr // 2)


def test_dataset_equals_the_plain_calls(online):
    expected = [online.batch(4 * step, 4) for step in range(5)]
    with Batches(online, workers=0) as batches:
        assert_same(collect(batches.dataset(0, 5, 4)), expected)


def test_step_number_alone_restores_the_stream(online):
    with Batches(online, workers=0) as batches:
        assert_same(collect(batches.dataset(3, 6, 4)), collect(batches.dataset(0, 6, 4))[3:])


def test_worker_processes_change_nothing(online):
    with Batches(online, workers=2) as batches:
        assert_same(collect(batches.dataset(0, 6, 4)), [online.batch(4 * step, 4) for step in range(6)])


@pytest.mark.parametrize("workers", [0, 2])
def test_without_tensorflow_the_same_batches_come(online, workers):
    with Batches(online, workers) as batches:
        assert_same(list(batches.stream(1, 30, 4)), [online.batch(4 * step, 4) for step in range(1, 30)])
        assert_same(list(batches.stream(5, 5, 4)), [])


def test_shares_of_the_replicas_are_the_whole_batch(online):
    whole = [online.batch(4 * step, 4) for step in range(3)]
    with Batches(online, workers=0) as batches:
        first = collect(batches.dataset(0, 3, 4, shares=4, own=range(0, 2)))
        second = collect(batches.dataset(0, 3, 4, shares=4, own=range(2, 4)))
    for step in range(3):
        parts = [*first[2 * step : 2 * step + 2], *second[2 * step : 2 * step + 2]]
        for side in (0, 1):
            np.testing.assert_array_equal(np.concatenate([part[side] for part in parts]), whole[step][side])


def test_damage_is_fresh_in_every_epoch_and_fixed_for_validation(online):
    plain = dataclasses.replace(online, augment=False)
    first, second = (plain.pair(epoch, tile=0) for epoch in (0, 1))
    np.testing.assert_array_equal(first[1], second[1])
    assert np.abs(first[0].astype(int) - second[0]).max() > 0
    np.testing.assert_array_equal(plain.fixed(0)[0], plain.fixed(0)[0])


def test_damage_made_online_has_the_asked_for_scale(online):
    lq, hr = dataclasses.replace(online, scale=2).pair(0, 0)
    assert (lq.shape, hr.shape) == ((TILE[0] // 2, TILE[1] // 2, 3), (*TILE, 3))


def test_pixels_keep_their_partners_under_augmentation(pairs):
    same = dataclasses.replace(pairs, lq_urls=pairs.hr_urls, augment=True)
    changed = 0
    for tile in range(10):
        lq, hr = same.pair(0, tile)
        np.testing.assert_array_equal(lq, hr)
        changed += not np.array_equal(hr, same.read("hr", tile))
    assert changed == 10


@pytest.mark.parametrize("seed", range(6))
def test_small_partner_moves_as_the_large_one_does(seed):
    """A ramp looks the same at both sizes, so that shrinking the moved ramp is moving the small ramp."""
    y, x = np.mgrid[0:32, 0:64].astype(np.float32)
    ramp = np.stack([x, y, x + y], axis=-1) / 96

    def shrink(picture):
        return picture.reshape(16, 2, 32, 2, 3).mean(axis=(1, 3))

    change = draw_change(np.random.default_rng(seed), 32, 64, scale=2)
    moved_then_small = shrink(apply_change(ramp, change))
    small_then_moved = apply_change(shrink(ramp), change, scale=2)
    inner = np.s_[4:-4, 4:-4]
    np.testing.assert_allclose(moved_then_small[inner], small_then_moved[inner], atol=0.012)


def test_plate_stays_upright_and_inside_the_tile():
    """A plate that fills the tile but for the usual margin of a tenth of its own size: no more than its rim is cut
    off."""
    # px: characters begin further inside
    rim = 4
    corners = np.array([[x, y, 1] for x in (16, 176) for y in (10, 86)], float)
    for seed in range(200):
        change = draw_change(np.random.default_rng(seed), 96, 192)
        inverse = np.linalg.inv(np.vstack([change.matrix, [0, 0, 1]]))
        assert 0.45 < np.linalg.det(inverse) < 1.44, "no mirror image"
        turn = np.rad2deg(abs(np.arctan2(inverse[1, 0], inverse[0, 0])))
        assert turn <= dataset.MAX_TURN_DEGREES * np.exp(dataset.MAX_STRETCH)
        x, y, _ = inverse @ corners.T
        assert x.min() > -rim, "columns lost on the left"
        assert x.max() < 192 + rim, "columns lost on the right"
        assert y.min() > -rim
        assert y.max() < 95 + rim


def test_shift_by_whole_pixels_keeps_every_pixel(pairs):
    picture = np.random.default_rng(0).random((16, 32, 3), dtype=np.float32)
    change = next(c for c in (draw_change(np.random.default_rng(s), 16, 32) for s in range(50)) if c.whole_pixels)
    change = dataclasses.replace(change, gain=np.ones(3, np.float32), offset=np.zeros(3, np.float32))
    assert set(apply_change(picture, change).ravel()) <= set(picture.ravel())


@pytest.mark.parametrize("scale", [1, 2])
def test_window_is_cut_at_the_same_place_of_both_tiles(tmp_path, scale):
    found = open_tiles(make_tiles(tmp_path, train=4, scale=scale), "train").pairs
    keys, hr_urls, lq_urls = zip(*found, strict=True)
    pairs = Pairs(keys, hr_urls, lq_urls, scale=scale, crop=(8, 16))
    for tile in range(4):
        lq, hr = pairs.pair(0, tile)
        assert hr.shape == (8, 16, 3)
        np.testing.assert_array_equal(lq, hr[scale // 2 :: scale, scale // 2 :: scale] // 2)


def test_a_strip_as_wide_as_the_tile_lies_near_its_middle(tmp_path):
    found = open_tiles(make_tiles(tmp_path, train=4), "train").pairs
    keys, hr_urls, lq_urls = zip(*found, strict=True)
    height, width = Pairs(keys, hr_urls, lq_urls).pair(0, 0)[1].shape[:2]
    strips = Pairs(keys, hr_urls, lq_urls, crop=(height - 12, width))
    tops = set()
    for epoch in range(60):
        whole, strip = strips.read("hr", 0), strips.pair(epoch, 0)[1]
        tops |= {top for top in range(13) if np.array_equal(whole[top : top + height - 12], strip)}
    # the middle is 6
    assert tops == set(range(2, 11))


def test_error_in_a_worker_reaches_the_caller(pairs):
    missing = dataclasses.replace(pairs, hr_urls=("/no/such/tile.png",) * 10)
    with Batches(missing, workers=1) as batches, pytest.raises(ValueError, match=r"no/such/tile\.png"):
        batches.make(0, 2)


# --- Pictures shown several times -------------------------------------------------------------------------------------

SIZE, HEIGHT, ROOM = 4, 6, 3


def stream(first: int, last: int):
    """Batch n of pictures whose every row says which picture it is, and which row."""
    for number in range(first, last):
        names = number * SIZE + np.arange(SIZE)
        rows = np.arange(HEIGHT + ROOM)
        yield (names[:, None, None, None] * 100 + rows[None, :, None, None] + np.zeros((1, 1, 5, 3), int)), names


@pytest.mark.parametrize("times", [2, 3, HELD])
def test_each_picture_is_shown_as_often_as_asked_in_other_company_and_other_windows(times):
    batches = list(echoed(stream, range(60 * times), times, HEIGHT))
    shown = Counter(name for _, names in batches for name in names)
    # neither of the very first nor still to be shown
    long_gone = range(SIZE * HELD, SIZE * (60 - HELD))
    assert {shown[name] for name in long_gone} == {times}
    tops = {}
    for pictures, names in batches:
        assert pictures.shape == (SIZE, HEIGHT, 5, 3)
        # the answers stay with their pictures
        assert (pictures[:, 0, 0, 0] // 100 == names).all()
        assert (np.diff(pictures, axis=1) == 1).all()
        for picture, name in zip(pictures, names, strict=True):
            tops.setdefault(name, []).append(picture[0, 0, 0] % 100)
    assert set(np.concatenate(list(tops.values()))) == set(range(ROOM + 1))
    assert np.mean([len(set(tops[name])) > 1 for name in long_gone]) > 0.5
    company = [set(names // SIZE) for _, names in batches]
    assert np.mean([len(each) > 1 for each in company]) > 0.9


@pytest.mark.parametrize("start", [1, 7, 3 * HELD, 100])
def test_what_goes_on_sees_what_it_would_have_seen(start):
    straight = list(echoed(stream, range(120), 3, HEIGHT))[start:]
    later = list(echoed(stream, range(start, 120), 3, HEIGHT))
    assert len(later) == len(straight)
    for one, other in zip(straight, later, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)


# --- Rendered plates made various -------------------------------------------------------------------------------------


@pytest.fixture
def striped() -> np.ndarray:
    """Black strokes of three pixels on white."""
    picture = np.ones((96, 192, 3), np.float32)
    for left in range(40, 150, 16):
        picture[30:66, left : left + 3] = 0
    return picture


def many(picture: np.ndarray, count: int = 40) -> list[np.ndarray]:
    return [randomised(picture, np.random.default_rng(seed)) for seed in range(count)]


def test_the_size_and_range_stay_and_the_seed_decides(striped):
    for first, second in zip(many(striped, 10), many(striped, 10), strict=True):
        assert (first.shape, first.dtype) == (striped.shape, np.float32)
        assert 0 <= first.min() <= first.max() <= 1
        np.testing.assert_array_equal(first, second)


def test_a_fifth_of_the_plates_stay_as_they_are(striped):
    same = np.mean([plate is striped for plate in many(striped, 400)])
    assert same == pytest.approx(1 - dataset.RANDOMISED_SHARE, abs=0.06)


def test_strokes_become_thinner_and_bolder_but_stay(striped, monkeypatch):
    monkeypatch.setattr(dataset, "RANDOMISED_SHARE", 1)
    monkeypatch.setattr(dataset, "RANDOMISED_ZOOM", (0, 0))
    monkeypatch.setattr(dataset, "RANDOMISED_STRETCH", 0)
    dark = np.array([(1 - plate).sum() for plate in many(striped)]) / (1 - striped).sum()
    assert dark.min() < 0.8
    assert dark.max() > 1.2
    # a stroke of three pixels does not vanish
    assert dark.min() > 0.5


def test_the_plate_stays_in_the_tile(striped, monkeypatch):
    monkeypatch.setattr(dataset, "RANDOMISED_SHARE", 1)
    for plate in many(striped):
        edge = np.concatenate([plate[0], plate[-1], plate[:, 0], plate[:, -1]])
        assert edge.min() > 0.7


def test_corners_err_as_the_detectors_do(monkeypatch):
    monkeypatch.setattr(dataset, "CORNER_OUTLIERS", 0)
    rng = np.random.default_rng(0)
    x, y = dataset._from_the_middle(96, 192)
    moved = [dataset._with_wrong_corners(rng, x, y) for _ in range(500)]
    errors = np.array([(xs[0, 0] - x[0, 0], ys[0, 0] - y[0, 0]) for xs, ys in moved])
    assert errors.std() == pytest.approx(dataset.CORNER_ERROR * 96, rel=0.1)
    # each corner by itself, the others with their own errors
    others = np.array([ys[-1, -1] - y[-1, 0] for _, ys in moved])
    assert abs(np.corrcoef(errors[:, 1], others)[0, 1]) < 0.15


def test_smeared_plates_are_shown_whole():
    """The light of a long exposure's ends lies in the tile: no smeared plate is shown larger than it is."""
    zooms = [np.linalg.norm(_smeared(seed).matrix[:, 0]) ** -1 for seed in range(200)]
    low, high = dataset.SMEARED_ZOOM
    assert low - 1e-6 <= min(zooms) <= max(zooms) <= high + 1e-6
    assert np.mean(zooms) == pytest.approx(np.mean(dataset.SMEARED_ZOOM), abs=0.03)


def _smeared(seed: int) -> Change:
    change = draw_change(np.random.default_rng(seed), 96, 192, blur_px=dataset.SMEARED_PX + 1)
    assert not change.whole_pixels
    return change


# --- The pairs of a tile folder ---------------------------------------------------------------------------------------


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
