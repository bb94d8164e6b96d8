/* SPDX-License-Identifier: Apache-2.0 */
/* The hard swish, and its derivative. */
#include "edgeff.h"

void eff_hard_swish_f32(float *y, const float *x, int32_t n)
{
    for (int32_t i = 0; i < n; ++i) {
        const float above = x[i] + 3.0f;
        const float ramp = above > 6.0f ? 6.0f : above > 0.0f ? above : 0.0f;
        y[i] = x[i] * (ramp / 6.0f);
    }
}

void eff_hard_swish_slope_f32(float *d, const float *delta, const float *x, int32_t n)
{
    for (int32_t i = 0; i < n; ++i) {
        if (x[i] <= -3.0f) {
            d[i] = 0.0f;
        } else {
            d[i] = x[i] >= 3.0f ? delta[i] : delta[i] * ((x[i] + x[i] + 3.0f) / 6.0f);
        }
    }
}
