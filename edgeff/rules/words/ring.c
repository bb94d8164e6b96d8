/* SPDX-License-Identifier: Apache-2.0 */
/* A ring of samples in RAM. */
#include "edgeff.h"

void eff_ring_place(int32_t *slot, uint32_t *count, int32_t entries, int32_t spread, uint32_t key)
{
    const uint32_t before = *count, n = (uint32_t)entries;
    if (spread) {
        const uint32_t drawn = (uint32_t)(((uint64_t)eff_draw(key, before) * ((uint64_t)before + 1u)) >> 32);
        *slot = before < n ? (int32_t)before : drawn < n ? (int32_t)drawn : -1;
        *count = before == UINT32_MAX ? before : before + 1u;
    } else {
        *slot = (int32_t)(before % n);
        *count = before + 1u == 2u * n ? n : before + 1u;
    }
}

void eff_ring_write(void *ring, const void *x, const int32_t *slot, int32_t entries, int32_t n_bytes)
{
    uint8_t *to = ring;
    const uint8_t *from = x;
    (void)entries;
    if (*slot < 0) {
        return;
    }
    to += (size_t)*slot * (size_t)n_bytes;
    for (int32_t i = 0; i < n_bytes; ++i) {
        to[i] = from[i];
    }
}

void eff_ring_draw(int32_t *slot, const uint32_t *count, const uint32_t *step, int32_t entries, uint32_t key)
{
    const uint32_t filled = *count < (uint32_t)entries ? *count : (uint32_t)entries;
    *slot = (int32_t)(((uint64_t)eff_draw(eff_step_key(key, *step), 0u) * filled) >> 32);
}

void eff_ring_read(void *y, const void *ring, const int32_t *slot, int32_t entries, int32_t n_bytes)
{
    uint8_t *to = y;
    const uint8_t *from = (const uint8_t *)ring + (size_t)*slot * (size_t)n_bytes;
    (void)entries;
    for (int32_t i = 0; i < n_bytes; ++i) {
        to[i] = from[i];
    }
}
