from dataclasses import replace

import cv2
import numpy as np
import pytest
from drawn_plates import Scripted, motion, moved, noisy, plate, spelled

from enhancing.burst import SEVERAL_PLATES, align, combine
from enhancing.drawing import burst_sheet
from enhancing.examining import TOO_LITTLE, Examiner
from enhancing.opening import make_source
from models.enhancer import Generator


def examiner(reader):
    return Examiner(Generator(lambda batch: batch, info={"min_effective_width_px": 20}), reader=reader, ask_again=True)


READING = examiner(Scripted(spelled("B742KX")))


@pytest.mark.parametrize("motion", [(0, 0), (7.3, -3.6), (-14, 5), (3, 2, 2.0), (-4, 1, -1.5, 1.04)])
def test_frames_are_laid_upon_each_other(motion):
    still = plate("B742KX")
    frame = noisy(moved(still, *motion), 0.03, 1) * 0.7
    warp = align(still, frame)
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    back = cv2.warpAffine(frame, warp, (192, 96), flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    inner = np.s_[16:-16, 24:-24]
    assert np.corrcoef(back[inner].ravel(), still[inner].ravel())[0, 1] > 0.95


def test_combining_frames_averages_their_noise_away():
    still = plate("B742KX")
    shifts = [(0, 0), (5, 2), (-6, 1), (2, -4), (-3, -3), (8, 0)]
    frames = [noisy(moved(still, *shift), 0.15, seed) for seed, shift in enumerate(shifts)]
    results = examiner(Scripted(spelled("B742KX"))).enhance([make_source(examiner(None).generator, f) for f in frames])
    burst = combine(results, READING)
    aim = moved(still, *shifts[burst.reference])
    inner = np.s_[12:-12, 20:-20]
    alone = np.abs(results[burst.reference].picture - aim)[inner].mean()
    assert np.abs(burst.picture - aim)[inner].mean() < 0.6 * alone
    assert sum(frame.weight for frame in burst.frames) == pytest.approx(1)
    assert burst.warnings == ()
    assert burst.vote.text == burst.agreement.agreed == "B742KX"
    for frame, shift in zip(burst.frames, shifts, strict=True):
        towards = np.subtract(shifts[burst.reference], shift)
        assert frame.shift == pytest.approx(towards, abs=1)
    sheet = burst_sheet(results, burst)
    assert sheet.shape[2] == 3
    assert 0 <= sheet.min() <= sheet.max() <= 1


def test_frames_whose_corners_ask_for_other_tiles_are_laid_upon_each_other():
    generator = Generator(lambda batch: batch, window_px=64, info={"min_effective_width_px": 20})
    looked = Examiner(generator, reader=Scripted(spelled("B742KX")))
    # 2 and 2.2 times as wide as high
    corners = ([(168, 90), (24, 90), (24, 18), (168, 18)], [(168, 87), (24, 87), (24, 21), (168, 21)])
    results = looked.enhance([make_source(generator, plate("B742KX"), each) for each in corners])
    assert sorted(result.look.sr.shape[0] for result in results) == [64, 96]
    burst = combine(results, looked)
    assert min(frame.correlation for frame in burst.frames) > 0.9
    assert np.abs(burst.picture - results[burst.reference].picture).mean() < 0.03


def test_a_frame_of_something_else_is_left_out():
    frames = [plate("B742KX"), moved(plate("B742KX"), 3, 1), np.random.default_rng(0).random((96, 192, 3), "float32")]
    results = examiner(Scripted(spelled("B742KX"))).enhance([make_source(examiner(None).generator, f) for f in frames])
    burst = combine(results, READING)
    assert burst.frames[2].weight == 0
    assert np.abs(burst.picture - moved(frames[0], *burst.frames[0].shift))[16:-16, 16:-16].mean() < 0.02


def test_a_single_frame_is_its_own_burst():
    results = examiner(Scripted(spelled("B742KX"))).enhance([make_source(examiner(None).generator, plate("B742KX"))])
    burst = combine(results, READING)
    np.testing.assert_allclose(burst.picture, results[0].look.sr, atol=1e-5)
    assert burst.frames[0].weight == 1


def test_large_frames_give_a_large_picture():
    frames = [cv2.resize(moved(plate("B742KX"), dx, 0), (480, 240)) for dx in (0, 4)]
    results = examiner(Scripted(spelled("B742KX"))).enhance([make_source(examiner(None).generator, f) for f in frames])
    burst = combine(results, READING)
    assert burst.picture.shape == (240, 480, 3)
    assert burst.disagreement.shape == (96, 192)


def test_frames_that_read_differently_bring_the_warning():
    texts = ("B742KX", "M158AN", "7QQ")
    # each frame upright and turned, then each enhanced
    readings = map(spelled, [*np.repeat(texts, 2), *texts])
    results = examiner(Scripted(*readings)).enhance(
        [make_source(examiner(None).generator, noisy(plate("B742KX"), 0.1, seed)) for seed in range(3)]
    )
    assert combine(results, READING).warnings == (TOO_LITTLE,)


@pytest.mark.parametrize(("other", "several"), [("M158AN", True), ("8742KX", False)])
def test_frames_that_surely_read_otherwise_show_several_plates(other, several):
    """Three cars gave one text, and nobody was told."""
    sure = [replace(spelled(text), confidence=0.9) for text in ("B742KX", other)]
    frames = [make_source(examiner(None).generator, noisy(plate("B742KX"), 0.1, seed)) for seed in range(2)]
    # each frame upright and turned, then each enhanced
    results = examiner(Scripted(*[each for each in sure for _ in range(2)], *sure)).enhance(frames)
    assert (SEVERAL_PLATES in combine(results, READING).warnings) == several


def test_no_frames():
    with pytest.raises(ValueError, match="at least one frame"):
        combine([], examiner(None))


def test_wide_and_sharp_frames_weigh_more():
    sharp = plate("B742KX")
    small = cv2.resize(cv2.resize(sharp, (64, 32), interpolation=cv2.INTER_AREA), (192, 96))
    frames = [sharp, motion(moved(sharp, 2, 1), 17), moved(sharp, -2, 1)]
    sources = [make_source(examiner(None).generator, frame) for frame in frames]
    sources.append(make_source(examiner(None).generator, small)._replace(native_width=64))
    burst = combine(examiner(Scripted(spelled("B742KX"))).enhance(sources), READING)
    weights = [frame.weight for frame in burst.frames]
    assert sum(weights) == pytest.approx(1)
    assert min(weights[0], weights[2]) > 2 * max(weights[1], weights[3])
