/* SPDX-License-Identifier: Apache-2.0 */
/* Sums of products from packed weights (edgeff/kernels/packing.py): two rows in a word, two products per instruction.
 *
 * A halfword of the weights holds 256 * w[r + 1][k] + w[r][k]. SXTB16 gives the pair of row r; the product with the whole word is
 * T = 256 * B + A, where A is the sum of row r and B that of row r + 1. So B = (T - A) >> 8, exactly, as long as |B| < 2^23.
 * The zero point of x is folded into the bias. Inputs are expanded once to pairs of halfwords (k, k + 2), (k + 1, k + 3).
 */
#ifndef EFF_PACKED_H
#define EFF_PACKED_H

#include "eff_dsp.h"

/* Four columns times all pairs of rows. `x` is [K / 2][4] words, up to `x_end`; each pixel is written `step` bytes after the one before. */
typedef struct {
    const uint32_t *x, *x_end;
    int32_t pairs, y_zero, step;
} eff_packed_block;

void eff_packed_columns(int8_t *y, const uint32_t *w, const eff_packed_block *block);

/* The first column alone. */
void eff_packed_column(int8_t *y, const uint32_t *w, const eff_packed_block *block);

/* One column times `quads` of four rows: y is [quads][4], x is [K / 2] words, up to `x_end`. The factors of the first four rows are
 * `factors[8]`, those of the next four lie `step` bytes after them. Returns the end of the quads' weights. */
const uint32_t *eff_packed_rows(int8_t *y, const uint32_t *w, const uint32_t *x, const uint32_t *x_end, int32_t quads, int32_t y_zero,
                                const int32_t *factors, int32_t step);

#endif
