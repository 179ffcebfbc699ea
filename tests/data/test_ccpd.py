import pytest

from data.ccpd import format_name, is_ccpd_name, parse_name

NAME = "025-95_113-154&383_386&473-386&473_177&454_154&383_363&402-0_0_22_27_27_33_16-37-15"
CORNERS = ((386, 473), (177, 454), (154, 383), (363, 402))


def test_the_name_that_ccpd_itself_explains():
    known = parse_name(NAME + ".jpg")
    assert known.corners == CORNERS
    assert known.text == "皖AY339S"
    assert known.country == "CN"


def test_folders_and_suffix_do_not_matter():
    assert parse_name(f"ccpd_base/2019-01/{NAME}.JPG") == parse_name(NAME)


def test_the_longer_area_of_the_older_names_and_eight_characters():
    name = "004827586206896552-93_265-348&574_460&613-460&613_349&610_348&574_459&582-0_0_3_25_28_28_32_32-153-23.jpg"
    assert parse_name(name).text == "皖AD14488"
    assert parse_name(name.replace("004827586206896552", "0.0048")).text == "皖AD14488"


@pytest.mark.parametrize("text", ["皖AY339S", "京Q12345", "粤BD12345", ""])
def test_formatted_names_are_read_back(text):
    known = parse_name(format_name(CORNERS, text, 25, (95, 113), 37, 15))
    assert (known.corners, known.text) == (CORNERS, text)


@pytest.mark.parametrize("text", ["B-AB 123", "AB12/CD345", "皖AI2345", "皖A123"])
def test_a_plate_outside_the_tables_is_refused(text):
    with pytest.raises(ValueError, match="cannot spell"):
        format_name(CORNERS, text, 25, (95, 113), 37, 15)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("IMG_2041.jpg", "7 fields"),
        (NAME.replace("386&473_177", "386&47x_177"), "corners expected"),
        (NAME.replace("386&473_177&454_", "177&454_"), "4 corners"),
        (NAME.replace("0_0_22", "0_0_99"), "out of its table"),
        (NAME.replace("0_0_22", "-1_0_22"), "7 fields"),
        (NAME.replace("0_0_22", "a_0_22"), "as indices"),
        (NAME.replace("0_0_22_", "0_0_"), "7 or 8 characters"),
        (NAME.replace("386&473_177", "nan&473_177"), "corners expected as numbers"),
        (NAME.replace("386&473_177", "inf&473_177"), "corners expected as numbers"),
        ("", "7 fields"),
    ],
)
def test_other_names_are_refused_with_a_reason(name, reason):
    with pytest.raises(ValueError, match=reason):
        parse_name(name)
    assert not is_ccpd_name(name)
