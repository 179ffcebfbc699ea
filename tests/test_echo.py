"""Pictures shown several times."""

from collections import Counter

import numpy as np
import pytest

from data.echo import HELD, echoed

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
