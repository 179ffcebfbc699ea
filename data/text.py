"""Makes names and texts from outside harmless for the place where they are written.

A file may be named `=HYPERLINK(...)`, hold escape sequences that steer a terminal, or a `$` that matplotlib takes for
the beginning of a formula; so may a text that came with a picture. HTML is escaped where it is written.
"""

import re

_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")
# What spreadsheets take for the beginning of a formula; in some languages a semicolon begins a new cell, too
_FORMULA = re.compile(r"(?:^|(?<=;))(?=[=+\-@＝＋－＠])")


def printable(text: object) -> str:
    """For the terminal: without characters that would steer it, or that it cannot encode."""
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in str(text))


def cell(value: object) -> object:
    """For a CSV file: texts that a spreadsheet would compute get an apostrophe in front. Numbers stay numbers."""
    if not isinstance(value, str) or _NUMBER.fullmatch(value):
        return value
    return _FORMULA.sub("'", printable(value))


def literal(text: str) -> str:
    """For a figure: matplotlib draws each character as it is, and no formula."""
    return printable(text).replace("$", r"\$")
