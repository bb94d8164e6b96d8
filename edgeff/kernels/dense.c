/* dense.c: y = w x + b. The sums run in index order from the bias; four rows go side by side so that each input is loaded once for four
 * products, which changes no sum's order. */
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

void eff_dense_f32(float *y, const float *x, const float *w, const float *b, int32_t n_out, int32_t n_in, int32_t relu)
{
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

void eff_dense_i8(int8_t *y, const int8_t *x, const int8_t *w, const int32_t *b, const int32_t *multiplier, const int32_t *shift,
                  int32_t n_out, int32_t n_in, int32_t per_channel, int32_t x_zero, int32_t y_zero, int32_t y_min, int32_t y_max)
{
    int32_t j = 0;
    for (; j + 4 <= n_out; j += 4) {
        const int8_t *restrict p = x, *restrict w0 = w + (size_t)j * (size_t)n_in;
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
            const int32_t channel = per_channel ? j + row : 0;
            const int32_t s = eff_requantise(sums[row] + (b ? b[j + row] : 0), multiplier[channel], shift[channel]);
            y[j + row] = (int8_t)eff_clamp(eff_clamp(s, -1024, 1024) + y_zero, y_min, y_max);
        }
    }
    for (; j < n_out; ++j) {
        const int8_t *row = w + (size_t)j * (size_t)n_in;
        const int32_t channel = per_channel ? j : 0;
        int32_t s = b ? b[j] : 0;
        for (int32_t k = 0; k < n_in; ++k) {
            s += row[k] * (x[k] - x_zero);
        }
        s = eff_requantise(s, multiplier[channel], shift[channel]);
        y[j] = (int8_t)eff_clamp(eff_clamp(s, -1024, 1024) + y_zero, y_min, y_max);
    }
}

void eff_dense_i16(int16_t *y, const int16_t *x, const int16_t *w, const int32_t *b, const int32_t *multiplier, const int32_t *shift,
                   int32_t n_out, int32_t n_in, int32_t per_channel, int32_t pre_shift, int32_t y_min)
{
    for (int32_t j = 0; j < n_out; ++j) {
        const int16_t *restrict row = w + (size_t)j * (size_t)n_in;
        const int32_t channel = per_channel ? j : 0;
        int64_t s = 0;
        for (int32_t k = 0; k < n_in; ++k) {
            s += (int32_t)row[k] * x[k];
        }
        const int32_t sum = (int32_t)((s + ((INT64_C(1) << pre_shift) >> 1)) >> pre_shift) + (b ? b[j] : 0);
        y[j] = (int16_t)eff_clamp(eff_requantise(sum, multiplier[channel], shift[channel]), y_min, 32767);
    }
}
