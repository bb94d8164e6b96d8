/* SPDX-License-Identifier: Apache-2.0 */
/* The parametric ReLU. */
#include "eff_broadcast.h"

void eff_prelu_f32(float *y, const float *a, const float *c, const eff_broadcast *how)
{
    EFF_FOR_EACH_PAIR(float, l >= 0.0f ? l : l * r);
}

static inline int32_t eff_scaled_by(int32_t v, const eff_requant *how) { return eff_requantise(v, how->multiplier, how->shift); }

void eff_prelu_i8(int8_t *y, const int8_t *a, const int8_t *c, const eff_broadcast *how, const eff_requant *above,
                  const eff_requant *below, int32_t a_zero, int32_t c_zero, int32_t y_zero)
{
    EFF_FOR_EACH_PAIR(int8_t, eff_to_i8(l >= a_zero ? eff_scaled_by(l - a_zero, above) : eff_scaled_by((l - a_zero) * (r - c_zero), below),
                                        y_zero, -128, 127));
}
