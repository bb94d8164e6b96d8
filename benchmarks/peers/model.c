/* SPDX-License-Identifier: Apache-2.0 */
#include "model.h"

float eff_arena[WEIGHTS], sample[INPUTS], output[OUTPUTS], target[OUTPUTS];

__attribute__((weak)) void prepare(void) {}
__attribute__((weak)) void infer(void) {}
__attribute__((weak)) void step(void) {}

/* What is counted. */
void eff_infer_calls(void);
void eff_learn_calls(void);
__attribute__((noinline)) void eff_infer_calls(void) { infer(); }
__attribute__((noinline)) void eff_learn_calls(void) { step(); }

void eff_init(void)
{
    eff_arena[0] = target[0] = 0.0f; /* the linker keeps what the host writes */
    prepare();
}
eff_input_t *eff_input(void) { return sample; }
const eff_output_t *eff_output(void) { return output; }
int32_t eff_predict(void)
{
    eff_infer_calls();
    return 0;
}
int eff_learn(int32_t label)
{
    (void)label;
    eff_learn_calls();
    return 0;
}
