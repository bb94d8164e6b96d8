/* SPDX-License-Identifier: Apache-2.0 */
/* eff_watch.c: a few parameters after each step, so that a step costs little and all of them are looked at in turn. */
#include "eff_watch.h"

static uint32_t eff_windows(const eff_watched *part) { return (part->n + (EFF_WINDOW - 1u)) / EFF_WINDOW; }

static EFF_SMALL int32_t eff_at_limit(const eff_watched *part, uint32_t i)
{
    int32_t value;
    if (part->bytes == 1u) {
        value = ((const int8_t *)part->first)[i];
    } else if (part->bytes == 2u) {
        value = ((const int16_t *)part->first)[i];
    } else {
        value = ((const int32_t *)part->first)[i];
    }
    return value >= part->limit || value <= -part->limit;
}

EFF_SMALL uint32_t eff_saturated(const eff_watched *parts, uint32_t count)
{
    uint32_t saturated = 0;
    for (uint32_t p = 0; p < count; ++p) {
        for (uint32_t i = 0; parts[p].bytes != 0u && i < parts[p].n; ++i) {
            saturated += (uint32_t)eff_at_limit(&parts[p], i);
        }
    }
    return saturated;
}

EFF_SMALL int32_t eff_diverged(const eff_watched *parts, uint32_t count, uint32_t step)
{
    uint32_t all = 0;
    for (uint32_t p = 0; p < count; ++p) {
        all += eff_windows(&parts[p]);
    }
    uint32_t window = all != 0u ? step % all : 0u;
    for (uint32_t p = 0; p < count; ++p) {
        const eff_watched *part = &parts[p];
        if (window >= eff_windows(part)) {
            window -= eff_windows(part);
            continue;
        }
        const uint32_t first = window * EFF_WINDOW;
        const uint32_t left = part->n - first, n = left < EFF_WINDOW ? left : EFF_WINDOW;
        uint32_t bad = 0;
        for (uint32_t i = first; i < first + n; ++i) {
            if (part->bytes == 0u) {
                const union {
                    float value;
                    uint32_t bits;
                } number = {((const float *)part->first)[i]};
                if ((number.bits & UINT32_C(0x7FFFFFFF)) >= UINT32_C(0x57800000)) {
                    return 1;
                }
            } else {
                bad += (uint32_t)eff_at_limit(part, i);
            }
        }
        return bad >= EFF_FEW && 4u * bad > 3u * n;
    }
    return 0;
}
