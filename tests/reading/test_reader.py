import cv2
import numpy as np
import pytest

from data.ccpd import CHINA
from data.synthetic.plates import chinese_two_lines, european_two_lines
from data.synthetic.registrations import RULES
from reading.reader import ALPHABET, Reader, Reading, _model_file, gap_row, has_gap, join, split_lines

TEXT = "KX73925"


def plate(text=TEXT, height=96, width=192):
    tile = np.full((height, width, 3), 235, np.uint8)
    size = height / 70
    (text_width, text_height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_DUPLEX, size, 2)
    size *= 0.9 * width / text_width
    corner = (round(0.05 * width), round(height / 2 + text_height / 2))
    return cv2.putText(tile, text, corner, cv2.FONT_HERSHEY_DUPLEX, size, (20, 20, 60), 3, cv2.LINE_AA)


@pytest.fixture(scope="module")
def reader():
    return Reader(threads=1, keep_steps=True)


def test_a_clean_plate_is_read_with_confidence(reader):
    (reading,) = reader.read([plate()])
    assert reading.text == TEXT
    assert len(reading.confidences) == len(TEXT)
    assert reading.confidence == pytest.approx(np.mean(reading.confidences))
    assert reading.confidence > 0.8


def test_another_network_can_be_the_reader_and_a_file_that_is_none_is_refused_by_name(reader, tmp_path):
    assert Reader(threads=1, model=_model_file()).read([plate()])[0].text == reader.read([plate()])[0].text
    none = tmp_path / "none.onnx"
    none.write_bytes(b"no network")
    with pytest.raises(ValueError, match=r"none\.onnx: cannot be used"):
        Reader(model=str(none)).read([plate()])


def test_bytes_and_floats_are_the_same_picture(reader):
    whole, part = reader.read([plate(), plate() / 255])
    assert whole.text == part.text
    assert whole.confidence == pytest.approx(part.confidence, abs=1e-3)


def test_the_steps_are_probabilities_that_spell_the_text(reader):
    steps = reader.read([plate()])[0].steps
    assert steps.shape[1] == len(ALPHABET)
    np.testing.assert_allclose(steps.sum(axis=1), 1, atol=1e-4)
    best = steps.argmax(axis=1)
    kept = best[np.append(True, best[1:] != best[:-1])]
    assert "".join(ALPHABET[i] for i in kept) == TEXT


def test_steps_are_kept_on_request_only():
    assert Reader(threads=1).read([plate()])[0].steps is None


def test_an_unreadable_tile_is_an_empty_reading_without_confidence(reader):
    (reading,) = reader.read([np.full((96, 192, 3), 128, np.uint8)])
    assert reading.text == ""
    assert reading.confidence == 0


def test_order_sizes_and_batches(reader):
    texts = ["AB1234", "XY98765", "KK5555"] * 7
    sizes = [(96, 192), (48, 96), (60, 280)]
    pictures = [plate(text, *sizes[i % 2 if i % 5 else 2]) for i, text in enumerate(texts)]
    together = reader.read(pictures)
    assert len(together) == len(texts)
    for picture, reading in zip(pictures[:6], together, strict=False):
        assert reader.read([picture])[0].text == reading.text
    assert sum(reading.text == text for reading, text in zip(together, texts, strict=True)) >= 18


def test_nothing_in_nothing_out(reader):
    assert reader.read([]) == []


def test_what_is_no_picture_is_refused(reader):
    for wrong in (np.zeros((96, 192)), np.zeros((1, 96, 192, 3)), np.zeros((0, 5, 3))):
        with pytest.raises(ValueError, match=r"\(H, W, 3\)"):
            reader.read([wrong])


@pytest.mark.parametrize(("design", "low", "high"), [(chinese_two_lines, 75, 90), (european_two_lines, 91, 107)])
@pytest.mark.parametrize("scale", [0.35, 0.8])
def test_cut_between_the_lines(design, low, high, scale):
    for seed in range(6):
        face = design(np.random.default_rng(seed), scale, RULES)
        row = gap_row(face.pixels) / scale
        assert low - 3 <= row <= high + 3, (face.country == CHINA, row)


def test_split_goes_by_the_corners():
    face = chinese_two_lines(np.random.default_rng(0), 0.5, RULES)
    height, width = face.pixels.shape[:2]
    picture = np.full((height + 40, width + 60, 3), 0.5, np.float32)
    picture[20 : 20 + height, 30 : 30 + width] = face.pixels
    corners = np.array([[width, height], [0, height], [0, 0], [width, 0]], float) + np.array([30, 20])
    upper, lower = split_lines(picture, corners)
    assert upper.shape[1] == lower.shape[1] == width
    assert len(upper) / 0.5 == pytest.approx(85, abs=12)
    assert len(upper) + len(lower) == pytest.approx(height, abs=10)


def test_join():
    joined = join([Reading("KV47", 0.8, (0.8,) * 4), Reading("HTN3", 0.9, (0.9,) * 4)])
    assert joined.text == "KV47 HTN3"
    assert joined.confidence == pytest.approx(0.85)
    assert len(joined.confidences) == len(joined.text)
    assert join([Reading(""), Reading("HTN3", 0.9, (0.9,) * 4)]).text == "HTN3"
    assert join([Reading(""), Reading("")]) == Reading("")
    spaced = join([Reading("KV 47", 0.8, (0.8, 0.8, 0.1, 0.8, 0.8)), Reading("HTN 3", 0.9, (0.9,) * 5)])
    assert spaced.text == "KV47 HTN3"
    assert spaced.confidences == (0.8,) * 4 + (1.0,) + (0.9,) * 4
    alone = Reading("B742KX", 0.9, (0.9,) * 6)
    assert join([alone]) is alone


def test_a_gap_needs_strokes_on_both_sides():
    picture = np.full((100, 200, 3), 0.9, np.float32)
    assert not has_gap(picture)
    picture[10:40, 20:180:8] = 0.1
    assert not has_gap(picture)
    picture[55:95, 20:180:8] = 0.1
    assert has_gap(picture)
