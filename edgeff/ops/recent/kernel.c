/* SPDX-License-Identifier: Apache-2.0 */
/* An input after the numbers of earlier ones, of which the last are kept. */
#include "edgeff.h"

void eff_recent_f32(float *y, float *memory, const float *x, int32_t kept, int32_t n)
{
    for (int32_t i = 0; i < kept; ++i) {
        y[i] = memory[i];
    }
    for (int32_t i = 0; i < n; ++i) {
        y[kept + i] = x[i];
    }
    for (int32_t i = 0; i < kept; ++i) {
        memory[i] = y[n + i];
    }
}

void eff_recent_i8(int8_t *y, int8_t *memory, const int8_t *x, int32_t kept, int32_t n)
{
    for (int32_t i = 0; i < kept; ++i) {
        y[i] = memory[i];
    }
    for (int32_t i = 0; i < n; ++i) {
        y[kept + i] = x[i];
    }
    for (int32_t i = 0; i < kept; ++i) {
        memory[i] = y[n + i];
    }
}
