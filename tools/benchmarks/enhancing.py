"""How fast enhancing is on this machine: one plate, batches, a folder, start-up, and whether memory grows.

    python -m tools.benchmarks.enhancing                      # a generator of the default size with random weights
    python -m tools.benchmarks.enhancing --pictures 100000    # memory over a long run (the default: 300 against 3,000)

prints Markdown tables; leaves nothing. The load of the machine stands above them: figures of a busy machine say little.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from data.console import prepare_libraries

ROOT = Path(__file__).resolve().parents[2]
# a tile, and what a crop of an ordinary 3:1 plate is padded to
SIZES = ((96, 192), (64, 192))
BATCH = 16
FORMATS = {"onnx": "generator.onnx", "saved_model": "saved_model", "litert": "generator.tflite"}


def backends(archive: Path, folder: Path) -> dict[str, Callable]:
    """Every way to run the generator, by name: (N, H, W, 3) float32 -> the same."""
    from models.enhancer import load_generator
    from tools import export

    runs = {f"Keras, {precision}": load_generator(archive, precision).run for precision in ("float32", "bfloat16")}
    for format, name in FORMATS.items():
        export.export(export.Settings(str(archive), format, str(folder / name)))
        runs[f"{format} ({'ONNX Runtime' if format == 'onnx' else 'TensorFlow'}), float32"] = export.READERS[format](
            str(folder / name)
        )
    return runs


def milliseconds(run: Callable, batch: np.ndarray, seconds: float) -> tuple[float, float]:
    """(median, least) over as many runs as fit into the time, warm."""
    for _ in range(3):
        np.asarray(run(batch))
    times, end = [], time.perf_counter() + seconds
    while len(times) < 5 or time.perf_counter() < end:
        started = time.perf_counter()
        np.asarray(run(batch))
        times.append(1000 * (time.perf_counter() - started))
    return float(np.median(times)), min(times)


def single_and_batches(runs: dict[str, Callable], seconds: float) -> None:
    print(
        f"\n| back end | {' | '.join(f'one plate {h} x {w}, ms (least)' for h, w in SIZES)} | batch of {BATCH}, "
        "plates/s |"
    )
    print("| --- | ---: | ---: | ---: |")
    rng = np.random.default_rng(0)
    for name, run in runs.items():
        cells = []
        for size in SIZES:
            median, least = milliseconds(run, rng.random((1, *size, 3), dtype=np.float32), seconds)
            cells.append(f"{median:.1f} ({least:.1f})")
        median, _ = milliseconds(run, rng.random((BATCH, *SIZES[0], 3), dtype=np.float32), seconds)
        print(f"| {name} | {' | '.join(cells)} | {1000 * BATCH / median:.0f} |", flush=True)


def make_pictures(folder: Path, count: int) -> None:
    """Noise as JPEG, of the sizes that crops have; few different ones under many names, by hard links."""
    from PIL import Image

    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for i in range(count):
        path = folder / f"{i:06d}.jpg"
        if i < 50:
            width = int(rng.integers(80, 320))
            noise = rng.integers(0, 256, (width // 3, width, 3), dtype=np.uint8)
            Image.fromarray(noise).save(path)
        else:
            os.link(folder / f"{i % 50:06d}.jpg", path)


def timed_run(checkpoint: Path, pictures: Path, out: Path) -> tuple[float, float, str]:
    """Run enhance.py as a process of its own: (seconds, peak memory in MiB, its last line)."""
    code = (
        "import sys, enhance; from tools.benchmarks.memory import peak_mib; code = enhance.main(sys.argv[1:]); "
        "print(peak_mib()); sys.exit(code)"
    )
    command = [sys.executable, "-c", code, str(pictures), "--out", str(out), "--checkpoint", str(checkpoint)]
    started = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    *_, summary, mebibytes = done.stdout.strip().splitlines()
    return seconds, float(mebibytes), summary


def start_up_and_folders(checkpoints: dict[str, Path], folder: Path, counts: list[int]) -> None:
    print("\n| enhance.py, all of it | pictures | s | pictures/s | peak memory, MiB |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for count in [1, *counts]:
        make_pictures(folder / f"in{count}", count)
    for name, checkpoint in checkpoints.items():
        for count in [1, *counts]:
            seconds, mebibytes, _ = timed_run(checkpoint, folder / f"in{count}", folder / f"out-{name}-{count}")
            print(f"| {name} | {count:,} | {seconds:.2f} | {count / seconds:.1f} | {mebibytes:.0f} |", flush=True)


def random_generator(path: Path) -> Path:
    import keras

    from models.generator import build_generator

    keras.utils.set_random_seed(0)
    build_generator().save(path)
    return path


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--checkpoint", help="a .keras generator; None: the default size, random weights")
    parser.add_argument("--pictures", type=int, default=3000, help="of the longer folder run")
    parser.add_argument("--seconds", type=float, default=5.0, help="for each figure of the first table")
    parser.add_argument("--onnx-only", action="store_true", help="of the folder runs, those through ONNX Runtime only")
    arguments = parser.parse_args(argv)
    prepare_libraries()
    print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        archive = Path(arguments.checkpoint or random_generator(folder / "generator.keras"))
        single_and_batches(backends(archive, folder), arguments.seconds)
        files = {"ONNX Runtime": folder / FORMATS["onnx"], "Keras": archive}
        if arguments.onnx_only:
            del files["Keras"]
        start_up_and_folders(files, folder, sorted({min(300, arguments.pictures), arguments.pictures}))
    print(f"\nload average at the end: {os.getloadavg()[0]:.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
