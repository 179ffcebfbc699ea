"""Trains the network that finds plates, on rendered pictures alone.

    python -m training.detector --out checkpoints/detector.keras

leaves the archive, a .json with how well it does on rendered validation pictures, and beside it FOLDER (the archive's
name without its ending) with the bank of rendered vehicles and backgrounds, the state and log.csv. Stopped? The same
command goes on where the last saved step ended.
"""

import dataclasses
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np

from data.console import follow_parent, map_ahead, say
from data.files import only_run_in
from data.io import to_float
from data.settings import field, path, require, run_module
from data.synthetic.detection import SCENE, Bank, Scene, make_scene, open_bank
from models.detector import CHANNELS, CORNERS, FLAGS, HEAT, STRIDE, UNIT, Detection, decode, quad_iou
from models.loading import import_keras
from training.run_folder import DETECTOR, STATE_NAME, Log, State, load_begun, remove_parts, restore, save_state

# scenes
VALIDATION = 200
VEHICLES, BACKGROUNDS = 5000, 1600
# batches made in advance
AHEAD = 12
# steps; share of the steps
WARM_UP, DECAY = 300, 0.35
# of each cell: the network's CHANNELS as they should be, and the weights of corners and heat
CORNER_WEIGHT, HEAT_WEIGHT, TARGETS = CHANNELS, CHANNELS + 1, CHANNELS + 2
# of a middle's heat: a cell is the finest that it can resolve
LEAST_SPREAD_PX = 4.5
# of log.csv; "heat" and the two after it are the terms of the loss
COLUMNS = (
    *("step", "heat", "corners", "flags", "learning_rate", "seconds_per_step"),
    *("recall", "threshold", "corner_error"),
)

# settings that may differ when a training goes on; `learning_rate` says how long another number of steps has no effect
INDIFFERENT = ("out", "steps", "validate_every", "log_every", "workers")


@dataclasses.dataclass(frozen=True)
class Settings:
    out: str = field(type=path, help="archive to write (.keras)", metavar="FILE")
    steps: int = field(6400, help="steps of training", metavar="N")
    batch_size: int = field(16, help="scenes per step", metavar="N")
    learning_rate: float = field(2e-3, help="highest learning rate, after the warm-up", metavar="F")
    vehicles: int = field(VEHICLES, help="rendered vehicles that scenes are made of", metavar="N")
    backgrounds: int = field(BACKGROUNDS, help="rendered backgrounds that scenes are made of", metavar="N")
    validate_every: int = field(1000, help="steps between validations, a multiple of --log-every", metavar="N")
    log_every: int = field(100, help="steps between rows of the log; the state is saved then, too", metavar="N")
    workers: int = field(1, help="processes that make scenes", metavar="N")
    seed: int = field(0, help="seed of pictures and weights", metavar="N")

    def __post_init__(self) -> None:
        require(self.out.endswith(".keras"), "--out", "a name that ends in .keras", self.out)
        for name in ("steps", "batch_size", "vehicles", "backgrounds", "validate_every", "log_every", "workers"):
            require(getattr(self, name) >= 1, f"--{name.replace('_', '-')}", "at least 1", getattr(self, name))
        whole = self.validate_every % self.log_every == 0
        require(whole, "--validate-every", f"a multiple of --log-every, {self.log_every}", self.validate_every)


def targets_of(scene: Scene) -> np.ndarray:
    """(H / 8, W / 8, TARGETS) float32 of a scene."""
    rows, columns = SCENE[0] // STRIDE, SCENE[1] // STRIDE
    ys, xs = (np.mgrid[:rows, :columns] + 0.5) * STRIDE
    maps = np.zeros((rows, columns, TARGETS), np.float32)
    maps[..., HEAT_WEIGHT] = 1
    for points in scene.ignored:
        maps[..., HEAT_WEIGHT][_heat(points, xs, ys) > 0.1] = 0
    for points, two, over in zip(scene.corners, scene.two_lines, scene.turned_over, strict=True):
        heat = _heat(points, xs, ys)
        x, y = (points.mean(axis=0) // STRIDE).astype(int)
        if 0 <= x < columns and 0 <= y < rows:
            heat[y, x] = 1
        mine = heat > maps[..., HEAT]
        maps[..., HEAT][mine] = heat[mine]
        kept = mine & (heat > 0.3)
        maps[kept, HEAT_WEIGHT] = 1
        offsets = (points[None, None] - np.stack([xs, ys], -1)[:, :, None]) / UNIT
        maps[kept, CORNERS] = offsets.reshape(rows, columns, 8)[kept]
        maps[kept, FLAGS] = two, over
        height = np.linalg.norm(points[1] - points[2]) + np.linalg.norm(points[0] - points[3])
        # errors count as shares of the plate's height
        maps[kept, CORNER_WEIGHT] = UNIT / max(6.0, height / 2)
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
    follow_parent()
    cv2.setNumThreads(1)
    os.nice(1)
    _bank = open_bank(folder, *arguments)


def _make_batch(seed: int, size: int, number: int) -> tuple[np.ndarray, np.ndarray]:
    scenes = [make_scene(_bank, seed, index) for index in range(number * size, (number + 1) * size)]
    return np.stack([scene.picture for scene in scenes]), np.stack([targets_of(scene) for scene in scenes])


def batches(settings: Settings, folder: Path, steps: range) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(pictures uint8, targets) of each step, made by worker processes ahead of time."""
    arguments = folder / "bank", (settings.seed, settings.vehicles, settings.backgrounds)
    with ProcessPoolExecutor(settings.workers, get_context("spawn"), _start_worker, arguments) as pool:
        try:
            yield from map_ahead(pool, partial(_make_batch, settings.seed, settings.batch_size), steps, AHEAD)
        except BrokenProcessPool:
            raise ChildProcessError("a process that makes scenes was killed; the same command goes on") from None


# --- The loss ---------------------------------------------------------------------------------------------------------


def loss_terms(maps, targets) -> dict:
    """Scalars per term. Heat: quality focal loss (Li et al. 2020, arXiv 2006.04388, Eq. 6, beta 2), over the number of
    plates. Corners: Huber's loss on errors as shares of the plate's height. Two lines, turned over: cross-entropy."""
    from keras import ops

    heat, logit = targets[..., HEAT], maps[..., HEAT]
    entropy = ops.softplus(logit) - heat * logit
    distance = ops.square(heat - ops.sigmoid(logit))
    share = targets[..., CORNER_WEIGHT]
    cells = ops.cast(share > 0, "float32")
    weight = cells * heat
    total = ops.maximum(ops.sum(weight), 1.0)
    error = ops.abs(maps[..., CORNERS] - targets[..., CORNERS]) * share[..., None]
    huber = ops.where(error < 0.1, 5 * ops.square(error), error - 0.05)
    flags = ops.softplus(maps[..., FLAGS]) - targets[..., FLAGS] * maps[..., FLAGS]
    return {
        "heat": 4 * ops.sum(targets[..., HEAT_WEIGHT] * distance * entropy) / total,
        "corners": ops.sum(weight * ops.mean(huber, axis=-1)) / total,
        "flags": 0.2 * ops.sum(weight[..., None] * flags) / total,
    }


# --- Training ---------------------------------------------------------------------------------------------------------


def train(settings: Settings) -> None:
    """Train, write the archive, and print how well it does. Raises ValueError for a folder that another run holds, or
    whose state is damaged or of other settings; OSError where it cannot be written."""
    # also made here
    with only_run_in(str(Path(settings.out).with_suffix("")), "--out"):
        about = train_alone(settings)
    say(json.dumps(about["validation"]))


def train_alone(settings: Settings) -> dict:
    """`train` in a folder that no other run writes to; returns what the .json beside the archive says."""
    out = Path(settings.out)
    folder = out.with_suffix("")
    # before the bank, which would be rendered anew for another seed
    begun = load_begun(folder / STATE_NAME, dataclasses.asdict(settings), INDIFFERENT)
    if begun and (steps := begun[1].get("settings", {}).get("steps", settings.steps)) != settings.steps:
        say(f"goes on with a training of --steps {steps} (now {settings.steps})")
    keras = import_keras()
    from models.detector import build_detector
    from training.networks import write_archive

    remove_parts(folder)
    cores = os.cpu_count() or 1
    open_bank(folder / "bank", settings.seed, settings.vehicles, settings.backgrounds, cores)
    held_out = open_bank(folder / "validation", settings.seed + 1, VALIDATION, VALIDATION // 2, cores)
    keras.utils.set_random_seed(settings.seed)
    model = build_detector()
    optimizer = keras.optimizers.AdamW(settings.learning_rate, weight_decay=1e-4, global_clipnorm=4.0)
    optimizer.build(model.trainable_variables)
    fit(settings, model, optimizer, held_out, begun)
    about = {
        "kind": "detector",
        "settings": dataclasses.asdict(settings) | {"out": out.name},
        "validation": validate(model, held_out, settings.seed + 1),
    }
    write_archive(model, out, about)
    return about


def fit(settings: Settings, model, optimizer, held_out: Bank, begun: State | None) -> None:
    """Train to the last step, from the state `begun` where there is one; logs, and saves the state. Raises
    KeyboardInterrupt after a step during which the user stopped it: inside TensorFlow, an exception comes out as any
    other."""
    import tensorflow as tf
    from tqdm import tqdm

    from training.loop import stoppable

    @tf.function
    def step(pictures, targets):
        with tf.GradientTape() as tape:
            maps = model(tf.cast(pictures, tf.float32) / 255, training=True)
            terms = loss_terms(maps, targets)
            loss = sum(terms.values())
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return terms

    folder = Path(settings.out).with_suffix("")
    state, done = {DETECTOR: [*model.variables, *optimizer.variables]}, 0
    if begun:
        restore(state, begun[0])
        done = begun[1]["step"]
    log = Log(folder / "log.csv", COLUMNS, texts=())
    log.keep(lambda row: row["step"] <= done)

    def save(number: int) -> None:
        save_state(folder / STATE_NAME, state, {"step": number, "settings": dataclasses.asdict(settings)})

    since: list[dict] = []
    began = time.perf_counter()
    asked = SimpleNamespace(stop_asked=False)
    with stoppable(asked), tqdm(initial=done, total=settings.steps, unit="step", desc="detector", disable=None) as bar:
        for number, some in enumerate(batches(settings, folder, range(done, settings.steps)), start=done + 1):
            optimizer.learning_rate.assign(learning_rate(settings, number))
            since.append({name: float(value) for name, value in step(*some).items()})
            bar.update()
            if not np.isfinite(list(since[-1].values())).all():
                raise ValueError(f"step {number}: the loss is not finite: {since[-1]}")
            last = number == settings.steps
            if number % settings.log_every == 0 or last:
                row = {name: float(np.mean([each[name] for each in since])) for name in since[0]}
                bar.set_postfix({name: f"{value:.3f}" for name, value in row.items()})
                row |= {"step": number, "learning_rate": learning_rate(settings, number)}
                row["seconds_per_step"] = (time.perf_counter() - began) / len(since)
                if number % settings.validate_every == 0 or last:
                    row |= validate(model, held_out, settings.seed + 1)
                log.add(row)
                save(number)
                since, began = [], time.perf_counter()
            if asked.stop_asked:
                save(number)
                raise KeyboardInterrupt


def learning_rate(settings: Settings, step: int) -> float:
    """Warm-up, then constant, then down to zero over the last part. Before that part the number of steps has no effect,
    and can still be changed."""
    left = (settings.steps - step) / (DECAY * settings.steps)
    return settings.learning_rate * min(1.0, step / WARM_UP, left)


def validate(model, bank: Bank, seed: int) -> dict[str, float]:
    """One look at VALIDATION rendered scenes: plates found at the score that gives one false plate in twenty pictures,
    and the corners' error there as a share of the plate's height (median)."""
    found, plates = [], 0
    for index in range(VALIDATION):
        scene = make_scene(bank, seed, index)
        maps = np.asarray(model(to_float(scene.picture[None]), training=False))[0]
        found += compared(decode(maps, 0.1), scene)
        plates += len(scene.corners)
    scores, errors = np.array(found).reshape(-1, 2).T
    order = np.argsort(scores)[::-1]
    right = np.isfinite(errors[order])
    allowed = int(np.searchsorted(np.cumsum(~right), VALIDATION // 20, side="right"))
    kept = right[:allowed]
    threshold = float(scores[order][allowed - 1]) if allowed else 1.0
    middle = float(np.median(errors[order][:allowed][kept])) if kept.any() else 1.0
    return {"recall": float(kept.sum() / max(1, plates)), "threshold": threshold, "corner_error": middle}


def compared(found: Sequence[Detection], scene: Scene) -> list[tuple[float, float]]:
    """(score, the corners' error as a share of the plate's height, or infinity for a false plate) of each plate found;
    without those in places that do not count."""
    free, rows = list(scene.corners), []
    for plate in found:
        if any(quad_iou(plate.corners, points) > 0.1 for points in scene.ignored):
            continue
        ious = [quad_iou(plate.corners, points) for points in free]
        error = np.inf
        if ious and max(ious) > 0.5:
            truth = free.pop(int(np.argmax(ious)))
            height = np.linalg.norm(truth[1] - truth[2])
            error = float(np.linalg.norm(plate.corners - truth, axis=1).mean() / height)
        rows.append((plate.score, error))
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    again = "the same command goes on from the saved state"
    return run_module("training.detector", train, Settings, __doc__, argv, section="detector", when_stopped=again)


if __name__ == "__main__":
    sys.exit(main())
