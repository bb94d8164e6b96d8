/* SPDX-License-Identifier: Apache-2.0 */
/* An int8 function of one variable as a table of its 256 values. */
#include "edgeff.h"

void eff_lookup_i8(int8_t *y, const int8_t *x, const int8_t *table, int32_t n)
{
    for (int32_t i = 0; i < n; ++i) {
        y[i] = table[x[i] + 128];
    }
}
