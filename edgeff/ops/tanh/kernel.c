/* SPDX-License-Identifier: Apache-2.0 */
/* The hyperbolic tangent: a polynomial below 0.625 (Moshier's Cephes, tanhf), 1 - 2 / (exp(2x) + 1) above, where nothing cancels. */
#include "edgeff.h"
#include "eff_chords.h"

static float eff_tanh_of_size(float a)
{
    if (a < 0.625f) {
        const float square = a * a;
        float p = -5.70498872745e-3f;
        p = p * square + 2.06390887954e-2f;
        p = p * square + -5.37397155531e-2f;
        p = p * square + 1.33314422036e-1f;
        p = p * square + -3.33332819422e-1f;
        return p * square * a + a;
    }
    return 1.0f - 2.0f / (eff_exp_f32(a + a) + 1.0f);
}

void eff_tanh_f32(float *y, const float *x, int32_t n)
{
    for (int32_t i = 0; i < n; ++i) {
        y[i] = x[i] < 0.0f ? -eff_tanh_of_size(-x[i]) : eff_tanh_of_size(x[i]);
    }
}

/* With e = exp(-2 |x|) the derivative is 4 e / (1 + e)^2. */
void eff_tanh_slope_f32(float *d, const float *delta, const float *x, int32_t n)
{
    for (int32_t i = 0; i < n; ++i) {
        const float power = eff_exp_f32(x[i] < 0.0f ? x[i] + x[i] : -(x[i] + x[i]));
        const float share = 1.0f / (1.0f + power);
        d[i] = delta[i] * (4.0f * ((power * share) * share));
    }
}

void eff_tanh_i16(int16_t *y, const int16_t *x, const int16_t *table, int32_t n, const eff_tripled *how)
{
    const int32_t half = (INT32_C(1) << how->shift) >> 1;
    for (int32_t i = 0; i < n; ++i) {
        y[i] = (int16_t)eff_tanh_q15(table, (x[i] * how->multiplier + half) >> how->shift);
    }
}
