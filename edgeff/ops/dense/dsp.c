/* SPDX-License-Identifier: Apache-2.0 */
/* Four rows by four inputs per turn, two products per instruction. */
#include "edgeff.h"
#include "eff_dsp.h"

void eff_dense_i8_dsp(int8_t *y, const int8_t *x, const int8_t *w, const int32_t *b, const int32_t *multiplier, const int32_t *shift,
                      const eff_matrix *size, const eff_output_i8 *output)
{
    const int32_t n_out = size->n_out, n_in = size->n_in, x_zero = output->x_zero;
    int32_t j = 0;
    for (; j + 4 <= n_out; j += 4) {
        int32_t sums[4] = {0, 0, 0, 0};
        eff_dot_4_rows(sums, w + (size_t)j * (size_t)n_in, n_in, x, n_in, x_zero);
        for (int32_t row = 0; row < 4; ++row) {
            const int32_t channel = output->per_channel ? j + row : 0;
            const int32_t s = eff_requantise(sums[row] + (b ? b[j + row] : 0), multiplier[channel], shift[channel]);
            y[j + row] = eff_to_i8(s, output->y_zero, output->y_min, output->y_max);
        }
    }
    for (; j < n_out; ++j) {
        const int8_t *row = w + (size_t)j * (size_t)n_in;
        const int32_t channel = output->per_channel ? j : 0;
        int32_t s = b ? b[j] : 0;
        for (int32_t k = 0; k < n_in; ++k) {
            s += row[k] * (x[k] - x_zero);
        }
        s = eff_requantise(s, multiplier[channel], shift[channel]);
        y[j] = eff_to_i8(s, output->y_zero, output->y_min, output->y_max);
    }
}
