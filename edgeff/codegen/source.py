"""Program + memory plan -> the text of ``model.h`` and ``model.c``.

``model.c`` is constants, one arena whose map is the plan's, and a flat list of calls for each line; comments give each layer's name, shape
and cost. The line ``infer`` runs as ``eff_predict``, ``learn`` as ``eff_learn``, any other as ``edgeff.codegen.lines`` says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import cast

import numpy as np

from edgeff import registry
from edgeff.codegen.lines import accessors, further_inputs, further_lines, further_outputs, takes_label
from edgeff.codegen.names import braced, comment, identifiers, initialiser, literal, statement
from edgeff.ir import DTYPE_BYTES, Call, Line, MemoryPlan, Parameters, Program, Tensor
from edgeff.kernels import Kernel, Param
from edgeff.kernels.records import Record, fields_of
from edgeff.program.codes import LARGEST_RATE, LIMITS, MEANINGS, Code, largest_bits, learns, needs_input, watched
from edgeff.program.plan import consumes, flash_tensors, guard_bytes
from edgeff.program.state import float_runs, state_bytes

C_TYPES = {"float32": "float", "int8": "int8_t", "int16": "int16_t", "int32": "int32_t", "uint32": "uint32_t", "int64": "int64_t"}
ATTR_TYPES = {"float": "float32", "int32_t": "int32", "uint32_t": "uint32"}
LICENCE = "/* SPDX-License-Identifier: Apache-2.0 */"
"""The first line of every file: of the code, that is; the numbers in it are the model's, and whoever trained it says what may be done."""


RUNTIME = ("eff_slots.h", "eff_slots.c", "eff_state.h", "eff_state.c", "eff_watch.h", "eff_watch.c")
"""The C of learned state, of ``codegen/runtime``, which every program that learns takes; the first header includes the second."""


def written_by(command: str) -> str:
    """The line of a generated file's head that says which command made it."""
    return f" * Written by {comment(command)}; not for editing."


def shape(tensor: Tensor) -> str:
    """``32x64``."""
    return "x".join(map(str, tensor.shape))


def rule_off(title: str) -> str:
    """A comment that begins a part of a file."""
    return f"/* ------------------------------------------------------------------ {title} */"


@dataclass(frozen=True)
class Shared:
    """What a model has from outside: the name of an ``arena`` that it shares, and the C expressions of constants ``stored`` elsewhere.

    ``declared`` is the C that declares what those expressions need.
    """

    arena: str = ""
    stored: Mapping[str, str] = field(default_factory=dict)
    declared: str = ""


class Text:
    """The text of one program. ``kernels`` are those it calls, by name; ``command`` is recorded in the files' heads as their origin.

    ``binding`` is the number in a saved state (``edgeff.program.binding``); ``shared`` is what it has from other models.
    """

    def __init__(self, program: Program, memory: MemoryPlan, command: str, binding: int, shared: Shared | None = None) -> None:
        self.program, self.memory, self.command, self.binding, self.shared = program, memory, command, binding, shared or Shared()
        self.flash = flash_tensors(program)
        self.constants = identifiers([t.name for t in self.flash], "eff_k_")
        self.constants |= {t.name: self.constants[t.initial_of] for t in program.by_role("constant") if t.initial_of}
        self.in_arena = sorted(
            (program.tensors[name] for name in memory.offsets),
            key=lambda t: (memory.offsets[t.name], memory.lifetimes.get(t.name, ())),
        )
        self.pointers = identifiers([t.name for t in self.in_arena], "t_")
        self.remembered = program.by_role("memory")
        self.further = further_lines(program)
        self.guarded = guard_bytes(program) > 0
        names = [call.kernel for call in program.calls]
        if program.by_role("variable"):
            names.append("eff_copy")
        if program.target and "eff_copy" not in names:
            names.append("eff_copy")
        if program.label:
            names.append("eff_set_label")
        self.kernels: dict[str, Kernel] = {name: registry.kernels[name] for name in names}
        self.records = self._records()

    @property
    def sources(self) -> set[Path]:
        """The C files of the kernels it calls, each call's in its variant."""
        called = {(call.kernel, call.variant) for call in self.program.calls}
        called |= {(name, "") for name in self.kernels if not any(name == kernel for kernel, _ in called)}
        return {self.kernels[name].variant_source(variant) for name, variant in called}

    def _records(self) -> dict[Record, str]:
        """A C name for each different record that a call takes, after the first layer that needs it."""
        wishes: dict[Record, str] = {}
        for call in self.program.calls:
            for name, value in call.attrs.items():
                if isinstance(value, Record) and value not in wishes:
                    count = sum(wish.split("#")[0] == f"{call.layer}.{name}" for wish in wishes.values())
                    wishes[value] = f"{call.layer}.{name}" + (f"#{count + 1}" if count else "")
        names = identifiers(wishes.values(), "eff_p_")
        return {record: names[wish] for record, wish in wishes.items()}

    def what(self) -> str:
        learns = f", learns by {self.program.rule}" if self.program.learn else ""
        return comment(f"{self.program.name}, {self.program.numeric}{learns}")

    # ---------------------------------------------------------------- model.h

    def header(self) -> str:
        """``model.h``: the interface."""
        program, memory = self.program, self.memory
        tensor_in, tensor_out = program.tensors[program.input], program.tensors[program.output]
        scratch = memory.arena_bytes - memory.persistent_bytes
        defines = [
            ("EFF_INPUTS", f"{tensor_in.elements}", "elements of the input"),
            ("EFF_OUTPUTS", f"{tensor_out.elements}", "elements of the scores"),
            ("EFF_CLASSES", f"{program.classes}", "0 when the output is no class"),
            ("EFF_HAS_LEARN", f"{int(bool(program.learn))}", "0: inference only, eff_learn is absent"),
            *([("EFF_LEARNS_VALUES", "1", "eff_learn_target takes the place of eff_learn")] if program.target else []),
            *((f"EFF_{code.name}", f"({code.value})" if code else "0", MEANINGS[code]) for code in self._codes()),
            *_quantisation(tensor_in, "INPUT"),
            *_quantisation(tensor_out, "OUTPUT"),
            *self._further_defines(),
        ]
        state = f'\n#include "{RUNTIME[0]}"\n#include "{RUNTIME[4]}"\n' if program.learn else ""
        return f"""\
{LICENCE}
/* model.h: {self.what()}.
{written_by(self.command)}
 *
 * Call eff_init once. {self._input_life()}
 */
#ifndef EFF_MODEL_H
#define EFF_MODEL_H

#include <stddef.h>
#include <stdint.h>
{state}
#ifdef __cplusplus
extern "C" {{
#endif

{_defines(defines)}

/* The one static arena: {memory.persistent_bytes:,} bytes of weights and state, then {scratch:,} shared by the activations. It lies where
 * the linker puts data, or in the section that EFF_ARENA_SECTION names when model.c is compiled: -DEFF_ARENA_SECTION='".bss.ccm"' (GCC
 * spends flash on a section whose name does not begin with .bss). Nothing has to zero it: eff_init writes all that counts. */
#define EFF_ARENA_BYTES {memory.arena_bytes}u
{self._arena()}

typedef {C_TYPES[tensor_in.dtype]} eff_input_t;
typedef {C_TYPES[tensor_out.dtype]} eff_output_t;

void eff_init(void);                  /* the weights as they were exported, the state at zero */
{self._reset_interface()}eff_input_t *eff_input(void);
const eff_output_t *eff_output(void); /* the scores: valid after eff_predict, until the input is filled again */
{self._several_interface()}{self._prediction_interface()}
{self._learning_interface() if program.learn else ""}
/* The calls themselves, one after the other; {"eff_predict and eff_learn run" if program.learn else "eff_predict runs"} them. */
void eff_infer_calls(void);
{"void eff_learn_calls(void);" + chr(10) if program.learn else ""}{self._further_interface()}
#ifdef __cplusplus
}}
#endif

#endif
"""

    def _several(self) -> list[tuple[str, str, str, str]]:
        """Each further input and output: its tensor, its function, the name of its count, "inputs" or "outputs"."""
        known = [(*item, "inputs") for item in further_inputs(self.program).items()]
        known += [(*item, "outputs") for item in further_outputs(self.program).items()]
        return [(name, function, f"EFF_{what.upper()}_{function.split('_', 2)[2].upper()}", what) for name, function, what in known]

    def _further_defines(self) -> list[tuple[str, str, str]]:
        """The counts and scales of further inputs and outputs."""
        rows = []
        for name, _, count, _what in self._several():
            tensor = self.program.tensors[name]
            rows.append((count, f"{tensor.elements}", f"elements of {comment(name)}"))
            rows += _quantisation(tensor, count.removeprefix("EFF_").replace("INPUTS", "INPUT", 1).replace("OUTPUTS", "OUTPUT", 1))
        return rows

    def _several_interface(self) -> str:
        """The functions of further inputs and outputs, and macros that list all of either; empty for one of each."""
        known = self._several()
        lines = [
            f"{'eff_input_t' if what == 'inputs' else 'const eff_output_t'} *{function}(void); /* {comment(name)} */"
            for name, function, _, what in known
        ]
        for what, macro in (("inputs", "EFF_EACH_INPUT"), ("outputs", "EFF_EACH_OUTPUT")):
            every = [
                (f"eff_{what[:-1]}", f"EFF_{what.upper()}"),
                *((function, count) for _, function, count, which in known if which == what),
            ]
            if len(every) > 1:
                lines.append(f"/* All {what} in order, each with its function and its count of elements: all of them are filled. */")
                lines.append(f"#define {macro}(DO) {' '.join(f'DO({function}, {count})' for function, count in every)}")
        return "".join(f"{line}\n" for line in lines)

    def _several_defined(self) -> str:
        return "".join(
            f"{'eff_input_t' if what == 'inputs' else 'const eff_output_t'} *{function}(void) {{ return {self.pointers[name]}; }}\n"
            for name, function, _, what in self._several()
        )

    def _arena(self) -> str:
        """The declaration of the arena, which another name of the same memory stands for where models share one."""
        if not self.shared.arena:
            return "extern uint64_t eff_arena[EFF_ARENA_BYTES / 8u];"
        return f"extern uint64_t {self.shared.arena}[];\n#define eff_arena {self.shared.arena}"

    def _arena_defined(self) -> str:
        if not self.shared.arena:
            return "EFF_PLACE uint64_t eff_arena[EFF_ARENA_BYTES / 8u];"
        return f"/* It is {self.shared.arena}, which the models share. */"

    def _codes(self, *names: str) -> list[Code]:
        """The codes that the functions of these lines can return; of all lines if none is named."""
        lines = [self.program.lines[name] for name in names or self.program.lines]
        arguments = {self.program.tensors[name].dtype for line in lines for name in line.arguments}
        possible = {
            Code.OK: any(line.name != "infer" for line in lines),
            Code.BAD_LABEL: any(takes_label(self.program, line) for line in lines),
            Code.NOT_FINITE: "float32" in arguments,
            Code.BAD_RATE: not names and "rate" in self.pointers,
            Code.EMPTY: any(line.needs for line in lines),
            Code.CONSUMED: self.guarded and any(needs_input(self.program, line) for line in lines),
            Code.DIVERGED: any(learns(self.program, line) for line in lines),
            Code.ROLLED_BACK: any(learns(self.program, line) for line in lines),
        }
        return [code for code, can in possible.items() if can]

    def _input_life(self) -> str:
        """How long the input is the input, for the head of ``model.h``."""
        keeps = not consumes(self.program, self.memory, self.program.lines["infer"])
        if not self.program.learn:
            return "Fill what eff_input() returns before every eff_predict."
        if not keeps:
            return """Before every eff_predict or eff_learn call eff_input() and fill what it returns: the arena is reused, so
 * the input does not survive a call, and to learn from it then is refused (EFF_CONSUMED)."""
        again = consumes(self.program, self.memory, self.program.lines["learn"])
        rest = ": it does not survive eff_learn, and to learn from it again is refused (EFF_CONSUMED)" if again else ""
        return f"""Call eff_input() and fill what it returns for every sample: the input survives eff_predict, so
 * the sample can be learned after it{rest}."""

    def _prediction_interface(self) -> str:
        what = "the best class, or 0 where there are none"
        large = ", infinity or a number of 2^48 or more" if self.remembered else " or infinity"
        if not self._codes("infer"):
            return f"int32_t eff_predict(void);            /* {what} */"
        return f"""int32_t eff_predict(void);            /* {what}; EFF_NOT_FINITE for an input with
                                       * NaN{large} in it: then nothing is computed, and the scores are not valid */"""

    def _answer(self, name: str) -> str:
        """What a line's function returns."""
        lost = (Code.DIVERGED, Code.ROLLED_BACK)
        refusals = " or ".join(f"EFF_{code.name}" for code in self._codes(name) if code and code not in lost)
        nothing = f", or {refusals}: then nothing is changed, neither weights nor counters" if refusals else ""
        if not learns(self.program, self.program.lines[name]):
            return f"Returns EFF_OK{nothing}."
        return f"""Returns EFF_OK{nothing}.
 * EFF_WINDOW parameters are then looked at, others each time. EFF_DIVERGED: one is NaN, infinite or 2^48 and more, or most integers are at
 * their limits; the weights are as after eff_init. With model.c compiled with -DEFF_SLOTS=s, where `const eff_slots s` is defined by you,
 * the newest good slot is restored in that case: EFF_ROLLED_BACK"""

    def _rate_interface(self) -> str:
        """``eff_set_rate`` and the schedule; empty for a program that learns without a rate."""
        if Code.BAD_RATE not in self._codes():
            return ""
        every = (call.attrs for line in self.program.lines.values() for call in line.calls if call.kernel == "eff_advance")
        advance = next(every, {"period": 0, "factor": 0})
        period, share = cast("int", advance["period"]), cast("int", advance["factor"]) / 2**16
        schedule = f"It is multiplied by {share:.4g} after every {period:,} steps." if period else "It stays: there is no schedule."
        return f"""
/* The learning rate from here on, relative to the program's own: 0 to EFF_LARGEST_RATE, in steps of 2^-16; eff_init sets it to 1.
 * {schedule} Returns EFF_OK, or EFF_BAD_RATE: then it is as before. */
#define EFF_LARGEST_RATE {LARGEST_RATE}f
int eff_set_rate(float rate);
"""

    def _learning_interface(self) -> str:
        label = "The label is a class, 0 to EFF_CLASSES - 1." if self.program.label else "The label is ignored: the target is the input."
        step = f"""/* One training step on the input, batch 1. {label}
 * {self._answer("learn")} */
int eff_learn(int32_t label);"""
        if self.program.target:
            step = f"""/* One training step on the input, batch 1, towards what the output should be: EFF_OUTPUTS numbers in its format, by
 * squared error. {self._how_written()} They are copied; they must not lie in the arena.
 * {self._answer("learn")} */
int eff_learn_target(const eff_output_t *target);"""
        return f"""
{step}
{self._rate_interface()}
/* What was learned, to survive a reset: EFF_SAVE_BYTES, which eff_save passes to the callback piece by piece, under sequence number 0, and
 * eff_restore asks for, twice: it checks all before it loads. Both return EFF_STATE_OK or a code of eff_state.h; what is refused leaves
 * the running model as it is. eff_slots_save(&eff_learned, ...) keeps two or more in flash, one of which survives any loss of power. */
#define EFF_SAVE_BYTES {state_bytes(self.memory)}u
extern const eff_state eff_learned;
int eff_save(eff_write write, void *context);
int eff_restore(eff_read read, void *context);

/* The same with a buffer of `length` bytes; eff_save_buffer returns how many it wrote, 0 when the buffer is too small. */
size_t eff_save_buffer(uint8_t *buffer, size_t length);
int eff_restore_buffer(const uint8_t *buffer, size_t length);
{self._saturation_interface()}"""

    def _integers_that_learn(self) -> int:
        """How many integers the watch looks at; 0 where it looks at none."""
        return sum(t.elements for t in watched(self.program) if t.dtype in LIMITS) if Code.DIVERGED in self._codes() else 0

    def _saturation_interface(self) -> str:
        """The count of parameters at their limits; empty where nothing that learns is an integer."""
        if not (count := self._integers_that_learn()):
            return ""
        return f"""
/* How many of the EFF_PARAMETERS integers that learn are at their limits now. It looks at all of them: no part of a step. */
#define EFF_PARAMETERS {count}u
uint32_t eff_saturated_parameters(void);
"""

    def _how_written(self) -> str:
        """How the caller writes a target."""
        if self.program.tensors[self.program.output].dtype == "float32":
            return "A number of 2^48 or more is refused."
        return "A value v is written as v / EFF_OUTPUT_SCALE + EFF_OUTPUT_ZERO_POINT, rounded; what is outside the type cannot be learned."

    def _further_interface(self) -> str:
        """The prototypes of the further lines and of what gives their arguments and results, and a macro that numbers them."""
        if not self.further:
            return ""
        parts, runs = [], []
        for number, line in enumerate(self.further):
            macs = sum(self.kernels[call.kernel].macs(call.attrs) for call in line.calls)
            label = takes_label(self.program, line)
            reads = " on the sample in eff_input()" if self.program.input in line.arguments else ""
            parts.append(f"""
/* {line.name}: {len(line.calls)} calls, {macs:,} MACs{reads}.
 * {self._answer(line.name)} */
int eff_{line.name}({"int32_t label" if label else "void"});
void eff_{line.name}_calls(void);
""")
            for name, function in accessors(self.program, line).items():
                tensor, result = self.program.tensors[name], name not in line.arguments
                when = "valid after it, until another line runs" if result else "to be written before it"
                parts.append(f"{self._accessor(name, function, result)}; /* {shape(tensor)}, {when} */\n")
            runs.append(f"X({number}, eff_{line.name}({'label' if label else ''}))")
        return f"""{"".join(parts)}
/* X(number, run) for each of these lines, in the order of their names: to drive them by number. */
#define EFF_FURTHER_LINES(X, label) {" ".join(runs)}
"""

    def _accessor(self, name: str, function: str, result: bool) -> str:
        return f"{'const ' if result else ''}{C_TYPES[self.program.tensors[name].dtype]} *{function}(void)"

    # ---------------------------------------------------------------- model.c

    def source(self, headers: Sequence[str] = ()) -> str:
        """``model.c``: constants, arena, calls. ``headers`` are those of kernels from outside edgeff, included after ``edgeff.h``."""
        program, memory = self.program, self.memory
        includes = "\n".join(f'#include "{name}"' for name in ("model.h", "edgeff.h", *headers))
        return f"""\
{LICENCE}
/* model.c: {self.what()}.
{written_by(self.command)}
 *
 * Flash: {memory.flash_bytes:,} bytes of constants. RAM: {memory.arena_bytes:,} bytes, the arena.
 */
{includes}
{self.shared.declared}
{rule_off("constants, in flash")}

{"".join(self._constants())}\
{self._parameters()}\
{rule_off("the arena")}

#ifdef EFF_ARENA_SECTION
#define EFF_PLACE __attribute__((section(EFF_ARENA_SECTION)))
#else
#define EFF_PLACE
#endif

/* Weights and state stay. The others share the space after them, each from its first to its last call in a list; in the call that makes
 * it, an output may lie over an input that no later call reads. */
{self._arena_defined()}

#define EFF_AT(offset) ((void *)((uint8_t *)eff_arena + (offset)))

{self._map()}

{self._guard()}{self._reset()}void eff_init(void)
{{
{self._initial()}{self._filled(0)}}}

{self._input()}

const eff_output_t *eff_output(void) {{ return {self.pointers[program.output]}; }}
{self._several_defined()}
{rule_off("inference")}

{self._check()}EFF_NOINLINE void eff_infer_calls(void)
{{
{self._calls(program.infer)}
}}

int32_t eff_predict(void)
{{
{self._takes_arguments(program.lines["infer"])}    eff_infer_calls();
{self._used("infer")}    {self._best()}
}}
{self._learning() if program.learn else ""}{"".join(self._further(line) for line in self.further)}"""

    def _guard(self) -> str:
        """The word that says whether the input is filled; empty where no line learns from it."""
        if not self.guarded:
            return ""
        return """/* Whether the input is what the caller filled, from eff_input on until its memory is used for something else. Eight
 * bytes, which no optimiser narrows, so that what follows is aligned as before. */
static volatile uint32_t eff_filled[2];

"""

    def _filled(self, value: int) -> str:
        return f"    eff_filled[0] = {value}u;\n" if self.guarded else ""

    def _used(self, line: str) -> str:
        """The statement after a line that uses the input's memory."""
        return self._filled(0) if consumes(self.program, self.memory, self.program.lines[line]) else ""

    def _input(self) -> str:
        pointer = self.pointers[self.program.input]
        if not self.guarded:
            return f"eff_input_t *eff_input(void) {{ return {pointer}; }}"
        return f"""eff_input_t *eff_input(void)
{{
{self._filled(1)}    return {pointer};
}}"""

    def trace(self) -> str:
        """``trace.c``, in the place of ``model.c`` on the host: the same calls, each followed by a copy of its outputs to ``out``."""
        copied = {name: f"    memcpy(out, {self.pointers[name]}, {self.program.tensors[name].size_bytes});" for name in self.pointers}
        lines = [
            line
            for call in self.program.infer
            for line in (self._call(call), *(f"{copied[n]}\n    out += {self.program.tensors[n].size_bytes};" for n in call.outputs))
        ]
        return f"""\
{LICENCE}
/* trace.c: {self.what()}.
{written_by(self.command)}
 */
#include <string.h>
#include "model.c"

void eff_trace(uint8_t *out);

void eff_trace(uint8_t *out)
{{
{chr(10).join(lines)}
}}
"""

    def _constants(self) -> Iterator[str]:
        for tensor in self.flash:
            if tensor.data is not None:
                about = [comment(tensor.name), shape(tensor)]
                if tensor.quant is not None:
                    about.append(
                        f"in steps of {tensor.quant.scale[0]:.6g}" if tensor.quant.axis is None else "each row in steps of its own"
                    )
                if tensor.role == "variable":
                    about.append("the initial value")
                declaration = f"static const {C_TYPES[tensor.dtype]} {self.constants[tensor.name]}[{tensor.elements}]"
                yield f"/* {', '.join(about)} */\n{declaration} = {initialiser(tensor.data, tensor.dtype)};\n\n"

    def _parameters(self) -> str:
        """The records that calls take, as constants with named fields."""
        if not self.records:
            return ""
        texts = [braced(f"static const {record.ctype()} {name} = ", _members(record)) for record, name in self.records.items()]
        return f"{rule_off('what the calls take beside their tensors, in flash')}\n\n" + "\n".join(texts) + "\n\n"

    def _map(self) -> str:
        """The arena's defines, in columns: pointer, offset, bytes and life."""
        places = [f"(({C_TYPES[t.dtype]} *)EFF_AT({self.memory.offsets[t.name]}))" for t in self.in_arena]
        texts = [f"{t.size_bytes:,} bytes, {self._life(t)}" for t in self.in_arena]
        return _defines(list(zip(self.pointers.values(), places, texts, strict=True)))

    def _life(self, tensor: Tensor) -> str:
        """The shape of what stays; the calls, numbered from 1 in each list, that need what shares its space."""
        places = [[self.program.place(end) for end in span] for span in self.memory.lifetimes.get(tensor.name, ())]
        return ", ".join(f"{line} {first + 1} to {last + 1}" for (line, first), (_, last) in places) or shape(tensor)

    def _initial(self) -> str:
        copied = [
            statement("eff_copy", [self.pointers[t.name], self.shared.stored.get(t.name) or self.constants[t.name], str(t.size_bytes)])
            for t in self.program.by_role("variable")
        ]
        emptied = [
            f"    {self.pointers[t.name]}[0] = 0;"
            if t.elements == 1 and t.role == "state"
            else f"    for (int32_t i = 0; i < {t.elements}; ++i) {{\n        {self.pointers[t.name]}[i] = 0;\n    }}"
            for t in (*self.program.by_role("state"), *self.program.by_role("ring"))
        ]
        return "".join(f"{line}\n" for line in (*copied, *emptied, *(["    eff_reset_state();"] if self.remembered else [])))

    def _reset_interface(self) -> str:
        """The prototype of ``eff_reset_state``; empty for a network that remembers nothing."""
        if not self.remembered:
            return ""
        kept = sum(tensor.size_bytes for tensor in self.remembered)
        return f"void eff_reset_state(void);           /* before another stream: forgets the inputs so far, {kept:,} bytes */\n"

    def _reset(self) -> str:
        if not self.remembered:
            return ""
        loops = "".join(
            f"    for (int32_t i = 0; i < {tensor.elements}; ++i) {{\n"
            f"        {self.pointers[tensor.name]}[i] = {literal(tensor.start, tensor.dtype)};\n    }}\n"
            for tensor in self.remembered
        )
        return f"void eff_reset_state(void)\n{{\n{loops}}}\n\n"

    def _best(self) -> str:
        if self.program.prediction is None:
            return "return 0;"
        return f"const int32_t *best = {self.pointers[self.program.prediction]};\n    return *best;"

    def _calls(self, calls: Sequence[Call]) -> str:
        """The calls in order, under a comment for each run of calls of one layer and stage: name, shape and cost."""
        out: list[str] = []
        for (layer, stage), group in groupby(calls, key=lambda call: (call.layer, call.stage)):
            run = list(group)
            macs = sum(self.kernels[call.kernel].macs(call.attrs) for call in run)
            out.append(f"    /* {comment(layer)}, {stage}: {self._shapes(run[0])}{f', {macs:,} MACs' if macs else ''} */")
            out.extend(self._call(call) for call in run)
        return "\n".join(out)

    def _shapes(self, call: Call) -> str:
        """The output of a call and, in a forward pass, its input."""
        made = shape(self.program.tensors[call.outputs[0]])
        return f"{shape(self.program.tensors[call.inputs[0]])} -> {made}" if call.stage == "forward" and call.inputs[0] else made

    def _call(self, call: Call) -> str:
        kernel = self.kernels[call.kernel]
        written = sum(param.role == "output" for param in kernel.pointers)
        outputs, scratch = call.outputs[:written], call.outputs[written:]  # a variant's scratch memory is its last parameter
        pairs = zip(kernel.pointers, (*outputs, *call.inputs), strict=True)
        arguments = [self._pointer(param, name) for param, name in pairs]
        arguments += [self._number(call.attrs[p.name], p) for p in kernel.attrs]
        return statement(call.function, [*arguments, *map(self._argument, scratch)])

    def _pointer(self, param: Param, name: str) -> str:
        """A tensor as the argument for ``param``, cast where a variant has packed it into another type."""
        packed = name in self.constants and param.ctype in C_TYPES.values() and C_TYPES[self.program.tensors[name].dtype] != param.ctype
        return f"(const {param.ctype} *){self._argument(name)}" if packed else self._argument(name)

    def _number(self, value: float | Parameters, param: Param) -> str:
        """A number as a literal, a record as the address of its constant."""
        return f"&{self.records[value]}" if isinstance(value, Record) else literal(cast("float", value), ATTR_TYPES[param.ctype])

    def _argument(self, name: str) -> str:
        if not name:
            return "NULL"
        return self.pointers.get(name) or self.shared.stored.get(name) or self.constants[name]

    def _check(self) -> str:
        """The C function that looks for NaN and infinity in an argument; empty if all are integers."""
        if Code.NOT_FINITE not in self._codes():
            return ""
        return """\
/* Whether the bits of every number, the sign left out, are below the limit: those of NaN and infinity are the largest. */
static int eff_below(const float *x, size_t n, uint32_t limit)
{
    for (size_t i = 0; i < n; ++i) {
        const union {
            float value;
            uint32_t bits;
        } number = {x[i]};
        if ((number.bits & UINT32_C(0x7FFFFFFF)) >= limit) {
            return 0;
        }
    }
    return 1;
}

"""

    def _takes_arguments(self, line: Line) -> str:
        """The statements that refuse arguments that are not numbers, and a label that is not a class; then the label is set."""
        limit = largest_bits(self.program, line)
        refusals = [(f"*{self.pointers[name]} == 0", Code.EMPTY) for name in line.needs]
        label = self.program.label if takes_label(self.program, line) else None
        if label:
            refusals.append(("label < 0 || label >= EFF_CLASSES", Code.BAD_LABEL))
        if self.guarded and needs_input(self.program, line):
            refusals.append(("!eff_filled[0]", Code.CONSUMED))
        for tensor in map(self.program.tensors.__getitem__, line.arguments):
            if tensor.dtype == "float32":
                below = f"eff_below({self.pointers[tensor.name]}, {tensor.elements}u, UINT32_C(0x{limit:08X}))"
                refusals.append((f"!{below}", Code.NOT_FINITE))
        tests = [f"    if ({test}) {{\n        return EFF_{code.name};\n    }}\n" for test, code in refusals]
        return "".join(tests) + (statement("eff_set_label", [self.pointers[label], "label"]) + "\n" if label else "")

    def _further(self, line: Line) -> str:
        """The functions of one further line."""
        label = takes_label(self.program, line)
        getters = "".join(
            f"\n{self._accessor(name, function, name not in line.arguments)} {{ return {self.pointers[name]}; }}\n"
            for name, function in accessors(self.program, line).items()
        )
        return f"""
{rule_off(line.name)}

EFF_NOINLINE void eff_{line.name}_calls(void)
{{
{self._calls(line.calls)}
}}

int eff_{line.name}({"int32_t label" if label else "void"})
{{
{self._takes_arguments(line)}    eff_{line.name}_calls();
{self._used(line.name)}    return {self._outcome(line)};
}}
{getters}"""

    def _outcome(self, line: Line) -> str:
        """What a line's function returns once it has run."""
        return "eff_after_step()" if learns(self.program, line) else "EFF_OK"

    def _watch(self) -> str:
        """The function that looks at some of the parameters after a step; empty where no line learns any."""
        if Code.DIVERGED not in self._codes():
            return ""
        tensors = watched(self.program)
        kinds = [(DTYPE_BYTES[t.dtype], LIMITS[t.dtype]) if t.dtype in LIMITS else (0, 0) for t in tensors]
        rows = "".join(
            f"    {{{self.pointers[t.name]}, {t.elements}, {size}, {limit}}},\n" for t, (size, limit) in zip(tensors, kinds, strict=True)
        )
        counts = f"""
uint32_t eff_saturated_parameters(void) {{ return eff_saturated(eff_parts, {len(tensors)}); }}
"""
        counts = counts if self._integers_that_learn() else ""
        return f"""
{rule_off("after a step")}

#ifdef EFF_SLOTS
extern const eff_slots EFF_SLOTS;
#endif

static const eff_watched eff_parts[{len(tensors)}] = {{
{rows}}};
{counts}
/* Whether what was learned still means something; if it does not, it is not kept. */
static int eff_after_step(void)
{{
    if (!eff_diverged(eff_parts, {len(tensors)}, *{self.pointers["step"]})) {{
        return EFF_OK;
    }}
#ifdef EFF_SLOTS
    if (eff_slots_restore(&eff_learned, &EFF_SLOTS) == EFF_STATE_OK) {{
        return EFF_ROLLED_BACK;
    }}
#endif
    eff_init();
    return EFF_DIVERGED;
}}
"""

    def _set_rate(self) -> str:
        if Code.BAD_RATE not in self._codes():
            return ""
        one = np.float32(LARGEST_RATE).view(np.uint32)
        return f"""\
/* By integers alone, so that no program for integers links floating point: a float32 is (2^23 + fraction) 2^(exponent - 150). */
int eff_set_rate(float rate)
{{
    const union {{
        float value;
        uint32_t bits;
    }} number = {{rate}};
    const uint32_t bits = number.bits == UINT32_C(0x80000000) ? 0u : number.bits;
    if (bits > UINT32_C(0x{one:08X})) {{
        return EFF_BAD_RATE;
    }}
    const uint32_t shift = 134u - (bits >> 23);
    const uint32_t mantissa = (bits & UINT32_C(0x7FFFFF)) + UINT32_C(0x800000);
    *{self.pointers["rate"]} = shift > 24u ? 0u : (mantissa + (UINT32_C(1) << (shift - 1u))) >> shift;
    return EFF_OK;
}}

"""

    def _learning(self) -> str:
        line = self.program.lines["learn"]
        unused = "" if takes_label(self.program, line) or self.program.target else "    (void)label;\n"
        if target := self.program.target:
            size = str(self.program.tensors[target].size_bytes)
            unused = statement("eff_copy", [self.pointers[target], "target", size]) + "\n"
        return f"""{self._watch()}
{rule_off(f"one learning step: {comment(self.program.rule)}")}

EFF_NOINLINE void eff_learn_calls(void)
{{
{self._calls(self.program.learn)}
}}

int {"eff_learn_target(const eff_output_t *target)" if self.program.target else "eff_learn(int32_t label)"}
{{
{unused}{self._takes_arguments(line)}    eff_learn_calls();
{self._used("learn")}    return {self._outcome(line)};
}}

{self._set_rate()}{self._state()}"""

    def _state(self) -> str:
        """The saved part of the model, and the functions that save and restore it."""
        runs = float_runs(self.program, self.memory)
        ends = ", ".join(f"{first}, {last}" for first, last in runs)
        table = f"static const uint32_t eff_floats[{2 * len(runs)}] = {{{ends}}};\n\n" if runs else ""
        low, high = self.binding & 0xFFFFFFFF, self.binding >> 32
        return f"""\
{rule_off("save and restore")}

/* The hash is of all that inference reads and a state does not hold: with other constants the state would mean something else. */
{table}const eff_state eff_learned = {{
    .hash = {{UINT32_C(0x{low:08X}), UINT32_C(0x{high:08X})}},
    .payload = (uint8_t *)eff_arena,
    .bytes = {self.memory.saved_bytes},
    .floats = {"eff_floats" if runs else "NULL"},
    .runs = {len(runs)},
    .reset = eff_init,
}};

int eff_save(eff_write write, void *context) {{ return eff_state_save(&eff_learned, 0, write, context); }}

int eff_restore(eff_read read, void *context) {{ return eff_state_restore(&eff_learned, read, context); }}

size_t eff_save_buffer(uint8_t *buffer, size_t length) {{ return eff_state_save_buffer(&eff_learned, buffer, length); }}

int eff_restore_buffer(const uint8_t *buffer, size_t length) {{ return eff_state_restore_buffer(&eff_learned, buffer, length); }}
"""


def _members(record: Record) -> list[str]:
    """The named initialisers of a record's fields; a record within it is in braces of its own."""
    members = []
    for each in fields_of(type(record)):
        value = getattr(record, each.name)
        text = f"{{{', '.join(_members(value))}}}" if isinstance(value, Record) else literal(value, ATTR_TYPES[each.ctype])
        members.append(f".{each.name} = {text}")
    return members


def _defines(rows: Sequence[tuple[str, str, str]]) -> str:
    """``#define`` lines of (name, value, comment) in three columns."""
    names, values = max(len(name) for name, _, _ in rows), max(len(value) for _, value, _ in rows)
    return "\n".join(f"#define {name:{names}} {value:{values}} /* {text} */" for name, value, text in rows)


def _quantisation(tensor: Tensor, name: str) -> list[tuple[str, str, str]]:
    """The defines with the quantisation of an input or output; none for float.

    The scale is decimal, since C++ before C++17 has no hexadecimal floats; nine digits keep every bit.
    """
    if tensor.quant is None:
        return []
    scale = f"{np.float32(tensor.quant.scale[0]):#.9g}f"
    return [
        (f"EFF_{name}_SCALE", scale, "real = scale * (value - zero point)"),
        (f"EFF_{name}_ZERO_POINT", f"({tensor.quant.zero_point})", f"the {name.lower()} that means 0"),
    ]
