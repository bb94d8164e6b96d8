/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a learning step. */
#include "edgeff.h"

void eff_advance(uint32_t *step, uint32_t *rate, uint32_t period, uint32_t factor)
{
    *step += 1u;
    if (period != 0u && *step % period == 0u) {
        *rate = (uint32_t)(((uint64_t)*rate * factor + 0x8000u) >> 16);
    }
}
