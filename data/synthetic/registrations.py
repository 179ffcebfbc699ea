"""Registration numbers by the rules of each country, as groups of characters (the gaps between them are the
layout's)."""

from collections.abc import Callable
from functools import cache

import numpy as np

from data.ccpd import PROVINCES

DIGITS = "0123456789"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# I and O are too like 1 and 0 for many countries
NO_IO = "ABCDEFGHJKLMNPQRSTUVWXYZ"
NO_IOQ = "ABCDEFGHJKLMNPRSTUVWXYZ"
# Spain: no vowels, no Q
CONSONANTS = "BCDFGHJKLMNPRSTVWXYZ"
CHINESE = PROVINCES[:31]
GERMAN_TOWNS = (
    "B", "M", "HH", "K", "F", "S", "D", "DO", "E", "L", "HB", "DD", "H", "N", "KA", "MA", "WI", "GT", "ROW", "MTK",
)  # fmt: skip
ROMANIAN_COUNTIES = (
    "AB", "AR", "AG", "BC", "BH", "BN", "BT", "BV", "BR", "BZ", "CS", "CL", "CJ", "CT", "CV", "DB", "DJ", "GL",
    "GR", "GJ", "HR", "HD", "IL", "IS", "IF", "MM", "MH", "MS", "NT", "OT", "PH", "SM", "SJ", "SB", "SV", "TR",
    "TM", "TL", "VS", "VL", "VN",
)  # fmt: skip
POLISH_TOWNS = ("WA", "WE", "KR", "GD", "PZ", "DW", "LU", "SK", "ZS", "WPI", "KRA", "GSP", "EL", "RZ", "BSU")
STATES = (
    "CALIFORNIA",
    "TEXAS",
    "OHIO",
    "NEVADA",
    "OREGON",
    "FLORIDA",
    "UTAH",
    "MAINE",
    "VIRGINIA",
    "IOWA",
    "KANSAS",
    "NEW YORK",
)
MOTTOES = (
    "LAND OF LAKES",
    "SUNSHINE STATE",
    "GREAT OUTDOORS",
    "EST 1859",
    "THE HEARTLAND",
    "LIVE WELL",
    "WORLD OF WONDER",
)
DEALERS = ("AUTOHAUS", "MOTORS", "CARS", "AUTO GROUP", "GARAGE", "VEHICLES", "AUTO SERVICE", "SELECT")

AMERICAN_PATTERNS = (
    "AAA 999", "AAA 9999", "999 AAA", "9AAA999", "AA 9999", "9999 AA", "AA9 9AA", "99A A99", "A99 99A", "999 9999",
    "A999999", "AAA99A", "99 A999", "A 99999",
)  # fmt: skip

Groups = list[str]
Rule = Callable[[np.random.Generator], Groups]
# by country
Rules = dict[str, Rule]
# of the letters
FREED_SHARE = 0.5


def pick(rng: np.random.Generator, alphabet: str, count: int) -> str:
    return "".join(alphabet[index] for index in rng.integers(len(alphabet), size=count))


def dealer(rng: np.random.Generator) -> str:
    """A dealer's name, as printed on plates and their holders."""
    name = pick(rng, CONSONANTS, 1) + pick(rng, "AEIOU", 1) + pick(rng, CONSONANTS, int(rng.integers(1, 3)))
    return f"{name}{pick(rng, 'AEIO', 1)} {rng.choice(DEALERS)}"


def chinese(rng: np.random.Generator) -> Groups:
    """Province and letter, then five characters with at most two letters (GA 36), more digits than letters as on
    roads."""
    serial = list(pick(rng, DIGITS, 5))
    for place in rng.choice(5, size=rng.choice([0, 1, 2], p=[0.2, 0.45, 0.35]), replace=False):
        serial[place] = pick(rng, NO_IO, 1)
    return [pick(rng, CHINESE, 1) + pick(rng, NO_IO, 1), "".join(serial)]


def chinese_new_energy(rng: np.random.Generator) -> Groups:
    """Six characters in the serial: small cars D or F first, large ones D or F last."""
    kind = pick(rng, "DFDFABCEGHJK", 1)
    serial = (
        kind + pick(rng, NO_IO + DIGITS, 1) + pick(rng, DIGITS, 4)
        if rng.random() < 0.8
        else pick(rng, DIGITS, 5) + kind
    )
    return [pick(rng, CHINESE, 1) + pick(rng, NO_IO, 1), serial]


def chinese_police(rng: np.random.Generator) -> Groups:
    return [pick(rng, CHINESE, 1) + pick(rng, NO_IO, 1), pick(rng, DIGITS, 4) + "警"]


def german(rng: np.random.Generator) -> Groups:
    return [str(rng.choice(GERMAN_TOWNS)), pick(rng, NO_IOQ, rng.integers(1, 3)), str(rng.integers(1, 10000))]


def romanian(rng: np.random.Generator) -> Groups:
    if rng.random() < 0.5:
        return ["B", pick(rng, DIGITS, rng.integers(2, 4)), pick(rng, NO_IOQ, 3)]
    return [str(rng.choice(ROMANIAN_COUNTIES)), pick(rng, DIGITS, 2), pick(rng, NO_IOQ, 3)]


def polish(rng: np.random.Generator) -> Groups:
    return [
        str(rng.choice(POLISH_TOWNS)),
        pick(rng, DIGITS, rng.integers(3, 5)) + pick(rng, NO_IOQ, rng.integers(1, 3)),
    ]


def british(rng: np.random.Generator) -> Groups:
    return [pick(rng, NO_IOQ, 2) + pick(rng, DIGITS, 2), pick(rng, NO_IOQ, 3)]


def american(rng: np.random.Generator) -> Groups:
    rules = (
        lambda: [str(rng.integers(1, 10)) + pick(rng, NO_IOQ, 3) + pick(rng, DIGITS, 3)],
        lambda: [pick(rng, NO_IOQ, 3), pick(rng, DIGITS, 4)],
        lambda: [pick(rng, NO_IOQ, 3), pick(rng, DIGITS, 3)],
        lambda: [pick(rng, DIGITS, 3), pick(rng, NO_IOQ, 3)],
    )
    return rules[rng.integers(len(rules))]()


def pattern(groups: str, letters: str = NO_IO) -> Rule:
    """A rule from a picture of it: A is a letter, 9 a digit, a space a gap."""

    def rule(rng: np.random.Generator) -> Groups:
        return ["".join(pick(rng, letters if char == "A" else DIGITS, 1) for char in group) for group in groups.split()]

    return rule


RULES: Rules = {
    "DE": german,
    "RO": romanian,
    "PL": polish,
    "FR": pattern("AA 999 AA"),
    "IT": pattern("AA 999AA"),
    "ES": pattern("9999 AAA", CONSONANTS),
    "NL": pattern("99 AAA 9", CONSONANTS),
    "PT": pattern("AA 99 AA"),
    "SE": pattern("AAA 999", NO_IOQ),
    "CZ": pattern("9A9 9999"),
    "HU": pattern("AAA 999", NO_IOQ),
    "BE": pattern("9 AAA 999", NO_IOQ),
    "GB": british,
    "US": american,
    "IN": pattern("AA 99 AA 9999"),
    "IL": pattern("99 999 99"),
    "AU": pattern("AAA 99A"),
    "ZA": pattern("AA 99 AA", CONSONANTS),
    "MY": pattern("AAA 9999"),
    "BR": pattern("AAA9A99", NO_IOQ),
}


def freed(rule: Rule) -> Rule:
    def rule_with_any_letters(rng: np.random.Generator) -> Groups:
        return [
            "".join(pick(rng, LETTERS, 1) if c.isalpha() and rng.random() < FREED_SHARE else c for c in group)
            for group in rule(rng)
        ]

    return rule_with_any_letters


# The rules above are stricter than the world's: those change with years and states, and Romania's, say, do have an O.
# What has learned them takes every O for a 0 or a D. They stay as they are, since the frozen benchmark is drawn by
# them.
FREE_RULES: Rules = {country: freed(rule) for country, rule in RULES.items()}


def many_american(rng: np.random.Generator) -> Groups:
    """The states' patterns, and one time in five letters of the owner's choice."""
    if rng.random() < 0.2:
        return [pick(rng, LETTERS, int(rng.integers(2, 8)))]
    return pattern(str(rng.choice(AMERICAN_PATTERNS)), LETTERS)(rng)


# of the varied designs: more countries, and letters as free as above
VARIED_RULES: Rules = (
    FREE_RULES
    | {
        country: freed(pattern(groups))
        for country, groups in {
            "SK": "AA 999AA",
            "AT": "AA 9999A",
            "DK": "AA 99 999",
            "NO": "AA 99999",
            "FI": "AAA 999",
            "SI": "AA AA999",
            "HR": "AA 999 AA",
            "BG": "AA 9999 AA",
            "LT": "AAA 999",
            "LV": "AA 9999",
            "EE": "999 AAA",
            "GR": "AAA 9999",
            "IE": "99 AA 9999",
            "CH": "AA 999999",
        }.items()
    }
    | {"US": many_american}
)


# --- Which texts a plate can have -------------------------------------------------------------------------------------

# of each rule, so that a layout is missed that comes less than about once in a hundred
DRAWS = 200
# numbers of few digits come too rarely to be drawn
GERMAN_LAYOUTS = {"A" * letters + "9" * digits for letters in range(2, 6) for digits in range(1, 5)}


def layout_of(text: str) -> str:
    """Letters of the Latin alphabet are A, digits 9, provinces P, others themselves: "BVG41K" is "AAA99A"."""
    kinds = {**dict.fromkeys(LETTERS, "A"), **dict.fromkeys(DIGITS, "9"), **dict.fromkeys(CHINESE, "P")}
    return "".join(kinds.get(char, char) for char in text)


@cache
def known_layouts() -> frozenset[str]:
    """Of all countries that have rules here; Chinese ones also without the province, which readers miss."""
    rng = np.random.default_rng(0)
    rules = [*VARIED_RULES.values(), american, chinese, chinese_new_energy, chinese_police]
    rules += [pattern(groups) for groups in AMERICAN_PATTERNS]
    drawn = {layout_of("".join(rule(rng))) for rule in rules for _ in range(DRAWS)} | GERMAN_LAYOUTS
    return frozenset(drawn | {each.removeprefix("P") for each in drawn})
