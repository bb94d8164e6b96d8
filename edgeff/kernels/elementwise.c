/* elementwise.c: what is done element by element: sums of two activations, a change of scale, an exchange of axes. */
#include "edgeff.h"

#define EFF_ADD_BITS 20

void eff_add_f32(float *y, const float *a, const float *c, int32_t n, int32_t relu)
{
    for (int32_t i = 0; i < n; ++i) {
        y[i] = eff_activate_f32(a[i] + c[i], relu);
    }
}

void eff_add_i8(int8_t *y, const int8_t *a, const int8_t *c, int32_t n, int32_t a_zero, int32_t a_multiplier, int32_t a_shift,
                int32_t c_zero, int32_t c_multiplier, int32_t c_shift, int32_t y_zero, int32_t multiplier, int32_t shift, int32_t y_min,
                int32_t y_max)
{
    for (int32_t i = 0; i < n; ++i) {
        const int32_t left = eff_requantise((a[i] - a_zero) * (1 << EFF_ADD_BITS), a_multiplier, a_shift);
        const int32_t right = eff_requantise((c[i] - c_zero) * (1 << EFF_ADD_BITS), c_multiplier, c_shift);
        const int32_t s = eff_requantise(left + right, multiplier, shift);
        y[i] = (int8_t)eff_clamp(eff_clamp(s, -1024, 1024) + y_zero, y_min, y_max);
    }
}

void eff_relu_f32(float *y, const float *x, int32_t n, int32_t relu)
{
    for (int32_t i = 0; i < n; ++i) {
        y[i] = eff_activate_f32(x[i], relu);
    }
}

void eff_rescale_i8(int8_t *y, const int8_t *x, int32_t n, int32_t x_zero, int32_t y_zero, int32_t multiplier, int32_t shift,
                    int32_t y_min, int32_t y_max)
{
    for (int32_t i = 0; i < n; ++i) {
        const int32_t s = eff_requantise(x[i] - x_zero, multiplier, shift);
        y[i] = (int8_t)eff_clamp(eff_clamp(s, -1024, 1024) + y_zero, y_min, y_max);
    }
}

#define EFF_TRANSPOSE \
    const int32_t sizes[3] = {d0, d1, d2}, strides[3] = {d1 * d2, d2, 1}; \
    for (int32_t i = 0; i < sizes[p0]; ++i) { \
        for (int32_t j = 0; j < sizes[p1]; ++j) { \
            for (int32_t k = 0; k < sizes[p2]; ++k) { \
                *y++ = x[i * strides[p0] + j * strides[p1] + k * strides[p2]]; \
            } \
        } \
    }

void eff_transpose_f32(float *y, const float *x, int32_t d0, int32_t d1, int32_t d2, int32_t p0, int32_t p1, int32_t p2)
{
    EFF_TRANSPOSE
}

void eff_transpose_i8(int8_t *y, const int8_t *x, int32_t d0, int32_t d1, int32_t d2, int32_t p0, int32_t p1, int32_t p2)
{
    EFF_TRANSPOSE
}
