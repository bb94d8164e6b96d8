/* SPDX-License-Identifier: Apache-2.0 */
/* Sums of +-e with the generated feedback matrix: four bits of a draw choose one of the sixteen signed sums of four errors. */
#include "edgeff.h"
#include "eff_dsp.h"

#define EFF_GROUP 16 /* sums of a group of four errors */
#define EFF_CHUNK 16 /* rows at a time */

/* The sums +-e0 +-e1 +-e2 +-e3 of `groups` groups, bit i of an index set for +ei; after the n_e errors at e zeros are taken. */
static EFF_NOINLINE void eff_sum_groups(int32_t *sums, const int16_t *e, int32_t n_e, int32_t groups)
{
    for (; groups > 0; --groups, e += 4, n_e -= 4) {
        const int32_t e0 = n_e > 0 ? e[0] : 0, e1 = n_e > 1 ? e[1] : 0, e2 = n_e > 2 ? e[2] : 0, e3 = n_e > 3 ? e[3] : 0;
        const int32_t both = e0 + e1, apart = e0 - e1, upper[4] = {-e2 - e3, e2 - e3, e3 - e2, e2 + e3};
        EFF_ROLLED
        for (int32_t i = 0; i < 4; ++i, sums += 4) {
            sums[0] = upper[i] - both;
            sums[1] = upper[i] + apart;
            sums[2] = upper[i] - apart;
            sums[3] = upper[i] + both;
        }
    }
}

/* What the draw chooses of two groups, the numbers 2 `pair` and 2 `pair` + 1: `even` and `odd` hold four times their bits, a byte each. */
#define EFF_CHOSEN(pair) \
    (*(const int32_t *)(const void *)(eff_past_byte(tables, even, pair) + 128 * (pair)) + \
     *(const int32_t *)(const void *)(eff_past_byte(tables, odd, pair) + 128 * (pair) + 64))

/* Adds to each of n sums the entries of eight tables, or of four if `few`, that the draws of a counter choose. */
static EFF_NOINLINE void eff_add_chosen(int32_t *sums, const int32_t *groups, int32_t n, uint32_t counter, uint32_t stride, int32_t few)
{
    const char *tables = (const char *)(const void *)groups;
    const int32_t *end = sums + n;
    EFF_ROLLED
    for (; few && sums != end; ++sums, counter += stride) {
        const uint32_t signs = eff_mix(counter), even = signs << 2 & UINT32_C(0x3C3C3C3C), odd = signs >> 2 & UINT32_C(0x3C3C3C3C);
        *sums += EFF_CHOSEN(0) + EFF_CHOSEN(1);
    }
    EFF_ROLLED
    for (; sums != end; ++sums, counter += stride) {
        const uint32_t signs = eff_mix(counter), even = signs << 2 & UINT32_C(0x3C3C3C3C), odd = signs >> 2 & UINT32_C(0x3C3C3C3C);
        *sums += EFF_CHOSEN(0) + EFF_CHOSEN(1) + EFF_CHOSEN(2) + EFF_CHOSEN(3);
    }
}

/* The sums of rows whose errors fill a block of 32, if there is one, in what scratch has after the tables. */
static EFF_NOINLINE int32_t *eff_whole_blocks(int32_t *tables, const int16_t *e, const eff_feedback_int *how)
{
    const int32_t n = how->n, n_e = how->n_e;
    const uint32_t stride = ((uint32_t)n_e + 31u) / 32u * EFF_GOLDEN;
    uint32_t counter = how->key;
    int32_t *sums = tables + 8 * EFF_GROUP;
    EFF_ROLLED
    for (int32_t d = 0; d < n; ++d) {
        sums[d] = 0;
    }
    for (int32_t k = 0; k + 32 <= n_e; k += 32, counter += EFF_GOLDEN) {
        eff_sum_groups(tables, e + k, 32, 8);
        eff_add_chosen(sums, tables, n, counter, stride, 0);
    }
    return sums;
}

/* Each of n sums, requantised. */
static EFF_NOINLINE void eff_requantise_sums(int32_t *sums, int32_t n, const eff_feedback_int *how)
{
    EFF_ROLLED
    for (int32_t i = 0; i < n; ++i) {
        sums[i] = eff_requantise(sums[i], how->multiplier, how->shift);
    }
}

/* Row d of the product, requantised and added to what is there, within the limits. */
#define EFF_ROWS(type, held, change_low, change_high, limit_low, limit_high) \
    const int32_t n = how->n, n_e = how->n_e, rest = n_e & 31, few = rest <= 16; \
    const eff_factor by = eff_factor_of(how->multiplier, how->shift, INT64_C(32767) * n_e); \
    const uint32_t stride = ((uint32_t)n_e + 31u) / 32u * EFF_GOLDEN; \
    int32_t *whole = n_e >= 32 ? eff_whole_blocks(scratch, e, how) : NULL; \
    uint32_t counter = how->key + (uint32_t)(n_e / 32) * EFF_GOLDEN; \
    eff_sum_groups(scratch, e + (n_e - rest), rest, rest == 0 ? 0 : few ? 4 : 8); \
    for (int32_t d = 0; d < n; d += EFF_CHUNK, y += EFF_CHUNK, counter += EFF_CHUNK * stride) { \
        const int32_t count = n - d < EFF_CHUNK ? n - d : EFF_CHUNK; \
        int32_t own[EFF_CHUNK] = {0}, *sums = whole ? whole + d : own; \
        if (rest) { \
            eff_add_chosen(sums, scratch, count, counter, stride, few); \
        } \
        EFF_ROLLED \
        for (int32_t i = 0; by.fits && i < count; ++i) { \
            const int32_t change = eff_scaled(sums[i], &by); \
            y[i] = (type)eff_clamp((held) + eff_clamp(change, change_low, change_high), limit_low, limit_high); \
        } \
        if (by.fits) { \
            continue; \
        } \
        eff_requantise_sums(sums, count, how); \
        EFF_ROLLED \
        for (int32_t i = 0; i < count; ++i) { \
            y[i] = (type)eff_clamp((held) + eff_clamp(sums[i], change_low, change_high), limit_low, limit_high); \
        } \
    }

/* A change beyond -1024 to 1023 saturates any y. */
void eff_feedback_add_i8_dsp(int8_t *y, const int16_t *e, const eff_feedback_int *how, void *scratch)
{
    EFF_ROWS(int8_t, y[i], -1024, 1023, -128, 127)
}

void eff_feedback_delta_i16_dsp(int16_t *y, const int16_t *e, const eff_feedback_int *how, void *scratch)
{
    EFF_ROWS(int16_t, 0, -32767, 32767, -32767, 32767)
}
