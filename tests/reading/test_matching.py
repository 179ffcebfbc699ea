import pytest

from reading.matching import comparable, edit_distance, is_two_line, marked, match, partners, wrong_characters


@pytest.mark.parametrize(
    ("first", "second", "distance"),
    [
        ("", "", 0),
        ("ABC", "ABC", 0),
        ("", "ABC", 3),
        ("ABC", "", 3),
        ("kitten", "sitting", 3),
        ("flaw", "lawn", 2),
        ("AB12", "BA12", 2),
        ("皖A12345", "皖A1234", 1),
    ],
)
def test_known_edit_distances(first, second, distance):
    assert edit_distance(first, second) == distance
    assert edit_distance(second, first) == distance


def test_letters_and_digits_alone_count():
    assert comparable(" ab-12·３ c.", "DE") == "AB123C"


def test_on_chinese_plates_a_read_o_is_0_and_a_read_i_is_1():
    assert match("皖AOI234", "皖A01234", "CN").right
    assert match("OI234", "01234", "DE").distance == 2


@pytest.mark.parametrize("read", ["皖A·E587T", "AE587T", "85AE587T", "B·AE587T", ".AE587T", "皖 a e587t"])
def test_what_stands_in_front_of_the_serial_is_cut_off(read):
    assert match(read, "皖AE587T", "CN").right


def test_the_province_counts_where_it_is_asked_for():
    assert match("苏A·E587T", "皖AE587T", "CN", province=True).distance == 1
    assert match("苏A·E587T", "皖AE587T", "CN").distance == 0
    assert match("皖A·E587T", "皖AE587T", "CN", province=True).right
    assert match("AE587T", "皖AE587T", "CN", province=True).distance == 1


def test_outside_china_the_serial_is_the_whole_text():
    serial, whole = (match("DBAB1234", "B AB 1234", "DE", province) for province in (False, True))
    assert serial == whole
    assert serial.right
    assert serial.length == 7


def test_what_stands_behind_is_an_error():
    assert not match("AE587TX", "皖AE587T", "CN").right


def test_char_rate_does_not_fall_below_0():
    assert match("XYZ", "AB", "DE").char_rate == 0
    assert match("AXCD", "ABCD", "DE").char_rate == 0.75
    assert match("", "ABCD", "DE").char_rate == 0
    assert match("AXCD", "ABCD", "DE").within_1


def test_a_truth_that_nothing_can_be_compared_with_is_refused():
    with pytest.raises(ValueError, match="holds nothing to compare"):
        match("A", "--", "DE")


def test_two_line_plates_carry_a_slash():
    assert is_two_line("AB12/CD345")
    assert not is_two_line("AB12CD345")


@pytest.mark.parametrize(
    ("read", "text", "country", "shown", "wrong"),
    [
        ("皖A·E587T", "皖AE587T", "CN", "皖AE587T", []),
        ("AE5871", "皖AE587T", "CN", "_AE5871", [0, 6]),
        ("AXBC", "ABC", "DE", "XBC", [0]),
        ("AC", "ABC", "DE", "A_C", [1]),
        ("", "AB", "DE", "__", [0, 1]),
        ("AB1", "", "DE", "AB1", [0, 1, 2]),
    ],
)
def test_wrong_and_missing_characters_are_marked(read, text, country, shown, wrong):
    result = marked(read, text, country)
    assert "".join(character for character, _ in result) == shown
    assert [place for place, (_, bad) in enumerate(result) if bad] == wrong


def test_alignment():
    assert partners("ABC", "ABC") == [0, 1, 2]
    assert partners("ABC", "AC") == [0, None, 1]
    assert partners("AC", "ABC") == [0, 2]
    assert partners("ABC", "") == [None, None, None]
    assert partners("AXC", "AYC") == [0, 1, 2]


def test_wrong_characters_of_a_reading_are_found_by_alignment():
    assert wrong_characters("京A1234S", "京A12345", "CN") == [False] * 6 + [True]
    # one too many, one too few
    assert wrong_characters("AXB12", "AB12", "DE") == [False, True, False, False, False]
    assert wrong_characters("B12", "AB12", "DE") == [False, False, False]
    assert wrong_characters("", "AB12", "DE") == []
    # a province that the true text leaves out is neither right nor wrong
    assert wrong_characters("京A1234S", "A12345", "CN") == [None] + [False] * 5 + [True]
    assert wrong_characters("XAB12", "AB12", "DE") == [True, False, False, False, False]
    # American lists write 0 for both, others know an O
    assert wrong_characters("COUGAR0", "C0UGARO", "US") == [False, None] + [False] * 4 + [True]
    assert wrong_characters("CO", "C0", "DE") == [False, True]
