"""Reading the files of networks into plain functions: `.keras` archives through Keras, `.onnx` files through ONNX
Runtime or OpenVINO.

Both file types are data, not code: archives load in Keras' safe mode, ONNX files without custom operators.
"""

import io
import logging
import math
import os
import sys
import tempfile
import threading
import warnings
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data.console import first_line, prepare_libraries
from data.files import is_utf8
from models.shipped import parse_info

# what a network gives: an array, or, of several outputs, one for each
Made = np.ndarray | tuple[np.ndarray, ...]
Run = Callable[[np.ndarray], Made]
PROBE_PX, FLOAT_BYTES = 16, 4
# of an archive, packed or not, and of the network in it; ours take 48 MB, and 0.4 MB of description
MAX_UNPACKED_BYTES, MAX_CONFIG_BYTES = 1_000_000_000, 5_000_000
# of all networks in ONNX Runtime together; ours take 50 MB for a tall picture, and 120 MB to search a photo
MAX_ONNX_BYTES = 3 << 30
# of what ONNX Runtime computes ahead when it opens a file, outside that limit
MAX_FOLDED_BYTES = 64 << 20
WEIGHTS = "model.weights.h5"
POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
# Linux' names for the CPU features, and for the maker whose second one is fast: AVX512-BF16 takes 0.6 of float32's time
# on an AMD EPYC, and 1.6 of it on an Intel Xeon
AMX, AVX512, AMD = "amx_bf16", "avx512_bf16", "AuthenticAMD"
# pictures that go through a network together
BATCH_SIZE = 16
# so many gain less from a session of their own than opening it costs (25 ms and 40 MB)
FEW = 3


class Backend(NamedTuple):
    """What computes a generator. name: "Keras", "ONNX Runtime" or "OpenVINO". precision: "float32" or "bfloat16"."""

    name: str
    precision: str

    def __str__(self) -> str:
        return f"{self.name}, {self.precision}"


KERAS, ONNX = Backend("Keras", "float32"), Backend("ONNX Runtime", "float32")


class Loaded(NamedTuple):
    """run: gives pictures, or pictures and probabilities (N, W/4, classes). info: the JSON that an ONNX file carries,
    else {}."""

    run: Run
    scale: int
    backend: Backend
    info: dict


def choose_backend(path: Path, precision: str = "auto") -> Backend:
    """The one place that says what computes a file on this machine. Raises ValueError for what cannot be had.

    "auto" is bfloat16 where the CPU is fast at it, else float32. ONNX Runtime, which is always there, computes `.onnx`
    files in float32, and OpenVINO, where it is installed, in bfloat16. With AMX, that took 15.7 ms a plate instead of
    36.6, on an AMD EPYC with AVX512-BF16 10 ms of CPU instead of 15.8. Elsewhere OpenVINO gains nothing: on an Intel
    Xeon with AVX512-BF16 a plate took 38.1 ms of CPU in ONNX Runtime, 36.8 in OpenVINO in float32, 60.0 in bfloat16.
    """
    onnx = path.suffix.lower() == ".onnx"
    has_openvino = find_spec("openvino") is not None
    if precision == "auto":
        precision = "bfloat16" if cpu_has_bfloat16() and (has_openvino or not onnx) else "float32"
    if not onnx:
        return Backend("Keras", precision)
    if precision == "float32":
        return Backend("ONNX Runtime", precision)
    if not has_openvino:
        raise ValueError(
            f"checkpoint {path}: ONNX Runtime computes in float32; "
            "bfloat16 needs OpenVINO (pip install openvino) or the .keras archive"
        )
    return Backend("OpenVINO", precision)


def cpu_has_bfloat16(cpuinfo: str = "/proc/cpuinfo") -> bool:
    """Whether this machine's CPU multiplies bfloat16 faster than float32; False where that is unknown."""
    features = cpu_features(cpuinfo)
    return AMX in features or {AVX512, AMD} <= features


def cpu_features(cpuinfo: str = "/proc/cpuinfo") -> set[str]:
    """The CPU's features, and its maker, as Linux names them; none where they are unknown."""
    try:
        return set(Path(cpuinfo).read_text().split())
    except OSError:
        return set()


def load(path: Path, precision: str) -> Loaded:
    """A generator's file, for the back end that `choose_backend` says. Raises ValueError."""
    backend = choose_backend(path, precision)
    if backend.name == "Keras":
        return load_keras(path, backend)
    run, info = open_onnx(path, backend)
    shapes = [each.shape for each in outputs(run(np.zeros((1, PROBE_PX, PROBE_PX, 3), "float32")))]
    return Loaded(run, _scale_of(path, *shapes), backend, info)


def outputs(made: Made) -> tuple[np.ndarray, ...]:
    return made if isinstance(made, tuple) else (made,)


def as_made(given) -> Made:
    """From what Keras or a runtime gives, which has a list for several outputs."""
    made = tuple(np.asarray(each, "float32") for each in (given if isinstance(given, list) else [given]))
    return made if len(made) > 1 else made[0]


def _scale_of(path: Path, output_shape: tuple, *others: tuple) -> int:
    """Of a generator by its outputs for a small picture. Raises ValueError for what is none."""
    if others and (len(others) > 1 or len(others[0]) != 3 or others[0][:2] != (1, PROBE_PX // 4)):
        raise ValueError(f"checkpoint {path}: not a generator: beside a picture it makes {others}")
    scale = output_shape[1] // PROBE_PX if len(output_shape) == 4 and output_shape[1] else 0
    if scale not in (1, 2, 4, 8) or tuple(output_shape[1:]) != (scale * PROBE_PX, scale * PROBE_PX, 3):
        raise ValueError(f"checkpoint {path}: not a generator: a 16 x 16 picture became {tuple(output_shape[1:])}")
    return scale


def scale_of(path: Path, model) -> int:
    """Of a generator in Keras, loaded from this path. Raises ValueError for what is none."""
    return _scale_of(path, model.compute_output_shape((1, PROBE_PX, PROBE_PX, 3)))


def _named(path: Path, run: Run) -> Run:
    """The same function, which raises ValueError with the file's name where the network fails on a picture."""

    def named(batch: np.ndarray) -> Made:
        try:
            return run(batch)
        # each runtime has its own exceptions, without a base class in common
        except Exception as error:
            size = " x ".join(map(str, batch.shape[1:3]))
            raise ValueError(f"checkpoint {path}: it fails on a picture of {size}: {_first_line(error)}") from error

    return named


def _first_line(error: Exception) -> str:
    """Not too long: it may repeat what stands in the file."""
    return first_line(error)[:300]


def in_batches(run: Run, pictures: Sequence[np.ndarray], batch_size: int = BATCH_SIZE) -> list:
    """What a network makes of each picture, (H, W, 3) float32, in their order: pictures of one size go through `run`
    together, at most `batch_size` at a time."""
    by_shape = defaultdict(list)
    for index, picture in enumerate(pictures):
        by_shape[picture.shape].append(index)
    results: list = [None] * len(pictures)
    for indices in by_shape.values():
        for start in range(0, len(indices), batch_size):
            some = indices[start : start + batch_size]
            for index, result in zip(some, run(np.stack([pictures[i] for i in some])), strict=True):
                results[index] = result
    return results


# --- Keras archives ---------------------------------------------------------------------------------------------------


def load_keras(path: Path, backend: Backend) -> Loaded:
    """A `.keras` archive. Whatever precision it was stored in, it computes in the one asked for; its output is
    float32."""
    model = load_model(path, backend.precision)
    scale = scale_of(path, model)
    # late: keras takes seconds
    from models.generator import with_reading

    return Loaded(_named(path, run_of(with_reading(model))), scale, backend, {})


def run_of(model) -> Run:
    """A Keras model in memory."""
    return lambda batch: as_made(model.predict_on_batch(batch))


def load_model(path: Path, precision: str):
    """The Keras model in an archive, computing in "float32" or "bfloat16". Raises ValueError."""
    return in_policy(load_archive(path), POLICIES[precision])


def load_archive(path: Path):
    """The Keras model in an archive as it was stored, loaded in safe mode. Raises ValueError."""
    _check_archive(path)
    keras = import_keras()
    # Pictures of many shapes make TensorFlow warn of retracing, until it has traced for any shape after some five
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    # In a picture 16 px high, a built-in recogniser has one row to look at, and rightly gives it all its attention
    warnings.filterwarnings("ignore", message="You are using a softmax over axis")

    # its layers are looked up by name
    from models import layers  # noqa: F401

    try:
        with _bounded_weights(keras.Layer):
            return keras.saving.load_model(path, compile=False, safe_mode=True)
    # Keras raises many kinds, for many faults of a file
    except Exception as error:
        raise ValueError(f"checkpoint {path}: Keras cannot load it in safe mode: {_first_line(error)}") from error


def _check_archive(path: Path) -> None:
    """Raises ValueError for an archive that would fill the memory, or that is none."""
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
            config = archive.getinfo("config.json").file_size
            if max(unpacked, config) <= MAX_UNPACKED_BYTES and WEIGHTS in archive.namelist():
                unpacked = max(unpacked, _declared_bytes(archive.read(WEIGHTS)))
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"checkpoint {path}: not a .keras archive: {_first_line(error)}") from error
    if unpacked > MAX_UNPACKED_BYTES or config > MAX_CONFIG_BYTES:
        raise ValueError(
            f"checkpoint {path}: it unpacks to {unpacked / 1e6:.0f} MB, {config / 1e6:.0f} MB of them its description; "
            f"at most {MAX_UNPACKED_BYTES / 1e6:.0f} and {MAX_CONFIG_BYTES / 1e6:.0f} MB are taken"
        )


@contextmanager
def _bounded_weights(layer_class: type) -> Iterator[None]:
    """Inside, a layer that asks for more weights than an archive may hold gets a ValueError, and no memory.

    The sizes of layers stand in an archive's description, apart from the weights, and Keras makes room for them first.
    """
    plain, left = layer_class.add_weight, [MAX_UNPACKED_BYTES // FLOAT_BYTES]

    def add_weight(layer, *args, **options):
        shape = options["shape"] if "shape" in options else next(iter(args), ())
        count = math.prod(shape if isinstance(shape, Sequence) else (shape or 1,))
        left[0] -= count
        if left[0] < 0:
            raise ValueError(
                f"its description asks for {count:.1e} weights in {layer.name}; a network of more than "
                f"{MAX_UNPACKED_BYTES / 1e6:.0f} MB is not taken"
            )
        return plain(layer, *args, **options)

    layer_class.add_weight = add_weight
    try:
        yield
    finally:
        layer_class.add_weight = plain


def _declared_bytes(weights: bytes) -> int:
    """What the arrays of an HDF5 file take in memory, however little they take in the file. Raises OSError for a file
    that is none, or whose arrays lie in other files."""
    import h5py

    sizes = []

    def add(name: str, item) -> None:
        if isinstance(item, h5py.Dataset):
            if item.external or item.is_virtual:
                raise OSError(f"its weights lie in other files: {name}")
            sizes.append(item.nbytes)

    with h5py.File(io.BytesIO(weights)) as file:
        file.visititems(add)
    return sum(sizes)


def in_policy(model, policy: str):
    """A copy of a Keras model with the same weights, and no optimiser, that computes in `policy`, except for its
    output, which stays float32."""
    import keras

    last = {tensor._keras_history.operation.name for tensor in model.outputs}

    def with_policy(layer):
        # an operation of keras.ops, which computes in whatever it is given
        if not isinstance(layer, keras.Layer):
            return layer.__class__.from_config(layer.get_config())
        chosen = "float32" if layer.name in last else policy
        return layer.__class__.from_config({**layer.get_config(), "dtype": chosen})

    # Keras would give the copy an optimiser, too
    if model.compiled:
        model = keras.Model(model.input, model.output, name=model.name)
    copy = keras.models.clone_model(model, clone_function=with_policy)
    copy.set_weights(model.get_weights())
    return copy


def import_keras():
    """Keras, ready to compute. Hides what TensorFlow's C++ code prints before its log level counts, and its lines on an
    absent GPU. If loading fails, all of it is shown."""
    prepare_libraries()
    with _held_back_stderr():
        import keras

        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            # looks for a GPU now, not at the first computation
            tf.config.list_physical_devices()
    # the user's own `~/.keras/keras.json` may say otherwise, for other programs
    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float32")
    return keras


@contextmanager
def _held_back_stderr() -> Iterator[None]:
    """Of the process, not of Python alone: standard error goes into a file, which is shown if an exception leaves."""
    sys.stderr.flush()
    try:
        kept = os.dup(2)
    # there is none
    except OSError:
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


# --- ONNX files -------------------------------------------------------------------------------------------------------


def open_onnx(path: Path, backend: Backend) -> tuple[Run, dict]:
    """An `.onnx` file, NHWC with free height and width, as export.py writes it, and the JSON that it carries. Raises
    ValueError."""
    try:
        session = open_session(path, threads=0)
        name = session.get_inputs()[0].name
        # OpenVINO has no limit of memory: what asks for gigabytes must not come so far
        session.run(None, {name: np.zeros((1, PROBE_PX, PROBE_PX, 3), "float32")})
    # its exceptions share no base class below Exception
    except Exception as error:
        raise ValueError(f"checkpoint {path}: ONNX Runtime cannot run it: {_first_line(error)}") from error
    info = parse_info(session.get_modelmeta().custom_metadata_map.get("info", ""))
    run = _openvino(path) if backend.name == "OpenVINO" else _spread_over_cores(path, session, name)
    return _named(path, run), info


def open_plain(path: Path, threads: int) -> Run:
    """An `.onnx` file of a network of one output. threads: of the CPU, 0 for all of them. Raises ValueError."""
    try:
        session = open_session(path, threads)
    # its exceptions share no base class below Exception
    except Exception as error:
        raise ValueError(f"checkpoint {path}: ONNX Runtime cannot run it: {_first_line(error)}") from error
    name = session.get_inputs()[0].name
    return _named(path, lambda batch: session.run(None, {name: batch})[0])


def open_session(path: Path, threads: int):
    """threads: of the CPU, 0 for all of them. The network gets no more memory than `MAX_ONNX_BYTES`, whatever its file
    asks for."""
    prepare_libraries()
    import onnxruntime

    _bound_memory()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Its log would write names that stand in the file to the terminal. What counts comes as an exception.
    options.log_severity_level = 4
    options.add_session_config_entry("session.use_env_allocators", "1")
    # versions that do not know it leave it aside
    options.add_session_config_entry("optimization.constant_folding_max_output_size_in_bytes", str(MAX_FOLDED_BYTES))
    # Waiting threads that spin take the cores from threads that decode pictures: 43 instead of 19 ms on two busy cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # it takes names in UTF-8 alone, and else the content
    model = os.fspath(path) if is_utf8(path) else path.read_bytes()
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


@cache
def _bound_memory() -> None:
    """Once for the process: one arena for all sessions, which refuses what goes beyond its limit before it asks the
    system."""
    import onnxruntime

    kind = onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR
    place = onnxruntime.OrtMemoryInfo("Cpu", kind, 0, onnxruntime.OrtMemType.DEFAULT)
    onnxruntime.create_and_register_allocator(place, onnxruntime.OrtArenaCfg({"max_mem": MAX_ONNX_BYTES}))


def _spread_over_cores(path: Path, session, name: str) -> Run:
    """One picture uses all cores, as do the few views of one; of a batch, each core takes whole pictures, which stay
    in its cache."""
    pool = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="onnx")

    # opened when the first batch comes: a single picture need not wait for it
    @cache
    def lone_thread():
        return open_session(path, threads=1)

    def run(batch: np.ndarray) -> Made:
        if len(batch) <= FEW:
            return _joined([session.run(None, {name: one[None]}) for one in batch])
        lone = lone_thread()
        return _joined(list(pool.map(lambda one: lone.run(None, {name: one[None]}), batch)))

    return run


def _openvino(path: Path) -> Run:
    """Its runtime sends nothing; its converter of other formats, which does, is not used."""
    try:
        import openvino

        core = openvino.Core()
        # throughput: several pictures at a time
        hints = {"INFERENCE_PRECISION_HINT": "bf16", "PERFORMANCE_HINT": "THROUGHPUT"}
        return _queued(openvino.AsyncInferQueue(core.compile_model(core.read_model(path), "CPU", hints)))
    except Exception as error:
        raise ValueError(f"checkpoint {path}: OpenVINO cannot run it: {_first_line(error)}") from error


def _queued(queue) -> Run:
    """Each stream of the queue, one or more a core, takes whole pictures of a batch. One batch at a time."""
    results: dict[int, list[np.ndarray]] = {}

    def keep(request, index: int) -> None:
        results[index] = [np.array(tensor.data) for tensor in request.output_tensors]

    queue.set_callback(keep)
    turn = threading.Lock()

    def run(batch: np.ndarray) -> Made:
        with turn:
            for index in range(len(batch)):
                queue.start_async({0: batch[index : index + 1]}, index)
            queue.wait_all()
            return _joined([results.pop(index) for index in range(len(batch))])

    return run


def _joined(pictures: Sequence[Sequence[np.ndarray]]) -> Made:
    """From the outputs for each picture those for the batch."""
    return as_made([np.concatenate(each) for each in zip(*pictures, strict=True)])
