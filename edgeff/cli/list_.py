"""``edgeff list``: what is registered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

from edgeff.cli.options import OneOf, common
from edgeff.cli.terminal import print_json, print_line, print_table

Entry = dict[str, Any]

DENSE_LIST: Entry = {"name": "64-32-10", "summary": "any dense list, sizes joined by -: ReLU between the layers, softmax at the end"}


def _rules() -> list[Entry]:
    from edgeff.registry import rules

    return [{"name": name, "summary": rule.summary, "source": rule.source} for name, rule in rules.items()]


def _networks() -> list[Entry]:
    from edgeff.registry import networks

    return [DENSE_LIST, *({"name": name, "summary": first_line(make.__doc__)} for name, make in networks.items())]


def _tasks() -> list[Entry]:
    from edgeff.registry import tasks

    return [
        {
            "name": name,
            "summary": task.summary,
            "input_shape": [*task.input_shape],
            "classes": len(task.classes),
            "metric": task.metric,
        }
        for name, task in tasks.items()
    ]


def _boards() -> list[Entry]:
    from edgeff.device.boards import load_boards

    return [
        {
            "name": board.name,
            "summary": board.summary,
            "core": board.core,
            "clock_hz": board.clock_hz,
            "flash_bytes": board.flash_bytes,
            "ram_bytes": board.ram_bytes,
            "targets": [*board.targets],
        }
        for board in load_boards().values()
    ]


def _cores() -> list[Entry]:
    from edgeff.registry import cores

    return [
        {
            "name": name,
            "summary": core.summary,
            "arch": core.arch,
            "features": sorted(core.features),
            "cycles": core.cycles.evidence if core.cycles else None,
            "targets": sorted(core.emulators),
        }
        for name, core in cores.items()
    ]


def _targets() -> list[Entry]:
    from edgeff.device.boards import load_boards
    from edgeff.registry import targets

    boards = load_boards()
    return [
        {"name": name, "summary": target.summary, "boards": [board.name for board in boards.values() if name in board.targets]}
        for name, target in targets.items()
    ]


def _templates() -> list[Entry]:
    from edgeff.device.firmware import load_templates

    return [
        {"name": t.name, "summary": t.summary, "ram_bytes": t.ram_bytes, "stack_bytes": t.stack_bytes} for t in load_templates().values()
    ]


KINDS: Mapping[str, Callable[[], list[Entry]]] = {
    "rules": _rules,
    "networks": _networks,
    "tasks": _tasks,
    "boards": _boards,
    "cores": _cores,
    "targets": _targets,
    "templates": _templates,
}


def first_line(text: str | None) -> str:
    """The first line of a docstring, without its full stop.

    >>> first_line("A small network.\\n\\nMore of it.")
    'A small network'
    """
    return (text or "").strip().partition("\n")[0].removesuffix(".")


@click.command("list", epilog="Example: edgeff list rules")
@click.argument("kind", type=OneOf("kind", tuple(KINDS)))
@common
def command(kind: str, as_json: bool, seed: int | None) -> None:  # noqa: ARG001 - every command takes a seed
    """Show what is registered, with one line each."""
    entries = KINDS[kind]()
    if as_json:
        print_json(entries)
    elif entries:
        keys = [key for key in entries[0] if all(key in entry for entry in entries)]
        print_table([key.replace("_", " ") for key in keys], [[_shown(entry[key]) for key in keys] for entry in entries])
    else:
        print_line(f"no {kind} are registered")


def _shown(value: Any) -> Any:
    return ", ".join(map(str, value)) if isinstance(value, list) else value
