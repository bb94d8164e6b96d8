"""The commands by name, each in its own module that is imported on use."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass

import click

from edgeff.cli.terminal import announce
from edgeff.cli.version import version
from edgeff.errors import BadInput

COMMANDS: Mapping[str, str] = {
    "demo": "demo",
    "list": "list_",
    "tune": "tune",
    "fit": "fit",
    "train": "train",
    "import": "import_",
    "quantize": "quantize",
    "evaluate": "evaluate",
    "predict": "predict",
    "attack": "attack",
    "early-exit": "early_exit",
    "export": "export",
    "verify": "verify",
    "check": "check",
    "cost": "cost",
    "analytic": "analytic",
    "build": "build",
    "profile": "profile",
    "simulate": "simulate",
    "fleet": "fleet",
    "flash": "flash",
    "run": "run",
    "monitor": "monitor",
    "state": "state",
    "head": "head",
    "bench": "bench",
    "theory": "theory",
    "schedule": "schedule",
    "report": "report",
    "board": "board",
    "doctor": "doctor",
}
"""Command -> module of this package, in the order of use; ``list`` and ``import`` are reserved in Python."""

LONG = frozenset(COMMANDS) - {"list", "monitor", "check", "analytic", "flash", "state", "head", "report", "board", "doctor"}
"""Commands that read data or models for a second or more before they have a bar to show."""


@dataclass
class State:
    """The options of the whole run; ``debug``: errors show where they were raised."""

    debug: bool = False


class Commands(click.Group):
    """The group of all commands. An unknown name is refused with the list of the known ones."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        found: click.Command = importlib.import_module(f"edgeff.cli.{COMMANDS[cmd_name]}").command
        return found

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS:
            raise BadInput("unknown command", got=repr(args[0]), allowed=", ".join(COMMANDS), next_step="see `edgeff --help`")
        if args and args[0] in LONG and not {"-h", "--help"} & set(args):
            announce(args[0])
        return super().resolve_command(ctx, args)


def show_version(context: click.Context, _parameter: click.Parameter, asked: bool) -> None:
    """Prints the version and exits, if requested."""
    if asked:
        click.echo(f"edgeff {version()}")
        context.exit()


def set_debug(context: click.Context, _parameter: click.Parameter, asked: bool) -> None:
    """Makes errors show where they were raised."""
    if asked and isinstance(context.obj, State):
        context.obj.debug = True


@click.group(cls=Commands, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=show_version, help="Show the version and exit.")
@click.option("--debug", is_flag=True, expose_value=False, is_eager=True, callback=set_debug, help="Show where an error was raised.")
@click.pass_context
def group(context: click.Context) -> None:
    """Trains neural networks on microcontrollers without back-propagation.

    The workflow: train, quantize, export, verify, cost, build, profile, simulate. `edgeff demo` runs all of it.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
