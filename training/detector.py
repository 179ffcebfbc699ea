"""Trains the network that finds plates, on rendered pictures alone.

    python -m training.detector --out checkpoints/detector.keras

leaves the archive, a .json with how well it does on rendered validation pictures, and beside it FOLDER (the archive's
name without its ending) with the bank of rendered vehicles and backgrounds, the state and log.csv. Stopped? The same
command goes on where the last saved step ended.
"""

import argparse
import csv
import json
import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

from data.environment import prepare_libraries
from data.synthetic.detection import SCENE, Bank, Scene, make_scene, open_bank
from models.detector import STRIDE, UNIT

VALIDATION = 200  # scenes
VEHICLES, BACKGROUNDS = 5000, 1600
WARM_UP, DECAY = 300, 0.35  # steps; share of the steps
TARGETS = 13  # heat, 8 corners, two lines, turned over, weight of the corners, weight of the heat
LEAST_SPREAD_PX = 4.5  # of a middle's heat: finer than a cell nothing can be told


def targets_of(scene: Scene) -> np.ndarray:
    """(H / 8, W / 8, TARGETS) float32 of a scene."""
    rows, columns = SCENE[0] // STRIDE, SCENE[1] // STRIDE
    ys, xs = (np.mgrid[:rows, :columns] + 0.5) * STRIDE
    maps = np.zeros((rows, columns, TARGETS), np.float32)
    maps[..., 12] = 1
    for points in scene.ignored:
        maps[..., 12][_heat(points, xs, ys) > 0.1] = 0
    for points, two, over in zip(scene.corners, scene.two_lines, scene.turned_over, strict=True):
        heat = _heat(points, xs, ys)
        x, y = (points.mean(axis=0) // STRIDE).astype(int)
        if 0 <= x < columns and 0 <= y < rows:
            heat[y, x] = 1
        mine = heat > maps[..., 0]
        maps[..., 0][mine] = heat[mine]
        kept = mine & (heat > 0.3)
        maps[..., 12][kept] = 1
        offsets = (points[None, None] - np.stack([xs, ys], -1)[:, :, None]) / UNIT
        maps[kept, 1:9] = offsets.reshape(rows, columns, 8)[kept]
        maps[kept, 9], maps[kept, 10] = two, over
        height = np.linalg.norm(points[1] - points[2]) + np.linalg.norm(points[0] - points[3])
        maps[kept, 11] = UNIT / max(6.0, height / 2)  # errors count as shares of the plate's height
    return maps


def _heat(points: np.ndarray, xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
    """(H, W): how near each cell is to the plate's middle, 1 there, falling along its own axes."""
    across, down = (
        (points[0] - points[1] + points[3] - points[2]) / 4,
        (points[1] - points[2] + points[0] - points[3]) / 4,
    )
    away = np.stack([xs, ys], -1) - points.mean(axis=0)
    u, v = np.moveaxis(away @ np.linalg.inv(np.column_stack([across, down])).T, -1, 0)
    spread = [max(share, LEAST_SPREAD_PX / np.linalg.norm(axis)) for share, axis in ((0.2, across), (0.35, down))]
    return np.exp(-0.5 * ((u / spread[0]) ** 2 + (v / spread[1]) ** 2)).astype(np.float32)


# --- Batches ----------------------------------------------------------------------------------------------------------

_bank: Bank | None = None


def _start_worker(folder: Path, arguments: tuple) -> None:
    global _bank
    cv2.setNumThreads(1)
    os.nice(1)
    _bank = open_bank(folder, *arguments)


def _make_batch(seed: int, number: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    scenes = [make_scene(_bank, seed, index) for index in range(number * size, (number + 1) * size)]
    return np.stack([scene.picture for scene in scenes]), np.stack([targets_of(scene) for scene in scenes])


def batches(flags: argparse.Namespace, folder: Path, steps: range) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(pictures uint8, targets) of each step, made by worker processes ahead of time."""
    arguments = folder / "bank", (flags.seed, flags.vehicles, flags.backgrounds)
    with ProcessPoolExecutor(flags.workers, get_context("spawn"), _start_worker, arguments) as pool:
        pending: deque = deque()
        for step in range(steps.start, steps.stop + 12):
            if step < steps.stop:
                pending.append(pool.submit(_make_batch, flags.seed, step, flags.batch_size))
            if step >= steps.start + 12 or step >= steps.stop:
                if not pending:
                    return
                yield pending.popleft().result()


# --- The loss ---------------------------------------------------------------------------------------------------------


def loss_terms(maps, targets) -> dict:
    """Scalars per term. Heat: quality focal loss (Li et al. 2020, arXiv 2006.04388, Eq. 6, beta 2), over the number of
    plates. Corners: Huber's loss on errors as shares of the plate's height. Two lines, turned over: cross-entropy."""
    from keras import ops

    heat, logit = targets[..., 0], maps[..., 0]
    entropy = ops.softplus(logit) - heat * logit
    distance = ops.square(heat - ops.sigmoid(logit))
    cells = ops.cast(targets[..., 11] > 0, "float32")
    weight = cells * heat
    total = ops.maximum(ops.sum(weight), 1.0)
    error = ops.abs(maps[..., 1:9] - targets[..., 1:9]) * targets[..., 11:12]
    huber = ops.where(error < 0.1, 5 * ops.square(error), error - 0.05)
    flags = ops.softplus(maps[..., 9:11]) - targets[..., 9:11] * maps[..., 9:11]
    return {
        "heat": 4 * ops.sum(targets[..., 12] * distance * entropy) / total,
        "corners": ops.sum(weight * ops.mean(huber, axis=-1)) / total,
        "flags": 0.2 * ops.sum(weight[..., None] * flags) / total,
    }


# --- Training ---------------------------------------------------------------------------------------------------------


def train(flags: argparse.Namespace) -> dict:
    """Train and write the archive; returns what the .json beside it says."""
    prepare_libraries()
    import keras
    import tensorflow as tf

    from models.detector import build_detector
    from training.networks import write_archive

    out = Path(flags.out)
    folder = out.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    open_bank(folder / "bank", flags.seed, flags.vehicles, flags.backgrounds, os.cpu_count() or 1)
    held_out = open_bank(folder / "validation", flags.seed + 1, VALIDATION, VALIDATION // 2, os.cpu_count() or 1)
    keras.utils.set_random_seed(flags.seed)
    model = build_detector()
    optimizer = keras.optimizers.AdamW(flags.learning_rate, weight_decay=1e-4, global_clipnorm=4.0)
    optimizer.build(model.trainable_variables)
    state = [*model.variables, *optimizer.variables]
    done = load_state(folder / "state.npz", state)

    @tf.function
    def step(pictures, targets):
        with tf.GradientTape() as tape:
            maps = model(tf.cast(pictures, tf.float32) / 255, training=True)
            terms = loss_terms(maps, targets)
            loss = sum(terms.values())
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return terms

    from tqdm import tqdm

    bar, sums, began = tqdm(initial=done, total=flags.steps, unit="step", desc="detector"), [], time.perf_counter()
    for number, (pictures, targets) in enumerate(batches(flags, folder, range(done, flags.steps)), start=done + 1):
        optimizer.learning_rate.assign(learning_rate(flags, number))
        terms = {name: float(value) for name, value in step(pictures, targets).items()}
        if not np.isfinite(list(terms.values())).all():
            raise ValueError(f"step {number}: the loss is not finite: {terms}")
        sums.append(terms)
        bar.update()
        if number % flags.log_every == 0 or number == flags.steps:
            means = {name: float(np.mean([row[name] for row in sums])) for name in terms}
            seconds = (time.perf_counter() - began) / len(sums)
            row = {
                "step": number,
                **means,
                "learning_rate": float(optimizer.learning_rate),
                "seconds_per_step": seconds,
            }
            if number % flags.validate_every == 0 or number == flags.steps:
                row |= validate(model, held_out, flags.seed + 1)
            write_row(folder / "log.csv", row)
            bar.set_postfix({name: f"{value:.3f}" for name, value in row.items() if name != "step"})
            save_state(folder / "state.npz", state, number)
            sums, began = [], time.perf_counter()
    bar.close()
    about = {
        "kind": "detector",
        "settings": vars(flags) | {"out": out.name},
        "validation": validate(model, held_out, flags.seed + 1),
    }
    write_archive(model, out, about)
    return about


def learning_rate(flags: argparse.Namespace, step: int) -> float:
    """Warm-up, then constant, then down to nothing over the last part: until there, the number of steps changes
    nothing, and may still be chosen."""
    left = (flags.steps - step) / (DECAY * flags.steps)
    return flags.learning_rate * min(1.0, step / WARM_UP, left)


def validate(model, bank: Bank, seed: int) -> dict[str, float]:
    """One look at VALIDATION rendered scenes: plates found at the score at which one false plate comes in twenty
    pictures, and the corners' error there as a share of the plate's height (median)."""
    from models.detector import decode, quad_iou

    scores, hits, errors, plates = [], [], [], 0
    for index in range(VALIDATION):
        scene = make_scene(bank, seed, index)
        maps = np.asarray(model(np.float32(scene.picture[None]) / 255, training=False))[0]
        found = decode(maps, 0.1)
        free = list(scene.corners)
        plates += len(free)
        for plate in found:
            ious = [quad_iou(plate.corners, points) for points in free]
            if any(quad_iou(plate.corners, points) > 0.1 for points in scene.ignored):
                continue
            hit = bool(ious) and max(ious) > 0.5
            scores.append(plate.score)
            hits.append(hit)
            if hit:
                truth = free.pop(int(np.argmax(ious)))
                height = np.linalg.norm(truth[1] - truth[2])
                errors.append(np.linalg.norm(plate.corners - truth, axis=1).mean() / height)
            else:
                errors.append(np.nan)
    order = np.argsort(scores)[::-1]
    hits = np.array(hits, bool)[order]
    allowed = int(np.searchsorted(np.cumsum(~hits), VALIDATION // 20, side="right"))
    kept = hits[:allowed]
    threshold = float(np.array(scores)[order][allowed - 1]) if allowed else 1.0
    middle = float(np.median(np.array(errors)[order][:allowed][kept])) if kept.any() else 1.0
    return {"recall": float(kept.sum() / max(1, plates)), "threshold": threshold, "corner_error": middle}


def load_state(path: Path, variables: list) -> int:
    """The step saved in `path`, 0 where there is none; fills the variables."""
    if not path.exists():
        return 0
    with np.load(path) as saved:
        for index, variable in enumerate(variables):
            variable.assign(saved[str(index)])
        return int(saved["step"])


def save_state(path: Path, variables: list, step: int) -> None:
    part = path.with_name("state.part.npz")
    np.savez(part, step=step, **{str(index): np.asarray(variable) for index, variable in enumerate(variables)})
    os.replace(part, path)


def write_row(path: Path, row: dict) -> None:
    columns = [
        "step",
        "heat",
        "corners",
        "flags",
        "learning_rate",
        "seconds_per_step",
        "recall",
        "threshold",
        "corner_error",
    ]
    begun = path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        if not begun:
            writer.writeheader()
        writer.writerow({name: f"{value:.6g}" for name, value in row.items()})


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.detector",
        description=__doc__.split("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--out", required=True, metavar="FILE", help="the archive to write (.keras)")
    parser.add_argument("--steps", type=int, default=10000, help="training steps")
    parser.add_argument("--batch-size", type=int, default=16, help="scenes a step")
    parser.add_argument("--learning-rate", type=float, default=2e-3, help="the highest, after the warm-up")
    parser.add_argument("--vehicles", type=int, default=VEHICLES, help="rendered vehicles in the bank")
    parser.add_argument("--backgrounds", type=int, default=BACKGROUNDS, help="rendered backgrounds in the bank")
    parser.add_argument("--validate-every", type=int, default=1000, metavar="STEPS", help="a multiple of --log-every")
    parser.add_argument("--log-every", type=int, default=100, metavar="STEPS", help="log and save the state")
    parser.add_argument("--workers", type=int, default=1, help="processes that make scenes")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other pictures and weights")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    flags = parse(argv)
    try:
        if not flags.out.endswith(".keras"):
            raise ValueError(f"--out must end in .keras, got {flags.out}")
        about = train(flags)
    except (ValueError, OSError) as error:
        print(f"training.detector: {error}", file=sys.stderr)
        return 2
    print(json.dumps(about["validation"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
