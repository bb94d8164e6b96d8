/* SPDX-License-Identifier: Apache-2.0 */
/* An int8 function of one variable, and the gradient through it, as tables of 256 values. */
#include "edgeff.h"

void eff_lookup_i8(int8_t *y, const int8_t *x, const int8_t *table, int32_t n)
{
    for (int32_t i = 0; i < n; ++i) {
        y[i] = table[x[i] + 128];
    }
}

void eff_slope_i8(int16_t *d, const int16_t *delta, const int8_t *x, const int16_t *table, int32_t n)
{
    for (int32_t i = 0; i < n; ++i) {
        d[i] = (int16_t)(((int32_t)delta[i] * table[x[i] + 128] + (INT32_C(1) << 14)) >> 15);
    }
}
