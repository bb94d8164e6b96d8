"""Program -> a folder of C99 that any compiler builds with ``cc *.c``: the kernels it uses, its constants, one arena, two flat lists of calls.

``model.h`` is the interface (init, input, predict, output, learn, save, restore), ``main.c`` an example that checks itself against
values computed by the NumPy twins. No malloc, no stdio outside ``main.c``; the arena's layout is the memory plan's.
"""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeff import registry
from edgeff.errors import BadInput
from edgeff.exporters.c_names import comment, identifiers
from edgeff.ir import Array, Call, MemoryPlan, Program, Tensor
from edgeff.kernels import FOLDER, Kernel
from edgeff.plan import flash_tensors, plan
from edgeff.interpreter import Interpreter

C_TYPES = {"float32": "float", "int8": "int8_t", "int16": "int16_t", "int32": "int32_t", "uint32": "uint32_t"}
SAVE_HEADER_BYTES = 12


@dataclass(frozen=True)
class Source:
    """What was written: the folder, the C sources a build needs without the example, and the memory plan they follow."""

    folder: Path
    sources: tuple[Path, ...]
    memory: MemoryPlan


def literal(value: float | int | np.generic, dtype: str) -> str:
    """One number as C text that keeps every bit: floats in hexadecimal.

    >>> literal(0.1, "float32")
    '0x1.99999ap-4f'
    """
    if dtype == "float32":
        text = float(np.float32(value)).hex()
        mantissa, _, exponent = text.partition("p")
        return f"{mantissa.rstrip('0') if '.' in mantissa else mantissa}p{exponent}f".replace(".p", ".0p")
    number = int(value)
    if dtype == "uint32":
        return f"{number}u"
    return f"(-{-number - 1} - 1)" if number == -(2**31) else str(number)


def array(values: Array, dtype: str) -> str:
    """The elements of an array as an initialiser's lines."""
    texts = [literal(value, dtype) for value in values.reshape(-1)]
    lines, line = [], ""
    for text in texts:
        if len(line) + len(text) > 110:
            lines.append(line.rstrip())
            line = ""
        line += text + ", "
    return "\n    ".join([*lines, line.rstrip(", ")])


def fingerprint(program: Program, memory: MemoryPlan) -> int:
    """A number of 32 bits that two programs share only if a saved state of one means the same to the other."""
    layout = [(t.name, t.shape, t.dtype, memory.offsets[t.name]) for t in program.by_role("variable", "state")]
    return zlib.crc32(repr((program.name, program.rule, program.numeric, layout)).encode())


class _Writer:
    """The text of one program."""

    def __init__(self, program: Program, memory: MemoryPlan, command: str) -> None:
        self.program, self.memory, self.command = program, memory, command
        self.flash = flash_tensors(program)
        self.constants = identifiers([t.name for t in self.flash], "eff_k_")
        self.in_arena = [program.tensors[name] for name in memory.offsets]
        self.pointers = identifiers([t.name for t in self.in_arena], "t_")
        self.kernels: dict[str, Kernel] = {c.kernel: registry.kernels[c.kernel] for c in (*program.infer, *program.learn)}
        if any(t.role == "variable" for t in program.tensors.values()):
            self.kernels["eff_copy"] = registry.kernels["eff_copy"]
        if program.learn and program.label:
            self.kernels["eff_set_label"] = registry.kernels["eff_set_label"]
        self.classes = program.tensors[program.output].elements if program.prediction else 0
        self.save_bytes = SAVE_HEADER_BYTES + memory.persistent_bytes if program.learn else 0

    def _what(self) -> str:
        learns = f", learns by {self.program.rule}" if self.program.learn else ""
        return comment(f"{self.program.name}, {self.program.numeric}{learns}")

    def header(self) -> str:
        tensor_in, tensor_out = self.program.tensors[self.program.input], self.program.tensors[self.program.output]
        learn = (
            f"""
/* One training step on the input, batch 1. {"The label is a class, 0 to EFF_CLASSES - 1" if self.program.label else "The label is ignored: the target is the input"}. Returns 0, or -1 for a label
 * that is no class (nothing is changed then). */
int eff_learn(int32_t label);

/* What was learned, to survive a reset: writes EFF_SAVE_BYTES to the buffer and returns their count; restore returns 0, or -1 for bytes
 * that are damaged or of another model (nothing is changed then). */
#define EFF_SAVE_BYTES {self.save_bytes}u
size_t eff_save(uint8_t *buffer);
int eff_restore(const uint8_t *buffer);
"""
            if self.program.learn
            else ""
        )
        return f"""/* model.h: {self._what()}.
 * Written by {self.command}; not for editing.
 *
 * Call eff_init once. Before every eff_predict or eff_learn fill eff_input(): the arena is reused, so the input does not survive a call.
 */
#ifndef EFF_MODEL_H
#define EFF_MODEL_H

#include <stddef.h>
#include <stdint.h>

#define EFF_INPUTS {tensor_in.elements}
#define EFF_OUTPUTS {tensor_out.elements}
#define EFF_CLASSES {self.classes}
#define EFF_HAS_LEARN {int(bool(self.program.learn))}
{quantisation(tensor_in, "INPUT")}{quantisation(tensor_out, "OUTPUT")}
/* The one static arena: {self.memory.persistent_bytes:,} bytes of weights and state, {self.memory.arena_bytes - self.memory.persistent_bytes:,} of activations. */
#define EFF_ARENA_BYTES {self.memory.arena_bytes}u
extern uint64_t eff_arena[EFF_ARENA_BYTES / 8u];

typedef {C_TYPES[tensor_in.dtype]} eff_input_t;
typedef {C_TYPES[tensor_out.dtype]} eff_output_t;

void eff_init(void);
eff_input_t *eff_input(void);
const eff_output_t *eff_output(void); /* the scores, valid after eff_predict */
int32_t eff_predict(void);            /* the best class, or 0 where there are none */
{learn}
/* The calls themselves, one line each; eff_predict and eff_learn run them. */
void eff_infer_calls(void);
{"void eff_learn_calls(void);" if self.program.learn else ""}

#endif
""".replace("\n\n\n#endif", "\n\n#endif")

    def _argument(self, name: str) -> str:
        if not name:
            return "NULL"
        return self.pointers.get(name) or self.constants[name]

    def call(self, call: Call) -> str:
        kernel = self.kernels[call.kernel]
        arguments = [self._argument(name) for name in (*call.outputs, *call.inputs)]
        for parameter in kernel.attrs:
            kinds = {"float": "float32", "uint32_t": "uint32"}
            arguments.append(literal(call.attrs[parameter.name], kinds.get(parameter.ctype, "int32")))
        return f"    {call.kernel}({', '.join(arguments)});"

    def line(self, calls: Sequence[Call]) -> str:
        """The calls under a comment for each run of calls of one layer and stage: name, shape and cost."""
        out: list[str] = []
        previous = None
        for call in calls:
            if (call.layer, call.stage) != previous:
                previous = (call.layer, call.stage)
                macs = self.kernels[call.kernel].macs(call.attrs)
                shape = "x".join(map(str, self.program.tensors[call.outputs[0]].shape))
                out.append(f"    /* {comment(call.layer)}, {call.stage}: {shape}{f', {macs:,} MACs' if macs else ''} */")
            out.append(self.call(call))
        return "\n".join(out)

    def source(self) -> str:
        program, memory = self.program, self.memory
        constants = "\n\n".join(
            f"/* {comment(t.name)}: {'x'.join(map(str, t.shape))}{' (initial value)' if t.role == 'variable' else ''} */\n"
            f"static const {C_TYPES[t.dtype]} {self.constants[t.name]}[{t.elements}] = {{\n    {array(t.data, t.dtype)}}};"
            for t in self.flash
            if t.data is not None
        )
        width = max((len(name) for name in self.pointers.values()), default=0)
        map_lines = "\n".join(
            f"#define {self.pointers[t.name]:{width}} ({pointer(t)}((uint8_t *)eff_arena + {memory.offsets[t.name]})) /* {t.size_bytes} bytes */" for t in self.in_arena
        )
        init = "\n".join(
            f"    eff_copy({self.pointers[t.name]}, {self.constants[t.name]}, {t.size_bytes});" for t in program.by_role("variable")
        )
        zero = "\n".join(f"    {self.pointers[t.name]}[{i}] = 0;" for t in program.by_role("state") for i in range(t.elements))
        best = f"const int32_t *best = {self.pointers[program.prediction]};\n    return *best;" if program.prediction else "return 0;"
        return f"""/* model.c: {self._what()}.
 * Written by {self.command}; not for editing.
 *
 * Flash: {memory.flash_bytes:,} bytes of constants. RAM: {memory.arena_bytes:,} bytes, the arena.
 */
#include "model.h"
#include "edgeff.h"

/* ------------------------------------------------------------------ constants, in flash */

{constants}

/* ------------------------------------------------------------------ the arena: lifetimes share the space behind the weights */

uint64_t eff_arena[EFF_ARENA_BYTES / 8u];

{map_lines}

void eff_init(void)
{{
{init}
{zero}
}}

eff_input_t *eff_input(void) {{ return {self.pointers[program.input]}; }}

const eff_output_t *eff_output(void) {{ return {self.pointers[program.output]}; }}

/* ------------------------------------------------------------------ inference */

EFF_NOINLINE void eff_infer_calls(void)
{{
{self.line(program.infer)}
}}

int32_t eff_predict(void)
{{
    eff_infer_calls();
    {best}
}}
{self._learning() if program.learn else ""}""".replace("{\n\n}", "{\n}").replace("{\n\n", "{\n")

    def _learning(self) -> str:
        label = (
            f"""    if (label < 0 || label >= EFF_CLASSES) {{
        return -1;
    }}
    eff_set_label({self.pointers[self.program.label]}, label);
"""
            if self.program.label
            else "    (void)label;\n"
        )
        return f"""
/* ------------------------------------------------------------------ one learning step: {comment(self.program.rule)} */

EFF_NOINLINE void eff_learn_calls(void)
{{
{self.line(self.program.learn)}
}}

int eff_learn(int32_t label)
{{
{label}    eff_learn_calls();
    return 0;
}}

/* ------------------------------------------------------------------ save and restore: model number, length, payload, CRC-32 */

#define EFF_MODEL_NUMBER UINT32_C(0x{fingerprint(self.program, self.memory):08X})
#define EFF_PAYLOAD_BYTES {self.memory.persistent_bytes}u

static void eff_put(uint8_t *to, uint32_t v)
{{
    for (int i = 0; i < 4; ++i) {{
        to[i] = (uint8_t)(v >> (8 * i));
    }}
}}

static uint32_t eff_crc(const uint8_t *from, size_t n)
{{
    uint32_t crc = UINT32_C(0xFFFFFFFF);
    for (size_t i = 0; i < n; ++i) {{
        crc ^= from[i];
        for (int bit = 0; bit < 8; ++bit) {{
            crc = (crc >> 1) ^ (UINT32_C(0xEDB88320) & (0u - (crc & 1u)));
        }}
    }}
    return ~crc;
}}

size_t eff_save(uint8_t *buffer)
{{
    eff_put(buffer, EFF_MODEL_NUMBER);
    eff_put(buffer + 4, EFF_PAYLOAD_BYTES);
    eff_copy(buffer + 8, eff_arena, EFF_PAYLOAD_BYTES);
    eff_put(buffer + 8 + EFF_PAYLOAD_BYTES, eff_crc(buffer, 8u + EFF_PAYLOAD_BYTES));
    return EFF_SAVE_BYTES;
}}

int eff_restore(const uint8_t *buffer)
{{
    uint8_t word[4];
    uint8_t difference = 0;
    eff_put(word, EFF_MODEL_NUMBER);
    for (int i = 0; i < 4; ++i) {{
        difference |= (uint8_t)(word[i] ^ buffer[i]);
    }}
    eff_put(word, EFF_PAYLOAD_BYTES);
    for (int i = 0; i < 4; ++i) {{
        difference |= (uint8_t)(word[i] ^ buffer[4 + i]);
    }}
    eff_put(word, eff_crc(buffer, 8u + EFF_PAYLOAD_BYTES));
    for (size_t i = 0; i < 4; ++i) {{
        difference |= (uint8_t)(word[i] ^ buffer[8u + EFF_PAYLOAD_BYTES + i]);
    }}
    if (difference) {{
        return -1;
    }}
    eff_copy(eff_arena, buffer + 8, EFF_PAYLOAD_BYTES);
    return 0;
}}
"""

    def example(self, x: Array, labels: Array) -> str:
        """``main.c``: predicts and learns on a few samples and compares with what the twins compute."""
        target = Interpreter(self.program)
        predictions = [target.predict(sample) for sample in x]
        scores = target.output()
        for sample, label in zip(x, labels, strict=True):
            if self.program.learn:
                target.learn(sample, int(label))
        tensor_in, tensor_out = self.program.tensors[self.program.input], self.program.tensors[self.program.output]
        persistent = bytearray(self.memory.persistent_bytes)
        for tensor in self.program.by_role("variable", "state"):
            first = self.memory.offsets[tensor.name]
            persistent[first : first + tensor.size_bytes] = target.tensor(tensor.name).tobytes()
        learn = f"""
    static uint8_t saved[EFF_SAVE_BYTES];
    for (int i = 0; i < SAMPLES; ++i) {{
        memcpy(eff_input(), samples[i], sizeof samples[i]);
        failures += eff_learn(labels[i]) != 0;
    }}
    eff_save(saved);
    const uint32_t crc = crc32(saved + 8, EFF_SAVE_BYTES - 12u);
    printf("learned %d samples: state %08lx, expected %08lx\\n", SAMPLES, (unsigned long)crc, 0x{zlib.crc32(bytes(persistent)):08x}ul);
    failures += crc != 0x{zlib.crc32(bytes(persistent)):08x}u || eff_restore(saved) != 0;
"""
        crc = """
static uint32_t crc32(const uint8_t *from, size_t n)
{
    uint32_t crc = 0xFFFFFFFFu;
    for (size_t i = 0; i < n; ++i) {
        crc ^= from[i];
        for (int bit = 0; bit < 8; ++bit) {
            crc = (crc >> 1) ^ (0xEDB88320u & (0u - (crc & 1u)));
        }
    }
    return ~crc;
}
"""
        rows = ",\n".join(f"    {{{array(sample, tensor_in.dtype)}}}" for sample in x)
        return f"""/* main.c: an example that checks itself: `cc *.c && ./a.out`. Leave it out of a firmware.
 * Written by {self.command}; not for editing.
 */
#include <stdio.h>
#include <string.h>
#include "model.h"

#define SAMPLES {len(x)}

static const eff_input_t samples[SAMPLES][EFF_INPUTS] = {{
{rows}}};
static const int32_t predictions[SAMPLES] = {{{", ".join(str(max(p, 0)) for p in predictions)}}};
static const eff_output_t scores[EFF_OUTPUTS] = {{
    {array(scores, tensor_out.dtype)}}};
{f"static const int32_t labels[SAMPLES] = {{{', '.join(str(int(label)) for label in labels)}}};" if self.program.learn else ""}
{crc if self.program.learn else ""}
int main(void)
{{
    int failures = 0;
    eff_init();
    for (int i = 0; i < SAMPLES; ++i) {{
        memcpy(eff_input(), samples[i], sizeof samples[i]);
        const int32_t best = eff_predict();
        printf("sample %d: class %ld, expected %ld\\n", i, (long)best, (long)predictions[i]);
        failures += best != predictions[i];
    }}
    failures += memcmp(eff_output(), scores, sizeof scores) != 0;
{learn if self.program.learn else ""}
    puts(failures ? "FAILED: the C differs from the reference" : "ok: every bit as in the reference");
    return failures != 0;
}}
"""


def pointer(tensor: Tensor) -> str:
    """The C pointer type of a tensor, as a cast's text."""
    return f"({C_TYPES[tensor.dtype]} *)(void *)"


def quantisation(tensor: Tensor, name: str) -> str:
    """The defines that say what one step of a quantised input or output means; nothing for float."""
    if tensor.quant is None:
        return ""
    scale = literal(tensor.quant.scale[0], "float32")
    return f"#define EFF_{name}_SCALE {scale} /* {tensor.quant.scale[0]:.9g}: real = scale * (value - zero point) */\n#define EFF_{name}_ZERO_POINT ({tensor.quant.zero_point})\n"


def write_c(program: Program, folder: Path, *, samples: Array | None = None, labels: Array | None = None, command: str = "edgeff") -> Source:
    """Writes the C of ``program`` into ``folder`` (made if missing) and returns what was written.

    Args: ``samples`` (n, inputs) of the program's input dtype and ``labels`` (n,) for the example; by default four seeded random ones.
    Raises: BadInput when the folder holds C files of something else.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise BadInput("output folder", got=str(folder), allowed="a folder or a new name")
    foreign = [] if not folder.exists() or (folder / "model.h").exists() else sorted(p.name for p in folder.glob("*.c"))
    if foreign:
        raise BadInput(f"output folder {folder}", got=f"other C files ({foreign[0]})", allowed="an empty folder or an earlier export", next_step="choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    for old in (*folder.glob("eff_*.c"), *folder.glob("*.h")):
        old.unlink()
    memory = plan(program)
    writer = _Writer(program, memory, comment(command))
    tensor = program.tensors[program.input]
    if samples is None or labels is None:
        rng = np.random.default_rng(0)
        shape = (4, tensor.elements)
        samples = rng.random(shape, np.float32) if tensor.dtype == "float32" else rng.integers(-128, 128, shape).astype(tensor.dtype)
        labels = rng.integers(0, max(writer.classes, 1), 4)
    sources = []
    kernel_files = {item.source for item in writer.kernels.values()}
    for source in sorted(kernel_files):
        sources.append(Path(shutil.copyfile(source, folder / f"eff_{source.name}")))
        if source.with_suffix(".h").exists():
            shutil.copyfile(source.with_suffix(".h"), folder / source.with_suffix(".h").name)
    if any(item.name.startswith("eff_ff_") or item.source.name == "forward.c" for item in writer.kernels.values()):
        softmax = FOLDER / "softmax.c"
        if softmax not in kernel_files:
            sources.append(Path(shutil.copyfile(softmax, folder / "eff_softmax.c")))
    shutil.copyfile(FOLDER / "edgeff.h", folder / "edgeff.h")
    for name, text in (("model.h", writer.header()), ("model.c", writer.source()), ("main.c", writer.example(samples, labels))):
        (folder / name).write_text(text, encoding="utf-8")
    return Source(folder, (*sources, folder / "model.c"), memory)
