/* SPDX-License-Identifier: Apache-2.0 */
/* Sums of +-e with the generated feedback matrix: a draw's top bits choose two errors per instruction. */
#include "edgeff.h"
#include "eff_dsp.h"

/* The errors as pairs: for a block of 32, word i holds errors 15 - i and 31 - i of it, 0 past the end. Returns the sum of all. */
static int32_t eff_pair_errors(uint32_t *pairs, const int16_t *e, int32_t n_e)
{
    int32_t sum = 0;
    for (int32_t first = 0; first < n_e; first += 32) {
        for (int32_t i = 0; i < 16; ++i) {
            const int32_t lower = first + 15 - i, upper = first + 31 - i;
            const int32_t low = lower < n_e ? e[lower] : 0, high = upper < n_e ? e[upper] : 0;
            *pairs++ = eff_join(low, high);
            sum += low + high;
        }
    }
    return sum;
}

/* The sum of the errors whose bits are set, for a row: the draw of block i is that of counter + i. |sum| <= 32,767 n_e. */
static int32_t eff_chosen_sum(const uint32_t *pairs, int32_t n_e, uint32_t counter)
{
    int32_t s = 0;
    for (; n_e > 0; n_e -= 32, counter += EFF_GOLDEN) {
        uint32_t bits = eff_mix(counter);
        for (int32_t i = 0; i < 16; i += 8, pairs += 8) {
            s = eff_dot_halves(eff_choose_halves(&bits, pairs[0]), 0x00010001u, s);
            s = eff_dot_halves(eff_choose_halves(&bits, pairs[1]), 0x00010001u, s);
            s = eff_dot_halves(eff_choose_halves(&bits, pairs[2]), 0x00010001u, s);
            s = eff_dot_halves(eff_choose_halves(&bits, pairs[3]), 0x00010001u, s);
            s = eff_dot_halves(eff_choose_halves(&bits, pairs[4]), 0x00010001u, s);
            s = eff_dot_halves(eff_choose_halves(&bits, pairs[5]), 0x00010001u, s);
            s = eff_dot_halves(eff_choose_halves(&bits, pairs[6]), 0x00010001u, s);
            s = eff_dot_halves(eff_choose_halves(&bits, pairs[7]), 0x00010001u, s);
        }
    }
    return s;
}

/* Row d of the product, requantised and added to what is there, within the limits; |2 s - sum| <= 32,767 n_e, and so are its parts. */
#define EFF_ROWS(type, held, change_limit, limit_low, limit_high) \
    const int32_t n = how->n, n_e = how->n_e, multiplier = how->multiplier, shift = how->shift; \
    const uint32_t blocks = ((uint32_t)n_e + 31u) / 32u; \
    uint32_t *pairs = scratch, counter = how->key; \
    const int32_t sum = eff_pair_errors(pairs, e, n_e); \
    for (int32_t d = 0; d < n; ++d, counter += blocks * EFF_GOLDEN) { \
        const int32_t chosen = (int32_t)(2u * (uint32_t)eff_chosen_sum(pairs, n_e, counter) - (uint32_t)sum); \
        const int32_t change = eff_clamp(eff_requantise(chosen, multiplier, shift), -(change_limit), change_limit); \
        y[d] = (type)eff_clamp((held) + change, limit_low, limit_high); \
    }

void eff_feedback_add_i8_dsp(int8_t *y, const int16_t *e, const eff_feedback_int *how, void *scratch)
{
    EFF_ROWS(int8_t, y[d], 1024, -128, 127)
}

void eff_feedback_delta_i16_dsp(int16_t *y, const int16_t *e, const eff_feedback_int *how, void *scratch)
{
    EFF_ROWS(int16_t, 0, 131072, -32767, 32767)
}
