/* SPDX-License-Identifier: Apache-2.0 */
/* Errors and differences. */
#include "edgeff.h"

void eff_difference_f32(float *d, const float *a, const float *c, int32_t n)
{
    for (int32_t k = 0; k < n; ++k) {
        d[k] = a[k] - c[k];
    }
}

void eff_difference_i8(int16_t *d, const int8_t *a, const int8_t *c, int32_t n)
{
    for (int32_t k = 0; k < n; ++k) {
        d[k] = (int16_t)(a[k] - c[k]);
    }
}

void eff_difference_i16(int16_t *d, const int16_t *a, const int16_t *c, int32_t n)
{
    for (int32_t k = 0; k < n; ++k) {
        d[k] = eff_saturate_i16((int32_t)a[k] - c[k]);
    }
}

/* The requantisation of a number below 2^8 with a shift of -30 to 22: what depends on the factor alone is found once. */
typedef struct {
    int32_t multiplier, left, right, half, ties;
} eff_side;

static eff_side eff_side_of(int32_t multiplier, int32_t shift)
{
    const int32_t left = shift > 0 ? shift : 0, right = left - shift;
    const eff_side side = {multiplier, left, right, (INT32_C(1) << right) >> 1, right > 0 ? -1 : 0};
    return side;
}

static inline int32_t eff_sided(int32_t v, const eff_side *side)
{
    const int32_t high = eff_high_mul(v * (INT32_C(1) << side->left), side->multiplier);
    return eff_saturate_i16((high + (high >> 31 & side->ties) + side->half) >> side->right);
}

void eff_residual_i8(int16_t *d, const int8_t *a, const int8_t *c, int32_t n, const eff_sides *sides)
{
    const int32_t a_zero = sides->a_zero, a_multiplier = sides->a_multiplier, a_shift = sides->a_shift, c_zero = sides->c_zero,
                  c_multiplier = sides->c_multiplier, c_shift = sides->c_shift;
    if (a_shift < 23 && c_shift < 23 && a_shift > -31 && c_shift > -31) {
        const eff_side first = eff_side_of(a_multiplier, a_shift), second = eff_side_of(c_multiplier, c_shift);
        EFF_ROLLED
        for (int32_t k = 0; k < n; ++k) {
            d[k] = eff_saturate_i16(eff_sided(a[k] - a_zero, &first) - eff_sided(c[k] - c_zero, &second));
        }
        return;
    }
    EFF_ROLLED
    for (int32_t k = 0; k < n; ++k) {
        const int32_t left = eff_saturate_i16(eff_requantise(a[k] - a_zero, a_multiplier, a_shift));
        const int32_t right = eff_saturate_i16(eff_requantise(c[k] - c_zero, c_multiplier, c_shift));
        d[k] = eff_saturate_i16(left - right);
    }
}

void eff_residual_i16(int16_t *d, const int16_t *a, const int16_t *c, int32_t n, const eff_sides *sides)
{
    const int32_t a_multiplier = sides->a_multiplier, a_shift = sides->a_shift, c_multiplier = sides->c_multiplier,
                  c_shift = sides->c_shift;
    for (int32_t k = 0; k < n; ++k) {
        const int32_t left = eff_saturate_i16(eff_requantise(a[k], a_multiplier, a_shift));
        const int32_t right = eff_saturate_i16(eff_requantise(c[k], c_multiplier, c_shift));
        d[k] = eff_saturate_i16(left - right);
    }
}

void eff_error_f32(float *e, const float *p, const int32_t *label, int32_t n)
{
    for (int32_t c = 0; c < n; ++c) {
        e[c] = c == *label ? p[c] - 1.0f : p[c];
    }
}

void eff_error_i8(int16_t *e, const int8_t *p, const int32_t *label, int32_t n, int32_t p_zero, int32_t one)
{
    for (int32_t c = 0; c < n; ++c) {
        e[c] = eff_saturate_i16(p[c] - p_zero - (c == *label ? one : 0));
    }
}

void eff_error_i16(int16_t *e, const int16_t *p, const int32_t *label, int32_t n, int32_t one)
{
    for (int32_t c = 0; c < n; ++c) {
        e[c] = eff_saturate_i16(p[c] - (c == *label ? one : 0));
    }
}
