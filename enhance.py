"""Enhance pictures of licence plates: crops, whole photos with their corners, folders of them, or several frames of one
plate.

    python enhance.py plate.jpg more/ --out enhanced --read --side-by-side

leaves in --out one PNG per picture, under its own relative path and name, and report.csv with a row per picture: sizes,
brightness, contrast, sharpness, consistency, readings, warnings, seconds. With --burst, one burst.png of all.
Exit code: 0 all well, 1 some inputs failed, 2 nothing could be done. A restored plate is a hint, not evidence.
"""

import argparse
import os
import sys

from data.text import printable
from enhancing.config import BATCH_SIZE, Config


def enhance(config: Config) -> int:
    """Do all that the settings say; the exit code. Raises ValueError, or OSError of --out, where nothing can be
    done."""
    import cv2

    from enhancing.finding import find_inputs
    from enhancing.folder import enhance_burst, enhance_each

    # the workers share the cores already
    cv2.setNumThreads(1)
    prepare_out(config)
    found = list(find_inputs(config.inputs, config.out))
    if config.limit:
        found = [each for each in found if not each.skipped][: config.limit]
    if all(each.problem for each in found):
        for each in found[:10]:
            print(f"{printable(each.path)}: {printable(each.problem)}", file=sys.stderr)
        raise ValueError(f"no picture in {' '.join(map(printable, config.inputs))}")
    examiner = make_examiner(config)
    return (enhance_burst if config.burst else enhance_each)(config, examiner, found)


def prepare_out(config: Config) -> None:
    """Make the folder, if writing there cannot touch an input."""
    from enhancing.finding import identity

    if os.path.lexists(config.out) and not os.path.isdir(config.out):
        raise ValueError(f"--out {config.out} is there and is no folder")
    os.makedirs(config.out, exist_ok=True)
    report = os.path.join(config.out, "report.csv")
    for given in filter(os.path.exists, config.inputs):
        if identity(given) == identity(config.out):
            raise ValueError(
                f"--out {config.out} is an input: give another folder, so that inputs and results stay apart"
            )
        if os.path.exists(report) and identity(given) == identity(report):
            raise ValueError(f"{given} is an input and would be overwritten by the report: give another --out")


def make_examiner(config: Config):
    """The generator, and what else is to be asked."""
    from enhancing.examining import Examiner
    from models.enhancer import load_generator
    from models.shipped import default_checkpoint, load_second
    from reading.reader import Reader

    checkpoint = config.checkpoint or default_checkpoint()
    generator = load_generator(checkpoint, config.precision, config.strength)
    ask_again = config.read or config.uncertainty or config.burst
    return Examiner(
        generator,
        second=load_second(checkpoint, generator) if ask_again else None,
        reader=Reader(keep_steps=config.burst) if config.read or config.burst else None,
        ask_again=ask_again,
        batch_size=config.batch_size,
    )


def parse_arguments(argv: list[str] | None) -> Config:
    first, *rest = __doc__.splitlines()
    parser = argparse.ArgumentParser(
        description=first, epilog=rest[-1], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="a picture, or a folder with pictures at any depth")
    parser.add_argument("--out", required=True, help="folder for the results and report.csv")
    parser.add_argument("--checkpoint", help="a .keras or .onnx generator; None: the shipped one that is recommended")
    parser.add_argument(
        "--side-by-side", action="store_true", help="also write NAME.side-by-side.png, before and after"
    )
    parser.add_argument("--read", action="store_true", help="read the plates, and see where the readings agree")
    parser.add_argument("--uncertainty", action="store_true", help="also write NAME.uncertainty.png, a heat map")
    parser.add_argument("--burst", action="store_true", help="the inputs are frames of one plate: combine them")
    parser.add_argument(
        "--corners", nargs=4, metavar="x,y", type=_corner, help="of the plate in the photo, in px: straighten it"
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="threads that decode and encode")
    parser.add_argument("--batch-size", type=int, default=BATCH_SIZE, help="pictures that the generator takes at once")
    parser.add_argument(
        "--precision",
        choices=("auto", "float32", "bfloat16"),
        default="auto",
        help="of the generator; auto: bfloat16 where the CPU multiplies it in hardware",
    )
    parser.add_argument(
        "--strength",
        type=float,
        metavar="F",
        help="how much of what the generator makes is kept, 0 to 1; the rest is the picture itself in the new "
        "light; None: the "
        "checkpoint's own, at which validation plates were read best",
    )
    parser.add_argument("--limit", type=int, default=0, help="stop after so many pictures; 0: take all")
    arguments = vars(parser.parse_args(argv))
    corners = arguments["corners"]
    try:
        return Config(**{**arguments, "inputs": tuple(arguments["inputs"]), "corners": corners and tuple(corners)})
    except ValueError as error:
        parser.error(str(error))


def _corner(text: str) -> tuple[float, float]:
    from enhancing.opening import parse_corner

    try:
        return parse_corner(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def main(argv: list[str] | None = None) -> int:
    config = parse_arguments(argv)
    try:
        return enhance(config)
    except (ValueError, OSError) as error:
        print(f"enhance: {printable(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("enhance: interrupted; what was done is in --out", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
