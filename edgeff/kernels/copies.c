/* SPDX-License-Identifier: Apache-2.0 */
/* Plain copies: of a tensor's bytes, and of a number into a label. */
#include "edgeff.h"

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
