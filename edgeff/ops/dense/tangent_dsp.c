/* SPDX-License-Identifier: Apache-2.0 */
/* An int16 tangent through int8 weights: four rows by four inputs at a time. */
#include "edgeff.h"
#include "eff_plain.h"

#define EFF_SAFE_INPUTS 512 /* 512 * 32767 * 127 < 2^31: this many products fit 32 bits */

/* The tangent in the order of the bytes that SXTB16 gives: pairs (k, k + 2), (k + 1, k + 3). */
void eff_dense_tangent_i8_dsp(int16_t *y, const int16_t *dx, const int8_t *w, const eff_matrix *size, int32_t pre_shift,
                              const eff_requant *requant, void *scratch)
{
    const int32_t n_out = size->n_out, n_in = size->n_in, whole = n_in & ~3, multiplier = requant->multiplier, shift = requant->shift;
    uint32_t *pairs = scratch;
    for (int32_t k = 0; k < whole; k += 4) {
        pairs[k / 2] = eff_join(dx[k], dx[k + 2]);
        pairs[k / 2 + 1] = eff_join(dx[k + 1], dx[k + 3]);
    }
    for (int32_t j = 0; j < n_out; j += 4) {
        int64_t sums[4] = {0, 0, 0, 0};
        j = j < n_out - 4 ? j : n_out - 4; /* the last four, some of them again */
        const int8_t *rows = w + (size_t)j * (size_t)n_in;
        for (int32_t k = 0; k < whole; k += EFF_SAFE_INPUTS) {
            int32_t part[4];
            eff_plain_rows(part, rows + k, n_in, pairs + k / 2, pairs + (whole - k < EFF_SAFE_INPUTS ? whole : k + EFF_SAFE_INPUTS) / 2, 1);
            for (int32_t i = 0; i < 4; ++i) {
                sums[i] += part[i];
            }
        }
        for (int32_t i = 0; i < 4; ++i) {
            EFF_ROLLED
            for (int32_t k = whole; k < n_in; ++k) {
                sums[i] += (int32_t)rows[i * n_in + k] * dx[k];
            }
            y[j + i] = eff_gradient_i16(sums[i], pre_shift, multiplier, shift);
        }
    }
}
