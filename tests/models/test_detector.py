"""models/detector.py and its training pictures: decoding, overlaps, looks at several sizes, what is taken whole, scenes
and targets."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from data.straighten import plate_aspect
from data.synthetic.detection import SCENE, damage, make_scene, open_bank
from models import detector
from models.detector import (
    CHANNELS,
    STRIDE,
    UNIT,
    Detection,
    Detector,
    as_tall_as_true,
    decode,
    find_plates,
    has_crop_shape,
    in_window,
    is_framed,
    is_quadrangle,
    load_detector,
    quad_iou,
    upright,
    without_overlaps,
)
from training.detector import targets_of

PLATE = np.array([[60.0, 28.0], [20.0, 28.0], [20.0, 16.0], [60.0, 16.0]])


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    return open_bank(tmp_path_factory.mktemp("bank"), seed=3, vehicles=6, backgrounds=6)


def maps_of(*plates: tuple[np.ndarray, float], size: tuple[int, int] = (6, 12)) -> np.ndarray:
    """What a network without faults gives."""
    maps = np.zeros((*size, CHANNELS), np.float32)
    maps[..., 0] = -8
    ys, xs = (np.mgrid[: size[0], : size[1]] + 0.5) * STRIDE
    for corners, logit in plates:
        x, y = (corners.mean(axis=0) // STRIDE).astype(int)
        maps[y, x, 0] = logit
        maps[y, x, 1:9] = ((corners - (xs[y, x], ys[y, x])) / UNIT).ravel()
    return maps


def test_decode_gives_corners_and_score():
    (plate,) = decode(maps_of((PLATE, 2.0)), 0.5)
    assert plate.corners == pytest.approx(PLATE, abs=1e-4)
    assert plate.score == pytest.approx(1 / (1 + np.exp(-2)))


def test_decode_lets_corners_lie_outside():
    (plate,) = decode(maps_of((PLATE - np.array([30, 14]), 2.0)), 0.5)
    assert plate.corners == pytest.approx(PLATE - np.array([30, 14]), abs=1e-4)


def test_of_overlapping_plates_the_better_stays():
    plates = [Detection(PLATE, 0.6, 0, 0), Detection(PLATE + 3, 0.9, 0, 0), Detection(PLATE + 60, 0.5, 0, 0)]
    assert [plate.score for plate in without_overlaps(plates)] == [0.9, 0.5]


def test_among_many_plates_each_one_left_out_shares_its_place_with_a_better_one():
    rng = np.random.default_rng(3)
    middles, sides = rng.uniform(0, 300, (60, 1, 2)), rng.uniform(0.3, 2, (60, 1, 1))
    some = [Detection(PLATE * side + middle, rng.random(), 0, 0) for side, middle in zip(sides, middles, strict=True)]
    kept = without_overlaps(some)
    assert 1 < len(kept) < len(some)
    assert [plate.score for plate in kept] == sorted((plate.score for plate in kept), reverse=True)

    def share(one: Detection, other: Detection) -> float:
        return detector._shared(one.corners, other.corners)

    for plate in some:
        better = [share(plate, other) for other in kept if other.score > plate.score]
        left_out = not any(plate is other for other in kept)
        assert left_out == (max(better, default=0) >= detector.MOST_SHARED)


def test_part_of_a_plate_is_no_plate():
    part = PLATE.mean(axis=0) + 0.3 * (PLATE - PLATE.mean(axis=0))
    assert len(without_overlaps([Detection(PLATE, 0.9, 0, 0), Detection(part, 0.8, 0, 0)])) == 1


def test_quadrangles_go_around_in_one_order():
    assert is_quadrangle(PLATE)
    assert not is_quadrangle(PLATE[::-1])
    assert not is_quadrangle(PLATE[[0, 2, 1, 3]])


def test_iou():
    assert quad_iou(PLATE, PLATE) == pytest.approx(1)
    assert quad_iou(PLATE, PLATE + np.array([20, 0])) == pytest.approx(1 / 3)
    assert quad_iou(PLATE, PLATE + 100) == 0


def bright_plate(batch, logit=3.0):
    """A network that sees a plate wherever something is bright."""
    looks = []
    for picture in batch:
        size = picture.shape[0] // STRIDE, picture.shape[1] // STRIDE
        ys, xs = np.nonzero(picture[..., 0] > (detector.OUTSIDE + 60) / 255)
        if len(xs) == 0:
            looks.append(maps_of(size=size))
            continue
        low, high = np.array([xs.min(), ys.min()]), np.array([xs.max(), ys.max()]) + 1
        box = np.array([high, [low[0], high[1]], low, [high[0], low[1]]], float)
        looks.append(maps_of((box, logit), size=size))
    return np.stack(looks)


@pytest.mark.parametrize("size", [(30, 90), (100, 300), (500, 300), (900, 1600), (1401, 5301)])
def test_what_a_look_finds_lies_where_it_is_in_the_picture(size):
    """A network that sees a plate wherever something is bright finds it in place, whatever the picture's size."""
    height, width = size
    picture = np.full((height, width, 3), detector.OUTSIDE, np.uint8)
    middle = np.array([0.55 * width, 0.4 * height])
    half = np.array([0.1 * width, 0.033 * width])
    low, high = (middle - half).astype(int), (middle + half).astype(int)
    picture[low[1] : high[1], low[0] : high[0]] = 255
    truth = np.array([high, [low[0], high[1]], low, [high[0], low[1]]], float)

    (plate,) = Detector(bright_plate).detect(picture)
    assert quad_iou(plate.corners, truth) > 0.85
    assert plate.score > 0.9


@pytest.mark.parametrize("width", [24, 60, 240])
def test_near_a_place_a_plate_that_has_moved_is_found(width):
    """By its own width; of windows without a plate nothing comes."""
    picture = np.full((600, 1200, 3), detector.OUTSIDE, np.uint8)
    truth = np.array([[1, 1], [0, 1], [0, 0], [1, 0]]) * [width, width // 4] + (500.0, 200.0)
    picture[200 : 200 + width // 4, 500 : 500 + width] = 255
    sizes = set()

    def run(batch):
        sizes.add(batch.shape[1:3])
        return bright_plate(batch)

    expected = [truth - [width, width / 4], np.add(truth, (500, 300))]
    (plate,) = Detector(run).detect(picture, near=expected)
    assert quad_iou(plate.corners, detector.as_tall_as_true(truth)) > 0.85
    # the whole picture was not looked at
    assert sizes == {detector.WINDOW}
    assert Detector(run).detect(picture, near=[]) == []
    # one of score 0.6 is taken where it is expected, and only there
    doubtful = Detector(partial(bright_plate, logit=0.4))
    assert doubtful.detect(picture) == []
    assert len(doubtful.detect(picture, near=expected)) == 1


def test_float_pictures_are_taken_too():
    run = lambda batch: maps_of(size=(batch.shape[1] // STRIDE, batch.shape[2] // STRIDE))[None]  # noqa: E731
    assert Detector(run).detect(np.zeros((40, 60, 3), np.float32)) == []


@pytest.mark.parametrize(
    ("score", "width", "hint", "looked"), [(0.6, 40, 1.0, 1), (0.4, 40, 0.25, 0), (0.4, 90, 1.0, 0), (0.4, 90, 0.25, 1)]
)
def test_only_what_can_become_a_plate_or_a_hint_is_looked_at_again(score, width, hint, looked):
    middle, half = np.array([68.0, 52.0]), np.array([width / 2, width / 6])
    corners = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * half + middle + detector.RIM_PX
    windows = []

    def run(batch):
        size = batch.shape[1] // STRIDE, batch.shape[2] // STRIDE
        if batch.shape[1:3] == detector.WINDOW:
            windows.append(len(batch))
            return maps_of(size=size)[None]
        return maps_of((corners, np.log(score / (1 - score))), size=size)[None]

    assert Detector(run).detect(np.zeros((104, 140, 3), np.uint8), hint) == []
    assert sum(windows) == looked


# --- Training pictures ------------------------------------------------------------------------------------------------


def test_scenes_follow_from_seed_and_number(bank):
    one, again, other = make_scene(bank, 5, 1), make_scene(bank, 5, 1), make_scene(bank, 5, 2)
    assert (one.picture == again.picture).all()
    assert (one.corners == again.corners).all()
    assert one.picture.shape == (*SCENE, 3)
    assert not np.array_equal(one.picture, other.picture)


def test_a_bank_is_rendered_once(bank, tmp_path: Path):
    first = open_bank(tmp_path / "bank", seed=3, vehicles=2, backgrounds=2)
    assert (first.vehicles == bank.vehicles[:2]).all()
    before = (tmp_path / "bank/vehicles.npy").stat().st_mtime_ns
    open_bank(tmp_path / "bank", seed=3, vehicles=2, backgrounds=2)
    assert (tmp_path / "bank/vehicles.npy").stat().st_mtime_ns == before
    assert len(open_bank(tmp_path / "bank", seed=3, vehicles=3, backgrounds=2).vehicles) == 3


def test_targets_decode_to_the_plates_of_the_scene(bank):
    seen = 0
    for number in range(60):
        scene = make_scene(bank, 7, number)
        maps = targets_of(scene)
        assert np.isfinite(maps).all()
        perfect = np.concatenate([20 * maps[..., :1] - 10, maps[..., 1:11]], axis=-1)
        if len(scene.corners) == 1 and is_quadrangle(scene.corners[0]):
            (plate,) = decode(perfect, 0.9)
            assert quad_iou(plate.corners, scene.corners[0]) > 0.97
            seen += 1
        if len(scene.corners) == 0:
            assert maps[..., 0].max() == 0
    assert seen > 10


def test_damage_keeps_size_and_type(bank):
    picture = np.full((*SCENE, 3), 90, np.uint8)
    for number in range(40):
        damaged = damage(np.random.default_rng(number), picture, 60)
        assert damaged.shape == picture.shape
        assert damaged.dtype == np.uint8


# --- Training ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_interrupted_and_resumed_is_a_straight_run(tmp_path, monkeypatch):
    from training import detector as training
    from training.run_folder import DETECTOR, load_state

    monkeypatch.setattr(training, "VALIDATION", 2)
    monkeypatch.setattr(detector, "build_detector", partial(detector.build_detector, (4, 4, 4, 4, 4)))
    few = {"steps": 3, "batch_size": 2, "vehicles": 4, "backgrounds": 4, "log_every": 1, "validate_every": 3}
    training.train(training.Settings(out=str(tmp_path / "straight.keras"), **few))
    save = training.save_state

    def save_and_stop(path, groups, meta):
        save(path, groups, meta)
        if meta["step"] == 2:
            raise KeyboardInterrupt

    halves = training.Settings(out=str(tmp_path / "halves.keras"), **few)
    monkeypatch.setattr(training, "save_state", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        training.train(halves)
    monkeypatch.setattr(training, "save_state", save)
    training.train(halves)
    about = json.loads((tmp_path / "halves.json").read_text(encoding="utf-8"))
    assert set(about["validation"]) == {"recall", "threshold", "corner_error"}
    one, other = (load_state(tmp_path / name / "state.npz") for name in ("straight", "halves"))
    assert one[1]["step"] == other[1]["step"] == 3
    for some, more in zip(one[0][DETECTOR], other[0][DETECTOR], strict=True):
        np.testing.assert_allclose(some, more, atol=1e-5)
    assert (tmp_path / "halves/log.csv").read_text().count("\n") == 4
    assert load_detector(tmp_path / "halves.keras").detect(np.zeros((50, 90, 3), np.uint8)) == []


def test_the_rate_rises_stays_and_falls():
    from training.detector import Settings, learning_rate

    settings = Settings(out="x.keras", steps=2000)
    rates = [learning_rate(settings, step) for step in (150, 300, 1299, 1650, 2000)]
    assert rates == pytest.approx([1e-3, 2e-3, 2e-3, 1e-3, 0])


# --- Exact corners ----------------------------------------------------------------------------------------------------


def test_corners_are_the_median_over_several_looks():
    """A network that is wrong by some px, each time otherwise, and once by many."""
    picture = np.full((200, 400, 3), 90, np.uint8)
    truth = np.array([[260.0, 120.0], [140.0, 120.0], [140.0, 90.0], [260.0, 90.0]])
    errors = np.array([[2, 0], [-2, 0], [0, 2], [0, -2], [9, 9], [0, 0]])

    def run(batch):
        assert len(batch) == len(detector.LAST_LOOKS)
        size = batch.shape[1] // STRIDE, batch.shape[2] // STRIDE
        looks = zip(detector.LAST_LOOKS, errors, strict=True)
        return np.stack([maps_of((in_window(truth, w) + shift + off, 3.0), size=size) for (w, *shift), off in looks])

    found = Detector(run).last_looks(picture, Detection(truth, 0.9, 0, 0))
    assert found.corners == pytest.approx(truth, abs=0.6)
    assert found.score == 0.9


@pytest.mark.parametrize(("aspect", "true"), [(2.6, 2.17), (3.4, 3.17), (4.6, 4.6)])
def test_low_plates_become_as_tall_as_true(aspect, true):
    corners = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * [aspect / 2, 0.5]
    taller = as_tall_as_true(corners)
    assert plate_aspect(taller) == pytest.approx(true, abs=0.02)
    assert taller.mean(axis=0) == pytest.approx((0, 0))
    assert (taller[:, 0] == corners[:, 0]).all()


def test_a_wheel_is_no_two_line_plate():
    assert not Detection(PLATE, 0.76, 0.95, 0).is_sure
    assert Detection(PLATE, 0.86, 0.95, 0).is_sure


# --- What is a plate, what is taken whole, what is nothing ------------------------------------------------------------

BOX = np.array([[1.0, 1.0], [0.0, 1.0], [0.0, 0.0], [1.0, 0.0]])


class Finds:
    def __init__(self, *plates):
        self.plates = plates

    def detect(self, picture, hint):
        return [plate for plate in self.plates if plate.score >= hint]


def blank(height, width):
    return np.zeros((height, width, 3), np.uint8)


@pytest.mark.parametrize(
    ("size", "crop"),
    [
        ((112, 224), True),
        ((60, 160), True),
        ((150, 320), True),
        ((240, 960), True),
        ((300, 600), False),
        ((480, 640), False),
        ((1080, 1920), False),
        ((200, 60), False),
        # too small for anything but a plate, however steep
        ((131, 87), True),
    ],
)
def test_shape_of_a_crop(size, crop):
    assert has_crop_shape(blank(*size)) is crop


def test_sure_plates_are_taken_as_they_are_found():
    plates = Detection(BOX * 90, 0.9, 0, 0), Detection(BOX * 40 + 100, 0.7, 0, 0)
    assert find_plates(blank(500, 700), Finds(*plates)).plates == plates


def test_nothing_in_a_photo_is_no_plate():
    assert find_plates(blank(500, 700), Finds()) == ((), False)
    assert find_plates(blank(500, 700), Finds(Detection(BOX * 90, 0.3, 0, 0))) == ((), False)


def test_nothing_in_a_crop_is_the_whole_crop():
    assert find_plates(blank(100, 220), Finds()) == ((), True)


def test_a_wide_picture_may_be_a_street_so_it_takes_a_hint_to_be_a_crop():
    assert find_plates(blank(260, 1280), Finds(Detection(BOX * 90, 0.3, 0, 0))) == ((), False)
    assert find_plates(blank(260, 1280), Finds(Detection(BOX * 700, 0.3, 0, 0))) == ((), True)
    small, large = (Detection(BOX * (width, 90) + 10, 0.9, 0, 0) for width in (150, 900))
    assert find_plates(blank(260, 1280), Finds(small)) == ((small,), False)
    assert find_plates(blank(260, 1280), Finds(large)) == ((large,), True)
    # of a plate that fills a crop, a sticker may be surer than the plate
    hint = Detection(BOX * (900, 200) + 10, 0.3, 0, 0)
    assert find_plates(blank(260, 1280), Finds(small, hint)) == ((small,), True)


def test_a_hint_that_fills_a_picture_makes_it_a_crop():
    assert find_plates(blank(500, 700), Finds(Detection(BOX * 600, 0.3, 0, 0))) == ((), True)


def test_a_page_or_a_screen_held_upright_is_no_crop_of_a_plate():
    """A letter was taken for an unsure plate that fills its width, and a restored page was the result."""
    hint = Detection(BOX * 400, 0.3, 0, 0)
    assert find_plates(blank(700, 600), Finds(hint)) == ((), True)
    assert find_plates(blank(800, 600), Finds(hint)) == ((), False)


def test_a_damaged_file_is_named(tmp_path):
    file = tmp_path / "detector.onnx"
    file.write_bytes(b"no network")
    with pytest.raises(ValueError, match=r"detector\.onnx: ONNX Runtime cannot run it"):
        load_detector(file)


def test_upside_down():
    turned = upright(Detection(BOX * 90, 0.9, 0, 0.95))
    assert (turned.corners[0] == (0, 0)).all()
    assert (upright(Detection(BOX * 90, 0.9, 0, 0.5)).corners == BOX * 90).all()


@pytest.mark.parametrize(
    ("place", "framed"),
    [
        ([30, 25, 190, 75], True),
        # no room beside it, above it
        ([2, 25, 218, 75], False),
        ([30, 4, 190, 96], False),
    ],
)
def test_a_crop_framed_as_a_tile_is_taken_whole(place, framed):
    left, top, right, bottom = place
    plate = Detection(np.array([[right, bottom], [left, bottom], [left, top], [right, top]], float), 0.9, 0, 0)
    located = find_plates(blank(100, 220), Finds(plate))
    assert located.plates == (plate,)
    assert located.whole is framed


def test_tilted_and_two_line_plates_and_photos_are_straightened():
    plate = Detection(np.array([[190.0, 75], [30, 75], [30, 25], [190, 25]]), 0.9, 0, 0)
    assert is_framed(plate, blank(100, 220))
    tilted = replace(plate, corners=plate.corners + np.array([[0, 10], [0, 0], [0, 0], [0, 10]]))
    assert not is_framed(tilted, blank(100, 220))
    leaning = replace(plate, corners=plate.corners + np.array([[8, 0], [8, 0], [0, 0], [0, 0]]))
    assert not is_framed(leaning, blank(100, 220))
    assert not is_framed(replace(plate, two_lines=0.95), blank(100, 220))
    assert not is_framed(replace(plate, corners=np.roll(plate.corners, 2, axis=0)), blank(100, 220))
    assert not find_plates(blank(500, 700), Finds(plate)).whole
