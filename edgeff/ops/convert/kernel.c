/* SPDX-License-Identifier: Apache-2.0 */
/* The same numbers in another number format. */
#include "edgeff.h"

/* v / scale rounded to the nearest integer, ties to even; clamped to +-2^20; a NaN gives 0. */
static int32_t eff_steps(float v, float scale)
{
    const float to_integers = 12582912.0f; /* 3 * 2^22: a float32 of this size has no fraction */
    const float t = v / scale;
    const float cut = t > 1048576.0f ? 1048576.0f : t < -1048576.0f ? -1048576.0f : t == t ? t : 0.0f;
    return (int32_t)((cut + to_integers) - to_integers);
}

void eff_convert_i8_f32(float *y, const int8_t *x, int32_t n, float x_scale, int32_t x_zero)
{
    for (int32_t i = 0; i < n; ++i) {
        y[i] = x_scale * (float)(x[i] - x_zero);
    }
}

void eff_convert_i16_f32(float *y, const int16_t *x, int32_t n, float x_scale)
{
    for (int32_t i = 0; i < n; ++i) {
        y[i] = x_scale * (float)x[i];
    }
}

void eff_convert_f32_i8(int8_t *y, const float *x, int32_t n, float y_scale, int32_t y_zero)
{
    for (int32_t i = 0; i < n; ++i) {
        y[i] = (int8_t)eff_clamp(eff_steps(x[i], y_scale) + y_zero, -128, 127);
    }
}

void eff_convert_f32_i16(int16_t *y, const float *x, int32_t n, float y_scale)
{
    for (int32_t i = 0; i < n; ++i) {
        y[i] = eff_saturate_i16(eff_steps(x[i], y_scale));
    }
}

void eff_convert_i8_i16(int16_t *y, const int8_t *x, int32_t n, int32_t x_zero)
{
    for (int32_t i = 0; i < n; ++i) {
        y[i] = (int16_t)((x[i] - x_zero) * 128);
    }
}

void eff_convert_i16_i8(int8_t *y, const int16_t *x, int32_t n, const eff_rescale *how)
{
    for (int32_t i = 0; i < n; ++i) {
        const int32_t s = eff_requantise(x[i] - how->x_zero, how->multiplier, how->shift);
        y[i] = eff_to_i8(s, how->y_zero, how->y_min, how->y_max);
    }
}
