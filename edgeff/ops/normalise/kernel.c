/* SPDX-License-Identifier: Apache-2.0 */
/* Y = x / rms(x). */
#include "edgeff.h"

void eff_normalise_f32(float *y, const float *x, int32_t n, float eps)
{
    float sum = 0.0f;
    for (int32_t k = 0; k < n; ++k) {
        sum += x[k] * x[k];
    }
    const float length = eff_sqrt_f32(sum / (float)n) + eps;
    for (int32_t k = 0; k < n; ++k) {
        y[k] = x[k] / length;
    }
}

uint32_t eff_sqrt_u64(uint64_t v)
{
    uint64_t root = 0;
    for (uint64_t bit = UINT64_C(1) << 62; bit != 0; bit >>= 2) {
        if (v >= root + bit) {
            v -= root + bit;
            root = (root >> 1) + bit;
        } else {
            root >>= 1;
        }
    }
    return (uint32_t)root;
}

/* The integer part of the root. */
static uint32_t eff_sqrt_u32(uint32_t v)
{
    uint32_t root = 0;
    EFF_ROLLED
    for (uint32_t bit = UINT32_C(1) << 30; bit != 0; bit >>= 2) {
        const uint32_t tried = root + bit;
        root >>= 1;
        if (v >= tried) {
            v -= tried;
            root += bit;
        }
    }
    return root;
}

/* The root mean square is taken in units of 2^-8 input steps; the 1 that is added is the eps of the integer form. gain = 2^24 / s_y;
 * n <= 33,000, so that a mean square, at most 255^2, and 2^16 times it fit 32 bits. */
void eff_normalise_i8(int8_t *y, const int8_t *x, int32_t n, int32_t x_zero, int32_t y_zero, int32_t gain)
{
    uint32_t sum = 0;
    for (int32_t k = 0; k < n; ++k) {
        sum += (uint32_t)((x[k] - x_zero) * (x[k] - x_zero));
    }
    const uint32_t count = (uint32_t)n, whole = sum / count, mean = (whole << 16) + ((sum - whole * count) << 16) / count;
    const int32_t factor = gain / (int32_t)(eff_sqrt_u32(mean) + 1u);
    if (factor < INT32_C(1) << 23) { /* 255 times it and 2^15 fit 31 bits */
        for (int32_t k = 0; k < n; ++k) {
            y[k] = eff_to_i8(((x[k] - x_zero) * factor + 0x8000) >> 16, y_zero, -128, 127);
        }
        return;
    }
    EFF_ROLLED
    for (int32_t k = 0; k < n; ++k) {
        const int64_t v = ((int64_t)(x[k] - x_zero) * factor + 0x8000) >> 16;
        y[k] = (int8_t)eff_clamp((int32_t)(v > 1024 ? 1024 : v < -1024 ? -1024 : v) + y_zero, -128, 127);
    }
}

/* The root mean square in input steps, plus one; gain = 2^16 / s_y. */
void eff_normalise_i16(int16_t *y, const int16_t *x, int32_t n, int32_t gain)
{
    int64_t sum = 0;
    for (int32_t k = 0; k < n; ++k) {
        sum += (int32_t)x[k] * x[k];
    }
    const int32_t factor = gain / (int32_t)(eff_sqrt_u64((uint64_t)sum / (uint32_t)n) + 1u);
    for (int32_t k = 0; k < n; ++k) {
        const int64_t v = ((int64_t)x[k] * factor + 0x8000) >> 16;
        y[k] = (int16_t)(v > 32767 ? 32767 : v < -32767 ? -32767 : v);
    }
}
