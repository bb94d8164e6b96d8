/* SPDX-License-Identifier: Apache-2.0 */
/* The output stage of layers with int16 activations and int8 weights. */
#ifndef EFF_WIDE_H
#define EFF_WIDE_H

#include "edgeff.h"

/* v * multiplier * 2^(shift - 31), the multiplier cut to 15 bits, rounded once, ties upwards (TFLite's for sums of 64 bits). |v| < 2^47,
 * multiplier >= 0, -31 <= shift <= 7. */
static inline int64_t eff_requantise_wide(int64_t v, int32_t multiplier, int32_t shift)
{
    const int32_t cut = multiplier < INT32_C(0x7FFF0000) ? (multiplier + INT32_C(0x8000)) >> 16 : INT32_C(0x7FFF);
    return (v * cut + (INT64_C(1) << (14 - shift))) >> (15 - shift);
}

static inline int16_t eff_output_of(int64_t sum, int32_t multiplier, int32_t shift, const eff_output_i16 *output)
{
    const int32_t narrow = sum > INT32_MAX ? INT32_MAX : sum < INT32_MIN ? INT32_MIN : (int32_t)sum;
    const int64_t scaled = output->wide ? eff_requantise_wide(sum, multiplier, shift) : eff_requantise(narrow, multiplier, shift);
    return (int16_t)(scaled < output->y_min ? output->y_min : scaled > output->y_max ? output->y_max : scaled);
}

#endif
