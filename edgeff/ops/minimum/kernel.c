/* SPDX-License-Identifier: Apache-2.0 */
/* The smaller of two activations. */
#include "eff_broadcast.h"

void eff_minimum_f32(float *y, const float *a, const float *c, const eff_broadcast *how)
{
    EFF_FOR_EACH_PAIR(float, l < r ? l : r);
}

void eff_minimum_i8(int8_t *y, const int8_t *a, const int8_t *c, const eff_broadcast *how)
{
    EFF_FOR_EACH_PAIR(int8_t, l < r ? l : r);
}

void eff_minimum_i16(int16_t *y, const int16_t *a, const int16_t *c, const eff_broadcast *how)
{
    EFF_FOR_EACH_PAIR(int16_t, l < r ? l : r);
}
