"""How fast training is on this machine: tiles per second of both stages by precision and batch, and what the data
costs.

    python -m tools.benchmarks.training
    python -m tools.benchmarks.training --precisions float32 mixed_bfloat16 --batch-sizes 16 32 64     # on a GPU

prints Markdown tables; leaves nothing. Every figure comes from a process of its own. CPU seconds per tile tell more
than tiles per second where other programs run beside it; the load of the machine stands above the tables.
"""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from data.console import prepare_libraries
from tools.benchmarks.memory import peak_mib

ROOT = Path(__file__).resolve().parents[2]
TILE = (96, 192)
STAGES = ("pretrain", "adversarial")
DATA_TILES = 64


def measure(stage: str, precision: str, batch_size: int, steps: int) -> dict:
    """One stage with the default networks on random pictures that lie in memory already."""
    prepare_libraries()
    import tensorflow as tf

    import train
    from training.devices import choose_strategy
    from training.settings import Settings

    adversarial_steps = int(stage == "adversarial")
    settings = Settings(batch_size=batch_size, adversarial_steps=adversarial_steps, vgg_weights="random")
    trainer = train.make_trainer(settings, choose_strategy()[0], TILE, 1, precision)
    rng = np.random.default_rng(0)
    batch = tuple(tf.constant(rng.integers(0, 256, (batch_size, *TILE, 3), dtype=np.uint8)) for _ in range(2))
    rate = tf.constant(1e-5)

    def step() -> None:
        terms = (
            trainer.adversarial(batch, rate, rate, True, True) if adversarial_steps else trainer.pretrain(batch, rate)
        )
        # waits for the device
        float(terms["mse"])

    for _ in range(2):
        step()
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(steps):
        step()
    seconds, cpu = time.perf_counter() - wall, time.process_time() - cpu
    tiles = steps * batch_size
    return {"tiles_per_second": tiles / seconds, "cpu_ms": 1000 * cpu / tiles, "peak_mb": _peak_megabytes()}


def _peak_megabytes() -> float:
    """Of the GPU where there is one, else of this process."""
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        return tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**20
    return peak_mib()


def measure_in_a_process(*arguments) -> dict | None:
    """None where that ran out of memory, or of patience."""
    command = [sys.executable, "-m", "tools.benchmarks.training", "--one", *map(str, arguments)]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=900)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return None
    return json.loads(done.stdout.splitlines()[-1])


def steps_table(precisions: list[str], batch_sizes: list[int], steps: int) -> None:
    print("\n| stage | precision | batch | tiles/s | against float32 | CPU ms per tile | peak memory, MB |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for stage in STAGES:
        for batch_size in batch_sizes:
            plain = None
            for precision in precisions:
                found = measure_in_a_process(stage, precision, batch_size, steps)
                if found is None:
                    print(f"| {stage} | {precision} | {batch_size} | did not finish | | | |", flush=True)
                    continue
                speed = found["tiles_per_second"]
                plain = speed if precision == "float32" else plain
                ratio = f"{speed / plain:.2f}" if plain else ""
                cells = f"{speed:.1f} | {ratio} | {found['cpu_ms']:.0f} | {found['peak_mb']:.0f}"
                print(f"| {stage} | {precision} | {batch_size} | {cells} |", flush=True)


def data_table(seconds: float) -> None:
    """What one process makes of the input: reading, augmenting, degrading."""
    from PIL import Image

    from data.dataset import Pairs

    print("\n| input, one process | ms per pair | pairs/s |\n| --- | ---: | ---: |")
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        urls = tuple(f"{folder}/{index}.png" for index in range(DATA_TILES))
        for url in urls:
            coarse = Image.fromarray(rng.integers(0, 256, (12, 24, 3), dtype=np.uint8))
            coarse.resize(TILE[::-1], Image.Resampling.BICUBIC).save(url)
        stored = Pairs(urls, urls, urls, augment=True)
        fresh = dataclasses.replace(stored, lq_urls=(), preset="street")
        for name, pairs in {"stored pairs": stored, "--degrade-online": fresh}.items():
            count, start = 0, time.perf_counter()
            while time.perf_counter() - start < seconds:
                pairs.pair(count, count % DATA_TILES)
                count += 1
            milliseconds = 1000 * (time.perf_counter() - start) / count
            print(f"| {name} | {milliseconds:.2f} | {1000 / milliseconds:.0f} |", flush=True)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--precisions", nargs="+", default=["float32", "mixed_bfloat16"])
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[16, 32])
    parser.add_argument("--steps", type=int, default=5, help="steps timed for each figure")
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.one:
        stage, precision, batch_size, steps = arguments.one
        print(json.dumps(measure(stage, precision, int(batch_size), int(steps))))
        return 0
    print(f"{_processor()}, {os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}")
    steps_table(arguments.precisions, arguments.batch_sizes, arguments.steps)
    data_table(seconds=3.0)
    print(f"\nload average at the end: {os.getloadavg()[0]:.1f}")
    return 0


def _processor() -> str:
    """The CPU's name and which of bfloat16's instructions it has."""
    from training.devices import cpu_features

    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown CPU")
    features = sorted(cpu_features() & {"amx_bf16", "avx512_bf16"})
    return f"{name} ({', '.join(features) or 'no bfloat16'})"


if __name__ == "__main__":
    sys.exit(main())
