/* SPDX-License-Identifier: Apache-2.0 */
/* int8 weights in their own order, because they learn: sums of products, steps, and feedback. */
#ifndef EFF_PLAIN_H
#define EFF_PLAIN_H

#include "eff_dsp.h"

/* The sums of four rows of weights, `n_in` bytes apart, times `pairs`, up to `end`: eight inputs at least, and a multiple of eight. */
void eff_plain_rows(int32_t *sums, const int8_t *w, int32_t n_in, const uint32_t *pairs, const uint32_t *end);

/* For a row of the generated feedback: the sum of the errors whose bits are set in the draws of `blocks` counters from `counter` on. Word i of
 * a block's sixteen holds errors 15 - i and 31 - i. */
int32_t eff_chosen_sum(const uint32_t *pairs, int32_t blocks, uint32_t counter);

/* Fours of weights of one row: each minus (gain a + r) >> 22, saturated to +-127; a is pairs of halfwords (k, k + 2), (k + 1, k + 3),
 * `gain_8` eight times the gain, `counter` that of the first four's draw. `fours` is at least 1. */
void eff_update_fours(int8_t *w, const uint32_t *a, int32_t fours, int32_t gain_8, uint32_t counter);

#endif
