/* SPDX-License-Identifier: Apache-2.0 */
/* int8 weights in their own order, because they learn: sums of products, and steps. */
#ifndef EFF_PLAIN_H
#define EFF_PLAIN_H

#include "eff_dsp.h"

/* The sums of `groups` times four rows of weights, `n_in` bytes apart, times `pairs`, up to `end`: a multiple of four inputs, at least four. */
void eff_plain_rows(int32_t *sums, const int8_t *w, int32_t n_in, const uint32_t *pairs, const uint32_t *end, int32_t groups);

/* A step of rows of weights, `n_in` bytes apart, in their first `fours` fours, at least one: each minus
 * (((4 gain a + base) >> 16) + eight random bits) >> 8 with base = 2^15 - 4 gain a_zero, saturated to +-127. `counter` is that of the first
 * row's first draw, `stride` its growth from row to row. */
typedef struct {
    int32_t n_in, fours, a_zero;
    uint32_t counter, stride;
} eff_rows;

/* `gains` has the gain of each of `count` rows, at least one; a row whose gain is 0 stays. */
void eff_update_rows(int8_t *w, const int8_t *a, const int32_t *gains, int32_t count, const eff_rows *rows);

#endif
