import json
from dataclasses import asdict, dataclass

import pytest

from data.settings import field, parse, path, require, run_module, size


@dataclass(frozen=True)
class Settings:
    out: str = field(type=path, help="folder", metavar="DIR")
    form: str = field("auto", flag="--format", help="of the names", choices=("auto", "ccpd"))
    tile: tuple[int, int] = field((96, 192), type=size, help="size", metavar="HxW")
    brightness: tuple[float, float] = field((0.2, 0.8), nargs=2, help="mean, 0 to 100 %", metavar=("LO", "HI"))
    rate: float = field(0.5, help="rate")
    steps: int = field(10, help="steps", metavar="N")
    limit: int | None = field(None, help="of photos", metavar="N")
    files: tuple[str, ...] = field((), nargs="+", help="files")
    ema: bool = field(True, help="plain weights")
    cache: bool = field(False, help="keep")

    def __post_init__(self) -> None:
        require(self.steps >= 1, "--steps", "at least 1", self.steps)


def read(*argv):
    return parse(Settings, "What it does.", [*map(str, argv)])


def config(tmp_path, content):
    file = tmp_path / "settings.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return file


def test_defaults_are_the_class_own():
    assert read("--out", "x") == Settings("x")


def test_every_kind_of_flag_sets_its_field():
    line = "--out x --format ccpd --tile 48X96 --brightness -1 2 --rate 1e-3 --steps 3 --limit 4 --files a b --no-ema"
    changed = Settings("x", "ccpd", (48, 96), (-1.0, 2.0), 1e-3, 3, 4, ("a", "b"), ema=False, cache=True)
    assert read(*line.split(), "--cache") == changed


def test_flags_override_the_config_file(tmp_path):
    values = {"out": "there", "tile": "32x64", "brightness": [0, 1], "rate": 1, "limit": None, "ema": False}
    file = config(tmp_path, values)
    assert read("--config", file) == Settings("there", tile=(32, 64), brightness=(0.0, 1.0), rate=1.0, ema=False)
    assert read("--config", file, "--out", "here", "--tile", "16x16").tile == (16, 16)


def test_what_a_run_stored_is_a_config_file(tmp_path):
    settings = Settings("x", tile=(48, 96), files=("a",), cache=True)
    file = config(tmp_path, {"settings": asdict(settings), "seed": 3})
    assert read("--config", file) == settings


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"step": 3}, "unknown setting step"),
        ({"steps": "three"}, "steps"),
        ({"steps": 3.5}, "expected int, got 3.5"),
        ({"steps": True}, "expected int, got True"),
        ({"rate": "nan"}, "finite"),
        ('{"rate": NaN}', "expected float"),
        ({"ema": "no"}, "expected bool"),
        ({"tile": "96"}, "HEIGHTxWIDTH"),
        ({"tile": [1.5, 2]}, "expected int"),
        ({"form": "other"}, "one of auto, ccpd"),
        ({"out": None}, "expected str"),
        ([1], "JSON object"),
        ("{", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        ({"out": "x", "steps": 0}, "--steps must be at least 1, got 0"),
    ],
)
def test_wrong_config_files_are_refused_with_a_reason(tmp_path, content, told):
    file = config(tmp_path, content)
    with pytest.raises(ValueError, match=told) as caught:
        read("--config", file, "--out", "x")
    assert str(file) in str(caught.value) or told.startswith("--")


def test_a_config_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"nowhere\.json"):
        read("--config", tmp_path / "nowhere.json", "--out", "x")


@pytest.mark.parametrize("line", ["", "--out x --rate nan", "--out x --steps 3.5", "--out x --tile 0x5", "--wrong"])
def test_a_wrong_command_line_ends_with_usage(line, capsys):
    with pytest.raises(SystemExit) as ended:
        read(*line.split())
    assert ended.value.code == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flag", "given", "expected"), [("--rate", "abc", "a number"), ("--steps", "3.5", "a whole number")]
)
def test_what_is_no_number_is_said_to_be_none(flag, given, expected, capsys):
    with pytest.raises(SystemExit):
        read("--out", "x", flag, given)
    assert f"argument {flag}: expected {expected}, got '{given}'" in capsys.readouterr().err


def test_a_folder_below_home_is_found_however_it_is_given(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert read("--out=~/x").out == "/home/me/x"
    assert read("--out", "s3://bucket/~x").out == "s3://bucket/~x"


def test_help_shows_each_default(capsys):
    with pytest.raises(SystemExit):
        read("--help")
    told = " ".join(capsys.readouterr().out.split())
    for part in (
        "folder (required)",
        "(default: 96x192)",
        "(default: 0.2 0.8)",
        "(default: 10)",
        "0 to 100 %",
        "--no-ema plain weights",
    ):
        assert part in told
    assert "None" not in told


def test_a_file_for_several_programs_has_a_section_for_each(tmp_path):
    file = config(tmp_path, {"first": {"steps": 7}, "second": {"steps": 8}})
    for section, steps in (("first", 7), ("second", 8)):
        found = parse(Settings, "What it does.", ["--out", "x", "--config", str(file)], section=section)
        assert found.steps == steps


@pytest.mark.parametrize(
    ("outcome", "code", "told"),
    [
        (None, 0, ""),
        (1, 1, ""),
        (ValueError("no\nplate"), 2, "tools.some: no\\x0aplate\n"),
        (
            OSError(28, "No space left on device", "out.png"),
            2,
            "tools.some: [Errno 28] No space left on device: 'out.png'\n",
        ),
        (KeyboardInterrupt(), 130, "tools.some: stopped; go on\n"),
    ],
)
def test_a_program_ends_with_a_code_and_says_why(capsys, outcome, code, told):
    def work(settings):
        assert settings.out == "x"
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    argv = ["--out", "x"]
    assert run_module("tools.some", work, Settings, "What it does.", argv, when_stopped="go on") == code
    assert capsys.readouterr().err == told


def test_help_names_the_program_as_it_is_started(capsys):
    with pytest.raises(SystemExit):
        run_module("tools.some", print, Settings, "What it does.", ["--help"])
    assert capsys.readouterr().out.startswith("usage: python -m tools.some ")
