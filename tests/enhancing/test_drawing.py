from types import SimpleNamespace

import numpy as np
import pytest
from drawn_plates import plate

from data.io import to_float, to_uint8
from enhancing.drawing import INK, answer_line, heat_map, paste, sheet
from reading.answer import Answer


def test_heat_rises_with_disagreement():
    heat = heat_map(np.array([[0, 0.07, 0.15, 9]], np.float32).repeat(4, 0), (4, 4))
    light = heat.mean(axis=(0, 2))
    assert light[0] < 0.02
    assert light[0] < light[1] < light[2] == light[3]


def test_a_long_line_is_broken_and_nothing_is_cut_off():
    panels = [("before", plate("A")), ("after", plate("A"))]
    short, long = sheet(panels, [("word", (0, 0, 0))]), sheet(panels, [("word " * 60, (0, 0, 0))])
    assert long.shape[1] == short.shape[1]
    assert long.shape[0] > short.shape[0] + 40
    assert (long[:, -8:] == 1).all()


def test_the_answer_is_said_with_its_doubt():
    candidates = ((("A", 0.9),), (("B", 0.4), ("8", 0.3)))
    assert answer_line(Answer(candidates)) == "answer: A? (all of it right: 36 %)"
    assert answer_line(Answer()) == "answer: nothing read"


def test_what_no_font_has_is_an_empty_box_and_no_gap():
    """The reader knows characters that are on no plate; one of those was a gap in the line."""
    gap, box, province = (sheet([("", np.zeros((20, 20, 3)))], [(f"read {char}", INK)]) for char in " 厦皖")
    assert (box != gap).any()
    assert (box != province).any()


@pytest.mark.parametrize("stored", [to_uint8, to_float])
def test_a_photo_with_plates_put_back_has_as_many_bits_as_before(stored):
    """As floats, the largest photo takes a gigabyte."""
    photo = stored(np.full((200, 400, 3), 0.2, np.float32))
    corners = np.array([[300, 150], [100, 150], [100, 50], [300, 50]], float)
    white = SimpleNamespace(picture=np.ones((96, 192, 3), np.float32), source=SimpleNamespace(corners=corners))
    pasted = paste(photo, [white])
    assert pasted.dtype == photo.dtype
    assert to_float(pasted)[100, 200].min() > 0.99
    np.testing.assert_array_equal(pasted[:, :60], photo[:, :60])
    assert to_float(photo).max() < 0.21
