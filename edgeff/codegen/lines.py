"""The lines of a program that are neither ``infer`` nor ``learn``, as C: names that can be refused, the functions that run and serve them.

Line NAME runs as ``eff_NAME``; the sample is written to ``eff_input()``, a label is the function's argument, and every other argument or
result has an accessor ``eff_NAME_TENSOR``.
"""

from __future__ import annotations

import re

from edgeff import registry
from edgeff.codegen.names import identifiers
from edgeff.errors import BadInput
from edgeff.ir import Line, Program

_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")
_INTERFACE = frozenset(
    f"eff_{name}"
    for name in ("arena", "init", "reset_state", "input", "output", "predict", "learn_target", "set_rate", "save", "restore", "trace")
)


def further_lines(program: Program) -> tuple[Line, ...]:
    """All lines but ``infer`` and ``learn``, by name: in the order in which firmware numbers them.

    Raises BadInput for a name that is not a lower-case C identifier, or whose function would have a name already taken.
    """
    lines = tuple(program.lines[name] for name in sorted(program.lines) if name not in ("infer", "learn"))
    kernels = {name for item in registry.kernels.values() for name in item.functions}
    taken = {*_INTERFACE, *kernels, *(f"eff_{name}_calls" for name in program.lines)}
    for line in lines:
        functions = {f"eff_{line.name}", *accessors(program, line).values()}
        if not _NAME.fullmatch(line.name) or functions & taken:
            raise BadInput(
                f"a line of {program.name!r}",
                got=repr(line.name),
                allowed="letters, digits and _, and no function of the model or kernel of that name",
                next_step="rename the line",
            )
        taken |= functions
    return lines


def accessors(program: Program, line: Line) -> dict[str, str]:
    """The function that gives each argument and result of ``line``; the sample and the label have none."""
    tensors = [
        name for name in dict.fromkeys((*line.arguments, *line.results)) if program.tensors[name].role != "label" and name != program.input
    ]
    short = identifiers([name.removeprefix(f"{line.name}.") for name in tensors], f"eff_{line.name}_")
    return dict(zip(tensors, short.values(), strict=True))


def further_inputs(program: Program) -> dict[str, str]:
    """The function that gives each input of inference but the first, by the tensor's name."""
    names = [tensor.name for tensor in program.inputs[1:]]
    short = identifiers([name.removeprefix("input.") for name in names], "eff_input_")
    return dict(zip(names, short.values(), strict=True))


def further_outputs(program: Program) -> dict[str, str]:
    """The function that gives each output of inference but the first, by the tensor's name."""
    names = [tensor.name for tensor in program.outputs[1:]]
    short = identifiers([program.tensors[name].layer or name for name in names], "eff_output_")
    return dict(zip(names, short.values(), strict=True))


def takes_label(program: Program, line: Line) -> bool:
    """Whether one of the arguments of ``line`` is the label."""
    return any(program.tensors[name].role == "label" for name in line.arguments)
