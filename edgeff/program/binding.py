"""The number that binds a learned state to its model: a hash of everything that inference reads and that the state does not contain.

That is the calls of inference with their numbers, the constants they read, where and how the state lies in the arena, and of the other
lines what is fixed for good: the constants they read and the keys of matrices that are generated and never stored. Left out: names, the
variants of kernels (which change no bit), and what tunes learning without changing what the weights mean, such as the rate.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from edgeff import registry
from edgeff.ir import Call, MemoryPlan, Program, Tensor
from edgeff.kernels import numbers


def binding(program: Program, memory: MemoryPlan) -> int:
    """A number of 64 bits that two programs share only if a saved state of one has the same meaning for the other.

    Args: ``program`` as it was lowered, before variants of kernels are selected; ``memory``, the plan of its arena.
    """
    digest = hashlib.sha256()
    for part in _parts(program, memory):
        digest.update(repr(part).encode() + b"\n")
    return int.from_bytes(digest.digest()[:8], "little")


def _parts(program: Program, memory: MemoryPlan) -> Iterator[object]:
    ids: dict[str, int] = {}
    yield program.rule, program.numeric, memory.saved_bytes
    for tensor in program.saved:
        ids[tensor.name] = len(ids)
        yield memory.offsets[tensor.name], tensor.role, tensor.dtype, tensor.shape, tensor.quant
    for line in program.lines.values():
        for call in line.calls:
            operands = [name for name in (*call.outputs, *call.inputs) if name]
            new = [name for name in operands if name not in ids]
            if line.name == "infer":
                ids |= {name: len(ids) + place for place, name in enumerate(dict.fromkeys(new))}
                yield call.kernel, [ids[name] for name in operands], sorted(numbers(call.attrs).items())
                yield from (_meaning(program.tensors[name]) for name in dict.fromkeys(new))
            else:
                ids |= dict.fromkeys(new, -1)
                yield from (_meaning(program.tensors[name]) for name in new if program.tensors[name].role == "constant")
                yield from _generated(call)


def _meaning(tensor: Tensor) -> tuple[object, ...]:
    data = b"" if tensor.role != "constant" or tensor.data is None or tensor.initial_of else tensor.data.tobytes()
    return tensor.role, tensor.dtype, tensor.shape, hashlib.sha256(data).hexdigest()


def _generated(call: Call) -> Iterator[object]:
    """The key of a matrix that a call generates. A stream that advances with a counter is noise, which does not bind a state."""
    pointers = {param.name for param in registry.kernels[call.kernel].params}
    if pointers.isdisjoint({"step", "count"}):
        yield from (value for name, value in numbers(call.attrs).items() if name == "key")
