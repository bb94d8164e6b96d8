/* SPDX-License-Identifier: Apache-2.0 */
/* Softmax with each exponential found once, and products of 32 bits in one instruction. */
#include "edgeff.h"
#include "eff_dsp.h"

/* eff_exp_q31 for the arguments of a softmax, -31 * 2^26 to 0; its terms stay below 2^30, so that twice a term fits 32 bits. */
static int32_t eff_exp_by_halves(int32_t a)
{
    /* Twice each power of e, less 2^32 from 2^31 on: there the factor itself is added once more. */
    static const int32_t doubled[7] = {-950043402, -1689937948, 1580030168, 581260616, 78665070, 1440802, 484};
    if (a == 0) {
        return INT32_MAX;
    }
    const int32_t quarter = INT32_C(1) << 24;
    const int32_t part = (a & (quarter - 1)) - quarter, x = part * 32 + (INT32_C(1) << 28);
    const int32_t x2 = eff_high_sum(2 * x, x, 0), x3 = eff_high_sum(2 * x2, x, 0), x4 = eff_high_sum(2 * x2, x2, 0);
    const int32_t cubic = eff_high_sum(2 * (eff_shift_round(x4, 2) + x3), 715827883, 0), tail = eff_shift_round(cubic + x2, 1);
    int32_t result = 1895147668 + eff_high_sum(2 * (x + tail), 1895147668, 0);
    int32_t rest = (part - a) >> 24;
    for (const int32_t *power = doubled; rest; rest >>= 1, ++power) {
        if (rest & 1) {
            result = eff_high_sum(result, *power, *power < 0 ? result : 0);
        }
    }
    return result;
}

void eff_softmax_i8_dsp(int8_t *y, const int8_t *x, int32_t n, const eff_logits *logits, void *scratch)
{
    const int32_t shift = logits->shift, diff_min = logits->diff_min, doubled = (int32_t)((uint32_t)logits->multiplier * 2u);
    int32_t largest = x[0], sum = 0, *exponentials = scratch;
    EFF_ROLLED
    for (int32_t c = 1; c < n; ++c) {
        largest = x[c] > largest ? x[c] : largest;
    }
    for (int32_t c = 0; c < n; ++c) {
        const int32_t difference = x[c] - largest;
        exponentials[c] = -1;
        if (difference >= diff_min) {
            const int32_t v = difference * (INT32_C(1) << shift);
            exponentials[c] = eff_exp_by_halves(eff_high_sum(v, doubled, v));
            sum += eff_shift_round(exponentials[c], 12);
        }
    }
    int32_t over;
    const int32_t scale = eff_reciprocal_of_sum(sum, &over);
    for (int32_t c = 0; c < n; ++c) {
        int32_t v = -128;
        if (exponentials[c] >= 0 && over <= 8) {
            v = eff_clamp(eff_shift_round(eff_high_mul(scale, exponentials[c]), over + 23) - 128, -128, 127);
        }
        y[c] = (int8_t)v;
    }
}
