/* SPDX-License-Identifier: Apache-2.0 */
/* 3x3 windows over one channel that was copied out as a plane of words, two rows in each, column by column. */
#ifndef EFF_PLANE_H
#define EFF_PLANE_H

#include "eff_dsp.h"

/* The windows of one channel: how many columns of them, the bytes of a column of the plane, the bytes between the pixels and between the rows
 * of the output, and how many passes from the top to the bottom. */
typedef struct {
    int32_t columns, column, pixel, row, y_zero, passes;
} eff_plane;

/* Words of `pairs` pairs of rows, `step` bytes apart, of `columns` columns: `across` bytes between them, `column` bytes between their words. */
void eff_plane_pack(uint32_t *to, const int8_t *from, int32_t pairs, int32_t step, int32_t columns, int32_t across, int32_t column);

/* Two rows of the output a pass, stride 1; w is six words of weights, the bias and both factors of the requantisation. */
void eff_plane_rows(int8_t *y, const uint32_t *plane, const uint32_t *w, const eff_plane *how);

/* One row a pass, stride 2. */
void eff_plane_rows_2(int8_t *y, const uint32_t *plane, const uint32_t *w, const eff_plane *how);

#endif
