"""Program + memory plan + samples -> the text of ``example/main.c``, which checks the C against the kernels' NumPy twins."""

from __future__ import annotations

from edgeff.codegen.names import initialiser
from edgeff.codegen.source import LICENCE, written_by
from edgeff.ir import Array, MemoryPlan, Program
from edgeff.program.interpreter import Interpreter
from edgeff.program.state import saved


def example(program: Program, memory: MemoryPlan, samples: Array, labels: Array, command: str) -> str:
    """``example/main.c``: predicts on the samples and learns them, and compares with what the twins compute.

    Args: ``samples`` (n, inputs) of the program's input dtype, n >= 1; ``labels`` (n,), classes where there are classes,
    or (n, outputs), values in the format of the target.
    """
    target = Interpreter(program)
    best = [max(target.predict(sample), 0) for sample in samples]
    scores = target.output()
    tensor_in, tensor_out = program.tensors[program.input], program.tensors[program.output]
    rows = "".join(f"    {initialiser(sample, tensor_in.dtype, 4)},\n" for sample in samples)
    learning_data = learning = ""
    if program.learn:
        for sample, label in zip(samples, labels, strict=True):
            target.learn(sample, label)
        aims = "".join(f"    {initialiser(label, tensor_out.dtype, 4)},\n" for label in labels) if program.target else ""
        declared = f"static const eff_output_t targets[SAMPLES][EFF_OUTPUTS] = {{\n{aims}}};"
        if not program.target:
            declared = f"static const int32_t labels[SAMPLES] = {{{', '.join(str(int(label)) for label in labels)}}};"
        what = "The values" if program.target else "The class"
        step = "eff_learn_target(targets[i])" if program.target else "eff_learn(labels[i])"
        values = {tensor.name: target.tensor(tensor.name) for tensor in program.saved}
        check_sum = ", ".join(f"0x{byte:02x}" for byte in saved(program, memory, values)[-4:])
        learning_data = f"""
/* {what} each sample is then learned as, and the last four bytes of the state saved after that: its check sum. */
{declared}
static const uint8_t check_sum[4] = {{{check_sum}}};
"""
        learning = f"""
    static uint8_t saved[EFF_SAVE_BYTES];
    for (int i = 0; i < SAMPLES; ++i) {{
        memcpy(eff_input(), samples[i], sizeof samples[i]);
        failures += {step} != 0;
    }}
    failures += eff_save_buffer(saved, sizeof saved) != sizeof saved;
    const int same = memcmp(saved + EFF_SAVE_BYTES - sizeof check_sum, check_sum, sizeof check_sum) == 0;
    printf("learned %d samples: the weights are %s\\n", SAMPLES, same ? "as expected" : "not as expected");
    failures += !same || eff_restore_buffer(saved, sizeof saved) != EFF_STATE_OK;
"""
    return f"""\
{LICENCE}
/* An example that checks itself on a computer. In the folder above: `cc -I. *.c example/main.c && ./a.out`
{written_by(command)}
 */
#include <stdio.h>
#include <string.h>

#include "model.h"

#define SAMPLES {len(samples)}

static const eff_input_t samples[SAMPLES][{"EFF_INPUTS" if len(program.inputs) == 1 else sum(t.elements for t in program.inputs)}] = {{
{rows}}};

/* The class of each sample, and the scores of the last one. */
static const int32_t classes[SAMPLES] = {{{", ".join(map(str, best))}}};
static const eff_output_t scores[{"EFF_OUTPUTS" if len(program.outputs) == 1 else scores.size}] = {initialiser(scores, tensor_out.dtype)};
{learning_data}
int main(void)
{{
    int failures = 0;
    eff_init();
    for (int i = 0; i < SAMPLES; ++i) {{
{_filled(program)}
        const int32_t best = eff_predict();
        printf("sample %d: class %ld, expected %ld\\n", i, (long)best, (long)classes[i]);
        failures += best != classes[i];
    }}
{_compared(program)}
{learning}
    puts(failures ? "FAILED: the C differs from the reference" : "ok: every bit as in the reference");
    return failures != 0;
}}
"""


def _filled(program: Program) -> str:
    """The statements that fill every input from a sample."""
    if len(program.inputs) == 1:
        return "        memcpy(eff_input(), samples[i], sizeof samples[i]);"
    return """        const eff_input_t *from = samples[i];
#define FILL(function, count)                    \\
    memcpy(function(), from, (count) * sizeof *from); \\
    from += (count);
        EFF_EACH_INPUT(FILL)"""


def _compared(program: Program) -> str:
    """The statements that compare every output of the last sample."""
    if len(program.outputs) == 1:
        return "    failures += memcmp(eff_output(), scores, sizeof scores) != 0;"
    return """    const eff_output_t *expected = scores;
#define COMPARE(function, count)                                           \\
    failures += memcmp(function(), expected, (count) * sizeof *expected) != 0; \\
    expected += (count);
    EFF_EACH_OUTPUT(COMPARE)"""
