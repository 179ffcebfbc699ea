"""How fast everything is on this machine: `make bench`, about ten minutes on two idle cores.

    python -m tools.benchmarks.speed
    python -m tools.benchmarks.speed --parts start folder

leaves the figures in reports/bench.json, with the machine's name and versions, and writes the table between the marks
in docs/BENCHMARKS.md. CPU time tells more than the clock where other programs run beside it; the load of the machine is
written down with each part.

A part takes an empty folder, and yields lines of the table. It runs in a process of its own, and imports the libraries
that run networks by itself, so that no figure carries the memory of another part.
"""

import contextlib
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from data.console import prepare_libraries, say
from data.files import read_text, write_text
from data.io import open_picture_8bit, to_float, to_uint8
from data.settings import field, path, read_config, run_module

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT, BEGIN, END = ROOT / "docs" / "BENCHMARKS.md", "<!-- make bench: begin -->", "<!-- make bench: end -->"
PACKAGES = ("numpy", "opencv-python-headless", "onnxruntime", "openvino", "tensorflow", "keras", "dask")
# what decides which kernels are taken
FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
RECIPE = ROOT / "configs" / "shipped.json"
REPEATS, BATCH = 5, 16
# height and width of a crop's input; of a street photo, and one of 24 megapixels
PLATE, PHOTOS = (64, 192), ((1160, 720), (4000, 6000))
# two counts, so that the time that every run takes can be subtracted
CROPS, PHOTO_COUNTS = (20, 120), (40, 340)
CHARACTERS = "0123456789ABCDEFGHJKLMNPQRSTUVWXYZ"


@dataclass(frozen=True)
class Settings:
    parts: tuple[str, ...] = field((), nargs="+", metavar="PART", help="measure only these, and keep the other figures")
    out: str = field("reports/bench.json", type=path, metavar="FILE", help="where the figures go")
    document: str | None = field(
        None, type=path, metavar="FILE", help="Markdown with the marks for the table (default: docs/BENCHMARKS.md)"
    )
    one: str = field("", metavar="PART", help="print the figures of one part as JSON, and leave nothing")


class Figure(NamedTuple):
    """A line of the table: what was measured, the value in its unit, and what else is known."""

    what: str
    value: float
    unit: str
    more: str = ""


class Spent(NamedTuple):
    """By a process and those that it started: seconds by the clock, seconds of CPU, most memory of one of them (or of
    the process that started it, which Linux counts in)."""

    seconds: float
    cpu: float
    mebibytes: float


def run_script(*arguments: object, ends: Sequence[int] = (0,)) -> Spent:
    """Python with these arguments in the project's folder. Raises ChildProcessError for exit codes not in `ends`."""
    with tempfile.TemporaryFile() as said:
        started = time.perf_counter()
        process = subprocess.Popen([sys.executable, *map(str, arguments)], cwd=ROOT, stdout=said, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        if process.returncode not in ends:
            raise ChildProcessError(said.read().decode(errors="replace")[-1500:])
    kilobytes = usage.ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    return Spent(seconds, usage.ru_utime + usage.ru_stime, kilobytes / 1024)


def own_peak_mib() -> float:
    """Linux' count for this process; that of `resource` begins with what the process had that started it."""
    lines = Path("/proc/self/status").read_text().splitlines() if os.path.exists("/proc/self/status") else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), float("nan"))


def milliseconds(run: Callable[[], object], repeats: int = REPEATS) -> float:
    """Warm, the median."""
    run()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times)


# --- Enhancing --------------------------------------------------------------------------------------------------------


def start(folder: Path) -> Iterator[Figure]:
    """Whole processes, from the command to its end."""
    text = folder / "text.txt"
    text.write_text("no picture")
    picture = ROOT / "docs" / "examples" / "defocused.jpg"
    commands = {
        "`enhance.py --help`": ("enhance.py", "--help"),
        "`enhance.py` refuses a text file": ("enhance.py", text),
        "`enhance.py`, one picture": ("enhance.py", picture, "--out", folder / "one", *network(folder)),
        "the same with `--read`": ("enhance.py", picture, "--read", "--out", folder / "read", *network(folder)),
    }
    for what, command in commands.items():
        runs = [run_script(*command, ends=(0, 2)) for _ in range(REPEATS)]
        spent = Spent(*map(statistics.median, zip(*runs, strict=True)))
        memory = f", {spent.mebibytes:.0f} MiB" if spent.mebibytes > own_peak_mib() else ""
        yield Figure(what, spent.seconds, "s", f"{spent.cpu:.2f} s of CPU{memory}")
    yield Figure("`app.py` answers", statistics.median(until_the_page_answers(folder) for _ in range(3)), "s")


def until_the_page_answers(folder: Path) -> float:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-u", "app.py", "--port", str(port), *network(folder)]
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    with process:
        answered = any("The page is at" in line for line in process.stdout)
        seconds = time.perf_counter() - started
        process.terminate()
    if not answered:
        raise ChildProcessError("app.py ended without opening its page")
    return seconds


def network(folder: Path) -> tuple[str, ...]:
    """Flags for the shipped generator as `.onnx`. Where only its archive ships, an export that all parts share."""
    from models.shipped import default_checkpoint

    shipped = default_checkpoint()
    if shipped.suffix == ".onnx":
        return ()
    exported = folder.parent / f"{shipped.stem}.onnx"
    if not exported.exists():
        run_script("export.py", "--checkpoint", shipped, "--format", "onnx", "--out", exported)
    return "--checkpoint", str(exported)


def detector(folder: Path) -> Iterator[Figure]:
    """Photos with a plate in them: one that is found is looked at again."""
    from models.detector import load_detector

    plates = load_detector()
    photo = open_picture_8bit(str(ROOT / "docs" / "examples" / "photo.jpg"))
    for height, width in PHOTOS:
        picture = filled(photo, height, width)
        taken, found = milliseconds(lambda picture=picture: plates.detect(picture)), len(plates.detect(picture))
        more = f"{found} found, memory up to here {own_peak_mib():.0f} MiB"
        yield Figure(f"detector, {width} × {height}", taken, "ms", more)


def filled(photo: np.ndarray, height: int, width: int) -> np.ndarray:
    """The photo as large as fits into this size, in its middle; mirrored around it."""
    factor = min(height / photo.shape[0], width / photo.shape[1])
    inside = round(photo.shape[1] * factor), round(photo.shape[0] * factor)
    photo = cv2.resize(photo, inside, interpolation=cv2.INTER_CUBIC)
    down, across = height - inside[1], width - inside[0]
    sides = down // 2, down - down // 2, across // 2, across - across // 2
    return cv2.copyMakeBorder(photo, *sides, cv2.BORDER_REFLECT_101)


def plate(folder: Path) -> Iterator[Figure]:
    """The generator alone, by back end."""
    from models.enhancer import load_generator
    from models.shipped import default_checkpoint

    onnx = (network(folder) or ("", str(default_checkpoint())))[1]
    archive = default_checkpoint().with_suffix(".keras")
    rng = np.random.default_rng(0)
    one, batch = (rng.random((count, *PLATE, 3), dtype=np.float32) for count in (1, BATCH))
    for file, precision in ((onnx, "float32"), (onnx, "bfloat16"), (archive, "float32"), (archive, "bfloat16")):
        # OpenVINO is not installed, or the archive does not ship
        with contextlib.suppress(ValueError):
            generator = load_generator(file, precision)
            alone, together = (milliseconds(lambda b=b, g=generator: g.run(b)) for b in (one, batch))
            rate = f"batches of {BATCH}: {1000 * BATCH / together:.0f} plates/s"
            yield Figure(f"one plate of {PLATE[0]} × {PLATE[1]}, {generator.backend}", alone, "ms", rate)


def folder_of_crops(folder: Path) -> Iterator[Figure]:
    """enhance.py on rendered crops as a process, the report included."""
    from data import degrade
    from data.straighten import crop_plate
    from data.synthetic.rendering import render

    spent = []
    for count in CROPS:
        crops = folder / f"crops-{count}"
        crops.mkdir()
        for number in range(count):
            photo, corners, *_ = render(5, number)
            damage = degrade.sample(np.random.default_rng([5, number]), "street")
            crop = degrade.apply(to_float(crop_plate(photo, corners)[0]), damage)[16:80]
            cv2.imwrite(str(crops / f"{number}.jpg"), to_uint8(crop)[..., ::-1])
        spent.append(run_script("enhance.py", crops, "--whole", "--out", folder / f"out-{count}", *network(folder)))
    few, many = spent
    count = CROPS[1] - CROPS[0]
    memory = f"memory {few.mebibytes:.0f} MiB for {CROPS[0]}, {many.mebibytes:.0f} for {CROPS[1]}"
    more = f"{1000 * (many.cpu - few.cpu) / count:.0f} ms of CPU a crop; {memory}"
    yield Figure("`enhance.py`, a folder of crops", count / (many.seconds - few.seconds), "pictures/s", more)


# --- Preprocessing ----------------------------------------------------------------------------------------------------


def preprocess(folder: Path) -> Iterator[Figure]:
    """preprocess.py on two counts of rendered photos; the loop makes the same pairs in one process without Dask."""
    from data.buckets import agree_on_settings
    from data.photos import find_photos
    from data.preprocessing import Recipe, make_pairs

    for count in PHOTO_COUNTS:
        run_script("-m", "data.synthetic", "--out", folder / f"photos-{count}", "--count", count)
    few, many = (folder / f"photos-{count}" for count in PHOTO_COUNTS)
    count = PHOTO_COUNTS[1] - PHOTO_COUNTS[0]
    cv2.setNumThreads(1)
    for straighten in (True, False):
        recipe, way = Recipe(straighten=straighten), "straightened" if straighten else "--no-straighten"
        out = folder / f"loop-{straighten}"
        out.mkdir()
        # makes the folders for the tiles
        agree_on_settings(str(out), recipe, "", 1)
        started = time.process_time()
        for photo in find_photos(str(few)).photos:
            make_pairs(photo, recipe, str(few), str(out))
        loop = (time.process_time() - started) / PHOTO_COUNTS[0]
        flags = () if straighten else ("--no-straighten",)
        less, whole = (
            run_script("preprocess.py", "--raw", raw, "--out", folder / f"{raw.name}-{way}", *flags, ends=(0, 1))
            for raw in (few, many)
        )
        cpu = 1000 * (whole.cpu - less.cpu) / count
        more = f"{cpu:.1f} ms of CPU a photo, {1000 * loop:.1f} in a plain loop; {whole.mebibytes:.0f} MiB a process"
        yield Figure(f"`preprocess.py`, {way}", count / (whole.seconds - less.seconds), "photos/s", more)


# --- Training: one step of each part of configs/shipped.json, on random pictures --------------------------------------


def training(part: str, folder: Path) -> Iterator[Figure]:
    """Windows per second by precision, and the speed of one precision as a multiple of the other's."""
    from models.loading import import_keras

    keras = import_keras()
    from training.devices import choose_precision

    chosen, reason = choose_precision("auto")
    rates = {}
    for precision in ("float32", "mixed_bfloat16"):
        keras.mixed_precision.set_global_policy(precision)
        step, windows = STEPS[part](precision, folder)
        rates[precision] = 1000 * windows / milliseconds(step, repeats=3)
    for precision, rate in rates.items():
        more = f"{rate / rates['float32']:.2f} of float32" if precision != "float32" else ""
        more = ", ".join(filter(None, (more, f"taken by auto: {reason}" if precision == chosen else "")))
        yield Figure(f"training, {part}, {precision}", rate, "windows/s", more)


def wanted(settings: type, section: str) -> dict:
    """What made the shipped network, as far as it is not a default."""
    return read_config(settings, str(RECIPE), section)


def detector_step(precision: str, folder: Path) -> tuple[Callable, int]:
    import keras

    from data.synthetic.detection import SCENE
    from models.detector import STRIDE, build_detector
    from training.detector import TARGETS, Settings, loss_terms

    size = Settings(**wanted(Settings, "detector"), out="detector.keras").batch_size
    model, optimizer = build_detector(), keras.optimizers.AdamW(1e-4, global_clipnorm=4.0)
    model.compile(optimizer, lambda targets, maps: sum(loss_terms(maps, targets).values()), jit_compile=False)
    rng = np.random.default_rng(0)
    scenes = rng.random((size, *SCENE, 3), dtype=np.float32)
    targets = rng.random((size, *(side // STRIDE for side in SCENE), TARGETS), dtype=np.float32)
    return lambda: model.train_on_batch(scenes, targets), size


def recogniser_step(precision: str, folder: Path) -> tuple[Callable, int]:
    import keras

    from losses import GeneralisedCTC
    from models.recogniser import build_recogniser
    from training.recogniser import LONGEST, RecogniserSettings

    settings = RecogniserSettings(**wanted(RecogniserSettings, "recogniser"), tiles="", out="r.keras")
    model, size = build_recogniser(len(CHARACTERS)), settings.batch_size
    model.compile(keras.optimizers.Adam(1e-5, clipnorm=5.0), GeneralisedCTC(settings.loss_power))
    rng = np.random.default_rng(0)
    tiles = rng.random((size, *settings.crop, 3), dtype=np.float32)
    answers = np.zeros((size, LONGEST), np.int32)
    answers[:, :7] = rng.integers(1, len(CHARACTERS) + 1, (size, 7))
    return lambda: model.train_on_batch(tiles, answers), size


def generator_step(precision: str, folder: Path, adversarial: bool) -> tuple[Callable, int]:
    """A step of stage one, or of stage two, the adversarial one."""
    import keras
    import tensorflow as tf

    import train
    from models.recogniser import build_recogniser
    from training.devices import choose_strategy
    from training.settings import Settings

    keras.mixed_precision.set_global_policy("float32")
    eye = folder / "recogniser.keras"
    build_recogniser(len(CHARACTERS)).save(eye)
    write_text(eye.with_suffix(".json"), json.dumps({"characters": CHARACTERS}))
    settings = Settings(
        **wanted(Settings, "generator"), recogniser=str(eye), vgg_weights="random", run=str(folder / "run")
    )
    if not adversarial:
        settings = replace(settings, adversarial_steps=0)
    # which says that VGG's weights are random
    with contextlib.redirect_stdout(sys.stderr):
        trainer = train.make_trainer(settings, choose_strategy()[0], settings.crop, 1, precision)
    rng = np.random.default_rng(0)
    shape = (settings.batch_size, *settings.crop, 3)
    batch = tuple(tf.constant(rng.integers(0, 256, shape, dtype=np.uint8)) for _ in range(2))
    rate = tf.constant(1e-6)

    def step() -> None:
        terms = trainer.adversarial(batch, rate, rate, True, True) if adversarial else trainer.pretrain(batch, rate)
        # waits for the device
        float(terms["mse"])

    return step, settings.batch_size


STEPS: dict[str, Callable[[str, Path], tuple[Callable, int]]] = {
    "detector": detector_step,
    "recogniser": recogniser_step,
    "pretrain": partial(generator_step, adversarial=False),
    "adversarial": partial(generator_step, adversarial=True),
}


def batches(folder: Path) -> Iterator[Figure]:
    """What one process makes of the input of stage one: reading from the cache, augmenting, damaging."""
    from data.dataset import Pairs
    from training.settings import Settings

    settings = Settings(**wanted(Settings, "generator"))
    rng, urls = np.random.default_rng(0), []
    for number in range(64):
        coarse = rng.integers(0, 256, (12, 24, 3), dtype=np.uint8)
        urls.append(str(folder / f"{number}.png"))
        cv2.imwrite(urls[-1], cv2.resize(coarse, (192, 96), interpolation=cv2.INTER_CUBIC))
    pairs = Pairs(tuple(urls), tuple(urls), preset=settings.preset, augment=True, crop=settings.crop)
    cv2.setNumThreads(1)
    taken = milliseconds(lambda: pairs.batch(0, 64)) / 64
    yield Figure("making a window of stage one", taken, "ms", f"{1000 / taken:.0f} windows/s a process")


PARTS: dict[str, Callable[[Path], Iterator[Figure]]] = {
    "start": start,
    "detector": detector,
    "plate": plate,
    "folder": folder_of_crops,
    "preprocess": preprocess,
    "batches": batches,
    **{f"train-{part}": partial(training, part) for part in STEPS},
}


# --- The table --------------------------------------------------------------------------------------------------------


def machine() -> dict:
    try:
        about = Path("/proc/cpuinfo").read_text()
    except OSError:
        about = ""
    names = [line.partition(":")[2].strip() for line in about.splitlines() if line.startswith("model name")]
    versions = {}
    for package in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            versions[package] = version(package)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "flags": [flag for flag in FLAGS if flag in about.split()],
        "system": platform.system(),
        "python": platform.python_version(),
        "packages": versions,
        "code": commit.stdout.strip(),
        "date": time.strftime("%Y-%m-%d"),
    }


def measure(part: str, folder: Path) -> tuple[list[Figure], str]:
    """In a process of its own: the figures, and why there are none or fewer."""
    command = [sys.executable, "-m", "tools.benchmarks.speed", "--one", part, "--out", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    figures = [Figure(*json.loads(line)) for line in done.stdout.splitlines() if line.startswith("[")]
    return figures, "" if done.returncode == 0 else (done.stderr.strip() or "ended early").splitlines()[-1]


def share_of_batches(parts: dict) -> Iterator[Figure]:
    """Of the CPU time of stage one, if all cores do both."""
    known = {figure[0]: figure[1] for part in parts.values() for figure in part["figures"]}
    making = known.get("making a window of stage one")
    steps = [1000 / rate for name, rate in known.items() if name.startswith("training, pretrain, ")]
    if making and steps:
        share = making / (making + (os.cpu_count() or 1) * min(steps))
        yield Figure("batches' share of stage one", 100 * share, "%", "of the CPU time")


def table(report: dict) -> str:
    """Markdown."""
    about, parts = report["machine"], report["parts"]
    versions = ", ".join(f"{name} {number}" for name, number in about["packages"].items())
    rows = [
        f"{about['cpu']}, {about['cores']} cores ({', '.join(about['flags']) or 'no AVX2'}), {about['system']}, Python "
        f"{about['python']}, {versions}; code `{about['code']}`, {about['date']}.\n",
        "| what | | | load |\n| --- | ---: | --- | ---: |",
    ]
    for name, part in parts.items():
        load = f"{part['load']:.1f}"
        rows += [f"| {what} | {value:.3g} {unit} | {more} | {load} |" for what, value, unit, more in part["figures"]]
        if part["problem"]:
            rows.append(f"| {name} | – | {part['problem'].replace('|', '/')} | {load} |")
    rows += [f"| {what} | {value:.3g} {unit} | {more} | |" for what, value, unit, more in share_of_batches(parts)]
    return "\n".join(rows)


def write_table(document: Path, report: dict) -> None:
    """Between the marks. Raises ValueError where they are not there."""
    text = read_text(str(document))
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{document} has no lines {BEGIN} and {END}, between which the table goes")
    write_text(document, f"{head}{BEGIN}\n{table(report)}\n{END}{tail}")


def bench(settings: Settings) -> int:
    """Measure, write and print; the number of parts that failed. Parts that are not asked for keep their figures."""
    if unknown := sorted(set(settings.parts) - set(PARTS)):
        raise ValueError(f"--parts has no {', '.join(unknown)}; known are {', '.join(PARTS)}")
    out = Path(settings.out)
    report = json.loads(read_text(str(out))) if out.exists() and settings.parts else {"parts": {}}
    report["machine"] = machine()
    with tempfile.TemporaryDirectory() as folder:
        for part in settings.parts or PARTS:
            own = Path(folder, part)
            own.mkdir()
            load = os.getloadavg()[0]
            figures, problem = measure(part, own)
            report["parts"][part] = {"load": load, "figures": figures, "problem": problem}
            for what, value, unit, more in figures:
                print(f"{what}: {value:.3g} {unit}{f' ({more})' if more else ''}", flush=True)
            if problem:
                print(f"{part}: {problem}", file=sys.stderr, flush=True)
    report["parts"] = {name: report["parts"][name] for name in PARTS if name in report["parts"]}
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(out, json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    write_table(Path(settings.document or DOCUMENT), report)
    say(f"{settings.out}, and the table in {settings.document or DOCUMENT}")
    return sum(bool(part["problem"]) for part in report["parts"].values())


def run(settings: Settings) -> int:
    """All parts that are asked for, or one of them in this process. Raises ValueError or OSError."""
    prepare_libraries()
    if not settings.one:
        return int(bench(settings) > 0)
    for figure in PARTS[settings.one](Path(settings.out)):
        print(json.dumps(figure), flush=True)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    return run_module("tools.benchmarks.speed", run, Settings, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main())
