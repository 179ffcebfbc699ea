"""The car around a plate, front or rear: lacquer, grille, lamps, badges, bumpers, the road below.

Everything is placed in millimetres from the plate's middle, x to the right and y down, and drawn through the homography
that puts the plate into the photo: seams and bars then run with the plate. Pictures are (H, W, 3) uint8 RGB.
"""

import cv2
import numpy as np

from data.synthetic.canvas import FRACTION_BITS, Pen, clouds, ellipse, mirrored, smooth

# car colours, by how common they are on roads: white, black, greys, blue, red, brown, green
PAINTS = np.array(
    [[215, 216, 214], [215, 216, 214], [226, 224, 216], [20, 20, 22], [28, 29, 32], [105, 108, 112], [150, 152, 155],
     [176, 178, 180], [28, 44, 92], [60, 84, 130], [130, 20, 24], [80, 55, 36], [176, 164, 140], [28, 62, 42]],
    np.float32,
)  # fmt: skip
CLEAR, RED, AMBER = (205, 208, 212), (150, 16, 18), (214, 128, 30)
# the lacquer's soft reflections are computed at a quarter of the size
FIELD_STEP = 4


def draw_car(rng: np.random.Generator, size: tuple[int, int], to_photo: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8: the car without its plate. size: (height, width)."""
    paint = PAINTS[rng.integers(len(PAINTS))] * rng.uniform(0.85, 1.1) + rng.normal(0, 6, 3)
    # how much the car's lines curve, mm per mm^2
    bend = rng.normal(-0.4e-4, 0.8e-4)
    pen = Pen(_lacquer_and_road(rng, size, to_photo, paint, bend), to_photo)
    kind = rng.random()
    if kind < 0.45:
        _front(rng, pen, bend)
    elif kind < 0.85:
        _rear(rng, pen, bend)
    else:
        _lorry(rng, pen)
    return pen.photo


def _lacquer_and_road(rng, size: tuple[int, int], to_photo: np.ndarray, paint: np.ndarray, bend: float) -> np.ndarray:
    """Paint that mirrors sky, horizon and street in bands along the body, and the road under it."""
    height, width = -(-size[0] // FIELD_STEP), -(-size[1] // FIELD_STEP)
    x, y = _millimetres(to_photo, height, width)
    along = y + bend * x * x
    nodes = np.arange(-1500, 1501, 50, dtype=np.float32)
    bands = np.convolve(rng.normal(0, 1, nodes.size + 6), np.hanning(int(rng.integers(5, 9)))[1:-1], "same")[
        : nodes.size
    ]
    reflected = np.interp(along, nodes, bands).astype(np.float32)
    cloud = clouds(rng, (height, width), int(rng.integers(1, 5))) - 0.5
    diffuse = 0.85 + rng.uniform(0.03, 0.14) * reflected + rng.uniform(0, 0.35) * cloud - 0.25 * (x / 900) ** 2
    # dark paint mirrors what stands around it the most
    strength = rng.uniform(3, 40 - 0.12 * paint.mean())
    gloss = strength * (0.8 + 0.6 * reflected + 1.5 * cloud)
    field = diffuse[..., None] * paint.astype(np.float32) + gloss[..., None]
    road_at = rng.uniform(170, 420)
    under = np.clip((along - road_at) / 12, 0, 1)[..., None]
    grey = rng.uniform(60, 165) * (1 - 0.75 * np.exp(-np.clip(along - road_at, 0, 600) / rng.uniform(40, 160)))
    # tar and chippings
    grey = grey + 16 * (clouds(rng, (height, width), width // 2) - 0.5)
    field += under * (grey[..., None] * np.array([1.02, 1, 0.97], np.float32) - field)
    return cv2.resize(field.clip(0, 255).astype(np.uint8), size[::-1], interpolation=cv2.INTER_LINEAR)


def _millimetres(to_photo: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """x and y in mm, each (height, width), of every FIELD_STEP-th pixel."""
    back = np.linalg.inv(to_photo).astype(np.float32)
    columns = (np.arange(width, dtype=np.float32) * FIELD_STEP)[None]
    rows = (np.arange(height, dtype=np.float32) * FIELD_STEP)[:, None]
    x, y, depth = (back[i, 0] * columns + back[i, 1] * rows + back[i, 2] for i in range(3))
    depth = np.where(np.abs(depth) < 0.05, 0.05, depth)
    return (x / depth).clip(-1500, 1500), (y / depth).clip(-1500, 1500)


# --- Front ------------------------------------------------------------------------------------------------------------


def _front(rng: np.random.Generator, pen: Pen, bend: float) -> None:
    """Grille above the plate, an intake behind or below it, lamps at the sides, the bonnet's edge."""
    bonnet = rng.uniform(-480, -300)
    _seam(rng, pen, bonnet, bend)
    if rng.random() < 0.75:
        bottom = rng.uniform(-200, -85) if rng.random() < 0.7 else rng.uniform(60, 160)
        top = max(bonnet + 15, min(bottom - 60, rng.uniform(-400, -180)))
        _grille(rng, pen, top, bottom, rng.uniform(230, 560), rng.uniform(0.55, 1.15))
        if rng.random() < 0.8:
            _badge(rng, pen, (top + min(bottom, -90)) / 2)
    if rng.random() < 0.7:
        top = rng.uniform(-90, 90)
        _grille(rng, pen, top, top + rng.uniform(50, 170), rng.uniform(240, 750), rng.uniform(0.7, 1.1), chrome=0.15)
    for side in (-1, 1):
        _headlamp(rng, pen, side, bonnet)
    if rng.random() < 0.5:
        _seam(rng, pen, rng.uniform(100, 240), bend)


def _grille(rng, pen: Pen, top: float, bottom: float, half: float, taper: float, chrome: float = 0.6) -> None:
    """Bars, slats or a mesh within a rounded outline, dark between, with a rim of chrome on some."""
    corner = rng.uniform(0.05, 0.25) * (bottom - top)
    outline = mirrored(
        np.array([[half, top + corner], [half, (top + bottom) / 2], [half * taper, bottom]]), top, bottom
    )
    outline = smooth(outline)
    dark, light = rng.uniform(8, 38), rng.uniform(40, 215)
    if rng.random() < chrome:
        grown = (outline - [0, (top + bottom) / 2]) * [1.03, 1.1] + [0, (top + bottom) / 2]
        pen.fill(grown, np.full(3, rng.uniform(120, 215)))
        pen.line(grown[: len(grown) // 2], np.full(3, rng.uniform(40, 100)), 3)
    inside = Pen(np.full_like(pen.photo, round(dark)), pen.to_photo)
    pitch = rng.uniform(14, 55)
    width = pitch * rng.uniform(0.2, 0.5)
    kind = rng.random()
    if kind < 0.5:
        for y in np.arange(top, bottom, pitch):
            inside.line(np.array([[-900, y + width / 2], [900, y + width / 2]]), np.full(3, light * 0.5), width)
            inside.line(np.array([[-900, y], [900, y]]), np.full(3, light), width / 2)
    elif kind < 0.75:
        for x in np.arange(-half, half, pitch):
            inside.line(np.array([[x + width / 2, top], [x + width / 2, bottom]]), np.full(3, light * 0.45), width)
            inside.line(np.array([[x, top], [x, bottom]]), np.full(3, light), width / 2)
    elif kind < 0.9 and pen.px_per_mm * pitch > 4:
        lean = rng.uniform(0.4, 1.2) * (bottom - top)
        for x in np.arange(-half - lean, half + lean, pitch):
            for way in (-1, 1):
                inside.line(np.array([[x, top], [x + way * lean, bottom]]), np.full(3, dark + 0.2 * light), width / 3)
    pen.fill_from(outline, inside.photo)


def _badge(rng: np.random.Generator, pen: Pen, y: float) -> None:
    """A maker's sign: a ring of chrome and something within."""
    radii = np.array([rng.uniform(32, 62), rng.uniform(26, 46)])
    bright, dim = rng.uniform(150, 235), rng.uniform(40, 110)
    pen.fill(ellipse((0, y + 3), radii * 1.06), np.full(3, dim * 0.6))
    pen.fill(ellipse((0, y), radii), np.full(3, bright))
    within = [(dim, dim, dim), (150, 20, 25), (30, 60, 140), (bright * 0.75,) * 3][rng.integers(4)]
    pen.fill(ellipse((0, y), radii * rng.uniform(0.6, 0.85)), within)
    strokes = rng.uniform(-0.6, 0.6, (int(rng.integers(1, 4)), 2, 2)) * radii + [0, y]
    for stroke in strokes:
        for mirror in (-1, 1):
            pen.line(stroke * [mirror, 1], np.full(3, bright), rng.uniform(5, 10))


def _headlamp(rng: np.random.Generator, pen: Pen, side: int, bonnet: float) -> None:
    near, far = rng.uniform(380, 560), rng.uniform(750, 900)
    top, bottom = bonnet + rng.uniform(0, 60), bonnet + rng.uniform(130, 240)
    shape = np.array([[near, bottom - 20], [near + 60, top + 50], [far, top], [far, bottom - 30], [near + 90, bottom]])
    shape = smooth(shape * [side, 1])
    pen.fill(shape, np.full(3, rng.uniform(70, 175)))
    middle = np.array([(near + far) / 2 * side, (top + bottom) / 2])
    pen.fill(ellipse(middle, (62, 55)), np.full(3, rng.uniform(30, 110)))
    pen.fill(ellipse(middle, (38, 34)), CLEAR)
    if rng.random() < 0.5:
        pen.fill(ellipse(middle + np.array([side * 80, 5]), (30, 36)), AMBER)
    # a fog lamp in the bumper
    if rng.random() < 0.5:
        place = (side * rng.uniform(480, 700), rng.uniform(0, 150))
        pen.fill(ellipse(place, (75, 42)), (26, 26, 28))
        pen.fill(ellipse(place, (34, 30)), np.full(3, rng.uniform(120, 220)))


# --- Rear -------------------------------------------------------------------------------------------------------------


def _rear(rng: np.random.Generator, pen: Pen, bend: float) -> None:
    """A recess for the plate, a strip of chrome above it, tail lamps, lettering, the bumper's edge."""
    _seam(rng, pen, rng.uniform(90, 220), bend)
    if rng.random() < 0.6:
        _recess(rng, pen)
    if rng.random() < 0.65:
        _strip(rng, pen, rng.uniform(-175, -105), rng.uniform(250, 600))
    if rng.random() < 0.6:
        _badge(rng, pen, rng.uniform(-300, -200))
    if rng.random() < 0.6:
        _lettering(rng, pen)
    for side in (-1, 1):
        _tail_lamp(rng, pen, side)
    # the bumper's lower part, of black plastic
    if rng.random() < 0.45:
        y, shade = rng.uniform(110, 260), rng.uniform(18, 48)
        edge = _curve(y, bend)
        pen.fill(np.vstack([edge, [[1500, y + 250], [-1500, y + 250]]]), np.full(3, shade))
        pen.line(edge, np.full(3, shade * 2), 4)


def _recess(rng: np.random.Generator, pen: Pen) -> None:
    top, bottom = rng.uniform(-170, -95), rng.uniform(85, 130)
    half, taper = rng.uniform(280, 430), rng.uniform(0.75, 1.0)
    outline = smooth(mirrored(np.array([[half, top + 15], [half, 0], [half * taper, bottom]]), top, bottom))
    shade = rng.uniform(0.35, 0.85)
    pen.fill_from(outline, cv2.convertScaleAbs(pen.photo, alpha=shade))
    pen.line(outline, np.full(3, rng.uniform(10, 60)), rng.uniform(2, 6))
    lower = outline[outline[:, 1] > bottom - 20]
    pen.line(lower + np.array([0, 4]), np.full(3, rng.uniform(90, 220)), 3)


def _strip(rng: np.random.Generator, pen: Pen, y: float, half: float) -> None:
    """Chrome mirrors the dark road in its lower half and the sky in its upper."""
    height = rng.uniform(14, 40)
    for part, shade in ((1.15, 25), (1.0, rng.uniform(70, 150)), (0.45, rng.uniform(160, 245))):
        deep = height * part / 2
        middle = y - height * (1 - part) / 3
        box = np.array(
            [[-half, middle - deep], [half, middle - deep], [half * 0.98, middle + deep], [-half * 0.98, middle + deep]]
        )
        pen.fill(box, np.full(3, shade))


def _tail_lamp(rng: np.random.Generator, pen: Pen, side: int) -> None:
    near, far = rng.uniform(330, 520), rng.uniform(750, 900)
    top, bottom = rng.uniform(-330, -160), rng.uniform(-90, 10)
    lean = rng.uniform(-40, 70)
    shape = np.array([[near + lean, top], [far, top - 20], [far, bottom], [near - lean, bottom]]) * [side, 1]
    glow = rng.uniform(0.6, 1.5)
    pen.fill(smooth(shape), np.array(RED) * glow * 0.7)
    middle, reach = shape.mean(axis=0), (shape - shape.mean(axis=0))
    pen.fill(smooth(middle + 0.8 * reach), np.array(RED) * glow)
    band = middle + reach * [0.8, 0.4] - [0, 0.05 * (bottom - top)]
    pen.fill(band, np.array((CLEAR, AMBER, RED)[rng.integers(3)]) * rng.uniform(0.7, 1.1))
    # the ribs of the glass, every other one in the light
    for share in np.linspace(-0.7, 0.7, int(rng.integers(3, 9))):
        rib = middle + reach[:2] * [0.75, 0] + [0, share * (bottom - top) / 2]
        pen.line(rib, np.array(RED) * glow * rng.uniform(0.5, 1.5) + rng.uniform(0, 30), rng.uniform(2, 6))


def _lettering(rng: np.random.Generator, pen: Pen) -> None:
    """A model's name in small chromed letters beside or above the plate."""
    letters = "".join(chr(65 + code) for code in rng.integers(0, 26, rng.integers(2, 8)))
    away = rng.uniform(290, 520)
    # clear of the plate on either side
    start = away if rng.random() < 0.5 else -away - 25 * len(letters)
    place = np.array([[start, rng.uniform(-150, 40)]])
    x, y = (pen.pixels(place)[0, 0] >> FRACTION_BITS).tolist()
    font = int(rng.choice([cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_SIMPLEX]))
    size = rng.uniform(0.9, 1.6) * pen.px_per_mm
    for offset, shade in ((1, 40), (0, rng.uniform(140, 225))):
        cv2.putText(pen.photo, letters, (x, y + offset), font, size, (shade,) * 3, 1, cv2.LINE_AA)


# --- Lorries and vans -------------------------------------------------------------------------------------------------


def _lorry(rng: np.random.Generator, pen: Pen) -> None:
    """Flat panels, ribs, a steel bumper, bolts, square lamps."""
    top, bottom = rng.uniform(-220, -100), rng.uniform(90, 200)
    shade = rng.uniform(20, 150)
    pen.fill(np.array([[-1200, top], [1200, top], [1200, bottom], [-1200, bottom]]), np.full(3, shade))
    pen.line(np.array([[-1200, top], [1200, top]]), np.full(3, min(255, shade * 1.8)), 5)
    pen.line(np.array([[-1200, bottom], [1200, bottom]]), np.full(3, shade * 0.4), 8)
    for x in np.arange(-900, 900, rng.uniform(150, 400)) if rng.random() < 0.5 else ():
        pen.line(np.array([[x, -900], [x, top]]), np.full(3, rng.uniform(20, 90)), 6)
    for side in (-1, 1) if rng.random() < 0.6 else ():
        x, y = side * rng.uniform(350, 600), (top + bottom) / 2
        box = np.array([[x - 80, y - 50], [x + 80, y - 50], [x + 80, y + 50], [x - 80, y + 50]])
        pen.fill(box, np.array((RED, AMBER, CLEAR)[rng.integers(3)]) * rng.uniform(0.7, 1.1))
        pen.line(np.vstack([box, box[:1]]), (22, 22, 22), 8)


# --- Shapes -----------------------------------------------------------------------------------------------------------


def _seam(rng: np.random.Generator, pen: Pen, y: float, bend: float) -> None:
    """A gap between panels, and the light edge that its bend has."""
    curve = _curve(y, bend)
    pen.line(curve + np.array([0, 5]), np.full(3, rng.uniform(110, 235)), 3)
    pen.line(curve, np.full(3, rng.uniform(8, 60)), rng.uniform(3, 8))


def _curve(y: float, bend: float) -> np.ndarray:
    x = np.linspace(-1500, 1500, 21)
    return np.stack([x, y - bend * x * x], axis=1)
