"""The options that commands share, and the types of their values; each refuses with an ``EdgeffError``."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click
from click.shell_completion import CompletionItem

from edgeff.cli.group import set_debug
from edgeff.errors import BadInput

F = TypeVar("F", bound=Callable[..., Any])

if TYPE_CHECKING:
    ParameterType = click.ParamType[Any]
else:
    ParameterType = click.ParamType  # generic only since click 8.4

LARGEST_SEED = 2**32 - 1
NUMERICS = ("float32", "int16", "int8")
"""The numerics of ``edgeff.ir``, which is not imported here because it needs numpy."""
_MODEL_SUFFIXES = (".onnx", ".tflite", ".keras", ".h5")
_OTHER_SUFFIXES = (".c", ".h", ".html", ".json", ".npz", ".toml", ".elf")


class Whole(ParameterType):
    """A whole number from ``low`` to ``high``."""

    name = "number"

    def __init__(self, low: int, high: int) -> None:
        self.low, self.high = low, high

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            number = int(value)
        except ValueError:
            number = self.low - 1
        if not self.low <= number <= self.high:
            raise BadInput(f"option {_shown(param)}", got=repr(value), allowed=f"{self.low} to {self.high}")
        return number


class Real(ParameterType):
    """A number above ``low``, up to ``high``."""

    name = "number"

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            number = float(value)
        except ValueError:
            number = self.low
        if not self.low < number <= self.high:
            raise BadInput(f"option {_shown(param)}", got=repr(value), allowed=f"above {self.low:g}, to {self.high:g}")
        return number


class OneOf(ParameterType):
    """One of a few words; ``what`` names them."""

    def __init__(self, what: str, words: Sequence[str]) -> None:
        self.name, self.words = what, tuple(words)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value not in self.words:
            raise BadInput(f"unknown {self.name}", got=repr(value), allowed=", ".join(self.words))
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(word) for word in self.words if word.startswith(incomplete)]

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return "|".join(self.words)


class Change(ParameterType):
    """``key=value``, as a pair of strings."""

    name = "key=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        key, equals, text = str(value).partition("=")
        if not key or not equals:
            raise BadInput(f"option {_shown(param)}", got=repr(value), allowed="key=value, such as lr=0.05")
        return key.strip(), text.strip()


class OutputFile(ParameterType):
    """A path to which a file can be written, checked before the work is done; ``suffix`` and ``others`` are those of its formats."""

    name = "file"

    def __init__(self, suffix: str = "", *others: str) -> None:
        self.suffix, self.others = suffix, others

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        suffix = Path(value).suffix.lower()
        check_output_file(Path(value), suffix if suffix in self.others else self.suffix)
        return Path(value)


class OutputFolder(ParameterType):
    """A folder to write to: a new name (missing parents are created), or an existing folder."""

    name = "folder"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        check_output_folder(Path(value))
        return Path(value)


def check_output_file(path: Path, suffix: str) -> None:
    """Raises BadInput if no file can be written to ``path``, or its suffix is that of another format than ``suffix``."""
    what = f"output file '{path}'"
    if suffix and path.suffix.lower() != suffix and path.suffix.lower() in (*_MODEL_SUFFIXES, *_OTHER_SUFFIXES):
        raise BadInput(what, got=f"the suffix {path.suffix}", allowed=f"{suffix}, the format that is written")
    try:
        if path.is_dir():
            raise BadInput(what, got="a folder", allowed="the name of a file")
        if path.exists() and not path.is_file():
            raise BadInput(what, got="a device", allowed="a file or a new name")
        _check_parent(path.resolve().parent, path, what)
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: links in a circle
        raise BadInput(what, got=getattr(error, "strerror", None) or str(error), allowed="a path that can be written") from None


def check_output_folder(path: Path) -> None:
    """Raises BadInput if ``path`` is not a folder and none can be created there."""
    what = f"output folder '{path}'"
    try:
        if path.exists() and not path.is_dir():
            raise BadInput(what, got="a file", allowed="a folder or a new name")
        existing = path.resolve()
        while not existing.exists() and existing != existing.parent:
            existing = existing.parent
        _check_parent(existing, path, what)
    except (OSError, RuntimeError, ValueError) as error:
        raise BadInput(what, got=getattr(error, "strerror", None) or str(error), allowed="a path that can be written") from None


def _check_parent(folder: Path, given: Path, what: str) -> None:
    shown = folder if given.is_absolute() else os.path.relpath(folder)
    if not folder.exists():
        raise BadInput(what, got=f"no folder '{shown}'", allowed="a path in an existing folder", next_step=f"mkdir -p '{shown}'")
    if not folder.is_dir():
        raise BadInput(what, got=f"'{shown}', which is a file", allowed="a path in an existing folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise BadInput(what, got=f"no permission to write in '{shown}'", allowed="a path that can be written")


def _shown(parameter: click.Parameter | None) -> str:
    return parameter.opts[0] if parameter is not None else ""


def common(function: F) -> F:
    """A command with the common options: ``as_json``, ``seed`` (None unless given) and ``--debug``."""
    for option in (
        click.option(
            "--debug", is_flag=True, expose_value=False, is_eager=True, callback=set_debug, help="Show where an error was raised."
        ),
        click.option("--seed", type=Whole(0, LARGEST_SEED), help="Seed of everything random. [default: the model's own, or 0]"),
        click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines."),
    ):
        function = option(function)
    return function


def changes(function: F) -> F:
    """A command with ``--set key=value``: ``changes``, a tuple of pairs of strings."""
    return click.option("--set", "changes", type=Change(), multiple=True, help="A setting of the rule. May be repeated.")(function)


def arena_limit(function: Callable[..., Any]) -> Callable[..., Any]:
    """A command with ``--arena-limit``, the setting ``arena_limit`` of a rule, which it adds to its ``changes``."""

    @wraps(function)
    def limited(*args: Any, arena_limit: int | None, changes: Sequence[tuple[str, str]], **others: Any) -> Any:
        own = (("arena_limit", str(arena_limit)),) if arena_limit else ()
        return function(*args, changes=(*changes, *own), **others)

    help_text = """Bytes that the arena may take: what a step of back-propagation stores is chosen, the rest computed again; with --blocks a
    block's layers learn in parts."""
    return click.option("--arena-limit", type=Whole(1, 2**31 - 1), help=help_text)(limited)


def data(function: F) -> F:
    """A command with ``--data key=value``, how a user's own data are read: ``choices``, a mapping of strings."""

    @wraps(function)
    def taking_choices(*arguments: Any, data_changes: Sequence[tuple[str, str]], **options: Any) -> Any:
        return function(*arguments, choices=dict(data_changes), **options)

    text = "How your own data are read, such as rate=16000; see docs/your_data.md. May be repeated. [default: as the model's were]"
    return click.option("--data", "data_changes", type=Change(), multiple=True, help=text)(taking_choices)  # type: ignore[return-value]


def target_column(function: F) -> F:
    """A command with ``--target`` and ``--groups``, short for two of the ``choices`` of ``data``, which it has too."""

    @wraps(function)
    def taking_names(*arguments: Any, target_name: str | None, groups_name: str | None, choices: dict[str, str], **options: Any) -> Any:
        named = {"target": target_name, "groups": groups_name}
        chosen = choices | {name: value for name, value in named.items() if value is not None}
        return function(*arguments, choices=chosen, **options)

    named: Any = data(taking_names)
    for option in (
        click.option("--groups", "groups_name", metavar="NAME", help="The column or array of groups, of which whole ones test."),
        click.option("--target", "target_name", metavar="NAME", help="The column or array to learn, of your own .csv or .npz."),
    ):
        named = option(named)
    return named


def numeric(function: F) -> F:
    """A command with ``--numeric`` (None unless given), ``--calibrate`` and ``--data``, for float models to be run in integers."""
    function = data(function)
    for option in (
        click.option(
            "--calibrate", metavar="TASK", help="The task on which a float model is quantised. [default: the one it was trained on]"
        ),
        click.option("--numeric", type=OneOf("numeric", NUMERICS), help="The number format of the program. [default: the model's]"),
    ):
        function = option(function)
    return function


def tail(function: F) -> F:
    """A command with ``--train-layers`` ("all" unless given) and ``--tail-numeric`` (None unless given)."""
    for option in (
        click.option(
            "--tail-numeric",
            type=OneOf("numeric", NUMERICS),
            help="The number format of the layers that learn. [default: that of the others]",
        ),
        click.option("--train-layers", default="all", show_default=True, help="The layers that learn: the last ones, joined by commas."),
    ):
        function = option(function)
    return function


class ReplaySetting(ParameterType):
    """A ring of samples, as ``edgeff.program.lower.Replay``: the number of its entries, then ``key=value`` pairs."""

    name = "n[,key=value]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from edgeff.program.lower import parse_replay

        return parse_replay(value) if isinstance(value, str) else value


def replay(function: F) -> F:
    """A command with ``--replay`` (None unless given): a ring of samples that the rule learns from again."""
    text = "Keep this many samples and learn from them again: 64, or 64,steps=2,keep=balanced,saved=no."
    return click.option("--replay", type=ReplaySetting(), help=text)(function)


def keep_input(function: F) -> F:
    """A command with ``--keep-input``: a prediction leaves the input as it was."""
    text = "A prediction leaves the input as it was, so that the device can learn the sample after it, in a larger arena."
    return click.option("--keep-input", is_flag=True, help=text)(function)


class RawSamples(NamedTuple):
    """``task``, from whose raw samples a program starts; ``stream``: they come hop by hop."""

    task: str | None = None
    stream: bool = False

    def __bool__(self) -> bool:
        return self.task is not None or self.stream


def features(function: Callable[..., Any]) -> Callable[..., Any]:
    """A command with ``--features TASK`` and ``--stream``: ``features``, ``RawSamples``."""

    @wraps(function)
    def starting(*args: Any, task: str | None, stream: bool, **others: Any) -> Any:
        return function(*args, features=RawSamples(task, stream), **others)

    text = "Start from the raw samples of a task (int16 audio or vibration): the device computes its features itself."
    hops = "Take audio as it comes, hop by hop, and keep what its features need: eff_listen takes a hop, eff_predict one and predicts."
    return click.option("--stream", is_flag=True, help=hops)(click.option("--features", "task", metavar="TASK", help=text)(starting))


def target(function: F) -> F:
    """A command with ``--target``: what runs the firmware, None for the first that the board lists."""
    text = "What runs the firmware; see `edgeff list targets`. [default: the first that the board lists]"
    return click.option("--target", help=text)(function)


def output_model(function: F) -> F:
    """A command with ``-o``, the ONNX file it writes: ``out``."""
    return click.option("-o", "--out", type=OutputFile(".onnx"), required=True, help="The model to write, an ONNX file.")(function)
