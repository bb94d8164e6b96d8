"""Kernels -> the text of ``eff_kernels.h``: their structs and prototypes, each with a description and its ranges."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Collection, Iterable

from edgeff.kernels import RANGES, Kernel, Param
from edgeff.kernels.records import ANY_FLOAT, ANY_INT, ANY_UNSIGNED, Field, Record, fields_of

WIDTH = 132
_WHOLE = {"float": ANY_FLOAT, "int32_t": ANY_INT, "uint32_t": ANY_UNSIGNED}


KERNELS_HEADER = "eff_kernels.h"


def header_of(kernels: Iterable[Kernel], functions: Collection[str]) -> str:
    """``eff_kernels.h``: the prototypes of those ``functions`` that are ``kernels`` or variants of them, after the structs they take."""
    items = [item for item in sorted(kernels, key=lambda item: item.name) if item.functions & set(functions)]
    taken = {p.record for item in items for p in item.params if p.record is not None}
    parts = [*map(_struct, _ordered(taken)), *(_prototypes(item, functions) for item in items)]
    text = "\n\n".join(parts)
    return f"""\
/* SPDX-License-Identifier: Apache-2.0 */
/* eff_kernels.h: the kernels' parameters and prototypes. An argument list is: outputs, inputs, numbers and structs; a pointer that may be
 * NULL says so, and an output that is also read.
 */
#ifndef EFF_KERNELS_H
#define EFF_KERNELS_H

#include <stdint.h>

{text}

#endif
"""


def _ordered(records: Collection[type[Record]]) -> list[type[Record]]:
    """Records and the records in them, each once, by name, after those that it holds."""
    order: list[type[Record]] = []
    for record in sorted(records, key=lambda record: record.ctype()):
        held = [field.record for field in fields_of(record) if field.record is not None]
        order += [each for each in (*_ordered(held), record) if each not in order]
    return order


def _comment(text: str) -> str:
    """``text`` as one C comment, wrapped."""
    lines = textwrap.wrap(" ".join(text.split()).replace("``", "").replace("*/", "* /"), WIDTH - 3, break_long_words=False)
    return "/* " + "\n * ".join(lines) + " */"


def _struct(record: type[Record]) -> str:
    width = max(len(f"{field.ctype} {field.name};") for field in fields_of(record))
    rows = []
    for field in fields_of(record):
        declared = f"{field.ctype} {field.name};"
        rows.append(f"    {declared:{width}} /* {field.range} */" if _limited(field) else f"    {declared}")
    return f"{_comment(inspect.getdoc(record) or record.__name__)}\ntypedef struct {{\n" + "\n".join(rows) + f"\n}} {record.ctype()};"


def _limited(field: Field) -> bool:
    return field.record is None and field.range != _WHOLE[field.ctype]


def _prototypes(item: Kernel, functions: Collection[str]) -> str:
    about = " ".join((inspect.getdoc(item.run) or item.name).split())
    notes = [note for param in item.params if (note := _note(param))]
    lines = [_comment(f"{about.rstrip('.')}. {'; '.join(notes)}" if notes else about)]
    for name, scratch in ((item.name, None), *((f"{item.name}_{v.name}", v.scratch_bytes) for v in item.variants)):
        if name not in functions:
            continue
        arguments = [param.declaration for param in item.params] + (["void *scratch"] if scratch else [])
        lines.append(_wrapped(f"void {name}(", arguments))
    return "\n".join(lines)


def _note(param: Param) -> str:
    """The promises of a parameter besides its type: a pointer's shape and range, a number's range."""
    if param.number is not None:
        return f"{param.name} {param.number.range}" if _limited(param.number) else ""
    if param.pointer is None:
        return ""
    shape = "".join(f"[{text}]" for text in param.pointer.shape)
    whole = RANGES[param.ctype]
    low, high = (
        (whole.low if param.pointer.low is None else param.pointer.low),
        (whole.high if param.pointer.high is None else param.pointer.high),
    )
    limited = f" {low} to {high}" if (low, high) != (whole.low, whole.high) else ""
    read = ", also read" if getattr(param.pointer, "also_read", False) else ""
    return f"{param.name}{shape}{limited}{read}{', or NULL' if param.optional else ''}"


def _wrapped(start: str, arguments: list[str]) -> str:
    """A prototype, continued under its bracket if it is long."""
    lines, line = [], start
    for index, argument in enumerate(arguments):
        text = argument + (", " if index + 1 < len(arguments) else ");")
        if len(line) + len(text.rstrip()) > WIDTH and line.strip():
            lines.append(line.rstrip())
            line = " " * len(start)
        line += text
    return "\n".join([*lines, line])
