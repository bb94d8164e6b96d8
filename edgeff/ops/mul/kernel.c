/* SPDX-License-Identifier: Apache-2.0 */
/* The product of two activations. */
#include "eff_broadcast.h"

void eff_mul_f32(float *y, const float *a, const float *c, const eff_broadcast *how, int32_t relu)
{
    EFF_FOR_EACH_PAIR(float, eff_activate_f32(l * r, relu));
}

void eff_mul_i8(int8_t *y, const int8_t *a, const int8_t *c, const eff_broadcast *how, const eff_rescale *scale, int32_t c_zero)
{
    const int32_t a_zero = scale->x_zero, y_zero = scale->y_zero, multiplier = scale->multiplier, shift = scale->shift,
                  y_min = scale->y_min, y_max = scale->y_max;
    EFF_FOR_EACH_PAIR(int8_t, eff_to_i8(eff_requantise((l - a_zero) * (r - c_zero), multiplier, shift), y_zero, y_min, y_max));
}

void eff_mul_i16(int16_t *y, const int16_t *a, const int16_t *c, const eff_broadcast *how, const eff_rescale_wide *scale)
{
    EFF_FOR_EACH_PAIR(int16_t, (int16_t)eff_clamp(eff_requantise((int32_t)l * r, scale->multiplier, scale->shift), scale->y_min,
                                                  scale->y_max));
}
