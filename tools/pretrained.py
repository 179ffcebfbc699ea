"""Makes the shipped networks again, from nothing: every step of configs/shipped.json, in order.

    python -m tools.pretrained
    python -m tools.pretrained --list

A step that was stopped goes on where it was; a step that is done is not done again. Leaves the photos and tiles in
datasets/shipped, the runs in checkpoints/shipped, and in the end the networks in checkpoints/pretrained. Each step
starts from nothing or from a step before it in the list, never from networks that shipped earlier.
"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data.console import say
from data.files import read_text, write_bytes, write_text
from data.settings import field, path, run_module

# in the folder of the runs: minutes that each finished step took
LEDGER = "steps.json"
NETWORKS = ("detector", "recogniser", "pretrain", "generator")
# of these a run of train.py leaves the archives
GENERATORS = ("pretrain", "generator")
# a round trains the recogniser, then a generator around it
ROUND = ("recogniser", "generator")


@dataclass(frozen=True)
class Settings:
    recipe: str = field("configs/shipped.json", type=path, help="the recipe", metavar="FILE")
    datasets: str = field("datasets/shipped", type=path, help="folder for photos and tiles", metavar="DIR")
    runs: str = field("checkpoints/shipped", type=path, help="folder for the runs", metavar="DIR")
    install: str = field("checkpoints/pretrained", type=path, help="folder that the networks go to", metavar="DIR")
    vgg_weights: str = field("imagenet", help="as of train.py: imagenet is a download", metavar="WEIGHTS")
    real: tuple[str, ...] = field(
        (), type=path, nargs="+", metavar="DIR", help="real pictures whose text is known, by which trust is fitted, too"
    )
    list: bool = field(False, help="only say what is left to do")


@dataclass(frozen=True)
class Step:
    """One command of Python's. minutes: that it takes on two cores of an AMD EPYC, by the recipe. fresh: a folder that
    a stopped command leaves half made, and that is made anew. begun: the file of a run that goes on with --resume."""

    name: str
    command: tuple[str, ...]
    minutes: float
    fresh: Path | None = None
    begun: Path | None = None

    def arguments(self) -> list[str]:
        """Of Python, now: a run that has begun is resumed, with the settings that it has."""
        if self.begun is None or not self.begun.exists():
            return [sys.executable, *self.command]
        return [sys.executable, self.command[0], "--run", str(self.begun.parent), "--resume"]


def steps(settings: Settings, recipe: dict) -> list[Step]:
    """All steps of the recipe, in order. Recogniser and generator are trained in rounds, each from where the one before
    ended, with what its entry in "further_rounds" changes. Each generator is built on the recogniser of its round; the
    networks of the last round ship."""
    runs, datasets, config = Path(settings.runs), Path(settings.datasets), ("--config", settings.recipe)
    photos, tiles = str(datasets / "photos"), str(datasets / "tiles")
    minutes = recipe["minutes"]

    def step(name: str, *command: str, **more) -> Step:
        return Step(name, command, minutes[name] if name in minutes else minutes[name.split()[0]], **more)

    def trained(name: str, out: Path, *more: str) -> Step:
        return step(name, "-m", f"training.{name.split()[0]}", *config, *more, "--out", str(out))

    def drawn(name: str, run: Path, recogniser: Path, *more: str) -> Step:
        networks = ("--recogniser", str(recogniser), "--vgg-weights", settings.vgg_weights)
        command = ("train.py", *config, *more, "--tiles", tiles, "--run", str(run), *networks)
        return step(name, *command, begun=run / "config.json")

    def exported(name: str) -> Step:
        archive, onnx = files_of(name, runs, recipe)
        return step(f"export {name}", "export.py", "--checkpoint", str(archive), "--format", "onnx", "--out", str(onnx))

    found = [_photos(part, recipe, config, photos, minutes["photos"]) for part in range(recipe["photo_parts"])]
    found += [
        step("tiles", "preprocess.py", *config, "--raw", photos, "--out", tiles),
        trained("detector", runs / "detector.keras"),
    ]
    begun: tuple[str, ...] = ()
    for number, changes in enumerate([{}, *recipe["further_rounds"]], start=1):
        names = [name if number == 1 else f"{name} {number}" for name in ROUND]
        recogniser, run = _round(runs, number)
        changed = [_flags(changes.get(name, {})) for name in ROUND]
        found.append(trained(names[0], recogniser, *changed[0], "--tiles", tiles, *begun))
        found.append(drawn(names[1], run, recogniser, *changed[1], *begun))
        # the archive carries the recogniser of its round, rounded as it ships
        begun = ("--init", str(run / "pretrain.keras"))
    # before trust is fitted, which goes by the recogniser beside the generator
    found.append(exported("recogniser"))
    for name in GENERATORS:
        given = _flags({"strength": recipe["strengths"][name], "checkpoint": files_of(name, runs, recipe)[0]})
        real = ("--real", *settings.real) if settings.real else ()
        command = "-m", "enhancing.calibrate", "--tiles", tiles, "--write", *given, *real
        found.append(step(f"calibrate {name}", *command))
    return found + [exported(name) for name in NETWORKS if name != "recogniser"]


def files_of(network: str, runs: Path, recipe: dict) -> tuple[Path, Path]:
    """The archive of a network that ships, and its `.onnx` file, where the steps leave them."""
    recogniser, run = _round(runs, 1 + len(recipe["further_rounds"]))
    if network == "recogniser":
        # trust is fitted with the one beside the generators
        return recogniser, run / "recogniser.onnx"
    archive = (run if network in GENERATORS else runs) / f"{network}.keras"
    return archive, archive.with_suffix(".onnx")


def _round(runs: Path, number: int) -> tuple[Path, Path]:
    """A round's recogniser, and the folder of its generator's run."""
    folder = runs / f"round-{number}"
    return folder / "recogniser.keras", folder / "generator"


def _flags(values: dict) -> list[str]:
    """Settings of a recipe as flags, which override those of its section: --learning-rate 0.001."""
    given = [(f"--{name.replace('_', '-')}", value) for name, value in values.items()]
    return [part for flag, value in given for part in (flag, *map(str, value if isinstance(value, list) else [value]))]


def read_recipe(settings: Settings) -> tuple[dict, list[Step]]:
    """The recipe with its steps. Raises ValueError that names the file where it cannot be read or lacks something."""
    try:
        recipe = json.loads(read_text(settings.recipe))
        return recipe, steps(settings, recipe)
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else error
        raise ValueError(f"--recipe {settings.recipe} cannot be used: {reason}") from error


def _photos(part: int, recipe: dict, config: tuple[str, ...], photos: str, minutes: float) -> Step:
    """The renderer cannot go on with half a folder, so the photos come in parts, each with a seed of its own."""
    folder, seed = f"{photos}/part-{part:02d}", str(recipe["photos"]["seed"] + part)
    command = ("-m", "data.synthetic", *config, "--out", folder, "--seed", seed)
    return Step(f"photos {part + 1}", command, minutes / recipe["photo_parts"], fresh=Path(folder))


def left(todo: Sequence[Step], ledger: dict[str, float], every: Sequence[Step]) -> str:
    """What is left to do, and how long that takes at the speed of the steps done so far."""
    done = [step for step in every if step.name in ledger]
    usual = sum(step.minutes for step in done)
    speed = sum(ledger[step.name] for step in done) / usual if usual else 1.0
    hours = speed * sum(step.minutes for step in todo) / 60
    names = ", ".join(step.name for step in todo)
    return f"{len(todo)} of {len(every)} steps left, about {hours:.1f} hours at the present speed: {names}"


def run(step: Step) -> float:
    """Minutes that it took. Raises ChildProcessError where it failed or was stopped."""
    if step.fresh is not None and step.fresh.exists():
        shutil.rmtree(step.fresh)
    started = time.monotonic()
    # a session of its own: what stops this program reaches the step once, and in time to save what it has
    process = subprocess.Popen(step.arguments(), start_new_session=True)
    try:
        code = process.wait()
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        raise
    # 1: some of many photos could not be used, which preprocess.py has said
    if code and not (code == 1 and step.command[0] == "preprocess.py"):
        raise ChildProcessError(f"step {step.name} ended with exit code {code}; fix that, and the same command goes on")
    return (time.monotonic() - started) / 60


def install(settings: Settings, recipe: dict) -> None:
    """Copy the networks to where enhance.py looks for them, and say which of them is recommended."""
    runs, target = Path(settings.runs), Path(settings.install)
    for name in NETWORKS:
        archive, onnx = files_of(name, runs, recipe)
        for file in (archive, onnx):
            write_bytes(target / file.name, file.read_bytes())
        about = json.loads(read_text(archive.with_suffix(".json")))
        if name in GENERATORS:
            about["recommended"] = name == recipe["recommended"]
        write_text(target / f"{name}.json", json.dumps(about, indent=2, ensure_ascii=False) + "\n")


def make(settings: Settings) -> None:
    """Do what is left, step by step. Raises ChildProcessError where a step fails, ValueError for the recipe."""
    recipe, every = read_recipe(settings)
    path_of_ledger = Path(settings.runs) / LEDGER
    ledger = json.loads(read_text(path_of_ledger)) if path_of_ledger.exists() else {}
    todo = [step for step in every if step.name not in ledger]
    while todo:
        say(left(todo, ledger, every))
        if settings.list:
            return
        ledger[todo[0].name] = run(todo[0])
        path_of_ledger.parent.mkdir(parents=True, exist_ok=True)
        write_text(path_of_ledger, json.dumps(ledger, indent=2) + "\n")
        todo = todo[1:]
    if not settings.list:
        install(settings, recipe)
        say(f"the networks are in {settings.install}")


def main(argv: Sequence[str] | None = None) -> int:
    return run_module(
        "tools.pretrained", make, Settings, __doc__, argv, when_stopped="the same command goes on from here"
    )


if __name__ == "__main__":
    sys.exit(main())
