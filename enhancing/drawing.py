"""Pictures for people: before and after side by side with what is known about them, the map of disagreement, and photos
into which the restored plates are put back."""

from collections.abc import Iterable, Sequence
from functools import lru_cache

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from data.io import to_float, to_uint8
from data.straighten import for_opencv, in_tile, to_tile
from data.synthetic.canvas import FONT_FOLDER, HANZI
from enhancing.burst import Burst
from enhancing.examining import Agreement, Result
from models.enhancer import resize
from reading.answer import Answer

PANEL_PX, MAX_PANEL_HEIGHT_PX, GAP_PX = 480, 720, 12
TEXT_PX, LINE_PX = 17, 24
PAPER, INK, GREY, RED = (255, 255, 255), (25, 25, 25), (105, 105, 105), (176, 0, 16)
# the hottest colour; a fixed scale, so that maps can be compared
MAX_DISAGREEMENT = 0.15
CAVEAT = "a hint, not evidence"
LATIN = "LiberationSans-Bold.ttf"

Line = tuple[str, tuple[int, int, int]]


def heat_map(disagreement: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(h, w) disagreement -> (height, width, 3) float RGB: black where all agree, over red to pale yellow at 0.15."""
    level = np.clip(disagreement / MAX_DISAGREEMENT, 0, 1)
    colours = cv2.applyColorMap(to_uint8(level), cv2.COLORMAP_INFERNO)[:, :, ::-1]
    return resize(to_float(np.ascontiguousarray(colours)), *size)


def side_by_side(result: Result, with_map: bool = False) -> np.ndarray:
    """(H, W, 3) float RGB: the picture as it was and as it is now, the map if wanted, and below them the findings."""
    panels = [("before", result.untouched()), ("after", result.picture)]
    if with_map and result.disagreement is not None:
        panels.append(("where it is unsure", heat_map(result.disagreement, result.look.sr.shape[:2])))
    return sheet(panels, findings(result))


def findings(result: Result) -> list[Line]:
    lines = [(warning, RED) for warning in result.warnings]
    facts = f"consistency {result.fit.consistency:.2f}   effective width {result.effective_width:.0f} px"
    if result.answer is not None:
        lines.append((answer_line(result.answer), INK))
    if result.reading is not None and result.agreement is not None:
        before = f"read before: {result.reading_before.text or 'nothing'} ({result.reading_before.confidence:.2f})"
        lines.append((f"{before}   after: {result.reading.text or 'nothing'} ({result.reading.confidence:.2f})", GREY))
        lines.append((agreement_line(result.agreement), GREY))
    if result.note:
        lines.append((result.note, GREY))
    return [*lines, (facts, GREY), (CAVEAT, GREY)]


def answer_line(answer: Answer) -> str:
    given = f"{answer.text} (all of it right: {100 * answer.probability:.0f} %)" if answer.text else "nothing read"
    return f"answer: {given}"


def agreement_line(agreement: Agreement) -> str:
    return f"agreed: {agreement.agreed or 'nothing'}   agreement {agreement.mean:.2f}"


def burst_sheet(results: Sequence[Result], burst: Burst) -> np.ndarray:
    """The frames before enhancing, the reference enhanced alone, and all of them combined."""
    panels = [(f"frame {number}", result.source.lq) for number, result in enumerate(results, start=1)]
    best = (f"frame {burst.reference + 1} enhanced alone", results[burst.reference].look.sr)
    lines = [(warning, RED) for warning in burst.warnings]
    lines.append((answer_line(burst.answer), INK))
    facts = f"consistency {burst.consistency:.2f}   effective width {burst.effective_width:.0f} px at best"
    lines += [(agreement_line(burst.agreement), GREY), (facts, GREY), (CAVEAT, GREY)]
    return sheet([*panels, best, ("combined", burst.picture)], lines)


def sheet(panels: Sequence[tuple[str, np.ndarray]], lines: Sequence[Line], columns: int = 3) -> np.ndarray:
    """(H, W, 3) float RGB: captioned panels of one width in rows, and lines of text, broken where they are too long."""
    columns = min(columns, len(panels))
    pictures = [_panel(picture) for _, picture in panels]
    width = GAP_PX + columns * (PANEL_PX + GAP_PX)
    rows = [range(start, min(start + columns, len(panels))) for start in range(0, len(panels), columns)]
    heights = [LINE_PX + max(pictures[i].height for i in row) + GAP_PX for row in rows]
    text = [(part, ink) for line, ink in lines for part in _broken(line, width - 2 * GAP_PX)]
    canvas = Image.new("RGB", (width, sum(heights) + LINE_PX * len(text) + 2 * GAP_PX), PAPER)
    draw = ImageDraw.Draw(canvas)
    top = GAP_PX
    for row, height in zip(rows, heights, strict=True):
        for column, i in enumerate(row):
            left = GAP_PX + column * (PANEL_PX + GAP_PX)
            _write(draw, (left, top), panels[i][0], GREY)
            canvas.paste(pictures[i], (left + (PANEL_PX - pictures[i].width) // 2, top + LINE_PX))
        top += height
    for number, (line, ink) in enumerate(text):
        _write(draw, (GAP_PX, top + number * LINE_PX), line, ink)
    return to_float(np.asarray(canvas))


def _panel(picture: np.ndarray) -> Image.Image:
    height, width = picture.shape[:2]
    factor = min(PANEL_PX / width, MAX_PANEL_HEIGHT_PX / height)
    return Image.fromarray(to_uint8(resize(picture, max(1, round(height * factor)), max(1, round(width * factor)))))


def _broken(line: str, width: int) -> list[str]:
    """The line in as many parts as the width needs, broken at spaces."""
    parts, current = [], ""
    for word in line.split(" "):
        longer = f"{current} {word}" if current else word
        if current and _length(longer) > width:
            parts.append(current.strip())
            current = word
        else:
            current = longer
    return [*parts, current]


def _write(draw: ImageDraw.ImageDraw, place: tuple[int, int], line: str, ink: tuple[int, int, int]) -> None:
    x, y = place
    for char in line:
        font = _font_for(char)
        draw.text((x, y + TEXT_PX), char, font=font, fill=ink, anchor="ls")
        x += font.getlength(char)


def _length(line: str) -> float:
    return sum(_font_for(char).getlength(char) for char in line)


def _font_for(char: str) -> ImageFont.FreeTypeFont:
    """Provinces from the one font that has them; what neither font has is drawn as the Latin one's empty box."""
    return _font(HANZI if "\u2e80" <= char <= "\u9fff" and _is_drawn(char) else LATIN)


@lru_cache(maxsize=1024)
def _is_drawn(char: str) -> bool:
    """Whether the font of the provinces has it: what it lacks it leaves blank."""
    return _font(HANZI).getmask(char).getbbox() is not None


@lru_cache(maxsize=2)
def _font(name: str) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(FONT_FOLDER / name), TEXT_PX)


# --- Photos into which the restored plates are put back ---------------------------------------------------------------

# of the plate's height: over so much around the plate the restored picture fades into the photo
FEATHER = 0.12


def paste(photo: np.ndarray, results: Iterable[Result]) -> np.ndarray:
    """(H, W, 3), uint8 or float32 in [0, 1] -> the same with each plate restored in its place."""
    photo = photo.copy()
    for result in results:
        _paste_one(photo, to_float(result.picture), result.source.corners)
    return photo


def _paste_one(photo: np.ndarray, picture: np.ndarray, corners: np.ndarray) -> None:
    """picture: the restored tile, of any size."""
    tile = picture.shape[:2]
    place = in_tile(corners, tile)
    height = float(np.ptp(place[:, 1]))
    mask = np.zeros(tile, np.float32)
    grown = place + np.sign(place - place.mean(axis=0)) * FEATHER * height / 2
    cv2.fillConvexPoly(mask, grown.round().astype(np.int32), 1.0)
    mask = cv2.GaussianBlur(mask, (0, 0), max(0.5, FEATHER * height / 4))
    back = for_opencv(np.linalg.inv(to_tile(corners, tile)))
    low = np.maximum(np.floor(corners.min(axis=0) - height), 0).astype(int)
    high = np.minimum(np.ceil(corners.max(axis=0) + height).astype(int), photo.shape[1::-1])
    if (high <= low).any():
        return
    back = np.array([[1, 0, -low[0]], [0, 1, -low[1]], [0, 0, 1]]) @ back
    size = tuple((high - low).tolist())
    # where the photo has fewer px than the tile, these are averages of the tile's
    shrink = max(1.0, np.ptp(place[:, 0]) / max(1.0, float(np.linalg.norm(corners[0] - corners[1]))))
    soft = cv2.GaussianBlur(picture, (0, 0), 0.4 * shrink) if shrink > 1.2 else picture
    moved = cv2.warpPerspective(soft, back, size, flags=cv2.INTER_LINEAR)
    share = cv2.warpPerspective(mask, back, size, flags=cv2.INTER_LINEAR)[..., None]
    room = photo[low[1] : high[1], low[0] : high[0]]
    before = to_float(room)
    pasted = before + share * (moved - before)
    room[:] = to_uint8(pasted) if photo.dtype == np.uint8 else pasted
