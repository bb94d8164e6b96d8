/* SPDX-License-Identifier: Apache-2.0 */
/* One over the square root, and its derivative. */
#include "edgeff.h"

#define EFF_LEAST 0x1p-40f

static inline float eff_inverse_root(float x)
{
    return 1.0f / eff_sqrt_f32(x > EFF_LEAST ? x : EFF_LEAST);
}

void eff_rsqrt_f32(float *y, const float *x, int32_t n)
{
    for (int32_t i = 0; i < n; ++i) {
        y[i] = eff_inverse_root(x[i]);
    }
}

void eff_rsqrt_slope_f32(float *d, const float *delta, const float *x, int32_t n)
{
    for (int32_t i = 0; i < n; ++i) {
        const float y = eff_inverse_root(x[i]);
        d[i] = x[i] > EFF_LEAST ? delta[i] * (((-0.5f * y) * y) * y) : 0.0f;
    }
}
