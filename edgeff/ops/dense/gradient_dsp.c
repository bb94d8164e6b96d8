/* SPDX-License-Identifier: Apache-2.0 */
/* D = w^T delta: four columns by two rows per turn, two products per instruction. */
#include "edgeff.h"
#include "eff_dsp.h"

#define EFF_SAFE_ROWS 512 /* 512 * 32767 * 127 < 2^31: this many products fit 32 bits */

/* Adds the products of `rows` rows, at most EFF_SAFE_ROWS, to the sums of four columns. */
static void eff_four_columns(int64_t *sums, const int16_t *delta, const int8_t *w, int32_t rows, int32_t n_in)
{
    int32_t s[4] = {0, 0, 0, 0};
    for (; rows >= 2; rows -= 2, delta += 2, w += 2 * n_in) {
        eff_dot_two_rows(s, w, w + n_in, eff_load_halves(delta));
    }
    if (rows) {
        const int32_t last = delta[0];
        s[0] += last * w[0], s[1] += last * w[1], s[2] += last * w[2], s[3] += last * w[3];
    }
    sums[0] += s[0], sums[1] += s[1], sums[2] += s[2], sums[3] += s[3];
}

void eff_input_gradient_i8_dsp(int16_t *d, const int16_t *delta, const int8_t *w, const eff_matrix *size, int32_t pre_shift,
                               const eff_requant *requant)
{
    const int32_t n_out = size->n_out, n_in = size->n_in, multiplier = requant->multiplier, shift = requant->shift;
    int32_t k = 0;
    for (; k + 4 <= n_in; k += 4) {
        int64_t sums[4] = {0, 0, 0, 0};
        for (int32_t j = 0; j < n_out; j += EFF_SAFE_ROWS) {
            const int32_t rows = n_out - j < EFF_SAFE_ROWS ? n_out - j : EFF_SAFE_ROWS;
            eff_four_columns(sums, delta + j, w + (size_t)j * (size_t)n_in + k, rows, n_in);
        }
        for (int32_t i = 0; i < 4; ++i) {
            d[k + i] = eff_gradient_i16(sums[i], pre_shift, multiplier, shift);
        }
    }
    for (; k < n_in; ++k) {
        int64_t s = 0;
        for (int32_t j = 0; j < n_out; ++j) {
            s += (int32_t)delta[j] * w[(size_t)j * (size_t)n_in + (size_t)k];
        }
        d[k] = eff_gradient_i16(s, pre_shift, multiplier, shift);
    }
}
