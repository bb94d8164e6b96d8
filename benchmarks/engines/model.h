/* SPDX-License-Identifier: Apache-2.0 */
/* model.h of a foreign engine: what the firmware template `serial` calls, so that the engine speaks the protocol of MLPerf Tiny. */
#ifndef MODEL_H
#define MODEL_H

#include <stddef.h>
#include <stdint.h>

#include "initial.h" /* INPUTS, HIDDEN, OUTPUTS, RATE, initial_hidden, initial_output */

/* A picture of digits has sixteen levels, so that int8 loses nothing of it and a sample takes a quarter of the bytes on the line. */
typedef int8_t eff_input_t;
#define EFF_INPUT_SCALE 0.0625f
#define EFF_INPUT_ZERO_POINT 0

#define EFF_INPUTS INPUTS
#define EFF_OUTPUTS OUTPUTS
#define EFF_CLASSES OUTPUTS
#define EFF_HAS_LEARN 1
#define EFF_OK 0
#define EFF_ARENA_BYTES engine_bytes()

uint32_t engine_bytes(void); /* what the engine takes of its buffers */

void eff_init(void);
eff_input_t *eff_input(void);
const float *eff_output(void);
int32_t eff_predict(void);
int eff_learn(int32_t label);

/* The sample, as the engine takes it. */
static inline void real_input(float *real)
{
    for (int32_t i = 0; i < EFF_INPUTS; i++) {
        real[i] = EFF_INPUT_SCALE * (float)(eff_input()[i] - EFF_INPUT_ZERO_POINT);
    }
}

#endif
