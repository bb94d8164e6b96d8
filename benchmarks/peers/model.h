/* SPDX-License-Identifier: Apache-2.0 */
/* model.h of a peer: what the firmware template `bare_metal` calls. A peer has one or more of prepare(), infer() and step(). */
#ifndef MODEL_H
#define MODEL_H

#include <stddef.h>
#include <stdint.h>

#include "network.h"

typedef float eff_input_t;
typedef float eff_output_t;
#define EFF_INPUTS INPUTS
#define EFF_OUTPUTS OUTPUTS
#define EFF_CLASSES 0
#define EFF_HAS_LEARN 1
#define EFF_ARENA_BYTES sizeof eff_arena

/* What the host writes and reads; the arena has the weights of all layers, one after the other. */
extern float eff_arena[WEIGHTS], sample[INPUTS], output[OUTPUTS], target[OUTPUTS];

void prepare(void); /* once, before the weights are written */
void infer(void);
void step(void);

void eff_init(void);
eff_input_t *eff_input(void);
const eff_output_t *eff_output(void);
int32_t eff_predict(void);
int eff_learn(int32_t label);

#endif
