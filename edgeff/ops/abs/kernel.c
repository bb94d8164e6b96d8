/* SPDX-License-Identifier: Apache-2.0 */
/* The absolute value, and its derivative. */
#include "edgeff.h"

void eff_abs_f32(float *y, const float *x, int32_t n)
{
    for (int32_t i = 0; i < n; ++i) {
        y[i] = x[i] > 0.0f ? x[i] : 0.0f - x[i];
    }
}

void eff_abs_slope_f32(float *d, const float *delta, const float *x, int32_t n)
{
    for (int32_t i = 0; i < n; ++i) {
        d[i] = x[i] > 0.0f ? delta[i] : x[i] < 0.0f ? 0.0f - delta[i] : 0.0f;
    }
}
