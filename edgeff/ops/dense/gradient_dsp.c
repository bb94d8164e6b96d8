/* SPDX-License-Identifier: Apache-2.0 */
/* D = w^T delta: four columns by two rows per turn, two products per instruction. */
#include "edgeff.h"
#include "eff_dsp.h"

#define EFF_SAFE_ROWS 512 /* 512 * 32767 * 127 < 2^31: this many products fit 32 bits */

/* Adds the products of `rows` rows, at most EFF_SAFE_ROWS, to the sums of four columns. */
static void eff_four_columns(int64_t *sums, const int16_t *delta, const int8_t *w, int32_t rows, int32_t n_in)
{
    int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    for (; rows >= 2; rows -= 2, delta += 2, w += 2 * n_in) {
        const uint32_t first = eff_load_bytes(w), second = eff_load_bytes(w + n_in), factors = eff_load_halves(delta);
        const uint32_t even = eff_even_bytes(first), even_2 = eff_even_bytes(second);
        s0 = eff_dot_halves(eff_lower_halves(even, even_2), factors, s0);
        s2 = eff_dot_halves(eff_upper_halves(even, even_2), factors, s2);
        const uint32_t odd = eff_odd_bytes(first), odd_2 = eff_odd_bytes(second);
        s1 = eff_dot_halves(eff_lower_halves(odd, odd_2), factors, s1);
        s3 = eff_dot_halves(eff_upper_halves(odd, odd_2), factors, s3);
    }
    if (rows) {
        const int32_t last = delta[0];
        s0 += last * w[0], s1 += last * w[1], s2 += last * w[2], s3 += last * w[3];
    }
    sums[0] += s0, sums[1] += s1, sums[2] += s2, sums[3] += s3;
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
