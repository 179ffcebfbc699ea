"""Writes a network of this project in another format, and checks on the spot that it still gives the same.

    python export.py --checkpoint checkpoints/pretrained/generator.keras --format onnx --out generator.onnx

leaves the file (a folder for saved_model) at --out, or an error and nothing. Height and width stay free in all formats.
Exit code: 0 written and checked, 2 not. ONNX needs the packages of requirements-export.txt.
"""

import json
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from data.console import STOPPED, ended_early, prepare_console, say
from data.files import temporary_folder
from data.settings import field, parse, path, require
from models.shipped import check_checkpoint, read_info

# and the endings that their names must have
FORMATS = {"onnx": ".onnx", "saved_model": "", "litert": ".tflite"}
KERAS_FORMATS = {"onnx": "onnx", "saved_model": "tf_saved_model", "litert": "litert"}
# a quarter of a step between two of the 256 levels of a picture
TOLERANCE = 1e-3
# of a recogniser's probabilities
TOLERANCE_OF_PROBABILITIES = 5e-3
# weights of a layer worth shortening
LARGE = 1024
# height and width of the pictures compared; divided by the scale
CHECKED_SIZES = ((96, 192), (64, 192), (128, 96))


@dataclass(frozen=True)
class Settings:
    checkpoint: str = field(type=path, metavar="FILE", help="the .keras archive of a network")
    format: str = field(choices=tuple(FORMATS), help="what to write")
    out: str = field(type=path, metavar="PATH", help="the file to write, .onnx or .tflite, or a new folder")

    def __post_init__(self) -> None:
        require(self.checkpoint.endswith(".keras"), "--checkpoint", "a .keras archive", self.checkpoint)
        ending = FORMATS[self.format]
        if ending:
            require(self.out.endswith(ending), f"--out of {self.format}", f"a name that ends in {ending}", self.out)
        elif os.path.lexists(self.out):
            raise ValueError(f"--out {self.out} exists already: remove it, or give another name for the folder")
        if os.path.isdir(self.out):
            raise ValueError(f"--out {self.out} is a folder")


def main(argv: Sequence[str] | None = None) -> int:
    prepare_console()
    try:
        settings = parse(Settings, __doc__, argv)
        check_checkpoint(settings.checkpoint)
        with ended_early():
            difference = export(settings)
    except (ValueError, OSError) as error:
        say(f"export: {error}", error=True)
        return 2
    except KeyboardInterrupt:
        say("export: interrupted; nothing was written", error=True)
        return STOPPED
    say(f"{settings.out}: the same as Keras within {difference:.1g} on {len(CHECKED_SIZES)} pictures")
    return 0


def export(settings: Settings) -> float:
    """Write and check; the greatest difference from Keras. Raises ValueError or OSError, and then leaves nothing."""
    from models.recogniser import NAME

    model, network = _network(settings)
    tolerance = TOLERANCE_OF_PROBABILITIES if model.name == NAME else TOLERANCE
    # beside its place, so that the last step is a rename within one file system
    with temporary_folder(os.path.dirname(os.path.abspath(settings.out)), ".export-") as folder:
        part = os.path.join(folder, "generator" + FORMATS[settings.format])
        write(model, network, part, settings.format)
        difference = check(network, READERS[settings.format](part), tolerance)
        if settings.format == "onnx":
            difference = shorten(network, part, difference, tolerance)
        os.replace(part, settings.out)
    return difference


def _network(settings: Settings):
    """The Keras model to write, in float32, and what it computes. Detectors and recognisers are run and compared like
    generators; of a recogniser, probabilities are written, which models/answerer.py takes, and to onnx those of the one
    that a generator carries, too."""
    from models.enhancer import Generator
    from models.generator import with_reading
    from models.loading import in_policy, load_archive, run_of, scale_of
    from models.recogniser import NAME, with_probabilities

    path, info = Path(settings.checkpoint), read_info(Path(settings.checkpoint))
    model = load_archive(path)
    kind = NAME if model.name == NAME else info.get("kind")
    if kind not in (NAME, "detector"):
        model, scale = in_policy(model, "float32"), scale_of(path, model)
        model = with_reading(model) if settings.format == "onnx" else model
        return model, Generator(run_of(model), scale, info=info)
    if settings.format != "onnx":
        raise ValueError(f"a {kind} can be exported to onnx, not to {settings.format}")
    model = with_probabilities(model) if kind == NAME else model
    return model, Generator(run_of(model), info=info)


def write(model, generator, file: str, format: str) -> None:
    """By Keras' own exporters, from the float32 network. Raises ValueError where a package is missing."""
    import numpy as np

    side = 64
    # Keras exports only what has been called
    model(np.zeros((1, side, side, 3), "float32"))
    try:
        with warnings.catch_warnings():
            # Keras asks NumPy for names that it is about to redefine
            warnings.simplefilter("ignore", FutureWarning)
            model.export(file, format=KERAS_FORMATS[format], verbose=False)
    except ImportError as error:
        raise ValueError(f"{format} needs more packages: pip install -r requirements-export.txt ({error})") from error
    # the converters of several projects stand behind this, and raise nearly anything
    except Exception as error:
        hint = "; LiteRT needs Keras 3.13 or later, hence Python 3.11" if format == "litert" else ""
        raise ValueError(f"Keras cannot export {format}: {type(error).__name__}: {error}{hint}") from error
    if format == "onnx":
        _describe(file, generator)


def _describe(file: str, generator) -> None:
    """What the JSON beside the archive says goes into the ONNX file, which then needs none."""
    import onnx

    network = onnx.load(file)
    onnx.helper.set_model_props(network, {"info": json.dumps(generator.info)})
    onnx.checker.check_model(network)
    onnx.save(network, file)


def shorten(generator, file: str, difference: float, tolerance: float = TOLERANCE) -> float:
    """Store the large weights of an ONNX file in 16 bits, where that is as good: half the file. They are made 32 bits
    again when it is loaded, and computed with as before. Returns the greatest difference from Keras then."""
    import numpy as np
    import onnx

    network, longer = onnx.load(file), []
    for weights in network.graph.initializer:
        values = onnx.numpy_helper.to_array(weights)
        if values.dtype == np.float32 and values.size >= LARGE:
            name = weights.name
            # what is too large becomes infinite, which the check sees
            with np.errstate(over="ignore"):
                values = values.astype(np.float16)
            weights.CopyFrom(onnx.numpy_helper.from_array(values, f"{name}/16"))
            longer.append(onnx.helper.make_node("Cast", [f"{name}/16"], [name], to=onnx.TensorProto.FLOAT))
    for node in reversed(longer):
        network.graph.node.insert(0, node)
    onnx.checker.check_model(network)
    short = file.replace(".onnx", "-16.onnx")
    onnx.save(network, short)
    try:
        difference = check(generator, read_onnx(short), tolerance)
    # weights beyond what 16 bits hold
    except ValueError:
        return difference
    os.replace(short, file)
    return difference


def check(generator, other: Callable, tolerance: float = TOLERANCE) -> float:
    """The greatest difference over three pictures, of the first output. Raises ValueError where it is above the
    tolerance, or that of the second output, probabilities, above its own, or not a number."""
    import numpy as np

    from models.loading import outputs

    worst = 0.0
    for number, size in enumerate(CHECKED_SIZES):
        height, width = (side // generator.scale for side in size)
        batch = np.random.default_rng(number).random((1 + number, height, width, 3), dtype=np.float32)
        expected, got = (list(map(np.asarray, outputs(run(batch)))) for run in (generator.run, other))
        made, wanted = ([each.shape for each in some] for some in (got, expected))
        if made != wanted:
            raise ValueError(f"the exported generator makes {made} of {batch.shape}, Keras {wanted}")
        differences = [float(np.abs(one - another).max()) for one, another in zip(got, expected, strict=True)]
        for difference, allowed in zip(differences, (tolerance, TOLERANCE_OF_PROBABILITIES), strict=False):
            # also where it is NaN
            if not difference <= allowed:
                raise ValueError(
                    f"the exported generator differs from Keras by {difference:.2g}, allowed is {allowed:g}"
                )
        worst = max(worst, differences[0])
    return worst


def read_onnx(file: str) -> Callable:
    from models.loading import as_made, open_session

    session = open_session(Path(file), threads=0)
    name = session.get_inputs()[0].name
    return lambda batch: as_made(session.run(None, {name: batch}))


def read_saved_model(file: str) -> Callable:
    import tensorflow as tf

    # kept alive by the function below: its endpoint alone forgets its weights
    loaded = tf.saved_model.load(file)
    return lambda batch: loaded.serve(batch)


def read_litert(file: str) -> Callable:
    """Through the interpreter that TensorFlow carries, or the package that follows it."""
    import numpy as np

    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        import tensorflow as tf

        Interpreter = tf.lite.Interpreter
    interpreter = Interpreter(file, num_threads=os.cpu_count())

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


if __name__ == "__main__":
    sys.exit(main())
