"""The settings of a program: one frozen dataclass, from which its command line is made.

    @dataclass(frozen=True)
    class Settings:
        out: str = field(type=path, help="folder to write to", metavar="DIR")
        steps: int = field(100, help="steps of training", metavar="N")
        ema: bool = field(True, help="ship the plain weights, not their running average")

        def __post_init__(self) -> None:
            require(self.steps >= 1, "--steps", "at least 1", self.steps)

    settings = parse(Settings, __doc__, argv)

A module that is a program ends with `run_module`, which does this and turns errors into exit codes.

A field without a default is required. A switch that is on by default gets the flag --no-NAME. Every program also takes
--config FILE: a JSON object of field names and values, which flags override; a file for several programs has one such
object per program, under the name that the program gives as `section`.
"""

import argparse
import dataclasses
import json
import math
import os
import types
import typing
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar

from data.console import STOPPED, ended_early, prepare_console, printable, say
from data.files import read_text

S = TypeVar("S")


def field(default: Any = dataclasses.MISSING, *, help: str, flag: str = "", **options) -> Any:
    """A field of a settings class.

    flag: the flag's name where it is not the field's; one without dashes makes a positional argument. options: of
    `argparse`, such as metavar, choices and nargs. `type`, a function of a text, is needed only where the annotation
    says too little, such as "96x192" for a tuple.
    """
    return dataclasses.field(default=default, metadata={"help": help, "flag": flag, "options": options})


def path(text: str) -> str:
    """The type of a field that names a file or folder: `~` is the home folder, in `--out=~/x`, too."""
    return os.path.expanduser(text)


def size(text: str) -> tuple[int, int]:
    """The type of a field that holds (height, width): "96x192"."""
    sides = text.lower().split("x")
    if len(sides) != 2 or not all(side.isascii() and side.isdigit() and int(side) > 0 for side in sides):
        raise argparse.ArgumentTypeError(f"expected HEIGHTxWIDTH in pixels, such as 96x192; got {text!r}")
    return int(sides[0]), int(sides[1])


def require(holds: bool, flag: str, allowed: str, got: Any) -> None:
    """Raises ValueError, "--steps must be at least 1, got 0", unless it holds."""
    if not holds:
        raise ValueError(f"{flag} must be {allowed}, got {got}")


def parse(
    cls: type[S], description: str, argv: Sequence[str] | None = None, prog: str | None = None, section: str = ""
) -> S:
    """The settings that a command line asks for. Raises ValueError for values that the class refuses, and for a
    --config that cannot be read; ends the program, as argparse does, where the line itself is wrong."""
    parser = make_parser(cls, description, prog)
    values = given(cls, parser, argv, section)
    lacking = [flag_of(each) for each in dataclasses.fields(cls) if _is_required(each) and each.name not in values]
    if lacking:
        parser.error(f"the following arguments are required: {', '.join(lacking)}")
    return cls(**values)


def run_module(
    module: str,
    work: Callable[[S], int | None],
    cls: type[S],
    description: str,
    argv: Sequence[str] | None = None,
    section: str = "",
    when_stopped: str = "",
) -> int:
    """What `python -m MODULE` does: the work, with the settings that the command line asks for. Returns the exit code:
    the work's own, if it has one; 2, after a line that says why, where it raises ValueError or OSError; 130 where the
    user stopped it. when_stopped: what the user must then know."""
    prepare_console()
    try:
        with ended_early():
            return work(parse(cls, description, argv, f"python -m {module}", section)) or 0
    except (ValueError, OSError) as error:
        say(f"{module}: {error}", error=True)
        return 2
    except KeyboardInterrupt:
        say("; ".join(filter(None, (f"{module}: stopped", when_stopped))), error=True)
        return STOPPED


class _Parser(argparse.ArgumentParser):
    """Its errors repeat what was given, which may be the name of somebody else's file."""

    def error(self, message: str) -> NoReturn:
        super().error(printable(message))


def make_parser(cls: type, description: str, prog: str | None = None) -> argparse.ArgumentParser:
    """One flag per field, and --config. Flags that are not given leave no trace in the result.

    The flags of a class that `cls` inherits from stand in a group of their own, titled with its docstring's first line.
    """
    formatter = argparse.RawDescriptionHelpFormatter
    parser = _Parser(prog=prog, description=description, formatter_class=formatter)
    hints, groups = typing.get_type_hints(cls), {cls: parser}
    # what must be given comes first
    for each in sorted(dataclasses.fields(cls), key=_is_required, reverse=True):
        part = _part_of(cls, each.name)
        if part not in groups:
            groups[part] = parser.add_argument_group(part.__doc__.partition("\n")[0])
        groups[part].add_argument(flag_of(each), default=argparse.SUPPRESS, **_options(each, hints[each.name]))
    text = "JSON file of settings; flags override them"
    parser.add_argument("--config", default=argparse.SUPPRESS, type=path, metavar="FILE", help=text)
    return parser


def given(cls: type, parser: argparse.ArgumentParser, argv: Sequence[str] | None, section: str = "") -> dict[str, Any]:
    """Field name -> value, of the settings that the command line or its --config gives. Raises ValueError."""
    flags = vars(parser.parse_args(argv))
    values = read_config(cls, flags.pop("config"), section) if "config" in flags else {}
    return values | {name: tuple(value) if isinstance(value, list) else value for name, value in flags.items()}


def read_config(cls: type, file: str, section: str = "") -> dict[str, Any]:
    """Field name -> value, from a JSON object, or from the object under its key `section` where it has one, or under
    "settings" (the config.json of a run). Raises ValueError that names the file."""
    try:
        content = json.loads(read_text(file))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"--config {file} cannot be read: {error}") from None
    for key in (section, "settings"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict):
        raise ValueError(f"--config {file}: expected a JSON object of settings")
    return from_json(cls, content, f"--config {file}")


def from_json(cls: type, content: dict[str, Any], source: str) -> dict[str, Any]:
    """Field name -> value, of the right type, from what a JSON object says. Raises ValueError that names the source."""
    known, hints = {each.name: each for each in dataclasses.fields(cls)}, typing.get_type_hints(cls)
    if unknown := sorted(content.keys() - known.keys()):
        raise ValueError(f"{source}: unknown setting {', '.join(unknown)}; known are {', '.join(known)}")
    values = {}
    for name, value in content.items():
        try:
            values[name] = _from_json(known[name], hints[name], value)
        except (TypeError, ValueError, argparse.ArgumentTypeError) as error:
            raise ValueError(f"{source}: {name}: {error}") from None
    return values


def flag_of(each: dataclasses.Field) -> str:
    """The flag of a field: `batch_size` -> `--batch-size`."""
    name = each.metadata["flag"] or f"--{'no-' if each.default is True else ''}{each.name.replace('_', '-')}"
    return name if name.startswith("-") else each.name


def _part_of(cls: type, name: str) -> type:
    """The class that declares a field: `cls` itself, or one that it inherits from."""
    return next(each for each in cls.__mro__ if name in each.__dict__.get("__annotations__", {}))


def _is_required(each: dataclasses.Field) -> bool:
    return each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING


def _options(each: dataclasses.Field, hint: Any) -> dict[str, Any]:
    """What `add_argument` is told."""
    options = dict(each.metadata["options"])
    flag, text = flag_of(each), each.metadata["help"].replace("%", "%%")
    if flag.startswith("-"):
        options["dest"] = each.name
    if _plain(hint) is bool:
        return {"action": "store_false" if each.default is True else "store_true", "help": text, **options}
    if _is_required(each):
        text += " (required)"
    elif each.default not in (None, "", ()):
        text += f" (default: {_shown(each.default, options)})"
    return {"type": _element_type(hint), "help": text, **options}


def _shown(value: Any, options: dict[str, Any]) -> str:
    if not isinstance(value, tuple):
        return str(value)
    return (" " if "nargs" in options else "x").join(map(str, value))


def _plain(hint: Any) -> Any:
    """`int | None` -> `int`."""
    if isinstance(hint, types.UnionType):
        return next(part for part in typing.get_args(hint) if part is not types.NoneType)
    return hint


def _element_type(hint: Any) -> Callable[[str], Any]:
    plain = _plain(hint)
    element = typing.get_args(plain)[0] if typing.get_origin(plain) is tuple else plain
    return {float: _finite, int: _whole}.get(element, element)


def _finite(text: str) -> float:
    number = _number(float, text, "a number")
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"expected a finite number, got {text!r}")
    return number


def _whole(text: str) -> int:
    return _number(int, text, "a whole number")


def _number(kind: Callable[[str], Any], text: str, expected: str) -> Any:
    """argparse would name our function in place of what is expected."""
    try:
        return kind(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}") from None


def _from_json(each: dataclasses.Field, hint: Any, value: Any) -> Any:
    """The field's value. A text is read as the flag reads it, so that "96x192" means the same in both places."""
    options, plain = each.metadata["options"], _plain(hint)
    if value is None and (plain is not hint or each.default is None):
        return None
    if isinstance(value, list) and typing.get_origin(plain) is tuple:
        return tuple(_checked(_inner_type(plain), part) for part in value)
    if isinstance(value, str) and plain is not bool:
        value = options.get("type", _element_type(hint))(value)
    else:
        value = _checked(plain, value)
    if value not in options.get("choices", (value,)):
        raise ValueError(f"expected one of {', '.join(map(str, options['choices']))}, got {value!r}")
    return value


def _inner_type(plain: Any) -> Any:
    """float, of tuple[float, float]; the tuple in it, of tuple[tuple[float, float], ...]."""
    return typing.get_args(plain)[0]


def _checked(kind: Any, value: Any) -> Any:
    if typing.get_origin(kind) is tuple:
        return tuple(_checked(_inner_type(kind), part) for part in value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    # True is an int for Python, but not for the people who write such a file
    right = type(value) is kind if kind in (bool, int, float, str) else True
    if not right or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError(f"expected {getattr(kind, '__name__', kind)}, got {value!r}")
    return value
