"""How well plates are found.

    python -m tools.benchmarks.detector --real DIR --drawn reports/detector
    python -m tools.benchmarks.detector --rendered 20

prints the plates found in annotated photos, false ones, and the corners' errors; and the plates found in rendered
pictures, by size and kind. DIR holds what is there of ccpd/frames (photos named as CCPD names them), ccpd/unnamed,
real/photos/{easypr,eu} (photos and boxes.csv: file,x,y,width,height) and cases/scene. --drawn leaves the pictures with
what was found drawn into them.
"""

import csv
import dataclasses
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from data.ccpd import is_ccpd_name, parse_name
from data.console import say
from data.io import open_picture_8bit
from data.settings import field, path, require, run_module
from data.straighten import plate_size, plate_width
from data.synthetic.backgrounds import draw_background
from data.synthetic.detection import CutOut, draw_vehicle
from models.detector import Detection, Detector, load_detector, quad_iou


@dataclass(frozen=True)
class Settings:
    real: str | None = field(None, type=path, metavar="DIR", help="folder of real pictures")
    rendered: int = field(0, metavar="N", help="also look for plates in N rendered pictures of each kind")
    detector: str | None = field(
        None, type=path, metavar="FILE", help="another network than the shipped one (.onnx or .keras)"
    )
    drawn: str | None = field(
        None, type=path, metavar="DIR", help="folder for the pictures with what was found drawn into them"
    )

    def __post_init__(self) -> None:
        require(self.rendered >= 0, "--rendered", "0 or more", self.rendered)
        require(self.real is not None or self.rendered > 0, "--real or --rendered", "given", None)


@dataclass
class Counts:
    """Counts over one set of photos. errors: of each corner's coordinates, as a share of the plate's height."""

    photos: int = 0
    plates: int = 0
    found: int = 0
    false: int = 0
    missed: list[str] = dataclasses.field(default_factory=list)
    errors: list[float] = dataclasses.field(default_factory=list)


def of_quads(detector: Detector, files: list[Path], drawn: Path | None) -> Counts:
    """CCPD's photos: found is a quadrangle whose IoU with the annotated one is at least 0.7."""
    counts = Counts()
    for file in files:
        picture = open_picture_8bit(str(file))
        truth = np.array(parse_name(file.name).corners)
        plates = detector.detect(picture)
        ious = [quad_iou(plate.corners, truth) for plate in plates]
        hit = bool(ious) and max(ious) >= 0.7
        _count(counts, file, 1, int(hit), sum(iou < 0.1 for iou in ious))
        if hit:
            best = plates[int(np.argmax(ious))].corners
            counts.errors += ((best - truth) / plate_size(truth)[1]).ravel().tolist()
        _draw(drawn, file, picture, plates, [truth])
    return counts


def of_boxes(detector: Detector, folder: Path, drawn: Path | None) -> Counts:
    """Photos with boxes.csv (file,x,y,width,height): found is a box whose IoU with the plate's is above 0.5. What
    overlaps no box is counted as false, and has to be looked at: not every plate in these photos is annotated."""
    counts = Counts()
    with (folder / "boxes.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for name in sorted({row["file"] for row in rows}):
        boxes = [tuple(float(row[key]) for key in ("x", "y", "width", "height")) for row in rows if row["file"] == name]
        truths = [np.array([[x + w, y + h], [x, y + h], [x, y], [x + w, y]]) for x, y, w, h in boxes]
        picture = open_picture_8bit(str(folder / name))
        plates = detector.detect(picture)
        surrounding = [_box(plate.corners) for plate in plates]
        ious = np.array([[quad_iou(box, truth) for truth in truths] for box in surrounding]).reshape(-1, len(truths))
        hits = int((ious > 0.5).any(axis=0).sum())
        false = int((ious < 0.05).all(axis=1).sum())
        _count(counts, folder / name, len(truths), hits, false)
        _draw(drawn, folder / name, picture, plates, truths)
    return counts


def of_nothing(detector: Detector, files: list[Path], drawn: Path | None) -> Counts:
    """Pictures without plates: everything found is false."""
    counts = Counts()
    for file in files:
        picture = open_picture_8bit(str(file))
        plates = detector.detect(picture)
        _count(counts, file, 0, 0, len(plates))
        _draw(drawn, file, picture, plates, [])
    return counts


def _count(counts: Counts, file: Path, plates: int, found: int, false: int) -> None:
    counts.photos += 1
    counts.plates += plates
    counts.found += found
    counts.false += false
    if found < plates or (false and not plates):
        counts.missed.append(file.name)


def _box(corners: np.ndarray) -> np.ndarray:
    (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
    return np.array([[right, bottom], [left, bottom], [left, top], [right, top]])


def _draw(
    folder: Path | None, file: Path, picture: np.ndarray, plates: list[Detection], truths: list[np.ndarray]
) -> None:
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    canvas = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    thick = max(1, round(max(picture.shape) / 600))
    for truth in truths:
        cv2.polylines(canvas, [truth.round().astype(np.int32)], True, (255, 0, 255), 1)
    for plate in plates:
        cv2.polylines(canvas, [plate.corners.round().astype(np.int32)], True, (0, 255, 0), thick, cv2.LINE_AA)
        place = plate.corners[2].round().astype(int) - (0, 4)
        cv2.putText(
            canvas, f"{plate.score:.2f}", place.tolist(), cv2.FONT_HERSHEY_SIMPLEX, 0.5 * thick, (0, 255, 0), thick
        )
    cv2.imwrite(str(folder / f"{file.parent.parent.name}-{file.parent.name}-{file.stem[:40]}.jpg"), canvas)


def describe(name: str, counts: Counts) -> str:
    line = f"{name}: {counts.photos} photos, {counts.found} of {counts.plates} plates found, {counts.false} false"
    if counts.errors:
        errors = np.array(counts.errors)
        line += f"; corners off by {errors.std():.3f} of the plate's height (standard deviation)"
        line += f", mean {errors.mean():+.3f}, {np.mean(np.abs(errors) > 0.15):.1%} by more than .15"
    names = [name[:24] for name in counts.missed[:12]]
    return line + (f"; look at {', '.join(names)}" if names else "")


# --- Rendered pictures, by size and kind ------------------------------------------------------------------------------

# (height, width); of no training
RENDERED_PX, RENDERED_SEED = (480, 640), 7001


class Kind(NamedTuple):
    """Rendered plates: so many px wide; turned by degrees, to either side; with edges that climb by `slope`, and as
    narrow as `narrowed`, as from aside; in a share `light` of the day's, with noise; a share `outside` of the
    picture."""

    name: str
    width_px: float
    degrees: float = 0.0
    slope: float = 0.0
    narrowed: float = 1.0
    light: float = 1.0
    outside: float = 0.0
    two_lines: bool = False


KINDS = (
    *(Kind(f"{px} px wide", px) for px in (24, 32, 48, 100, 250, 440)),
    Kind("90 px, turned by 15 degrees", 90, degrees=15),
    Kind("90 px, turned by 30 degrees", 90, degrees=30),
    Kind("90 px, at night (a fifth of the light, noise)", 90, light=0.2),
    Kind("120 px, edges that climb by 0.3", 120, slope=0.3),
    Kind("120 px, half as wide, edges that climb by 0.45", 120, slope=0.45, narrowed=0.5),
    Kind("120 px, a fifth of it outside of the picture", 120, outside=0.2),
    Kind("70 px, two lines", 70, two_lines=True),
)


def render(kind: Kind, index: int) -> tuple[np.ndarray, np.ndarray]:
    """(picture (H, W, 3) uint8, the corners (4, 2) of the one plate in it)."""
    rng = np.random.default_rng([RENDERED_SEED, KINDS.index(kind), index])
    picture = draw_background(rng, RENDERED_PX)
    vehicle = draw_vehicle(rng)
    while vehicle.two_lines != kind.two_lines:
        vehicle = draw_vehicle(rng)
    corners = _put(rng, picture, vehicle, kind)
    if kind.light < 1:
        noise = rng.normal(0, 6, picture.shape)
        picture = np.clip(kind.light * picture + noise, 0, 255).astype(np.uint8)
    return picture, corners


def _put(rng: np.random.Generator, picture: np.ndarray, vehicle: CutOut, kind: Kind) -> np.ndarray:
    """Puts the vehicle into the picture, and returns its plate's corners there."""
    pixels, corners = vehicle.pixels, vehicle.corners
    scale = kind.width_px / plate_width(corners)
    # halved first: a warp alone would skip pixels
    while scale < 0.6:
        pixels, corners, scale = (
            cv2.resize(pixels, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
            corners / 2,
            2 * scale,
        )
    turn, slope = np.radians(kind.degrees) * rng.choice((-1, 1)), kind.slope * rng.choice((-1, 1))
    turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    shape = scale * turned @ np.array([[kind.narrowed, 0], [slope, 1]])
    height, width = RENDERED_PX
    middle = rng.uniform(0.4, 0.6, 2) * (width, height)
    if kind.outside:
        middle[0] = kind.width_px * (0.5 - kind.outside)
    away = middle - shape @ corners.mean(axis=0)
    # OpenCV counts from the middle of the first pixel, corners from its edge
    matrix = np.column_stack([shape, away + shape @ [0.5, 0.5] - 0.5])
    moved = cv2.warpAffine(pixels, matrix, (width, height), flags=cv2.INTER_LINEAR)
    opacity = moved[..., 3:] / 255
    picture[:] = np.round(moved[..., :3] * opacity + picture * (1 - opacity))
    return corners @ shape.T + away


def measure_rendered(detector: Detector, count: int, drawn: Path | None) -> Iterator[str]:
    yield "| rendered plates | n | above 0.5 | above 0.7 | median | found elsewhere |"
    yield "| --- " + "| ---: " * 5 + "|"
    for kind in KINDS:
        best, elsewhere = [], 0
        for index in range(count):
            picture, truth = render(kind, index)
            plates = detector.detect(picture)
            ious = [quad_iou(plate.corners, truth) for plate in plates]
            best.append(max(ious, default=0.0))
            elsewhere += sum(iou < 0.1 for iou in ious)
            _draw(drawn, Path("rendered", kind.name.replace(" ", "-"), f"{index:03d}.png"), picture, plates, [truth])
        above = [sum(iou > least for iou in best) for least in (0.5, 0.7)]
        found = np.median([iou for iou in best if iou > 0.5]) if above[0] else 0.0
        yield f"| {kind.name} | {count} | {above[0]} | {above[1]} | {found:.2f} | {elsewhere} |"


# --- Real pictures ----------------------------------------------------------------------------------------------------


def measure_real(detector: Detector, shared: Path, drawn: Path | None) -> Iterator[str]:
    frames = sorted(file for file in (shared / "ccpd/frames").glob("*.jpg") if is_ccpd_name(file.name))
    yield describe("ccpd/frames, quadrangles", of_quads(detector, frames, drawn))
    unnamed = sorted((shared / "ccpd/unnamed").glob("*.jpg"))
    found = [len(detector.detect(open_picture_8bit(str(file)))) for file in unnamed]
    of_nothing(detector, unnamed, drawn)
    yield f"ccpd/unnamed: plates in {sum(number > 0 for number in found)} of {len(unnamed)}, {found}"
    for folder in sorted((shared / "real/photos").glob("*/")):
        yield describe(f"real/photos/{folder.name}, boxes", of_boxes(detector, folder, drawn))
    yield describe("no plates", of_nothing(detector, pictures_without_plates(shared), drawn))


def pictures_without_plates(shared: Path) -> list[Path]:
    """What scikit-image and matplotlib carry, and the case of this project."""
    import matplotlib
    import skimage

    folders = Path(skimage.__file__).parent / "data", Path(matplotlib.get_data_path(), "sample_data")
    files = [file for folder in folders for file in sorted(folder.iterdir()) if file.suffix in (".png", ".jpg")]
    # disparities and masks are no pictures
    return [*files, *sorted((shared / "cases/scene").glob("noplate*"))]


def benchmark(settings: Settings) -> None:
    """Prints the lines. Raises ValueError or OSError."""
    detector = load_detector(Path(settings.detector)) if settings.detector else load_detector()
    drawn = Path(settings.drawn) if settings.drawn else None
    if settings.real is not None:
        for line in measure_real(detector, Path(settings.real), drawn):
            say(line)
    if settings.rendered:
        for line in measure_rendered(detector, settings.rendered, drawn):
            say(line)


def main(argv: Sequence[str] | None = None) -> int:
    return run_module("tools.benchmarks.detector", benchmark, Settings, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main())
