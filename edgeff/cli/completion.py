"""Shell completion: what a shell asks by ``_EDGEFF_COMPLETE`` comes in, commands, options and registered names go out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import click
from click.shell_completion import CompletionItem, shell_complete

from edgeff.cli.options import ParameterType

VARIABLE = "_EDGEFF_COMPLETE"
KINDS = {"task": "tasks", "rule": "rules", "network": "networks", "board": "boards"}
"""Parameters whose values are names, by the word that ``edgeff list`` has for them."""


class Names(ParameterType):
    """A name of a kind, which is not checked here."""

    name = "name"

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(name) for name in names(self.kind) if name.startswith(incomplete)]


def names(kind: str) -> Iterable[str]:
    """What is registered of a kind; boards are files."""
    if kind == "boards":
        from edgeff.device.boards import load_boards

        return load_boards()
    from edgeff import registry

    registered: Iterable[str] = getattr(registry, kind)
    return registered


def complete(group: click.Group, instruction: str) -> int:
    """Answers a shell, or writes the script for it, on stdout; the exit status."""
    for command in commands(group):
        for parameter in command.params:
            if parameter.name in KINDS:
                parameter.type = Names(KINDS[parameter.name])
    arguments: dict[str, Any] = {}
    return shell_complete(group, arguments, "edgeff", VARIABLE, instruction)


def commands(group: click.Group) -> Iterator[click.Command]:
    """Every command, those of groups of commands too."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command)
        elif command is not None:
            yield command
