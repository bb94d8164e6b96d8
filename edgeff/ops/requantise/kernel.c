/* SPDX-License-Identifier: Apache-2.0 */
/* Int8 and int16 values in another scale. */
#include "edgeff.h"

void eff_rescale_i8(int8_t *y, const int8_t *x, int32_t n, const eff_rescale *how)
{
    const int32_t x_zero = how->x_zero, y_zero = how->y_zero, multiplier = how->multiplier, shift = how->shift, y_min = how->y_min,
                  y_max = how->y_max;
    for (int32_t i = 0; i < n; ++i) {
        const int32_t s = eff_requantise(x[i] - x_zero, multiplier, shift);
        y[i] = eff_to_i8(s, y_zero, y_min, y_max);
    }
}

void eff_rescale_i16(int16_t *y, const int16_t *x, int32_t n, const eff_rescale_wide *how)
{
    for (int32_t i = 0; i < n; ++i) {
        y[i] = (int16_t)eff_clamp(eff_requantise(x[i], how->multiplier, how->shift), how->y_min, how->y_max);
    }
}

void eff_rescale_i8_i16(int16_t *y, const int8_t *x, int32_t n, const eff_rescale_wide *how)
{
    for (int32_t i = 0; i < n; ++i) {
        y[i] = (int16_t)eff_clamp(eff_requantise(x[i] - how->x_zero, how->multiplier, how->shift), how->y_min, how->y_max);
    }
}

void eff_rescale_i16_i8(int8_t *y, const int16_t *x, int32_t n, const eff_rescale *how)
{
    for (int32_t i = 0; i < n; ++i) {
        y[i] = eff_to_i8(eff_requantise(x[i], how->multiplier, how->shift), how->y_zero, how->y_min, how->y_max);
    }
}
