"""Agreement and disagreement: what the generator says when asked again."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from drawn_plates import plate, reading

from enhancing.examining import (
    MAY_BE_TWO_LINES,
    MIN_EFFECTIVE_WIDTH_PX,
    NO_SURE_PLATE,
    SHARP,
    SHIFTS_PX,
    Examiner,
    agree,
    disagreement,
    min_effective_width,
    undo,
    variants,
    which_way,
)
from enhancing.opening import make_source
from models.answerer import Answerer
from models.enhancer import Generator, resize
from reading.reader import Reading


@pytest.mark.parametrize("scale", [1, 2])
def test_variants_lie_upon_each_other_again(scale, rng):
    lq = rng.random((24, 40, 3), dtype="float32") * 0.8
    restored = [np.repeat(np.repeat(each, scale, 0), scale, 1) for each in variants(lq)]
    enlarged = np.repeat(np.repeat(lq, scale, 0), scale, 1)
    inner = slice(4 * scale, -4 * scale)
    for back in undo(restored, scale)[: len(SHIFTS_PX)]:
        np.testing.assert_allclose(back[inner, inner], enlarged[inner, inner], atol=1e-6)


def test_disagreement_is_where_the_variants_differ():
    sr = np.full((48, 96, 3), 0.5, np.float32)
    other = sr.copy()
    other[20:28, 40:48] = 1.0
    unsure = disagreement(sr, [sr, other])
    assert unsure[24, 44] > 0.1
    assert unsure[:, :20].max() < 1e-6
    assert disagreement(sr, [sr, sr]).max() == 0


def test_agreement_by_character():
    found = agree("京A·12345", ["京A12345", "京A12845", "A12345"])
    assert found.text == "京A12345"
    assert found.agreed == "?A12?45"
    assert found.shares == pytest.approx((2 / 3, 1, 1, 1, 2 / 3, 1, 1))


def test_agreement_extremes():
    assert agree("AB12", ["AB12"] * 3).mean == 1
    assert agree("AB12", ["AB12"] * 3).agreed == "AB12"
    assert agree("", ["AB12"]).mean == 0
    assert agree("AB12", ["", "ZZZZ"]).agreed == "????"
    assert agree("AB12", []).mean == 0


def test_a_second_generator_that_differs_costs_certainty(tmp_path):
    picture = plate("B742KX") * 0.45
    generator = Generator(lambda batch: batch)
    other = Generator(lambda batch: 1 - batch)
    source = make_source(generator, picture)
    alone = Examiner(generator, ask_again=True).enhance([source])[0]
    doubted = Examiner(generator, second=other, ask_again=True).enhance([source])[0]
    assert doubted.disagreement.mean() > 2 * alone.disagreement.mean()
    np.testing.assert_array_equal(alone.picture, doubted.picture)


@pytest.mark.parametrize("known", [None, "wide", float("nan"), -3, [40]])
def test_a_minimum_that_is_no_length_falls_back(known):
    assert min_effective_width(Generator(None, info={"min_effective_width_px": known})) == MIN_EFFECTIVE_WIDTH_PX
    assert min_effective_width(Generator(None, info={"min_effective_width_px": 33})) == 33


class Spelling:
    """A reader that sees the same text in every picture, with steps."""

    def __init__(self, text, probability):
        seen = reading(*[part for char in text for part in ((char, probability, "Z"), ("", 1))])
        self.seen = replace(seen, confidence=probability)

    def read(self, pictures):
        return [self.seen for _ in pictures]


def test_the_answer_is_of_the_recogniser_and_the_reader():
    rng = np.random.default_rng(1)
    # columns that say 8 and then 7
    columns = np.full((1, 4, 3), 0.05)
    columns[0, range(4), (1, 0, 2, 0)] = 0.9
    shapes = []

    def run(batch):
        shapes.append(batch.shape)
        return np.repeat(columns, len(batch), axis=0)

    examiner = Examiner(Generator(lambda batch: batch), reader=Spelling("B7", 0.55))
    recognised = replace(examiner, answerer=Answerer(run, "87"))
    source = make_source(examiner.generator, rng.random((60, 192, 3), dtype=np.float32))
    alone, together = (each.enhance([source])[0].answer for each in (examiner, recognised))
    assert alone.text == "B7"
    assert together.best_text == "87"
    assert together.probabilities[0] < together.probabilities[1]
    # three views, padded to what the network can take
    assert shapes == [(3, 64, 192, 3)]


@pytest.mark.parametrize("upside_down", [False, True])
def test_the_reader_sees_each_picture_once(upside_down):
    seen = []

    class Looking(Spelling):
        def read(self, pictures):
            seen.extend(pictures)
            # sure of what is bright on top
            return [Reading("AB12", float(0.5 + each[: len(each) // 2].mean() / 2)) for each in pictures]

    generator = Generator(lambda batch: batch / 2)
    picture = np.zeros((64, 192, 3), np.float32)
    picture[32 * upside_down : 32 + 32 * upside_down] = 1
    (result,) = Examiner(generator, reader=Looking("", 0)).enhance([make_source(generator, picture)])
    assert result.look.turned == upside_down
    upright = picture[::-1, ::-1] if upside_down else picture
    for shown, expected in zip(seen, (picture, picture[::-1, ::-1], upright / 2), strict=True):
        np.testing.assert_allclose(shown, expected, atol=1e-6)
    assert (result.reading_before.confidence, result.reading.confidence) == (1.0, 0.75)


def test_what_is_read_after_is_what_is_written():
    seen = []

    class Looking(Spelling):
        def read(self, pictures):
            seen.extend(pictures)
            return super().read(pictures)

    # crisp and large: it keeps its own pixels, whatever the network draws
    large = np.full((240, 960, 3), 235, np.uint8)
    cv2.putText(large, "KX 7294", (60, 180), cv2.FONT_HERSHEY_SIMPLEX, 6, (20, 20, 20), 24, cv2.LINE_AA)
    generator = Generator(lambda batch: np.stack([cv2.blur(each, (9, 9)) for each in batch]))
    (result,) = Examiner(generator, reader=Looking("A", 0.9)).enhance([make_source(generator, large)])
    assert result.note == SHARP
    np.testing.assert_array_equal(seen[-1], resize(result.picture, 4 * 48, 4 * 192))


def test_without_a_reader_the_recogniser_sees_each_picture_once():
    columns = np.full((1, 4, 2), 0.05)
    columns[0, range(4), (1, 0, 0, 0)] = 0.9, 0.9, 0.9, 0.9
    counts = []

    def run(batch):
        counts.append(len(batch))
        return np.repeat(columns, len(batch), axis=0)

    generator = Generator(lambda batch: np.zeros_like(batch), strength=0.8, readable_strength=0.2)
    examiner = Examiner(generator, reader=Spelling("A", 0.9), answerer=Answerer(run, "A"))
    sources = [make_source(generator, np.full((64, 192, 3), shade, np.float32)) for shade in (0.3, 0.6)]
    with_reader = examiner.look(sources)
    without = replace(examiner, reader=None).look(sources)
    assert counts == [6, 2]
    # the strength is the same: it goes by the first view
    np.testing.assert_array_equal([look.sr for look in without], [look.sr for look in with_reader])


class Carrying:
    """A generator that draws what it is shown, and reads "A" in its columns, as a recogniser does that stands beside
    it; which pictures each of both was shown."""

    def __init__(self, names="A"):
        self.shown, self.asked = [], []
        self.generator = Generator(self.draw, window_px=64, strength=0.8, info={"characters": names})
        self.answerer = Answerer(self.answer, "A")

    def draw(self, batch):
        self.shown.extend(batch)
        return batch, self.columns(batch)

    def answer(self, batch):
        self.asked.extend(batch)
        return self.columns(batch)

    @staticmethod
    def columns(batch):
        return np.stack([np.eye(2)[[0, 1, 0]] * 0.5 + 0.4 * each.mean() for each in batch])


@pytest.mark.parametrize(
    ("height", "two_lines", "names", "asked"),
    [
        (64, False, "A", (0, 2)),
        # padded as the recogniser's views are
        (41, False, "A", (0, 2)),
        # the strip in its middle
        (96, False, "A", (0, 2)),
        # it has other names for what it sees
        (64, False, "B", (1, 3)),
        (64, False, "", (1, 3)),
        (96, True, "A", (2, 6)),
    ],
)
def test_a_view_that_the_generator_has_read_is_not_read_again(height, two_lines, names, asked, rng):
    plain, carrying = Carrying(""), Carrying(names)
    picture = rng.random((height, 192, 3), dtype=np.float32)
    for reader, count in zip((None, Spelling("A", 0.9)), asked, strict=True):
        looks = []
        for net in (plain, carrying):
            net.asked.clear()
            source = make_source(net.generator, picture)._replace(two_lines=two_lines)
            looks += Examiner(net.generator, reader=reader, answerer=net.answerer).look([source])
        assert len(carrying.asked) == count
        one, other = looks
        assert [each.text for each in one.recognised] == [each.text for each in other.recognised]
        for readings in zip(one.recognised, other.recognised, strict=True):
            np.testing.assert_array_equal(*(each.steps for each in readings))
        np.testing.assert_array_equal(one.sr, other.sr)


def test_the_recogniser_sees_the_middle_of_a_straightened_plate():
    rng = np.random.default_rng(1)
    seen = []
    answerer = Answerer(lambda batch: seen.extend(batch) or np.eye(2)[None, [0, 1]].repeat(3, 0), "A")
    examiner = Examiner(Generator(lambda batch: batch), reader=Spelling("A", 0.9), answerer=answerer)
    photo = rng.random((300, 400, 3), dtype=np.float32)
    source = make_source(examiner.generator, photo, [(300, 180), (100, 180), (100, 120), (300, 120)])
    assert examiner.enhance([source])[0].answer.text == "A"
    near, _, far = seen
    np.testing.assert_array_equal(near, source.lq[16:80])
    # the last shows most of the tile, in the same size
    assert far.shape == near.shape
    np.testing.assert_allclose(far[31:33, 95:97], near[31:33, 95:97], atol=0.35)
    assert np.abs(far - near).max() > 0.1


@pytest.mark.parametrize(
    ("as_it_is", "turned", "way"),
    [
        (("074782", 0.75), ("琼Q479B2", 0.99), (True, False)),
        (("AB1234", 0.99), ("7E21B4", 0.7), (False, False)),
        (("ABCDEF", 0.8), ("B2", 1.0), (False, False)),
        (("LD9016", 0.99), ("910607", 0.98), (False, True)),
        (("", 0.0), ("", 0.0), (False, False)),
    ],
)
def test_which_way_a_plate_is_read(as_it_is, turned, way):
    assert which_way(Reading(*as_it_is), Reading(*turned)) == way


class Reads:
    """A reader that knows upright pictures from others: their upper half is bright."""

    def read(self, pictures):
        return [Reading("AB1234", 0.99) if each[0].mean() > each[-1].mean() else Reading("Z", 0.4) for each in pictures]


def test_a_plate_upside_down_is_turned_where_it_reads_clearly_better():
    picture = np.full((96, 192, 3), 0.2, np.float32)
    picture[48:] = 0.9
    generator = Generator(lambda batch: batch)
    (result,) = Examiner(generator, reader=Reads(), ask_again=True).enhance([make_source(generator, picture)])
    assert result.picture[0].mean() > 0.8
    assert result.reading.text == "AB1234"
    assert result.agreement.mean == 1


def test_agreement_is_bounded_where_the_layout_is_in_doubt():
    generator = Generator(lambda batch: batch)
    picture = np.full((160, 192, 3), 0.2, np.float32)
    picture[:80] = 0.9
    source = make_source(generator, picture)
    examiner = Examiner(generator, reader=Reads(), ask_again=True)
    (square,) = examiner.enhance([source])
    assert square.agreement.mean < 0.9
    assert MAY_BE_TWO_LINES in square.warnings
    (unsure,) = examiner.enhance([make_source(generator, picture[:96])._replace(unsure=True)])
    assert unsure.agreement.mean < 0.9
    assert unsure.warnings[-1] == NO_SURE_PLATE
