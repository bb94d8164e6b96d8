/* SPDX-License-Identifier: Apache-2.0 */
/* The best class, and plain copies. */
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

void eff_set_label(int32_t *label, int32_t value)
{
    *label = value;
}

void eff_copy(void *y, const void *x, int32_t n_bytes)
{
    uint8_t *to = y;
    const uint8_t *from = x;
    for (int32_t i = 0; i < n_bytes; ++i) {
        to[i] = from[i];
    }
}
