import json
from dataclasses import fields
from pathlib import Path

import pytest
from tiny_runs import as_flags, tiny_settings

from data.settings import make_parser
from data.settings import parse as parse_settings
from training.recogniser import SECTION, RecogniserSettings
from training.settings import PARTS, ObjectiveSettings, Settings, parse, stage_one, weights_of

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def test_the_parts_have_all_settings_but_those_of_the_run_itself():
    parts = [each.name for part in PARTS for each in fields(part)]
    assert len(parts) == len(set(parts))
    assert {each.name for each in fields(Settings)} - set(parts) == {"run", "precision", "deterministic"}


def test_the_command_line_gives_every_setting():
    settings = tiny_settings("t", "r", crop=(64, 160), ema=False, real=("a", "b"), cache=True)
    assert parse("", as_flags(settings)) == (settings, False)


def test_help_groups_the_flags_by_their_part():
    groups = [group.title for group in make_parser(Settings, "")._action_groups]
    assert [part.__doc__ for part in PARTS] == groups[-len(PARTS) :]


@pytest.mark.parametrize("name", ["recipe.json", "shipped.json"])
def test_the_recipes_are_read_and_flags_override_them(name):
    section = json.loads((CONFIGS / name).read_text(encoding="utf-8"))["generator"]
    given = ["--tiles", "t", "--run", "r", "--config", str(CONFIGS / name)]
    assert parse("", given)[0].pretrain_steps == section["pretrain_steps"]
    assert parse("", [*given, "--pretrain-steps", "7"])[0].pretrain_steps == 7


def test_the_plain_recipe_is_the_default():
    settings, _ = parse("", ["--tiles", "t", "--run", "r", "--config", str(CONFIGS / "recipe.json")])
    assert settings == Settings(tiles="t", run="r")


def test_the_recogniser_has_a_section_of_its_own():
    given = ["--tiles", "t", "--out", "o", "--config", str(CONFIGS / "shipped.json")]
    assert parse_settings(RecogniserSettings, "", given, section=SECTION).crop == (64, 192)


def test_without_further_flags_the_weights_are_those_of_the_recipe():
    weights = weights_of(ObjectiveSettings())
    assert weights == {"mse": 1.0, "vgg": 0.1, "adversarial": 0.2}
    assert stage_one(weights) == {"mse": 1.0}


def test_stage_one_has_the_terms_that_both_stages_have():
    weights = weights_of(ObjectiveSettings(mse_weight=0.5, strokes_weight=0.4))
    assert weights == {"mse": 0.5, "vgg": 0.1, "adversarial": 0.2, "strokes": 0.4}
    assert stage_one(weights) == {"mse": 1.0, "strokes": 0.4}
