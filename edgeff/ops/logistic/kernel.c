/* SPDX-License-Identifier: Apache-2.0 */
/* The logistic function. With e = exp(-|x|) there is no cancellation: 1 / (1 + e) for x >= 0, e / (1 + e) below. */
#include "edgeff.h"

static inline float eff_negative_size(float x)
{
    return x < 0.0f ? x : -x;
}

void eff_logistic_f32(float *y, const float *x, int32_t n)
{
    for (int32_t i = 0; i < n; ++i) {
        const float power = eff_exp_f32(eff_negative_size(x[i]));
        const float share = 1.0f / (1.0f + power);
        y[i] = x[i] < 0.0f ? power * share : share;
    }
}

void eff_logistic_slope_f32(float *d, const float *delta, const float *x, int32_t n)
{
    for (int32_t i = 0; i < n; ++i) {
        const float power = eff_exp_f32(eff_negative_size(x[i]));
        const float share = 1.0f / (1.0f + power);
        d[i] = delta[i] * ((power * share) * share);
    }
}
