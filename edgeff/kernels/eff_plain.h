/* SPDX-License-Identifier: Apache-2.0 */
/* int8 weights in their own order, because they learn: sums of products, steps, and feedback. */
#ifndef EFF_PLAIN_H
#define EFF_PLAIN_H

#include "eff_dsp.h"

/* The sums of four rows of weights, `n_in` bytes apart, times `pairs`, up to `end`: a multiple of four inputs, at least four. */
void eff_plain_rows(int32_t *sums, const int8_t *w, int32_t n_in, const uint32_t *pairs, const uint32_t *end);

/* For a row of the generated feedback: the sum of the magnitudes whose bits, turned by the signs, are set in the draws of `blocks` counters
 * from `counter` on; `words` as feedback_dsp.c lays them out. */
int32_t eff_chosen_sum(const uint32_t *words, int32_t blocks, uint32_t counter);

/* Fours of weights of one row: each minus (((gain_4 a + base) >> 16) + eight random bits) >> 8, saturated to +-127. `gain_4` is four times the
 * gain, `base` 2^15 - gain_4 a_zero, `counter` that of the first four's draw. `fours` is at least 1. */
void eff_update_fours(int8_t *w, const int8_t *a, int32_t fours, int32_t gain_4, uint32_t counter, int32_t base);

#endif
