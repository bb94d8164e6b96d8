/* SPDX-License-Identifier: Apache-2.0 */
/* The difference of two activations. */
#include "eff_broadcast.h"

#define EFF_SUB_BITS 20
#define EFF_SUB_BITS_I16 15

void eff_sub_f32(float *y, const float *a, const float *c, const eff_broadcast *how, int32_t relu)
{
    EFF_FOR_EACH_PAIR(float, eff_activate_f32(l - r, relu));
}

void eff_sub_i8(int8_t *y, const int8_t *a, const int8_t *c, const eff_broadcast *how, const eff_sides *sides,
                const eff_rescale *total)
{
    const int32_t a_zero = sides->a_zero, a_multiplier = sides->a_multiplier, a_shift = sides->a_shift, c_zero = sides->c_zero,
                  c_multiplier = sides->c_multiplier, c_shift = sides->c_shift, y_zero = total->y_zero,
                  multiplier = total->multiplier, shift = total->shift, y_min = total->y_min, y_max = total->y_max;
    EFF_FOR_EACH_PAIR(int8_t, eff_to_i8(eff_requantise(eff_requantise((l - a_zero) * (INT32_C(1) << EFF_SUB_BITS), a_multiplier, a_shift)
                                                           - eff_requantise((r - c_zero) * (INT32_C(1) << EFF_SUB_BITS), c_multiplier,
                                                                            c_shift),
                                                       multiplier, shift),
                                        y_zero, y_min, y_max));
}

void eff_sub_i16(int16_t *y, const int16_t *a, const int16_t *c, const eff_broadcast *how, const eff_sides *sides,
                 const eff_rescale_wide *total)
{
    EFF_FOR_EACH_PAIR(int16_t,
                      (int16_t)eff_clamp(eff_requantise(eff_requantise(l * (INT32_C(1) << EFF_SUB_BITS_I16), sides->a_multiplier,
                                                                       sides->a_shift)
                                                            - eff_requantise(r * (INT32_C(1) << EFF_SUB_BITS_I16),
                                                                             sides->c_multiplier, sides->c_shift),
                                                        total->multiplier, total->shift),
                                         total->y_min, total->y_max));
}
