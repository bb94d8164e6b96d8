/* SPDX-License-Identifier: Apache-2.0 */
#include "naive.h"

#include "model.h"

void infer(void) { naive_infer(output, eff_arena, sample); }

#ifdef PEPITA
float feedback[INPUTS * OUTPUTS]; /* the host writes it */

void step(void) { naive_pepita_step(eff_arena, feedback, sample, target); }
#else
void step(void) { naive_bp_step(eff_arena, sample, target); }
#endif
