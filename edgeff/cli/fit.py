"""``edgeff fit``: which rule, numeric, schedule and layers learn a task within a device's memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import click

from edgeff.cli.options import ParameterType, Real, common, target_column
from edgeff.cli.terminal import print_json, print_line, print_table, stages
from edgeff.errors import BadInput, Unsupported

UNITS = {"": 1, "K": 1024, "M": 1024**2}
SHOWN = 12


class Bytes(ParameterType):
    """A number of bytes, with K or M for 1,024 or 1,048,576 of them."""

    name = "bytes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        text = str(value).strip().upper().removesuffix("B").removesuffix("I")
        number, unit = (text[:-1], text[-1]) if text[-1:] in ("K", "M") else (text, "")
        try:
            size = round(float(number) * UNITS[unit])
        except (ValueError, OverflowError):
            size = 0
        if not 1 <= size < 2**31:
            what = param.opts[0] if param else "bytes"
            raise BadInput(f"option {what}", got=repr(value), allowed="1 to 2G bytes, such as 32768, 32K or 1M")
        return size


@click.command("fit", epilog="Example: edgeff fit 64-32-10 digits --ram 16K")
@click.argument("network")
@click.argument("task")
@click.option("--ram", type=Bytes(), required=True, help="RAM for what learns, its stack included, such as 32K.")
@click.option("--flash", type=Bytes(), help="Flash for constants and code. [default: no limit]")
@click.option("--steps-per-second", type=Real(0, 1e9), help="Learning steps in a second that are needed, modelled for the board.")
@click.option("--board", default="nucleo_l4r5zi", show_default=True, help="Whose clock and core count for --steps-per-second.")
@click.option("--bias/--no-bias", default=False, show_default=True, help="Biases in the layers of a dense list.")
@target_column
@common
def command(
    network: str,
    task: str,
    ram: int,
    flash: int | None,
    steps_per_second: float | None,
    board: str,
    bias: bool,
    choices: Mapping[str, str],
    as_json: bool,
    seed: int | None,
) -> None:
    """Choose how NETWORK can learn TASK on a device with so much RAM.

    Bytes are planned, for every rule, numeric and set of layers; accuracies are those that were measured, and null where none was. The
    best choice comes first. Nothing is trained.
    """
    with stages() as report:
        report("reading the data", 0, 1)
        from edgeff.bench.fit import STACK_BYTES, Budget, fit
        from edgeff.cli.models import find_task, for_training, load_task
        from edgeff.device.boards import load_board
        from edgeff.networks import initialised, normalised, structure

        item = find_task(task, choices)
        if item.target != "class":
            raise Unsupported("edgeff fit", got=f"task {task}, which has no classes", allowed="tasks with classes")
        _, data = for_training(item, load_task(item, seed or 0))
        data.need("train")
        plain = structure(network, bias=bias, input_shape=data.input_shape, classes=len(data.classes))
        if plain.layers[-1].shape != (len(data.classes),):
            raise BadInput("network output", got=plain.layers[-1].shape, allowed=f"({len(data.classes)},), the classes of task {task}")
        made = replace(normalised(initialised(plain, seed or 0), data.x_train), name=network)  # logits of raw pictures fit no int8
        budget = Budget(ram, flash, steps_per_second, load_board(board))
        found = fit(made, data.x_train, task, budget, seed=seed or 0, progress=report)
    if as_json:
        record = {"network": network, "task": task, "ram_limit_bytes": ram, "stack_bytes": STACK_BYTES, "board": board}
        print_json(record | {"only_last_layer": found.only_last_layer, "choices": [choice.described for choice in found.choices]})
        return
    rows = [
        [
            choice.rule,
            choice.numeric,
            " ".join((choice.schedule or "together", *(f"{name}={value}" for name, value in choice.settings.items()))),
            choice.layers if isinstance(choice.layers, str) else ", ".join(choice.layers),
            choice.ram_bytes,
            choice.flash_bytes,
            None if choice.accuracy is None else f"{100 * choice.accuracy:.1f}",
            choice.steps_per_second,
        ]
        for choice in found.choices[:SHOWN]
    ]
    print_table(("rule", "numeric", "how", "layers", "RAM", "flash", "acc. %", "steps/s"), rows)
    if len(found.choices) > SHOWN:
        print_line(f"and {len(found.choices) - SHOWN} more that fit; --json has them all")
    if found.only_last_layer:
        print_line(f"only the last layer fits {ram:,} bytes: nothing below it would learn")
    print_line(f"first choice: {found.choices[0].evidence}; steps in a second modelled")
