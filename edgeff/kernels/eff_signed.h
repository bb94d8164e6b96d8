/* SPDX-License-Identifier: Apache-2.0 */
/* Generated float32 feedback: the sums that four bits of a draw choose from. */
#ifndef EFF_SIGNED_H
#define EFF_SIGNED_H

#include "edgeff.h"

/* The sixteen sums ((+-e0 +- e1) +- e2) +- e3 of each four scaled errors of the block of 32 from `first` on, bit i set for +ei; the number
 * of groups of four. */
static inline int32_t eff_signed_groups(float sums[8][16], const float *e, int32_t first, int32_t n_e, float scale)
{
    const int32_t groups = ((n_e - first < 32 ? n_e - first : 32) + 3) / 4;
    for (int32_t g = 0; g < groups; ++g) {
        float *restrict table = sums[g];
        for (int32_t i = 0; i < 4; ++i) {
            const int32_t c = first + 4 * g + i;
            const float v = c < n_e ? scale * e[c] : 0.0f;
            const int32_t half = INT32_C(1) << i;
            for (int32_t s = 0; s < half; ++s) {
                const float before = i == 0 ? 0.0f : table[s];
                table[s + half] = before + v;
                table[s] = before - v;
            }
        }
    }
    return groups;
}

#endif
