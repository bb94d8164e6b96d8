"""Program + a core's features -> Program: each call takes the first variant of its kernel that the core and the call allow.

The bits stay the same: the plain kernel is the definition, and a variant is one only while it equals it. What a variant reads in another
layout is packed anew from the constants, and its scratch memory becomes a tensor of the plan. Twins run programs without variants.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from edgeff import registry
from edgeff.ir import Array, Call, Program, Tensor
from edgeff.kernels import Kernel, Variant


def select(program: Program, features: frozenset[str] = frozenset()) -> Program:
    """``program`` with the variants for a core that has ``features`` (``"dsp"``, ``"fpu"``, ...); by default those for any core."""
    tensors = dict(program.tensors)
    lines = {
        name: replace(line, calls=tuple(_selected(tensors, call, features) for call in line.calls)) for name, line in program.lines.items()
    }
    used = {name for line in lines.values() for call in line.calls for name in (*call.outputs, *call.inputs)}
    kept = {name: tensor for name, tensor in tensors.items() if tensor.role != "constant" or name in used}
    return replace(program, tensors=kept, lines=lines)


def passed_over(program: Program, features: frozenset[str]) -> tuple[str, ...]:
    """For each layer whose call takes none of the forms made for the core: the first of these, and what it wants of a call.

    A call that takes another form made for the core, as those of weights that learn do, is not named.
    """
    found: dict[str, None] = {}
    for call in program.calls:
        kernel: Kernel = registry.kernels[call.kernel]
        constants = _constants(program.tensors, kernel, call)
        made_for_it = [variant for variant in kernel.variants if variant.needs and variant.needs <= features]
        if any(variant.accepts(call.attrs, constants) for variant in made_for_it):
            continue
        for variant in made_for_it:
            if variant.wants:
                found[f"{call.layer}: {call.kernel} not in its form {variant.name!r}, which wants {variant.wants}"] = None
                break
    return tuple(found)


def _selected(tensors: dict[str, Tensor], call: Call, features: frozenset[str]) -> Call:
    """``call`` by its first fitting variant; packed constants and scratch join ``tensors``."""
    kernel: Kernel = registry.kernels[call.kernel]
    constants = _constants(tensors, kernel, call)
    for variant in kernel.variants:
        if variant.needs <= features and variant.accepts(call.attrs, constants):
            return _with(tensors, call, kernel, variant, constants)
    return call


def _constants(tensors: Mapping[str, Tensor], kernel: Kernel, call: Call) -> dict[str, Array]:
    """The data of a call's inputs that no line ever writes, by parameter name."""
    inputs = [param.name for param in kernel.pointers if param.role == "input"]
    held = {name: tensors[tensor] for name, tensor in zip(inputs, call.inputs, strict=True) if tensor}
    return {name: tensor.data for name, tensor in held.items() if tensor.role == "constant" and tensor.data is not None}


def _with(tensors: dict[str, Tensor], call: Call, kernel: Kernel, variant: Variant, constants: Mapping[str, Array]) -> Call:
    inputs, outputs = list(call.inputs), call.outputs
    if variant.pack is not None:
        names = [param.name for param in kernel.pointers if param.role == "input"]
        for name, data in variant.pack(call.attrs, constants).items():
            place = names.index(name)
            if data is None:
                inputs[place] = ""
                continue
            old = tensors.get(inputs[place]) or Tensor(f"{call.layer}.{name}", (), "int32", "constant", layer=call.layer)
            packed = replace(old, data=np.ascontiguousarray(data), shape=data.shape, dtype=str(data.dtype))
            inputs[place] = _constant(tensors, f"{old.name}.{variant.name}", packed)
    if variant.scratch_bytes is not None and (size := variant.scratch_bytes(call.attrs)):
        name = f"{call.outputs[0]}.scratch"
        while name in tensors:  # of another call: alive in its own only
            name += "+"
        scratch = Tensor(name, (-(-size // 4),), "int32", "activation", layer=call.layer)
        tensors[scratch.name] = scratch
        outputs = (*outputs, scratch.name)
    return replace(call, variant=variant.name, inputs=tuple(inputs), outputs=outputs)


def _constant(tensors: dict[str, Tensor], name: str, tensor: Tensor) -> str:
    """The name under which ``tensor`` joins ``tensors``: ``name``, unless that is another constant's."""
    while name in tensors and not np.array_equal(np.asarray(tensors[name].data), np.asarray(tensor.data)):
        name += "+"
    tensors[name] = replace(tensor, name=name)
    return name
