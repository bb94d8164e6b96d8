/* SPDX-License-Identifier: Apache-2.0 */
/* The sum of two int8 activations, one of which is already in the common scale: its factor is one half. */
#include "edgeff.h"
#include "eff_dsp.h"

void eff_add_i8_dsp(int8_t *y, const int8_t *a, const int8_t *c, int32_t n, const eff_sides *sides, const eff_rescale *total)
{
    const int32_t swapped = sides->c_multiplier != INT32_C(1) << 30 || sides->c_shift != 0;
    const int8_t *scaled = swapped ? c : a, *halved = swapped ? a : c;
    const int32_t down = -(swapped ? sides->c_shift : sides->a_shift), half = (INT32_C(1) << down) >> 1, ties = down ? -1 : 0;
    const int32_t doubled = (int32_t)((uint32_t)(swapped ? sides->c_multiplier : sides->a_multiplier) * 2u);
    const int32_t scaled_zero = (swapped ? sides->c_zero : sides->a_zero) * (INT32_C(1) << 20);
    const int32_t halved_zero = (swapped ? sides->a_zero : sides->c_zero) * (INT32_C(1) << 19);
    const int32_t factor = (int32_t)((uint32_t)total->multiplier * 2u), power = INT32_C(1) << (32 + total->shift), y_zero = total->y_zero;
    for (int32_t i = 0; i < n; ++i) {
        int32_t s = scaled[i] * (INT32_C(1) << 20) - scaled_zero;
        s = eff_high_sum(s, doubled, s);
        s = (s + ((s >> 31) & ties) + half) >> down; /* ties away from zero */
        s += halved[i] * (INT32_C(1) << 19) - halved_zero;
        y[i] = (int8_t)eff_requantise_i8(s, factor, power, y_zero);
    }
    eff_limit_i8(y, n, total->y_min, total->y_max);
}
