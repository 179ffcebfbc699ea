"""CCPD's file names: seven fields split by `-` that hold everything known about a photo (Xu et al., ECCV 2018).

    025-95_113-154&383_386&473-386&473_177&454_154&383_363&402-0_0_22_27_27_33_16-37-15.jpg
    area tilt   bounding box    four corners                    plate text      brightness blurriness

Corners are (x, y) pixels of the photo from the bottom right clockwise: bottom right, bottom left, top left, top right.
"""

from dataclasses import dataclass
from math import isfinite
from pathlib import PurePosixPath

CHINA = "CN"
# I and O never stand in a serial
_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
# O: none
PROVINCES = "皖沪津渝冀晋蒙辽吉黑苏浙京闽赣鲁豫鄂湘粤桂琼川贵云藏陕甘青宁新警学O"
ALPHABETS = _LETTERS + "O"
ADS = _LETTERS + "0123456789O"
# not a real plate: used in names whose plate the tables cannot spell
UNKNOWN = "O" * 7

Corners = tuple[tuple[float, float], tuple[float, float], tuple[float, float], tuple[float, float]]


@dataclass(frozen=True)
class Annotation:
    """What is known of the plate in a photo. `text` has no separators but a "/" where a two-line plate breaks."""

    corners: Corners
    text: str
    country: str = CHINA


def parse_name(name: str) -> Annotation:
    """The annotation in a photo's file name (with or without folders). Raises ValueError with the reason."""
    fields = PurePosixPath(name).stem.split("-")
    if len(fields) != 7:
        raise ValueError(f"not a CCPD name: 7 fields split by '-' expected, got {len(fields)}")
    return Annotation(_parse_corners(fields[3]), _parse_text(fields[4]))


def is_ccpd_name(name: str) -> bool:
    try:
        parse_name(name)
    except ValueError:
        return False
    return True


def _parse_corners(field: str) -> Corners:
    try:
        corners = tuple((float(x), float(y)) for x, y in (point.split("&") for point in field.split("_")))
    except ValueError:
        raise ValueError(f"not a CCPD name: corners expected as x&y_x&y_x&y_x&y, got {field!r}") from None
    if len(corners) != 4:
        raise ValueError(f"not a CCPD name: 4 corners expected, got {len(corners)}")
    if not all(isfinite(x) and isfinite(y) for x, y in corners):
        raise ValueError(f"not a CCPD name: corners expected as numbers, got {field!r}")
    return corners


def _parse_text(field: str) -> str:
    """Plate text from indices: province, letter, then five characters, or six on new-energy plates; "" for
    `UNKNOWN`."""
    try:
        indices = [int(index) for index in field.split("_")]
    except ValueError:
        raise ValueError(f"not a CCPD name: plate text expected as indices, got {field!r}") from None
    if len(indices) not in (7, 8):
        raise ValueError(f"not a CCPD name: 7 or 8 characters expected, got {len(indices)}")
    tables = [PROVINCES, ALPHABETS, *[ADS] * (len(indices) - 2)]
    if any(not 0 <= index < len(table) for index, table in zip(indices, tables, strict=True)):
        raise ValueError(f"not a CCPD name: text index out of its table in {field!r}")
    text = "".join(table[index] for index, table in zip(indices, tables, strict=True))
    return "" if text == UNKNOWN else text


def format_name(corners: Corners, text: str, area: int, tilt: tuple[int, int], brightness: int, blurriness: int) -> str:
    """A CCPD name without suffix: the inverse of `parse_name`, corners rounded to whole pixels.

    Raises ValueError for a text that CCPD's tables cannot spell (plates of other countries: give "" and a text.csv).
    """
    spelled = text or UNKNOWN
    tables = [PROVINCES, ALPHABETS, *[ADS] * (len(spelled) - 2)]
    if len(spelled) not in (7, 8) or any(char not in table for char, table in zip(spelled, tables, strict=True)):
        raise ValueError(f"CCPD's name cannot spell the plate {text!r}")
    points = [(round(x), round(y)) for x, y in corners]
    xs, ys = zip(*points, strict=True)
    box = [(min(xs), min(ys)), (max(xs), max(ys))]
    fields = [
        str(area),
        "_".join(map(str, tilt)),
        "_".join(f"{x}&{y}" for x, y in box),
        "_".join(f"{x}&{y}" for x, y in points),
        "_".join(str(table.index(char)) for char, table in zip(spelled, tables, strict=True)),
        str(brightness),
        str(blurriness),
    ]
    return "-".join(fields)
