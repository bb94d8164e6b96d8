/* The sum of two activations. */
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
