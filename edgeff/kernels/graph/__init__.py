"""The graph form of each kernel: the same numbers as the twin's, said in plain operators, for ONNX and TFLite alike.

A form stands beside its twin and has its name: that of ``ops/<op>/kernel.py`` in ``ops/<op>/kernel_graph.py``, that of a module
``rules/words/x.py`` in ``rules/words/graph/x.py``, that of ``kernels/x.py`` in ``kernels/graph/x.py``. It takes the twin's parameters, an
``Operand`` in place of an array, without the outputs that the kernel only writes, and returns the outputs: one, or a tuple in their order
(an array is a constant). Operands come flat and go in any shape; int8, int16 and int32 come as int64, and what a form returns is cast to
its tensor's dtype where it leaves the graph. A module of forms may say ``REFUSED = "the reason"`` instead.

A graph is a list of records; ``edgeff.formats.onnx`` and ``edgeff.formats.tflite`` write it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from edgeff.errors import Unsupported
from edgeff.ir import Array
from edgeff.kernels import Kernel, Out
from edgeff.kernels.graph.operand import Operand

Output: TypeAlias = "Operand | Array"
NO_INT16 = "in int16 it has no form in plain operators"
"""Why kernels of int16 that a module leaves out have none."""
Form: TypeAlias = Callable[..., "Output | tuple[Output, ...]"]


def form_of(kernel: Kernel) -> Form:
    """The form of ``kernel``. Raises Unsupported, with the reason, where it has none."""
    what, module = f"kernel {kernel.name} in a training graph", form_module(kernel.module)
    try:
        forms = vars(importlib.import_module(module))
    except (ImportError, TypeError) as error:  # TypeError: a twin in a module outside any package
        if getattr(error, "name", None) not in (None, module, module.rpartition(".")[0]):
            raise  # there is such a module, and it fails
        forms = {}
    if kernel.name in forms:
        form: Form = forms[kernel.name]
        return form
    raise Unsupported(what, got=forms.get("REFUSED", f"no form in {module}"), next_step="export to C instead")


def form_module(twin: str) -> str:
    """The module that holds the forms of the twins in the module ``twin``.

    >>> form_module("edgeff.ops.dense.kernel"), form_module("edgeff.rules.words.error")
    ('edgeff.ops.dense.kernel_graph', 'edgeff.rules.words.graph.error')
    """
    package, _, name = twin.rpartition(".")
    return f"{twin}_graph" if name == "kernel" else f"{package}.graph.{name}"


WIDE: Mapping[str, str] = {"int8": "int64", "int16": "int64", "int32": "int64", "uint8": "int64"}
"""The dtype in which the forms compute with tensors of a dtype, where it is another one."""


def apply(kernel: Kernel, outputs: Sequence[Operand], inputs: Sequence[Operand | None], attrs: Mapping[str, Any]) -> list[Operand]:
    """The outputs of a call of ``kernel`` by its form, flat, from what the outputs held before and the inputs, all flat.

    The legal range of every integer that is read is told to the graph: the caller keeps it, as for the C.
    """
    writes = [param for param in kernel.pointers if param.role == "output"]
    before = [held for param, held in zip(writes, outputs, strict=True) if isinstance(param.pointer, Out) and param.pointer.also_read]
    read = [param for param in kernel.pointers if param not in writes]
    for param, operand in [*zip(writes, outputs, strict=True), *zip(read, inputs, strict=True)]:
        told = param.ctype != "void" and (operand in before or param in read)  # the range of void is that of its bytes
        if operand is not None and operand.dtype == "int64" and told:
            operand.within(*(int(end) for end in param.limits(attrs)))
    result = form_of(kernel)(*before, *inputs, **attrs)
    every = result if isinstance(result, tuple) else (result,)
    return [(value if isinstance(value, Operand) else held.of(value)).flat() for value, held in zip(every, outputs, strict=True)]
