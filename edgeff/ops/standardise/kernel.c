/* SPDX-License-Identifier: Apache-2.0 */
/* Y = (x - mean x) / sqrt(variance x + eps). */
#include "edgeff.h"

void eff_standardise_f32(float *y, const float *x, int32_t n, float eps)
{
    float sum = 0.0f;
    for (int32_t k = 0; k < n; ++k) {
        sum += x[k];
    }
    const float mean = sum / (float)n;
    float squares = 0.0f;
    for (int32_t k = 0; k < n; ++k) {
        squares += (x[k] - mean) * (x[k] - mean);
    }
    const float deviation = eff_sqrt_f32(squares / (float)n + eps);
    for (int32_t k = 0; k < n; ++k) {
        y[k] = (x[k] - mean) / deviation;
    }
}

/* u = x + 128 makes every sum positive; n <= 32,768 keeps n^2 variance in 45 bits. The 1 that is added is the eps of the integer form;
 * gain = 2^24 / s_y. */
void eff_standardise_i8(int8_t *y, const int8_t *x, int32_t n, int32_t y_zero, int32_t gain)
{
    uint32_t sum = 0;
    uint64_t squares = 0;
    for (int32_t k = 0; k < n; ++k) {
        const uint32_t u = (uint32_t)(x[k] + 128);
        sum += u;
        squares += u * u;
    }
    const uint64_t count = (uint32_t)n;
    const uint64_t spread = count * squares - (uint64_t)sum * sum;
    const int32_t factor = gain / (int32_t)(eff_sqrt_u64((spread << 16) / (count * count)) + 1u);
    const int32_t mean = (int32_t)((sum * UINT64_C(256) + count / 2u) / count);
    for (int32_t k = 0; k < n; ++k) {
        const int64_t v = ((int64_t)((x[k] + 128) * INT32_C(256) - mean) * factor + (INT32_C(1) << 23)) >> 24;
        y[k] = (int8_t)eff_clamp((int32_t)v + y_zero, -128, 127);
    }
}

/* u = x + 32,768; n <= 32,768 keeps n^2 variance in 62 bits. gain = 2^16 / s_y. */
void eff_standardise_i16(int16_t *y, const int16_t *x, int32_t n, int32_t gain)
{
    uint64_t sum = 0;
    uint64_t squares = 0;
    for (int32_t k = 0; k < n; ++k) {
        const uint32_t u = (uint32_t)(x[k] + 32768);
        sum += u;
        squares += u * u;
    }
    const uint64_t count = (uint32_t)n;
    const int32_t factor = gain / (int32_t)(eff_sqrt_u64((count * squares - sum * sum) / (count * count)) + 1u);
    const int32_t mean = (int32_t)((sum + count / 2u) / count);
    for (int32_t k = 0; k < n; ++k) {
        const int64_t v = ((int64_t)(x[k] + 32768 - mean) * factor + 0x8000) >> 16;
        y[k] = (int16_t)(v > 32767 ? 32767 : v < -32767 ? -32767 : v);
    }
}
