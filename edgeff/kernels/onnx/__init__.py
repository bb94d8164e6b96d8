"""The ONNX form of each kernel: the same numbers as the twin's, said in plain ONNX operators.

A form stands beside its twin and has its name: that of ``ops/<op>/kernel.py`` in ``ops/<op>/kernel_onnx.py``, that of ``rules/words/x.py``
in ``rules/words/onnx/x.py``, that of ``kernels/x.py`` in ``kernels/onnx/x.py``. It takes the twin's parameters, an ``Operand`` in place of
an array, without the outputs that the kernel only writes, and returns the outputs: one, or a tuple in their order (an array is a constant).
Operands come flat and go in any shape; int8, int16 and int32 come as int64, and what a form returns is cast to its tensor's dtype where it
leaves the graph. A module of forms may say ``REFUSED = "the reason"`` instead.

Nothing here imports onnx: a graph is a list of records, which ``edgeff.formats.onnx.training`` writes.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from edgeff.errors import Unsupported
from edgeff.ir import Array
from edgeff.kernels import Kernel, Out
from edgeff.kernels.onnx.operand import Operand

Output: TypeAlias = "Operand | Array"
Form: TypeAlias = Callable[..., "Output | tuple[Output, ...]"]


def form_of(kernel: Kernel) -> Form:
    """The form of ``kernel``. Raises Unsupported, with the reason, where it has none."""
    what, module = f"kernel {kernel.name} in an ONNX training graph", form_module(kernel.module)
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
    ('edgeff.ops.dense.kernel_onnx', 'edgeff.rules.words.onnx.error')
    """
    package, _, name = twin.rpartition(".")
    return f"{twin}_onnx" if name == "kernel" else f"{package}.onnx.{name}"


WIDE: Mapping[str, str] = {"int8": "int64", "int16": "int64", "int32": "int64", "uint8": "int64"}
"""The dtype in which the forms compute with tensors of a dtype, where it is another one."""


def apply(kernel: Kernel, outputs: Sequence[Operand], inputs: Sequence[Operand | None], attrs: Mapping[str, Any]) -> list[Operand]:
    """The outputs of a call of ``kernel`` by its form, flat, from what the outputs held before and the inputs, all flat."""
    writes = [param for param in kernel.pointers if param.role == "output"]
    before = [held for param, held in zip(writes, outputs, strict=True) if isinstance(param.pointer, Out) and param.pointer.also_read]
    result = form_of(kernel)(*before, *inputs, **attrs)
    every = result if isinstance(result, tuple) else (result,)
    return [(value if isinstance(value, Operand) else held.of(value)).flat() for value, held in zip(every, outputs, strict=True)]
