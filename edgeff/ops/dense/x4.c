/* SPDX-License-Identifier: Apache-2.0 */
/* Four rows are computed side by side, so that each input is loaded once for four products; every sum runs in index order from the bias. */
#include "edgeff.h"

/* Input i times its weight of each of the four rows; `value` is a float or an integer without its zero point. */
#define EFF_COLUMN(type, i, value) \
    do { \
        const type v = (value); \
        s0 += w0[i] * v; \
        s1 += w1[i] * v; \
        s2 += w2[i] * v; \
        s3 += w3[i] * v; \
    } while (0)

void eff_dense_f32_x4(float *y, const float *x, const float *w, const float *b, const eff_matrix *size, int32_t relu)
{
    const int32_t n_out = size->n_out, n_in = size->n_in;
    int32_t j = 0;
    for (; j + 4 <= n_out; j += 4) {
        const float *p = x, *w0 = w + (size_t)j * (size_t)n_in, *w1 = w0 + n_in, *w2 = w1 + n_in, *w3 = w2 + n_in;
        float s0 = 0.0f, s1 = 0.0f, s2 = 0.0f, s3 = 0.0f;
        if (b) {
            s0 = b[j], s1 = b[j + 1], s2 = b[j + 2], s3 = b[j + 3];
        }
        int32_t left = n_in;
        for (; left >= 8; left -= 8) {
            EFF_COLUMN(float, 0, p[0]);
            EFF_COLUMN(float, 1, p[1]);
            EFF_COLUMN(float, 2, p[2]);
            EFF_COLUMN(float, 3, p[3]);
            EFF_COLUMN(float, 4, p[4]);
            EFF_COLUMN(float, 5, p[5]);
            EFF_COLUMN(float, 6, p[6]);
            EFF_COLUMN(float, 7, p[7]);
            p += 8, w0 += 8, w1 += 8, w2 += 8, w3 += 8;
        }
        for (int32_t i = 0; i < left; ++i) {
            EFF_COLUMN(float, i, p[i]);
        }
        y[j] = eff_activate_f32(s0, relu);
        y[j + 1] = eff_activate_f32(s1, relu);
        y[j + 2] = eff_activate_f32(s2, relu);
        y[j + 3] = eff_activate_f32(s3, relu);
    }
    for (; j < n_out; ++j) {
        const float *row = w + (size_t)j * (size_t)n_in;
        float s = b ? b[j] : 0.0f;
        for (int32_t k = 0; k < n_in; ++k) {
            s += row[k] * x[k];
        }
        y[j] = eff_activate_f32(s, relu);
    }
}

void eff_dense_i8_x4(int8_t *y, const int8_t *x, const int8_t *w, const int32_t *b, const int32_t *multiplier, const int32_t *shift,
                     const eff_matrix *size, const eff_output_i8 *output)
{
    const int32_t n_out = size->n_out, n_in = size->n_in, x_zero = output->x_zero;
    int32_t j = 0;
    for (; j + 4 <= n_out; j += 4) {
        const int8_t *p = x, *restrict w0 = w + (size_t)j * (size_t)n_in;
        const int8_t *restrict w1 = w0 + n_in, *restrict w2 = w1 + n_in, *restrict w3 = w2 + n_in;
        int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0, left = n_in;
        for (; left >= 4; left -= 4) {
            EFF_COLUMN(int32_t, 0, p[0] - x_zero);
            EFF_COLUMN(int32_t, 1, p[1] - x_zero);
            EFF_COLUMN(int32_t, 2, p[2] - x_zero);
            EFF_COLUMN(int32_t, 3, p[3] - x_zero);
            p += 4, w0 += 4, w1 += 4, w2 += 4, w3 += 4;
        }
        for (int32_t i = 0; i < left; ++i) {
            EFF_COLUMN(int32_t, i, p[i] - x_zero);
        }
        const int32_t sums[4] = {s0, s1, s2, s3};
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
