/* SPDX-License-Identifier: Apache-2.0 */
/* The logistic function and the hyperbolic tangent in 16 bits, from one table of chords, as TFLite's 16-bit LOGISTIC and TANH: of numbers
 * in steps of 1 / 12288, three times Q3.12, in Q0.15. */
#ifndef EFF_CHORDS_H
#define EFF_CHORDS_H

#include "edgeff.h"

/* The logistic function at i / 24 in units of 2^-16, less one half, between the entries at `at`, a number of `bits` fractional bits. */
static inline int32_t eff_between(const int16_t *table, int32_t at, int32_t bits)
{
    const int32_t entry = at >> bits, part = at & ((INT32_C(1) << bits) - 1);
    if (entry >= 255) {
        return INT32_C(0x7FFF) << bits;
    }
    return (int32_t)table[entry] * (INT32_C(1) << bits) + part * ((int32_t)table[entry + 1] - table[entry]);
}

/* Half of the rounding towards zero, as TFLite's. */
static inline int32_t eff_logistic_q15(const int16_t *table, int32_t v)
{
    const int32_t chord = eff_between(table, v < 0 ? -v : v, 9), most = (INT32_C(0x7FFF) << 9) - 1, above = chord < most ? chord : most;
    return (v < 0 ? (INT32_C(1) << 24) - above + (INT32_C(1) << 9) - 1 : (INT32_C(1) << 24) + above + (INT32_C(1) << 9)) >> 10;
}

static inline int32_t eff_tanh_q15(const int16_t *table, int32_t v)
{
    const int32_t above = eff_between(table, v < 0 ? -v : v, 8);
    return (v < 0 ? 127 - above : 128 + above) >> 8;
}

#endif
