/* SPDX-License-Identifier: Apache-2.0 */
/* The leaky ReLU, and its derivative. */
#include "edgeff.h"

void eff_leaky_relu_f32(float *y, const float *x, int32_t n, float alpha)
{
    for (int32_t i = 0; i < n; ++i) {
        y[i] = x[i] > 0.0f ? x[i] : x[i] * alpha;
    }
}

void eff_leaky_relu_slope_f32(float *d, const float *delta, const float *x, int32_t n, float alpha)
{
    for (int32_t i = 0; i < n; ++i) {
        d[i] = x[i] > 0.0f ? delta[i] : delta[i] * alpha;
    }
}

void eff_leaky_relu_i16(int16_t *y, const int16_t *x, int32_t n, const eff_both_sides *sides)
{
    for (int32_t i = 0; i < n; ++i) {
        int32_t v = x[i] < 0 ? eff_clamp(eff_requantise(x[i], sides->below_multiplier, sides->below_shift), -INT32_MAX, INT32_MAX)
                             : eff_requantise(x[i], sides->multiplier, sides->shift);
        v = x[i] < 0 && sides->falling ? -v : v;
        y[i] = (int16_t)eff_clamp(v, -32768, 32767);
    }
}
