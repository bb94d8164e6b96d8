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
