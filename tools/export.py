"""Write a generator, or a detector of plates, in another format, and check on the spot that it still gives the same.

    python export.py --checkpoint checkpoints/pretrained/generator.keras --format onnx --out generator.onnx

leaves the file (a folder for saved_model) at --out, or an error and nothing. Height and width stay free in all formats.
Exit code: 0 written and checked, 2 not. ONNX needs the packages of requirements-export.txt.
"""

import argparse
import json
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from data.text import printable

# and the endings that their names must have
FORMATS = {"onnx": ".onnx", "saved_model": "", "litert": ".tflite"}
KERAS_FORMATS = {"onnx": "onnx", "saved_model": "tf_saved_model", "litert": "litert"}
# a quarter of a step between two of the 256 levels of a picture
TOLERANCE = 1e-3
# height and width of the pictures compared; divided by the scale
CHECKED_SIZES = ((96, 192), (64, 192), (128, 96))


@dataclass(frozen=True)
class Config:
    checkpoint: str
    format: str
    out: str

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise ValueError(f"--format must be one of {', '.join(FORMATS)}, got {self.format!r}")
        if not self.checkpoint.endswith(".keras"):
            raise ValueError(f"--checkpoint must be a .keras archive, got {self.checkpoint}")
        ending = FORMATS[self.format]
        if ending and not self.out.endswith(ending):
            raise ValueError(f"--out of format {self.format} must end in {ending}, got {self.out}")
        if not ending and os.path.lexists(self.out):
            raise ValueError(f"--out {self.out} exists already: remove it, or give another name for the folder")
        if os.path.isdir(self.out):
            raise ValueError(f"--out {self.out} is a folder")


def export(config: Config) -> float:
    """Write and check; the greatest difference from Keras. Raises ValueError or OSError, and then leaves nothing."""
    from models.loading import load_model

    network = _network(config)
    model = load_model(Path(config.checkpoint), "float32")
    parent = os.path.dirname(os.path.abspath(config.out))
    os.makedirs(parent, exist_ok=True)
    # beside its place, so that the last step is a rename within one file system
    with tempfile.TemporaryDirectory(prefix=".export-", dir=parent) as folder:
        part = os.path.join(folder, "generator" + FORMATS[config.format])
        write(model, network, part, config.format)
        difference = check(network, READERS[config.format](part))
        os.replace(part, config.out)
    return difference


def _network(config: Config):
    """What the archive computes, and what its .json says. A detector of plates is run and compared like a generator."""
    from models.enhancer import Generator, load_generator
    from models.loading import load_archive, read_info

    info = read_info(Path(config.checkpoint))
    if info.get("kind") != "detector":
        return load_generator(config.checkpoint, "float32")
    if config.format != "onnx":
        raise ValueError(f"a detector can be exported to onnx, not to {config.format}")
    model = load_archive(Path(config.checkpoint))
    return Generator(lambda batch: model(batch, training=False).numpy(), info=info)


def write(model, generator, path: str, format: str) -> None:
    """By Keras' own exporters, from the float32 network. Raises ValueError where a package is missing."""
    import numpy as np

    side = 64
    # Keras exports only what has been called
    model(np.zeros((1, side, side, 3), "float32"))
    try:
        with warnings.catch_warnings():
            # Keras asks NumPy for names that it is about to redefine
            warnings.simplefilter("ignore", FutureWarning)
            model.export(path, format=KERAS_FORMATS[format], verbose=False)
    except ImportError as error:
        raise ValueError(f"{format} needs more packages: pip install -r requirements-export.txt ({error})") from error
    # the converters of several projects stand behind this, and raise nearly anything
    except Exception as error:
        hint = "; LiteRT needs Keras 3.13 or later, hence Python 3.11" if format == "litert" else ""
        raise ValueError(f"Keras cannot export {format}: {type(error).__name__}: {error}{hint}") from error
    if format == "onnx":
        _describe(path, generator)


def _describe(path: str, generator) -> None:
    """What the JSON beside the archive says goes into the ONNX file, which then needs none."""
    import onnx

    network = onnx.load(path)
    onnx.helper.set_model_props(network, {"info": json.dumps(generator.info)})
    onnx.checker.check_model(network)
    onnx.save(network, path)


def check(generator, other: Callable) -> float:
    """The greatest difference over three pictures. Raises ValueError where it is above the tolerance, or not a
    number."""
    import numpy as np

    differences = []
    for number, size in enumerate(CHECKED_SIZES):
        height, width = (side // generator.scale for side in size)
        batch = np.random.default_rng(number).random((1 + number, height, width, 3), dtype=np.float32)
        expected, got = generator.run(batch), np.asarray(other(batch))
        if got.shape != expected.shape:
            raise ValueError(f"the exported generator makes {got.shape} of {batch.shape}, Keras {expected.shape}")
        differences.append(float(np.abs(got - expected).max()))
    worst = max(differences)
    # also where it is NaN
    if not worst <= TOLERANCE:
        raise ValueError(f"the exported generator differs from Keras by {worst:.2g}, allowed is {TOLERANCE:g}")
    return worst


def read_onnx(path: str) -> Callable:
    from models.loading import open_session

    session = open_session(Path(path), threads=0)
    name = session.get_inputs()[0].name
    return lambda batch: session.run(None, {name: batch})[0]


def read_saved_model(path: str) -> Callable:
    import tensorflow as tf

    # kept alive by the function below: its endpoint alone forgets its weights
    loaded = tf.saved_model.load(path)
    return lambda batch: loaded.serve(batch)


def read_litert(path: str) -> Callable:
    """Through the interpreter that TensorFlow carries, or the package that follows it."""
    import numpy as np

    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        import tensorflow as tf

        Interpreter = tf.lite.Interpreter
    interpreter = Interpreter(path, num_threads=os.cpu_count())

    def run(batch: np.ndarray) -> np.ndarray:
        place = interpreter.get_input_details()[0]["index"]
        interpreter.resize_tensor_input(place, batch.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(place, batch)
        interpreter.invoke()
        return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])

    return run


READERS: dict[str, Callable[[str], Callable]] = {
    "onnx": read_onnx,
    "saved_model": read_saved_model,
    "litert": read_litert,
}


def parse_arguments(argv: list[str] | None) -> Config:
    first, *rest = __doc__.splitlines()
    parser = argparse.ArgumentParser(
        description=first, epilog=rest[-1], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--checkpoint", required=True, help="the .keras archive of a network")
    parser.add_argument("--format", required=True, choices=FORMATS, help="what to write")
    parser.add_argument("--out", required=True, help="the file to write: .onnx or .tflite, or a new folder")
    try:
        return Config(**vars(parser.parse_args(argv)))
    except ValueError as error:
        parser.error(str(error))


def main(argv: list[str] | None = None) -> int:
    config = parse_arguments(argv)
    try:
        difference = export(config)
    except (ValueError, OSError) as error:
        print(f"export: {printable(error)}", file=sys.stderr)
        return 2
    print(f"{printable(config.out)}: the same as Keras within {difference:.1g} on {len(CHECKED_SIZES)} pictures")
    return 0


if __name__ == "__main__":
    sys.exit(main())
