"""Renders what is not a licence plate: leaves, bricks, windows, road markings, grilles, documents, shop signs, logos,
stickers.

A detector must stay silent on all of this. Every picture follows from its generator of random numbers alone; pictures
are (H, W, 3) uint8 RGB. Most things are drawn for the statistics of their edges and colours, not to please: overlapping
shapes of all sizes ("dead leaves", Lee, Mumford & Huang 2001) come close to those of photographs.
"""

from collections.abc import Callable

import cv2
import numpy as np

from data.synthetic.canvas import clouds, draw_text, random_line

Draw = Callable[[np.random.Generator, np.ndarray], None]
NATURAL = np.array(
    [[96, 84, 70], [60, 82, 44], [120, 130, 135], [176, 180, 182], [40, 42, 46], [150, 120, 90], [90, 110, 140]],
    np.float32,
)


def draw_background(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """A picture of `size` (height, width) without any plate."""
    picture = np.empty((*size, 3), np.uint8)
    ground, share = zip(*GROUNDS, strict=True)
    ground[rng.choice(len(ground), p=np.array(share) / sum(share))](rng, picture)
    for _ in range(rng.poisson(3.5)):
        things, shares = zip(*THINGS, strict=True)
        things[rng.choice(len(things), p=np.array(shares) / sum(shares))](rng, picture)
    return picture


def colour(rng: np.random.Generator, vivid: float = 0.4) -> tuple[int, int, int]:
    """A colour: one of nature and of towns, or (by the chance `vivid`) any."""
    if rng.random() < vivid:
        return tuple(int(part) for part in rng.integers(0, 256, 3))
    base = NATURAL[rng.integers(len(NATURAL))] * rng.uniform(0.3, 1.5) + rng.normal(0, 8, 3)
    return tuple(int(part) for part in base.clip(0, 255))


def texture(rng: np.random.Generator, shape: tuple[int, int], one, other) -> np.ndarray:
    """(H, W, 3) uint8: two colours mixed by noise of several octaves, by stripes or by a gradient."""
    height, width = shape
    kind = rng.random()
    if kind < 0.5:
        cells = 2 ** np.arange(1, 8)
        weights = rng.uniform(0.4, 1.1) ** np.arange(len(cells))
        mix = sum(weight * clouds(rng, shape, int(cell)) for weight, cell in zip(weights, cells, strict=True))
        mix = (mix / weights.sum() - 0.5) * rng.uniform(1, 3) + 0.5
    elif kind < 0.75:
        angle, pitch = rng.uniform(0, np.pi), np.exp(rng.uniform(np.log(3), np.log(60)))
        along = np.arange(width)[None] * np.cos(angle) + np.arange(height)[:, None] * np.sin(angle)
        mix = np.clip(0.5 + rng.uniform(0.5, 6) * np.sin(along * 2 * np.pi / pitch), 0, 1)
    else:
        angle = rng.uniform(0, 2 * np.pi)
        mix = 0.5 + 0.5 * (
            np.linspace(-1, 1, width)[None] * np.cos(angle) + np.linspace(-1, 1, height)[:, None] * np.sin(angle)
        )
    mix = mix.clip(0, 1).astype(np.float32)[..., None]
    one, other = np.float32(one), np.float32(other)
    return (one + mix * (other - one)).astype(np.uint8)


def _some_texture(rng: np.random.Generator, shape: tuple[int, int], vivid: float = 0.4) -> np.ndarray:
    one = colour(rng, vivid)
    near = tuple(np.clip(np.array(one) + rng.normal(0, 35, 3), 0, 255)) if rng.random() < 0.7 else colour(rng, vivid)
    return texture(rng, shape, one, near)


def outline(rng: np.random.Generator, centre: np.ndarray, size: float) -> np.ndarray:
    """(N, 2) int32 points of a random shape: a rectangle, an ellipse, a blob, a triangle or another polygon."""
    kind = rng.random()
    turn = rng.normal(0, 0.12) if rng.random() < 0.6 else rng.uniform(0, np.pi)
    if kind < 0.4:
        half = size * np.array([1, rng.uniform(0.1, 1.2)])
        points = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * half
    else:
        count = 24 if kind < 0.75 else int(rng.integers(3, 8))
        angles = np.linspace(0, 2 * np.pi, count, endpoint=False) + rng.uniform(0, 1)
        rough = rng.uniform(0, 0.35) if kind > 0.55 else 0
        reach = size * (1 + rough * np.convolve(rng.normal(0, 1, count + 2), np.ones(3) / 2, "valid"))
        points = np.stack([np.cos(angles), rng.uniform(0.2, 1) * np.sin(angles)], 1) * reach[:, None]
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return (points @ rotation.T + centre).round().astype(np.int32)


# --- Grounds ----------------------------------------------------------------------------------------------------------


def dead_leaves(rng: np.random.Generator, picture: np.ndarray, vivid: float = 0.4, smallest: float = 3) -> None:
    """Shapes of all sizes over each other, the largest first, some of them textured."""
    height, width = picture.shape[:2]
    picture[:] = _some_texture(rng, (height, width), vivid)
    sizes = np.sort(smallest / rng.random(int(rng.integers(60, 350))) ** 0.8)[::-1].clip(smallest, width / 3)
    patch = _some_texture(rng, (height, width), vivid)
    for size in sizes:
        points = outline(rng, rng.random(2) * (width, height), size)
        if rng.random() < 0.3:
            _fill_from(picture, points, patch)
        else:
            cv2.fillPoly(picture, [points], colour(rng, vivid), cv2.LINE_AA)
        if rng.random() < 0.15:
            cv2.polylines(picture, [points], True, colour(rng), int(rng.integers(1, 4)), cv2.LINE_AA)


def _fill_from(picture: np.ndarray, points: np.ndarray, source: np.ndarray) -> None:
    low, high = points.min(axis=0).clip(0), (points.max(axis=0) + 1).clip(0)
    room, mask = picture[low[1] : high[1], low[0] : high[0]], None
    if room.size:
        mask = np.zeros(room.shape[:2], np.uint8)
        cv2.fillPoly(mask, [points - low], 255)
        cv2.copyTo(source[low[1] : high[1], low[0] : high[0]], mask, room)


def foliage(rng: np.random.Generator, picture: np.ndarray) -> None:
    """Leaves, grass or gravel: small shapes of similar colours, light and shade in patches."""
    height, width = picture.shape[:2]
    base = np.array([(58, 88, 38), (100, 110, 50), (120, 110, 95), (150, 70, 40)][rng.integers(4)], np.float32)
    picture[:] = np.clip(base * rng.uniform(0.2, 0.5), 0, 255)
    size = np.exp(rng.uniform(np.log(1.5), np.log(9)))
    grass = rng.random() < 0.3
    for _ in range(int(min(2500, 0.9 * height * width / size**2 / 6))):
        shade = np.clip(base * rng.uniform(0.4, 1.9) + rng.normal(0, 10, 3), 0, 255).tolist()
        x, y = rng.integers(0, width), rng.integers(0, height)
        if grass:
            cv2.line(
                picture,
                (x, y),
                (int(x + rng.normal(0, size)), int(y - rng.uniform(2, 5) * size)),
                shade,
                1,
                cv2.LINE_AA,
            )
        else:
            axes = (max(1, int(size)), max(1, int(size * rng.uniform(0.3, 0.8))))
            cv2.ellipse(picture, (x, y), axes, float(rng.uniform(0, 180)), 0, 360, shade, -1)
    light = 0.5 + clouds(rng, (height, width), int(rng.integers(2, 9)))
    picture[:] = np.clip(picture * light[..., None], 0, 255)


def bricks(rng: np.random.Generator, picture: np.ndarray) -> None:
    """Bricks, tiles, paving: a wall of them, in rows shifted or not."""
    height, width = picture.shape[:2]
    brick_h = int(np.exp(rng.uniform(np.log(7), np.log(50))))
    brick_w = int(brick_h * rng.choice([1, 1, 2, 2.4, 3, 3.6, 4.4]))
    gap = max(1, int(brick_h * rng.uniform(0.04, 0.2)))
    base = np.array(
        [(150, 72, 52), (190, 170, 140), (120, 120, 122), (205, 205, 200), (100, 60, 45)][rng.integers(5)], float
    )
    picture[:] = colour(rng, 0.1)
    shift, spread = (0.5 if rng.random() < 0.7 else 0), rng.uniform(3, 25)
    for row in range(-1, height // brick_h + 1):
        for column in range(-1, width // brick_w + 2):
            x, y = int((column - shift * (row % 2)) * brick_w), row * brick_h
            shade = np.clip(base + rng.normal(0, spread) + rng.normal(0, 4, 3), 0, 255).tolist()
            cv2.rectangle(picture, (x, y), (x + brick_w - gap, y + brick_h - gap), shade, -1)
    _warp_some(rng, picture)


def facade(rng: np.random.Generator, picture: np.ndarray) -> None:
    """Houses with windows, balconies and shop fronts, perhaps sky above and a road below."""
    height, width = picture.shape[:2]
    picture[:] = texture(rng, (height, width), (200, 215, 235), (120, 160, 215))
    x = int(-rng.uniform(0, 100))
    while x < width:
        house_w, top = int(rng.uniform(80, 350)), int(rng.uniform(-150, height * 0.5))
        wall = np.array(colour(rng, 0.15), float) * 0.6 + 70
        cv2.rectangle(picture, (x, top), (x + house_w, height), np.clip(wall, 0, 255).tolist(), -1)
        pitch_x, pitch_y = int(rng.uniform(14, 70)), int(rng.uniform(16, 80))
        inset = rng.uniform(0.15, 0.35)
        glass, lit = rng.uniform(20, 120), rng.uniform(0, 0.4)
        for wx in range(x + pitch_x // 3, x + house_w - pitch_x // 2, pitch_x):
            for wy in range(top + pitch_y // 3, height, pitch_y):
                far = int(wx + pitch_x * (1 - inset)), int(wy + pitch_y * (1 - inset))
                shade = (rng.normal(glass, 18, 3) + (120 if rng.random() < lit else 0)).clip(0, 255).tolist()
                cv2.rectangle(picture, (wx, wy), far, shade, -1)
                cv2.rectangle(picture, (wx, wy), far, np.clip(wall * 1.25, 0, 255).tolist(), max(1, pitch_x // 20))
        x += house_w
    if rng.random() < 0.6:
        _road(rng, picture, int(height * rng.uniform(0.5, 0.9)))
    if rng.random() < 0.5:
        _trees(rng, picture)


def street(rng: np.random.Generator, picture: np.ndarray) -> None:
    """Sky, a horizon of trees or houses, a road with markings."""
    height, width = picture.shape[:2]
    if rng.random() < 0.5:
        facade(rng, picture)
    else:
        picture[:] = texture(rng, (height, width), (225, 230, 235), colour(rng, 0.1))
        _trees(rng, picture)
    _road(rng, picture, int(height * rng.uniform(0.15, 0.7)))


def _trees(rng: np.random.Generator, picture: np.ndarray) -> None:
    leaves = np.empty_like(picture)
    foliage(rng, leaves)
    height, width = picture.shape[:2]
    for _ in range(rng.integers(1, 5)):
        centre = rng.random(2) * (width, height * 0.7)
        for _ in range(rng.integers(3, 12)):
            _fill_from(picture, outline(rng, centre + rng.normal(0, 45, 2), rng.uniform(15, 70)), leaves)


def _road(rng: np.random.Generator, picture: np.ndarray, horizon: int) -> None:
    """Tar from row `horizon` on, with lines, arrows, zebra stripes and words in perspective."""
    height, width = picture.shape[:2]
    grey = rng.uniform(50, 150)
    picture[horizon:] = texture(rng, (max(1, height - horizon), width), (grey,) * 3, (grey * 0.85,) * 3)[
        : height - horizon
    ]
    flat = np.zeros((400, 400, 3), np.uint8)
    paint = (int(rng.uniform(170, 250)),) * 3 if rng.random() < 0.8 else (225, 180, 40)
    for x in rng.integers(0, 400, rng.integers(1, 5)):
        dash, gap = (int(rng.integers(20, 90)), int(rng.integers(10, 90))) if rng.random() < 0.6 else (400, 1)
        for y in range(0, 400, dash + gap):
            cv2.rectangle(flat, (int(x), y), (int(x) + 6, y + dash), paint, -1)
    if rng.random() < 0.4:
        y, deep = int(rng.integers(50, 350)), int(rng.integers(15, 60))
        for x in range(0, 400, int(rng.integers(18, 40))):
            cv2.rectangle(flat, (x, y), (x + 10, y + deep), paint, -1)
    if rng.random() < 0.4:
        draw_text(rng, flat, random_line(rng), rng.uniform(0.2, 0.8, 2) * 400, rng.uniform(20, 70), paint, turn=0)
    spread = rng.uniform(0.05, 0.4)
    target = np.float32(
        [
            [width * (0.5 - spread), horizon],
            [width * (0.5 + spread), horizon],
            [width * 1.6, height],
            [-width * 0.6, height],
        ]
    )
    matrix = cv2.getPerspectiveTransform(np.float32([[0, 0], [400, 0], [400, 400], [0, 400]]), target)
    marks = cv2.warpPerspective(flat, matrix, (width, height), flags=cv2.INTER_LINEAR)
    cv2.copyTo(marks, (marks.max(axis=2) > 60).astype(np.uint8), picture)


def bars(rng: np.random.Generator, picture: np.ndarray) -> None:
    """Grilles, louvres, fences, radiators, meshes, filling the picture."""
    height, width = picture.shape[:2]
    picture[:] = _some_texture(rng, (height, width), 0.1)
    pitch = np.exp(rng.uniform(np.log(5), np.log(60)))
    shade, thick = colour(rng, 0.15), max(1, int(pitch * rng.uniform(0.15, 0.7)))
    edge = tuple(int(part * 0.5) for part in shade)
    angles = rng.choice([0, np.pi / 2, rng.uniform(0, np.pi)], rng.integers(1, 3), replace=False) + rng.normal(0, 0.05)
    for angle in angles:
        across = np.array([np.cos(angle), np.sin(angle)])
        ahead = np.array([-across[1], across[0]]) * 1200
        for step in np.arange(-900, 900, pitch):
            middle = np.array([width / 2, height / 2]) + across * step
            for offset, tone in ((thick / 2, edge), (0, shade)):
                one, other = (middle + across * offset + way * ahead for way in (-1, 1))
                cv2.line(picture, one.astype(int).tolist(), other.astype(int).tolist(), tone, thick, cv2.LINE_AA)
    _warp_some(rng, picture)


def document(rng: np.random.Generator, picture: np.ndarray) -> None:
    """A page: headings, paragraphs, tables, a form; on a table or filling the picture."""
    height, width = picture.shape[:2]
    paper = np.clip(np.array([238, 236, 230]) * rng.uniform(0.7, 1.05) + rng.normal(0, 5, 3), 0, 255)
    picture[:] = texture(rng, (height, width), paper, paper * 0.92)
    ink = colour(rng, 0.15) if rng.random() < 0.3 else (int(rng.uniform(0, 70)),) * 3
    y, size = rng.uniform(5, 40), np.exp(rng.uniform(np.log(6), np.log(24)))
    while y < height:
        kind = rng.random()
        if kind < 0.12:
            draw_text(rng, picture, random_line(rng), (width * rng.uniform(0.2, 0.8), y), size * 2.2, ink, turn=0)
            y += size * 3
        elif kind < 0.2:
            cv2.line(picture, (10, int(y)), (width - 10, int(y)), ink, 1)
            y += size
        elif kind < 0.26:
            for x in range(10, width - 10, int(rng.integers(30, 160))):
                cv2.rectangle(picture, (x, int(y)), (width - 10, int(y + 2 * size)), ink, 1)
            y += size * 2.2
        else:
            text = " ".join(random_line(rng, plain=True) for _ in range(5))
            draw_text(rng, picture, text, (width * 0.5 + rng.normal(0, 10), y), size, ink, turn=0)
            y += size * rng.uniform(1.3, 1.7)
    _warp_some(rng, picture)


def plain(rng: np.random.Generator, picture: np.ndarray) -> None:
    """A wall, a sky, a car's body close by: hardly anything to see."""
    picture[:] = _some_texture(rng, picture.shape[:2], 0.3)
    if rng.random() < 0.5:
        picture[:] = cv2.GaussianBlur(picture, (0, 0), rng.uniform(5, 40))


def _warp_some(rng: np.random.Generator, picture: np.ndarray) -> None:
    """See the picture at an angle, half of the times."""
    if rng.random() < 0.5:
        height, width = picture.shape[:2]
        source = np.float32([[0, 0], [width, 0], [width, height], [0, height]])
        target = source + rng.normal(0, 0.12, (4, 2)).astype(np.float32) * (width, height)
        matrix = cv2.getPerspectiveTransform(source, target.astype(np.float32))
        picture[:] = cv2.warpPerspective(picture, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101)


# --- Things on them ---------------------------------------------------------------------------------------------------


def sign(rng: np.random.Generator, picture: np.ndarray) -> None:
    """A board with lettering: shop, traffic or advertising sign, poster, sticker; no registration number on it."""
    height = int(np.exp(rng.uniform(np.log(14), np.log(200))))
    width = int(height * np.exp(rng.uniform(np.log(0.5), np.log(6))))
    width = min(width, 500)
    back = (
        colour(rng, 0.7)
        if rng.random() < 0.7
        else ((245, 245, 242), (20, 60, 150), (10, 110, 60), (240, 200, 20))[rng.integers(4)]
    )
    board = (
        texture(rng, (height, width), back, np.array(back) * rng.uniform(0.7, 1))
        if height > 30
        else np.full((height, width, 3), back, np.uint8)
    )
    ink = colour(rng, 0.8)
    if abs(int(np.mean(ink)) - int(np.mean(back))) < 70:
        ink = (20, 20, 20) if np.mean(back) > 128 else (240, 240, 240)
    if rng.random() < 0.5:
        line = max(1, height // 30)
        cv2.rectangle(board, (line, line), (width - 1 - line, height - 1 - line), ink, line)
    lines = int(rng.choice([1, 1, 1, 2, 3, 4]))
    for index in range(lines):
        size = height / lines * rng.uniform(0.4, 0.85)
        place = (width / 2, height * (index + 0.5) / lines)
        draw_text(rng, board, random_line(rng), place, size, ink, turn=0, widest=0.92 * width)
    if rng.random() < 0.25:
        logo(rng, board)
    mount(rng, picture, board)


def mount(rng: np.random.Generator, picture: np.ndarray, board: np.ndarray) -> None:
    """Put a board into the picture somewhere, turned a little in space."""
    height, width = board.shape[:2]
    turn = rng.normal(0, 0.1)
    points = np.array([[0, 0], [width, 0], [width, height], [0, height]]) - (width / 2, height / 2)
    points = points * rng.uniform(0.75, 1, 2)
    points = points @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    points += rng.normal(0, 0.03, (4, 2)) * (width, height) + rng.random(2) * picture.shape[1::-1]
    low = np.floor(points.min(axis=0)).astype(int).clip(0)
    high = np.minimum(np.ceil(points.max(axis=0)).astype(int), picture.shape[1::-1])
    if (high - low < 3).any():
        return
    corners = np.float32([[0, 0], [width, 0], [width, height], [0, height]])
    matrix = cv2.getPerspectiveTransform(corners, (points - low).astype(np.float32))
    size = tuple((high - low).tolist())
    warped = cv2.warpPerspective(board, matrix, size, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
    mask = np.zeros(size[::-1], np.uint8)
    cv2.fillConvexPoly(mask, np.round(points - low).astype(np.int32), 255)
    cv2.copyTo(warped, mask, picture[low[1] : high[1], low[0] : high[0]])


def words(rng: np.random.Generator, picture: np.ndarray) -> None:
    """Lettering straight on what is there: on walls, vans, shop windows, a camera's date, a watermark."""
    place = rng.random(2) * picture.shape[1::-1]
    size = np.exp(rng.uniform(np.log(6), np.log(90)))
    for _ in range(rng.integers(1, 4)):
        draw_text(rng, picture, random_line(rng), place, size, colour(rng, 0.7), turn=rng.normal(0, 0.1), widest=450)
        place = place + np.array([0, 1.4 * size])


def logo(rng: np.random.Generator, picture: np.ndarray) -> None:
    """A ring, a star, stripes within a shape; a round traffic sign."""
    height, width = picture.shape[:2]
    centre = rng.random(2) * (width, height)
    size = min(np.exp(rng.uniform(np.log(5), np.log(70))), height / 2)
    for share in np.sort(rng.uniform(0.2, 1, rng.integers(1, 5)))[::-1]:
        cv2.fillPoly(picture, [outline(rng, centre, size * share)], colour(rng, 0.7), cv2.LINE_AA)
    if rng.random() < 0.4:
        draw_text(rng, picture, random_line(rng)[:3], centre, size, colour(rng, 0.8), turn=0)


def stripes(rng: np.random.Generator, picture: np.ndarray) -> None:
    """A board of bars: a bar code, a grille, a louvre, keys, lamps in a row."""
    height = int(np.exp(rng.uniform(np.log(8), np.log(100))))
    width = min(450, int(height * np.exp(rng.uniform(np.log(1), np.log(6)))))
    board = np.full((height, width, 3), colour(rng, 0.3), np.uint8)
    ink, x = colour(rng, 0.3), rng.uniform(0, 5)
    even, rows = rng.random() < 0.6, int(rng.choice([1, 1, 1, 2, 3]))
    pitch = rng.uniform(3, 30)
    while x < width:
        bar = pitch * (0.5 if even else rng.uniform(0.1, 0.9))
        for row in range(rows):
            top, bottom = (height * (row + 0.12) / rows, height * (row + 0.88) / rows)
            cv2.rectangle(board, (int(x), int(top)), (int(x + bar), int(bottom)), ink, -1)
        x += pitch * (1 if even else rng.uniform(0.5, 1.5))
    if rng.random() < 0.3:
        board = cv2.rotate(board, cv2.ROTATE_90_CLOCKWISE)
    mount(rng, picture, board)


def lamps(rng: np.random.Generator, picture: np.ndarray) -> None:
    """Lights with their glow, as at night."""
    height, width = picture.shape[:2]
    glow = np.zeros((height // 4, width // 4, 3), np.float32)
    for _ in range(rng.integers(1, 7)):
        tint = np.array([(255, 240, 210), (255, 250, 250), (255, 60, 40), (255, 170, 60)][rng.integers(4)], np.float32)
        place = (int(rng.integers(width // 4)), int(rng.integers(height // 4)))
        cv2.circle(glow, place, int(rng.integers(1, 6)), (tint * rng.uniform(1, 6)).tolist(), -1)
    glow = glow + 4 * cv2.GaussianBlur(glow, (0, 0), rng.uniform(2, 8))
    dark = rng.uniform(0.15, 1)
    picture[:] = np.clip(picture * np.float32(dark) + cv2.resize(glow, (width, height)), 0, 255)


GROUNDS: list[tuple[Draw, float]] = [
    (dead_leaves, 0.3),
    (street, 0.2),
    (facade, 0.12),
    (foliage, 0.1),
    (bricks, 0.08),
    (bars, 0.07),
    (document, 0.06),
    (plain, 0.07),
]
THINGS: list[tuple[Draw, float]] = [(sign, 0.42), (words, 0.25), (logo, 0.12), (stripes, 0.15), (lamps, 0.06)]
