import cv2
import numpy as np
import pytest

from reading.reader import ALPHABET, Reader

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
