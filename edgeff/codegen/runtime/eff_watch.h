/* SPDX-License-Identifier: Apache-2.0 */
/* eff_watch.h: whether what a model learns still means something. */
#ifndef EFF_WATCH_H
#define EFF_WATCH_H

#include <stdint.h>

#include "eff_state.h"

#ifdef __cplusplus
extern "C" {
#endif

#define EFF_WINDOW 64u /* parameters that are looked at after a step */
#define EFF_FEW 8u     /* integers of a window at their limits are no sign of anything while they are fewer */

/* `n` parameters that learn: float32 where `bytes` is 0, else integers of so many bytes, which saturate at -+ `limit`. */
typedef struct {
    const void *first;
    uint32_t n;
    uint32_t bytes;
    int32_t limit;
} eff_watched;

/* Looks at one window of the `count` parts, which take turns by `step`. Whether it has diverged: a float is NaN, infinite or 2^48 and
 * more, or at least EFF_FEW of the integers, and more than three quarters, are at their limits. */
int32_t eff_diverged(const eff_watched *parts, uint32_t count, uint32_t step);

/* How many of the integers of the `count` parts are at their limits. It looks at all of them. */
uint32_t eff_saturated(const eff_watched *parts, uint32_t count);

#ifdef __cplusplus
}
#endif

#endif
