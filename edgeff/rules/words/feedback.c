/* SPDX-License-Identifier: Apache-2.0 */
/* The fixed random matrix of PEPITA, DFA and related rules, generated from a seed or read from a table. */
#include "edgeff.h"
#include "eff_signed.h"

/* Column blocks of 32 share one draw per row. The sixteen signed sums of each four errors are computed once per block, so a row costs one
 table * look-up and one addition for four entries. Order of summation: ((+-e0 +- e1) +- e2) +- e3 inside a group, groups in index order. */
void eff_feedback_f32(float *y, const float *e, int32_t n, int32_t n_e, int32_t add, uint32_t key, float scale)
{
    float sums[8][16];
    const int32_t blocks = (n_e + 31) / 32;
    for (int32_t block = 0; block < blocks; ++block) {
        const int32_t groups = eff_signed_groups(sums, e, block * 32, n_e, scale);
        uint32_t counter = key + (uint32_t)block * EFF_GOLDEN;
        for (int32_t d = 0; d < n; ++d, counter += (uint32_t)blocks * EFF_GOLDEN) {
            uint32_t signs = eff_mix(counter);
            float s = add || block > 0 ? y[d] : 0.0f;
            for (int32_t g = 0; g < groups; ++g, signs >>= 4) {
                s += sums[g][signs & 15u];
            }
            y[d] = s;
        }
    }
}

void eff_feedback_table_f32(float *y, const float *e, const float *f, int32_t n, int32_t n_e, int32_t add)
{
    for (int32_t d = 0; d < n; ++d) {
        const float *restrict row = f + (size_t)d * (size_t)n_e;
        float s = add ? y[d] : 0.0f;
        for (int32_t c = 0; c < n_e; ++c) {
            s += row[c] * e[c];
        }
        y[d] = s;
    }
}

/* The sum of +-e over row d; |sum| <= 32,767 n_e, so n_e <= 65,536. */
static int32_t eff_signed_sum(const int16_t *e, int32_t n_e, uint32_t key, uint32_t d)
{
    uint32_t counter = key + d * (((uint32_t)n_e + 31u) / 32u) * EFF_GOLDEN;
    int32_t s = 0;
    for (int32_t c = 0; c < n_e; counter += EFF_GOLDEN) {
        uint32_t signs = eff_mix(counter);
        const int32_t end = c + 32 < n_e ? c + 32 : n_e;
        for (; c < end; ++c, signs >>= 1) {
            s += signs & 1u ? e[c] : -(int32_t)e[c];
        }
    }
    return s;
}

/* The same for a stored row; |sum| <= 32,767 * 127 n_e, so n_e <= 516. */
static int32_t eff_table_sum(const int16_t *e, const int8_t *row, int32_t n_e)
{
    int32_t s = 0;
    for (int32_t c = 0; c < n_e; ++c) {
        s += (int32_t)e[c] * row[c];
    }
    return s;
}

static inline int8_t eff_saturating_add_i8(int8_t v, int32_t change)
{
    return (int8_t)eff_clamp(v + eff_clamp(change, -1024, 1024), -128, 127);
}

static inline int16_t eff_saturating_add_i16(int16_t v, int32_t change)
{
    return (int16_t)eff_clamp(v + eff_clamp(change, -131072, 131072), -32767, 32767);
}

void eff_feedback_add_i8(int8_t *y, const int16_t *e, const eff_feedback_int *how)
{
    const int32_t n = how->n, n_e = how->n_e, multiplier = how->multiplier, shift = how->shift;
    const uint32_t key = how->key;
    for (int32_t d = 0; d < n; ++d) {
        y[d] = eff_saturating_add_i8(y[d], eff_requantise(eff_signed_sum(e, n_e, key, (uint32_t)d), multiplier, shift));
    }
}

void eff_feedback_add_i16(int16_t *y, const int16_t *e, const eff_feedback_int *how)
{
    const int32_t n = how->n, n_e = how->n_e, multiplier = how->multiplier, shift = how->shift;
    const uint32_t key = how->key;
    for (int32_t d = 0; d < n; ++d) {
        y[d] = eff_saturating_add_i16(y[d], eff_requantise(eff_signed_sum(e, n_e, key, (uint32_t)d), multiplier, shift));
    }
}

void eff_feedback_delta_i16(int16_t *d, const int16_t *e, const eff_feedback_int *how)
{
    const int32_t n = how->n, n_e = how->n_e, multiplier = how->multiplier, shift = how->shift;
    const uint32_t key = how->key;
    for (int32_t i = 0; i < n; ++i) {
        d[i] = eff_saturating_add_i16(0, eff_requantise(eff_signed_sum(e, n_e, key, (uint32_t)i), multiplier, shift));
    }
}

void eff_feedback_table_add_i8(int8_t *y, const int16_t *e, const int8_t *f, const eff_feedback_table *how)
{
    const int32_t n = how->n, n_e = how->n_e, multiplier = how->multiplier, shift = how->shift;
    for (int32_t d = 0; d < n; ++d) {
        y[d] = eff_saturating_add_i8(y[d], eff_requantise(eff_table_sum(e, f + (size_t)d * (size_t)n_e, n_e), multiplier, shift));
    }
}

void eff_feedback_table_add_i16(int16_t *y, const int16_t *e, const int8_t *f, const eff_feedback_table *how)
{
    const int32_t n = how->n, n_e = how->n_e, multiplier = how->multiplier, shift = how->shift;
    for (int32_t d = 0; d < n; ++d) {
        y[d] = eff_saturating_add_i16(y[d], eff_requantise(eff_table_sum(e, f + (size_t)d * (size_t)n_e, n_e), multiplier, shift));
    }
}

void eff_feedback_table_delta_i16(int16_t *d, const int16_t *e, const int8_t *f, const eff_feedback_table *how)
{
    const int32_t n = how->n, n_e = how->n_e, multiplier = how->multiplier, shift = how->shift;
    for (int32_t i = 0; i < n; ++i) {
        d[i] = eff_saturating_add_i16(0, eff_requantise(eff_table_sum(e, f + (size_t)i * (size_t)n_e, n_e), multiplier, shift));
    }
}
