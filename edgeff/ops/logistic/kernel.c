/* SPDX-License-Identifier: Apache-2.0 */
/* The logistic function. With e = exp(-|x|) there is no cancellation: 1 / (1 + e) for x >= 0, e / (1 + e) below. */
#include "edgeff.h"
#include "eff_chords.h"

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

void eff_logistic_i16(int16_t *y, const int16_t *x, const int16_t *table, int32_t n, const eff_tripled *how)
{
    const int32_t half = (INT32_C(1) << how->shift) >> 1;
    for (int32_t i = 0; i < n; ++i) {
        y[i] = (int16_t)eff_logistic_q15(table, (x[i] * how->multiplier + half) >> how->shift);
    }
}
