/* SPDX-License-Identifier: Apache-2.0 */
/* The best class: the index of the first largest value. */
#include "edgeff.h"

void eff_argmax_f32(int32_t *best, const float *x, int32_t n)
{
    int32_t i = 0;
    for (int32_t c = 1; c < n; ++c) {
        i = x[c] > x[i] ? c : i;
    }
    *best = i;
}

void eff_argmax_i8(int32_t *best, const int8_t *x, int32_t n)
{
    int32_t i = 0;
    for (int32_t c = 1; c < n; ++c) {
        i = x[c] > x[i] ? c : i;
    }
    *best = i;
}

void eff_argmax_i16(int32_t *best, const int16_t *x, int32_t n)
{
    int32_t i = 0;
    for (int32_t c = 1; c < n; ++c) {
        i = x[c] > x[i] ? c : i;
    }
    *best = i;
}

void eff_argmax_i32(int32_t *best, const int32_t *x, int32_t n)
{
    int32_t i = 0;
    for (int32_t c = 1; c < n; ++c) {
        i = x[c] > x[i] ? c : i;
    }
    *best = i;
}
