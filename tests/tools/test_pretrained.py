import importlib
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

import training.recogniser
import training.settings
from data.console import ended_early
from data.settings import from_json, read_config
from tools import pretrained

MINUTES = {"photos": 10, "tiles": 5, "detector": 60, "recogniser": 120, "generator": 90, "calibrate": 4, "export": 1}
MINUTES |= {"recogniser 2": 30, "generator 2": 45}
SECOND = {"steps": 7, "blocks": [1, 2, 3, 4], "learning_rate": 1e-05}
ROUNDS = [{"recogniser": SECOND, "generator": {"seed": 9, "pretrain_steps": 11}}, {"generator": {"seed": 10}}]
RECIPE = {"photo_parts": 2, "photos": {"seed": 5}, "minutes": MINUTES, "recommended": "pretrain"}
RECIPE |= {"further_rounds": ROUNDS, "strengths": {"pretrain": 0.4, "generator": 0.3}}


@pytest.fixture
def settings(tmp_path):
    (tmp_path / "recipe.json").write_text(json.dumps(RECIPE), encoding="utf-8")
    folders = {name: str(tmp_path / name) for name in ("datasets", "runs", "install")}
    return pretrained.Settings(recipe=str(tmp_path / "recipe.json"), **folders)


def test_each_step_starts_from_nothing_or_from_one_before_it(settings):
    made = set()
    for step in pretrained.steps(settings, RECIPE):
        read = [
            step.command[i + 1]
            for i, flag in enumerate(step.command)
            if flag in ("--raw", "--tiles", "--recogniser", "--init")
        ]
        assert all(any(path.startswith(one) or one.startswith(path) for one in made) for path in read), step.name
        made |= {step.command[i + 1] for i, flag in enumerate(step.command) if flag in ("--out", "--run")}


def flag(command: tuple[str, ...], name: str, count: int = 1) -> tuple[str, ...]:
    at = command.index(name) + 1
    return command[at : at + count]


def test_a_further_round_goes_on_from_the_one_before_with_what_the_recipe_changes(settings):
    steps = {step.name: step.command for step in pretrained.steps(settings, RECIPE)}
    first, second, third = (steps[name] for name in ("recogniser", "recogniser 2", "recogniser 3"))
    assert second[:4] == first[:4] == third[:4]
    assert "--init" not in first + steps["generator"]
    # a generator carries its round's recogniser
    for before, after in (("generator", "2"), ("generator 2", "3")):
        archive = str(Path(*flag(steps[before], "--run")) / "pretrain.keras")
        assert flag(steps[f"recogniser {after}"], "--init") == flag(steps[f"generator {after}"], "--init") == (archive,)
    assert flag(second, "--steps") == ("7",)
    assert flag(second, "--blocks", 4) == ("1", "2", "3", "4")
    assert flag(second, "--learning-rate") == ("1e-05",)
    assert "--steps" not in third
    assert flag(steps["generator 2"], "--seed", 3) == ("9", "--pretrain-steps", "11")


def test_each_generator_is_built_on_the_recogniser_of_its_round_and_those_of_the_last_ship(settings):
    steps = {step.name: step.command for step in pretrained.steps(settings, RECIPE)}
    for number in ("", " 2", " 3"):
        assert flag(steps[f"generator{number}"], "--recogniser") == flag(steps[f"recogniser{number}"], "--out")
    assert flag(steps["export recogniser"], "--checkpoint") == flag(steps["recogniser 3"], "--out")
    run = Path(*flag(steps["generator 3"], "--run"))
    assert flag(steps["export pretrain"], "--checkpoint") == (str(run / "pretrain.keras"),)


def test_trust_is_fitted_with_the_recogniser_that_ships(settings):
    steps = {step.name: step.command for step in pretrained.steps(settings, RECIPE)}
    names = list(steps)
    assert names.index("export recogniser") < names.index("calibrate pretrain")
    assert flag(steps["calibrate generator"], "--strength") == ("0.3",)
    # find_answerer looks beside the generator
    beside = {pretrained.files_of(name, Path(settings.runs), RECIPE)[1].parent for name in ("recogniser", "pretrain")}
    assert len(beside) == 1


def test_finished_steps_are_not_done_again_and_a_failed_one_is(settings, monkeypatch, capsys):
    done, broken = [], ["detector"]

    def run(step):
        if step.name in broken:
            broken.clear()
            raise ChildProcessError("killed")
        done.append(step.name)
        return 2 * step.minutes

    monkeypatch.setattr(pretrained, "run", run)
    monkeypatch.setattr(pretrained, "install", lambda *_: done.append("install"))
    flags = ["--recipe", settings.recipe, "--datasets", settings.datasets, "--runs", settings.runs]
    assert pretrained.main(flags) == 2
    assert pretrained.main(flags) == 0
    names = [step.name for step in pretrained.steps(settings, RECIPE)]
    assert done == [*names, "install"]
    # twice as slow as usual: 5 + 60 + ... minutes are left, and take twice as long
    left = (60 + 120 + 90 + 30 + 45 + 120 + 90 + 2 * 4 + 4 * 1) * 2 / 60
    assert f"about {left:.1f} hours" in capsys.readouterr().out


def test_a_run_that_has_begun_is_resumed_with_its_own_settings(settings, tmp_path):
    step = next(step for step in pretrained.steps(settings, RECIPE) if step.name == "generator")
    assert "--config" in step.arguments()
    step.begun.parent.mkdir(parents=True)
    step.begun.write_text("{}", encoding="utf-8")
    assert step.arguments() == [sys.executable, "train.py", "--run", str(step.begun.parent), "--resume"]


def test_a_step_that_is_stopped_has_time_to_save_what_it_has(tmp_path):
    ready, saved = tmp_path / "ready", tmp_path / "saved"
    code = (
        "import pathlib, signal, sys, time\n"
        "def save(*_):\n    time.sleep(0.6)\n    pathlib.Path(sys.argv[2]).touch()\n    sys.exit(130)\n"
        "signal.signal(signal.SIGTERM, save)\npathlib.Path(sys.argv[1]).touch()\ntime.sleep(60)"
    )

    def stop_when_ready():
        while not ready.exists():
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop_when_ready, daemon=True).start()
    with pytest.raises(KeyboardInterrupt), ended_early():
        pretrained.run(pretrained.Step("any", ("-c", code, str(ready), str(saved)), 1))
    assert saved.exists()


def test_half_a_folder_of_photos_is_made_anew(tmp_path):
    folder = tmp_path / "part-00"
    folder.mkdir()
    (folder / "half.jpg").write_bytes(b"half")
    step = pretrained.Step("photos 1", ("-c", f"import os; os.mkdir({str(folder)!r})"), 1, fresh=folder)
    pretrained.run(step)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("program", "section"),
    [
        ("data.synthetic.__main__", "photos"),
        ("preprocess", "tiles"),
        ("training.detector", "detector"),
        ("training.recogniser", "recogniser"),
        ("training.settings", "generator"),
    ],
)
def test_each_section_of_the_shipped_recipe_is_understood_by_its_program(program, section):
    module = importlib.import_module(program)
    settings = module.RecogniserSettings if section == "recogniser" else module.Settings
    recipe = Path(__file__).parents[2] / "configs" / "shipped.json"
    found = read_config(settings, str(recipe), section)
    assert found.keys() == json.loads(recipe.read_text(encoding="utf-8"))[section].keys()


@pytest.mark.parametrize(
    ("network", "settings"),
    [("recogniser", training.recogniser.RecogniserSettings), ("generator", training.settings.Settings)],
)
def test_what_a_further_round_changes_is_understood(network, settings):
    recipe = json.loads((Path(__file__).parents[2] / "configs" / "shipped.json").read_text(encoding="utf-8"))
    for number, changes in enumerate(recipe["further_rounds"], start=2):
        changed = changes.get(network, {})
        assert from_json(settings, {**recipe[network], **changed}, f"round {number}").items() >= changed.items()


def test_the_plain_recipe_is_train_pys_default():
    recipe = Path(__file__).parents[2] / "configs" / "recipe.json"
    found = read_config(training.settings.Settings, str(recipe), "generator")
    assert {name: getattr(training.settings.Settings(), name) for name in found} == found


@pytest.mark.parametrize(
    ("content", "told"), [("{", "Expecting"), ("{}", "it lacks 'minutes'"), (None, "No such file")]
)
def test_a_recipe_that_cannot_be_used_is_named(tmp_path, capsys, content, told):
    recipe = tmp_path / "recipe.json"
    if content is not None:
        recipe.write_text(content, encoding="utf-8")
    assert pretrained.main(["--recipe", str(recipe)]) == 2
    error = capsys.readouterr().err
    assert f"--recipe {recipe} cannot be used: " in error
    assert told in error
