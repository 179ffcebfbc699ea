"""Enhances pictures and judges each result: consistency, agreement, warnings. Folders, bursts and the page share it.

Two steps, so that a folder can overlap them: `look` runs the networks over a batch, `judge` does the rest for one
picture and may run in any thread.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import cv2
import numpy as np

from data import quality
from data.straighten import in_tile
from enhancing.opening import TWO_LINES_ASPECT, Corners, Source, find_sources, load_sources
from models.answerer import ZOOMS, Answerer, find_answerer, views_of, views_of_line
from models.detector import TURNED, Detector, load_detector
from models.enhancer import (
    Drawn,
    Generator,
    at_own_size,
    draw_each,
    finish_each,
    is_larger,
    is_sharp,
    load_generator,
    load_second,
    padded,
    resize,
    restore_each,
)
from models.loading import BATCH_SIZE
from reading.answer import DEFAULT, INPUT, RECOGNISER, RESULT, Answer, Rule, answer, as_reading, certainty
from reading.matching import comparable, edit_distance, partners
from reading.reader import Reader, Reading, join, read_plates, split_lines

MAY_BE_TURNED = "the plate may be upside down"
NO_SURE_PLATE = "no plate was recognised in this picture, which was taken whole"
MAY_BE_TWO_LINES = "the plate may have two lines, and was read as one"
# A plate is turned where it reads so surely when turned, and so much less surely as it is, by at least four characters.
# None of 180 readable plates that stand upright does; those that come near are doubted.
SURELY_TURNED, LESS_SURE, NEARLY_AS_SURE, FEWEST_CHARACTERS = 0.95, 0.1, 0.04, 4
# agreement at most, where the plate's layout is in doubt: all readings agree on a text that is read the wrong way
DOUBTED_AGREEMENT = 0.85
# times the network's output: the reader scales what it gets to 48 rows
FINEST_READ = 4
# of a straightened plate's height, that the reader sees around it; the corners are not known better
READ_MARGIN = 0.1
SHARP = "sharp already: at most its brightness and contrast were changed"
TOO_LITTLE = "too little in the picture to restore: characters may be invented"
# where the checkpoint's JSON does not say; enhancing/calibrate.py measures it
MIN_EFFECTIVE_WIDTH_PX = 50.0
# below it, of 156 plates 17 % were answered right; above it, of 634, 88 % (docs/EXPERIMENTS.md)
MIN_AGREEMENT = 0.7
# standard deviation of the luminance after a blur that takes single pixels' noise away: one level of 256
FLAT_CONTRAST, FLAT_SIGMA_PX = 1 / 255, 2.0
MEASURED_PX = 2048
# right and down; 1 and 2 move by no whole block of the generator's stem
SHIFTS_PX = ((1, 0), (-2, 0), (0, 1), (0, -2))
GAINS = (0.85, 1.18)
# smooths away single pixels that disagree
MAP_SIGMA = 1.5


class Agreement(NamedTuple):
    """text: the characters of a reading. agreed: the same, with a ? for each character that some other reading sees
    differently. shares: for each character, the part of the others that see the same. mean: over the others, 1 -
    edit distance / length; 0 where nothing was read."""

    text: str
    agreed: str
    shares: tuple[float, ...]
    mean: float


class Way(NamedTuple):
    """turned: the plate is upside down. may_be_turned: nobody can tell."""

    turned: bool
    may_be_turned: bool


def which_way(as_it_is: Reading, turned: Reading) -> Way:
    """By the readings of a plate as it is and turned by 180 degrees."""
    if len(comparable(turned.text, country="")) < FEWEST_CHARACTERS:
        return Way(False, False)
    lead = turned.confidence - as_it_is.confidence
    clear = turned.confidence >= SURELY_TURNED and lead >= LESS_SURE
    return Way(clear, not clear and turned.confidence >= MIN_AGREEMENT - LESS_SURE and lead > -NEARLY_AS_SURE)


def variants(lq: np.ndarray) -> list[np.ndarray]:
    """The pictures to ask again about: (H, W, 3) float in [0, 1] -> shifted ones, then brighter and darker ones."""
    shifted = [_shift(lq, dx, dy) for dx, dy in SHIFTS_PX]
    return shifted + [np.clip(lq * np.float32(gain), 0, 1) for gain in GAINS]


def undo(restored: Sequence[np.ndarray], scale: int) -> list[np.ndarray]:
    """The restored variants, shifted back into alignment. Their brightness stays as the generator chose it."""
    back = [_shift(sr, -dx * scale, -dy * scale) for sr, (dx, dy) in zip(restored, SHIFTS_PX, strict=False)]
    return back + list(restored[len(SHIFTS_PX) :])


def disagreement(sr: np.ndarray, others: Sequence[np.ndarray]) -> np.ndarray:
    """(H, W) float32: standard deviation of the luminance over the result and the variants, 0 where all agree, up to
    0.5."""
    stack = np.stack([quality.luminance(each) for each in (sr, *others)])
    return cv2.GaussianBlur(stack.std(axis=0), (0, 0), MAP_SIGMA)


def agree(reading: str, others: Sequence[str]) -> Agreement:
    """How far the other readings, at least one, support this one, character by character."""
    text, *rest = (comparable(each, country="") for each in (reading, *others))
    same = np.zeros((len(rest), len(text)))
    for row, other in zip(same, rest, strict=True):
        for position, at in enumerate(partners(text, other)):
            row[position] = at is not None and other[at] == text[position]
    shares = same.mean(axis=0) if rest else np.zeros(len(text))
    agreed = "".join(char if share == 1 else "?" for char, share in zip(text, shares, strict=True))
    likeness = [1 - edit_distance(text, other) / max(len(text), len(other)) for other in rest if text]
    return Agreement(text, agreed, tuple(map(float, shares)), float(np.mean(likeness)) if likeness else 0.0)


def _shift(picture: np.ndarray, dx: int, dy: int) -> np.ndarray:
    moved = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
    size = picture.shape[1::-1]
    return cv2.warpAffine(picture, moved, size, flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT_101)


@dataclass(frozen=True)
class Look:
    """The networks' results for a picture. sr: (h, w, 3) restored. others: the restored variants, aligned with `sr`.
    before: what is read in the picture itself; None without a reader. recognised: what the recogniser reads in it, by
    view, without a reader in the first view alone; empty without a recogniser. turned: all of this is of the
    plate turned by 180 degrees, since it reads better so. may_be_turned: it reads about as well."""

    sr: np.ndarray
    others: list[np.ndarray] = field(default_factory=list)
    before: Reading | None = None
    recognised: list[Reading] = field(default_factory=list)
    turned: bool = False
    may_be_turned: bool = False


@dataclass(frozen=True)
class Result:
    """picture: the enhanced picture, float32 in [0, 1], or uint8 where the file has 8 bits and is larger than the
    generator's input. before, after: of the picture's middle, at the result's size. fit: see data/quality.py.
    effective_width: px. disagreement: (h, w) of sr's size, or None when not asked for. agreement: of all readings with
    the answer. reading: of `picture`. These and reading_before: None without a reader. answer: None without one that
    keeps its steps. note: that the picture is left as sharp as it is, or ""."""

    source: Source
    look: Look
    picture: np.ndarray
    before: quality.Quality
    after: quality.Quality
    fit: quality.Fit
    effective_width: float
    disagreement: np.ndarray | None
    agreement: Agreement | None
    reading_before: Reading | None
    reading: Reading | None
    answer: Answer | None
    warnings: tuple[str, ...]
    note: str = ""

    def untouched(self) -> np.ndarray:
        """The picture before: at its own size where the result has that, else the generator's input."""
        large = larger(self.source, self.look.sr)
        return self.source.lq if large is None else large


@dataclass(frozen=True)
class Examiner:
    """generator: makes the results. second: another generator, for a second opinion. reader: None to read nothing.
    ask_again: whether to ask about variants of each picture, for the disagreement map. detector: looks for the plates
    in pictures, None to take them whole. answerer: the recogniser, None to answer by the reader alone. rule: makes one
    answer of all readings. layout: says of a plate that is given or taken whole whether it has two lines."""

    generator: Generator
    second: Generator | None = None
    reader: Reader | None = None
    ask_again: bool = False
    batch_size: int = BATCH_SIZE
    detector: Detector | None = None
    answerer: Answerer | None = None
    rule: Rule = DEFAULT
    layout: Detector | None = None

    def sources(self, picture: str | np.ndarray, corners: Corners | None = None, name: str = "") -> list[Source]:
        """The plates of a file, as `load_sources`, or of a picture, as `find_sources`."""
        prepare = find_sources if isinstance(picture, np.ndarray) else load_sources
        return prepare(self.generator, picture, corners=corners, name=name, detector=self.detector, layout=self.layout)

    def enhance(self, sources: Sequence[Source]) -> list[Result]:
        return [self.judge(source, look) for source, look in zip(sources, self.look(sources), strict=True)]

    def look(self, sources: Sequence[Source]) -> list[Look]:
        """The networks' part, in batches."""
        ways, before = self._ways(sources)
        sources = [source.turned() if way.turned else source for source, way in zip(sources, ways, strict=True)]
        pictures = [source.lq for source in sources]
        drawn = draw_each(self.generator, pictures, self.batch_size)
        recognised = self._recognised(sources, ZOOMS if self.reader else ZOOMS[:1], drawn)
        readable = [certainty(each) if each else None for each in recognised]
        restored = finish_each(self.generator, pictures, drawn, self.batch_size, readable)
        others = self._others(pictures, readable) if self.ask_again else [[] for _ in pictures]
        return [Look(*each, *way) for *each, way in zip(restored, others, before, recognised, ways, strict=True)]

    def judge(self, source: Source, look: Look) -> Result:
        """The rest, for one picture."""
        source = source.turned() if look.turned else source
        fit = quality.fit(source.lq, look.sr)
        width = quality.effective_width(fit, look.sr.shape[1], source.native_width)
        # the report measures what is written: both pictures at the result's size
        large = larger(source, look.sr)
        picture, sharp = written(look.sr, large)
        before = resize(source.lq, *look.sr.shape[:2]) if large is None else large
        after = (
            None if self.reader is None else read_plates(self.reader, [as_read(source, finest(picture, look.sr))])[0]
        )
        given = None if after is None or after.steps is None else answer(readings_of(look, after), self.rule)
        agreed = None if after is None else _agreement(look, after, given)
        warnings = self._warnings(source, look, width, agreed)
        if agreed is not None and {MAY_BE_TURNED, MAY_BE_TWO_LINES, NO_SURE_PLATE} & set(warnings):
            agreed = agreed._replace(mean=min(agreed.mean, DOUBTED_AGREEMENT))
        return Result(
            source=source,
            look=look,
            picture=picture,
            before=quality.measure(_middle(before)),
            after=quality.measure(_middle(picture)),
            fit=fit,
            effective_width=width,
            disagreement=disagreement(look.sr, look.others) if look.others else None,
            agreement=agreed,
            reading_before=look.before,
            reading=after,
            answer=given,
            warnings=warnings,
            note=SHARP if sharp else "",
        )

    def _others(self, pictures: Sequence[np.ndarray], readable: Sequence[float | None]) -> list[list[np.ndarray]]:
        asked = [variants(lq) for lq in pictures]
        each = len(asked[0]) if asked else 0
        flat = restore_each(
            self.generator, [lq for some in asked for lq in some], self.batch_size, np.repeat(readable, each)
        )
        others = [undo(flat[i * each : (i + 1) * each], self.generator.scale) for i in range(len(asked))]
        if self.second is not None:
            opinions = restore_each(self.second, pictures, self.batch_size, readable)
            others = [[*some, opinion] for some, opinion in zip(others, opinions, strict=True)]
        return others

    def readable(self, source: Source) -> float:
        """The recogniser's probability of the picture as it is; 0 without a recogniser."""
        return certainty(*self._recognised([source], ZOOMS[:1]))

    def _recognised(
        self, sources: Sequence[Source], zooms: Sequence[float], drawn: Sequence[Drawn] = ()
    ) -> list[list[Reading]]:
        """Of each picture one reading for each of the recogniser's views, of two lines joined. drawn: what the
        generator made of them, which may know the first."""
        if self.answerer is None:
            return [[] for _ in sources]
        views = [self._views(source, zooms) for source in sources]
        known = [self._known(*each) for each in zip(views, drawn, strict=True)] if drawn else [[] for _ in views]
        views = [[line[len(own) :] for line in lines] for lines, own in zip(views, known, strict=True)]
        steps = iter(self.answerer.read([view for lines in views for line in lines for view in line]))
        seen = [[[as_reading(next(steps), self.answerer.characters) for _ in line] for line in some] for some in views]
        rest = [[join(parts) for parts in zip(*lines, strict=True)] for lines in seen]
        return [own + others for own, others in zip(known, rest, strict=True)]

    def _known(self, views: Sequence[Sequence[np.ndarray]], drawn: Drawn) -> list[Reading]:
        """The reading of the first view, where the generator was shown just this one and carries the recogniser."""
        names = self.answerer.characters
        if drawn.read is None or self.generator.info.get("characters") != names or len(views) > 1:
            return []
        reads = drawn.read.shape[-1] == 1 + len(names) and np.array_equal(drawn.shown, padded(views[0][0]))
        return [as_reading(drawn.read, names)] if reads else []

    def _views(self, source: Source, zooms: Sequence[float]) -> list[list[np.ndarray]]:
        """Of each line of a plate."""
        picture = resize(source.lq, *(side * self.generator.scale for side in source.lq.shape[:2]))
        lines = as_read(source, picture)
        return [views_of(picture, zooms)] if len(lines) == 1 else [views_of_line(line, zooms) for line in lines]

    def _ways(self, sources: Sequence[Source]) -> tuple[list[Way], list[Reading | None]]:
        """Whether the plates hang upside down, by how surely their pictures are read either way, and what is read the
        right way; None without a reader."""
        if self.reader is None:
            return [Way(False, False) for _ in sources], [None for _ in sources]
        both = [each for source in sources for each in (source, source.turned())]
        readings = read_plates(self.reader, [as_read(each, each.lq) for each in both])
        pairs = list(zip(readings[::2], readings[1::2], strict=True))
        ways = [which_way(*pair) for pair in pairs]
        return ways, [pair[way.turned] for pair, way in zip(pairs, ways, strict=True)]

    def _warnings(self, source: Source, look: Look, width: float, agreed: Agreement | None) -> tuple[str, ...]:
        too_little = width < min_effective_width(self.generator) or (agreed is not None and agreed.mean < MIN_AGREEMENT)
        found = source.found
        upside_down = look.may_be_turned or (found is not None and TURNED[0] < found.turned_over <= TURNED[1])
        height, wide = source.lq.shape[:2]
        square = source.corners is None and not source.two_lines and wide < TWO_LINES_ASPECT * height
        return (
            (TOO_LITTLE,) * (too_little or is_flat(source.lq))
            + (MAY_BE_TURNED,) * upside_down
            + (MAY_BE_TWO_LINES,) * (square and agreed is not None)
            + (NO_SURE_PLATE,) * source.unsure
        )


def readings_of(look: Look, after: Reading) -> dict[str, list[Reading]]:
    """By source, for the answer. after: of the result."""
    recognised = {RECOGNISER: look.recognised} if look.recognised else {}
    return recognised | {INPUT: [look.before], RESULT: [after]}


def _agreement(look: Look, after: Reading, given: Answer | None) -> Agreement:
    """Of all readings with the answer, or, without one, of the two readings."""
    text = after.text if given is None else given.best_text
    return agree(text, [each.text for some in readings_of(look, after).values() for each in some])


def make_examiner(
    checkpoint: str | os.PathLike,
    precision: str = "auto",
    strength: float | None = None,
    *,
    read: bool = False,
    ask_again: bool = False,
    batch_size: int = BATCH_SIZE,
    find: bool = False,
) -> Examiner:
    """Load what is needed. read: a reader. ask_again: a second opinion, too, if there is one. find: a detector, to
    look for plates in pictures. Raises ValueError for a file that cannot be used."""
    generator = load_generator(checkpoint, precision, strength)
    second = load_second(checkpoint, generator) if ask_again else None
    reader, detector = Reader(keep_steps=True) if read else None, load_detector() if find else None
    answerer = find_answerer(checkpoint, generator.backend)
    rule = Rule.from_info(generator.info)
    layout = load_detector() if read else None
    return Examiner(generator, second, reader, ask_again, batch_size, detector, answerer, rule, layout)


def larger(source: Source, sr: np.ndarray) -> np.ndarray | None:
    """The plate at its own size, where that is larger than its restored version."""
    return source.plate() if is_larger(source.size, sr) else None


def written(sr: np.ndarray, large: np.ndarray | None) -> tuple[np.ndarray, bool]:
    """(The picture that is written for a restored plate, whether it was sharp already.) large: see `larger`."""
    sharp = large is not None and is_sharp(large, sr)
    return (sr if large is None else at_own_size(sr, large, sharp)), sharp


def finest(picture: np.ndarray, sr: np.ndarray) -> np.ndarray:
    """A written picture, no finer than a reader needs it."""
    return resize(
        picture, *(min(own, FINEST_READ * side) for own, side in zip(picture.shape, sr.shape[:2], strict=False))
    )


def as_read(source: Source, picture: np.ndarray) -> tuple[np.ndarray, ...]:
    """A picture of the source as the reader can read it best: whole, or the straightened plate without what is around
    it, or the two lines of a plate that has two."""
    height, width = picture.shape[:2]
    if source.corners is None and source.two_lines:
        shares = np.array([[0, 0], [1, 1]]) if source.lines is None else source.lines
        return split_lines(picture, shares * (width, height))
    if source.corners is None:
        return (picture,)
    corners = in_tile(source.corners, (height, width))
    if source.two_lines:
        return split_lines(picture, corners)
    (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
    room = READ_MARGIN * (bottom - top)
    rows = slice(max(0, round(top - room)), round(bottom + room))
    return (picture[rows, max(0, round(left - room)) : round(right + room)],)


def is_flat(lq: np.ndarray) -> bool:
    """Whether a picture, float in [0, 1], shows nothing: less contrast than coding and noise give to a single
    colour."""
    return float(cv2.GaussianBlur(quality.luminance(lq), (0, 0), FLAT_SIGMA_PX).std()) < FLAT_CONTRAST


def _middle(picture: np.ndarray) -> np.ndarray:
    """The middle of a large picture: measuring all of it would take gigabytes."""
    top, left = (max(0, side - MEASURED_PX) // 2 for side in picture.shape[:2])
    return picture[top : top + MEASURED_PX, left : left + MEASURED_PX]


def min_effective_width(generator: Generator) -> float:
    """The effective width in px below which fewer than half of the validation plates were read right."""
    known = generator.info.get("min_effective_width_px")
    return float(known) if isinstance(known, (int, float)) and 0 < known < np.inf else MIN_EFFECTIVE_WIDTH_PX
