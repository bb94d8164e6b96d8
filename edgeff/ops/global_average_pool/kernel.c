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

void eff_mean_i8(int8_t *y, const int8_t *x, int32_t n, int32_t in_c, int32_t x_zero, int32_t y_zero, int32_t multiplier, int32_t shift)
{
    for (int32_t c = 0; c < in_c; ++c) {
        int32_t s = 0;
        for (int32_t i = 0; i < n; ++i) {
            s += x[i * in_c + c] - x_zero;
        }
        y[c] = (int8_t)eff_clamp(eff_clamp(eff_requantise(s, multiplier, shift), -1024, 1024) + y_zero, -128, 127);
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
