/* SPDX-License-Identifier: Apache-2.0 */
/* The mean of each channel, and its gradient. */
#include "edgeff.h"

void eff_mean_f32(float *y, const float *x, int32_t n, int32_t in_c)
{
    for (int32_t c = 0; c < in_c; ++c) {
        float s = 0.0f;
        for (int32_t i = 0; i < n; ++i) {
            s += x[i * in_c + c];
        }
        y[c] = s / (float)n;
    }
}

void eff_mean_i8(int8_t *y, const int8_t *x, int32_t n, int32_t in_c, const eff_rescale *how)
{
    const int32_t x_zero = how->x_zero, multiplier = how->multiplier, shift = how->shift, y_zero = how->y_zero;
    for (int32_t c = 0; c < in_c; ++c) {
        int32_t s = 0;
        for (int32_t i = 0; i < n; ++i) {
            s += x[i * in_c + c] - x_zero;
        }
        y[c] = eff_to_i8(eff_requantise(s, multiplier, shift), y_zero, -128, 127);
    }
}

void eff_mean_i16(int16_t *y, const int16_t *x, int32_t n, int32_t in_c, const eff_rescale_wide *how)
{
    for (int32_t c = 0; c < in_c; ++c) {
        int32_t s = 0;
        for (int32_t i = 0; i < n; ++i) {
            s += x[i * in_c + c];
        }
        y[c] = (int16_t)eff_clamp(eff_requantise(s, how->multiplier, how->shift), how->y_min, how->y_max);
    }
}

void eff_mean_input_gradient_f32(float *d, const float *delta, int32_t n, int32_t in_c)
{
    for (int32_t i = 0; i < n; ++i) {
        for (int32_t c = 0; c < in_c; ++c) {
            *d++ = delta[c] / (float)n;
        }
    }
}
