/* SPDX-License-Identifier: Apache-2.0 */
/* Runs of neighbours: inputs times one delta, and the steps of weights from their sums. */
#ifndef EFF_RUNS_H
#define EFF_RUNS_H

#include "eff_dsp.h"
#include "eff_walk.h"

/* Adds delta * (a[i] - a_zero) to sums[i], for i below 4 `fours`; both halves of `below` hold -a_zero. */
void eff_add_fours(int32_t *sums, const int8_t *a, int32_t fours, int32_t delta, uint32_t below);

/* The same for i below n. */
static inline void eff_add_run(int32_t *sums, const int8_t *a, int32_t n, int32_t delta, int32_t a_zero)
{
    const int32_t whole = n & ~3;
    if (whole) {
        eff_add_fours(sums, a, whole / 4, delta, eff_join(-a_zero, -a_zero));
    }
    EFF_ROLLED
    for (int32_t i = whole; i < n; ++i) {
        sums[i] += delta * (a[i] - a_zero);
    }
}

/* Weights i to i + n - 1 of w, whose products sum up to `sums`, are updated. */
void eff_change_run(int8_t *w, int32_t i, int32_t n, const int32_t *sums, const eff_change *how);

#endif
