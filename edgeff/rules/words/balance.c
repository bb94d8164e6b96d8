/* SPDX-License-Identifier: Apache-2.0 */
/* A ring of samples that holds as many of each class as came. */
#include "edgeff.h"

/* A number below `below`, by the word drawn. */
static uint32_t eff_below_by(uint32_t drawn, uint32_t below) { return (uint32_t)(((uint64_t)drawn * below) >> 32); }

void eff_ring_balance(int32_t *slot, uint32_t *count, uint32_t *tally, const int32_t *labels, const int32_t *label, int32_t entries,
                      int32_t classes, uint32_t key)
{
    uint32_t *seen = tally, *held = tally + classes;
    const int32_t own = *label;
    const uint32_t before = *count, drawn = eff_draw(key, before);
    int32_t victim = 0;
    *count = before == UINT32_MAX ? before : before + 1u;
    seen[own] += seen[own] == UINT32_MAX ? 0u : 1u;
    if (before < (uint32_t)entries) {
        *slot = (int32_t)before;
        held[own] += 1u;
        return;
    }
    for (int32_t c = 1; c < classes; ++c) {
        victim = held[c] > held[victim] ? c : victim;
    }
    uint32_t which = eff_below_by(drawn, held[victim]);
    if (held[own] >= held[victim]) {
        victim = own;
        which = eff_below_by(drawn, seen[own]);
    }
    *slot = -1;
    for (int32_t i = 0; i < entries && which < held[victim]; ++i) {
        if (labels[i] == victim && which-- == 0u) {
            *slot = i;
            break;
        }
    }
    if (*slot >= 0 && victim != own) {
        held[victim] -= 1u;
        held[own] += 1u;
    }
}
