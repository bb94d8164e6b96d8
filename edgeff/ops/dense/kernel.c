/* SPDX-License-Identifier: Apache-2.0 */
/* Y = w x + b, its gradients, tangent and update. */
#include "edgeff.h"
#include "eff_wide.h"

void eff_dense_f32(float *y, const float *x, const float *w, const float *b, const eff_matrix *size, int32_t relu)
{
    const int32_t n_out = size->n_out, n_in = size->n_in;
    for (int32_t j = 0; j < n_out; ++j) {
        float s = b ? b[j] : 0.0f;
        for (int32_t k = 0; k < n_in; ++k) {
            s += w[(size_t)j * (size_t)n_in + (size_t)k] * x[k];
        }
        y[j] = eff_activate_f32(s, relu);
    }
}

void eff_dense_i8(int8_t *y, const int8_t *x, const int8_t *w, const int32_t *b, const int32_t *multiplier, const int32_t *shift,
                  const eff_matrix *size, const eff_output_i8 *output)
{
    const int32_t n_out = size->n_out, n_in = size->n_in, x_zero = output->x_zero, y_zero = output->y_zero, y_min = output->y_min,
                  y_max = output->y_max, per_channel = output->per_channel;
    for (int32_t j = 0; j < n_out; ++j) {
        int32_t s = b ? b[j] : 0;
        for (int32_t k = 0; k < n_in; ++k) {
            s += w[(size_t)j * (size_t)n_in + (size_t)k] * (x[k] - x_zero);
        }
        const int32_t channel = per_channel ? j : 0, scaled = eff_requantise(s, multiplier[channel], shift[channel]);
        y[j] = eff_to_i8(scaled, y_zero, y_min, y_max);
    }
}

void eff_dense_i16(int16_t *y, const int16_t *x, const int16_t *w, const int32_t *b, const int32_t *multiplier,
                   const int32_t *shift, const eff_matrix *size, int32_t per_channel, int32_t pre_shift, int32_t y_min)
{
    const int32_t n_out = size->n_out, n_in = size->n_in;
    for (int32_t j = 0; j < n_out; ++j) {
        const int16_t *restrict row = w + (size_t)j * (size_t)n_in;
        const int32_t channel = per_channel ? j : 0;
        int64_t s = 0;
        for (int32_t k = 0; k < n_in; ++k) {
            s += (int32_t)row[k] * x[k];
        }
        const int32_t sum = eff_shift_round_i64(s, pre_shift) + (b ? b[j] : 0);
        y[j] = (int16_t)eff_clamp(eff_requantise(sum, multiplier[channel], shift[channel]), y_min, 32767);
    }
}

void eff_dense_i16x8(int16_t *y, const int16_t *x, const int8_t *w, const int64_t *b, const int32_t *multiplier,
                     const int32_t *shift, const eff_matrix *size, const eff_output_i16 *output)
{
    const int32_t n_out = size->n_out, n_in = size->n_in;
    for (int32_t j = 0; j < n_out; ++j) {
        const int8_t *row = w + (size_t)j * (size_t)n_in;
        const int32_t channel = output->per_channel ? j : 0;
        int64_t s = b ? b[j] : 0;
        for (int32_t k = 0; k < n_in; ++k) {
            s += (int32_t)row[k] * x[k];
        }
        y[j] = eff_output_of(s, multiplier[channel], shift[channel], output);
    }
}

/* Rows are added into d in index order; four rows at a time save loads and stores of d. */
void eff_input_gradient_f32(float *d, const float *delta, const float *w, const eff_matrix *size)
{
    const int32_t n_out = size->n_out, n_in = size->n_in;
    for (int32_t k = 0; k < n_in; ++k) {
        d[k] = 0.0f;
    }
    int32_t j = 0;
    for (; j + 4 <= n_out; j += 4) {
        const float *w0 = w + (size_t)j * (size_t)n_in, *w1 = w0 + n_in, *w2 = w1 + n_in, *w3 = w2 + n_in;
        const float d0 = delta[j], d1 = delta[j + 1], d2 = delta[j + 2], d3 = delta[j + 3];
        float *restrict p = d;
        for (int32_t left = n_in; left > 0; --left) {
            float s = *p;
            s += d0 * *w0++;
            s += d1 * *w1++;
            s += d2 * *w2++;
            s += d3 * *w3++;
            *p++ = s;
        }
    }
    for (; j < n_out; ++j) {
        const float *row = w + (size_t)j * (size_t)n_in;
        for (int32_t k = 0; k < n_in; ++k) {
            d[k] += delta[j] * row[k];
        }
    }
}

void eff_input_gradient_i8(int16_t *d, const int16_t *delta, const int8_t *w, const eff_matrix *size, int32_t pre_shift,
                           const eff_requant *requant)
{
    const int32_t n_out = size->n_out, n_in = size->n_in, multiplier = requant->multiplier, shift = requant->shift;
    for (int32_t k = 0; k < n_in; ++k) {
        int64_t s = 0;
        const int8_t *column = w + k;
        for (int32_t j = 0; j < n_out; ++j, column += n_in) {
            s += (int32_t)delta[j] * *column;
        }
        d[k] = eff_saturate_i16(eff_requantise(eff_shift_round_i64(s, pre_shift), multiplier, shift));
    }
}

void eff_input_gradient_i16(int16_t *d, const int16_t *delta, const int16_t *w, const eff_matrix *size, int32_t pre_shift,
                            const eff_requant *requant)
{
    const int32_t n_out = size->n_out, n_in = size->n_in, multiplier = requant->multiplier, shift = requant->shift;
    for (int32_t k = 0; k < n_in; ++k) {
        int64_t s = 0;
        const int16_t *column = w + k;
        for (int32_t j = 0; j < n_out; ++j, column += n_in) {
            s += (int32_t)delta[j] * *column;
        }
        d[k] = eff_saturate_i16(eff_requantise(eff_shift_round_i64(s, pre_shift), multiplier, shift));
    }
}

static inline int16_t eff_tangent_i16(int64_t sum, int32_t pre_shift, int32_t multiplier, int32_t shift)
{
    const int32_t rounded = (int32_t)((sum + ((INT64_C(1) << pre_shift) >> 1)) >> pre_shift);
    return (int16_t)eff_clamp(eff_requantise(rounded, multiplier, shift), -32767, 32767);
}

void eff_dense_tangent_i8(int16_t *y, const int16_t *dx, const int8_t *w, const eff_matrix *size, int32_t pre_shift,
                          const eff_requant *requant)
{
    const int32_t n_out = size->n_out, n_in = size->n_in, multiplier = requant->multiplier, shift = requant->shift;
    for (int32_t j = 0; j < n_out; ++j) {
        const int8_t *restrict row = w + (size_t)j * (size_t)n_in;
        int64_t s = 0;
        for (int32_t k = 0; k < n_in; ++k) {
            s += (int32_t)row[k] * dx[k];
        }
        y[j] = eff_tangent_i16(s, pre_shift, multiplier, shift);
    }
}

void eff_dense_tangent_i16(int16_t *y, const int16_t *dx, const int16_t *w, const eff_matrix *size, int32_t pre_shift,
                           const eff_requant *requant)
{
    const int32_t n_out = size->n_out, n_in = size->n_in, multiplier = requant->multiplier, shift = requant->shift;
    for (int32_t j = 0; j < n_out; ++j) {
        const int16_t *restrict row = w + (size_t)j * (size_t)n_in;
        int64_t s = 0;
        for (int32_t k = 0; k < n_in; ++k) {
            s += (int32_t)row[k] * dx[k];
        }
        y[j] = eff_tangent_i16(s, pre_shift, multiplier, shift);
    }
}

/* Activation i times the gain of each of the four rows. */
#define EFF_GAIN_COLUMN(i) \
    do { \
        const float v = p[i]; \
        w0[i] -= g0 * v; \
        w1[i] -= g1 * v; \
        w2[i] -= g2 * v; \
        w3[i] -= g3 * v; \
    } while (0)

void eff_dense_update_f32(float *w, const float *delta, const float *a, const uint32_t *rate, const eff_matrix *size,
                          float lr)
{
    const int32_t n_out = size->n_out, n_in = size->n_in;
    const float eta = eff_rate_f32(rate, lr);
    int32_t j = 0;
    for (; j + 4 <= n_out; j += 4) {
        const float *restrict p = a;
        float *restrict w0 = w + (size_t)j * (size_t)n_in;
        float *restrict w1 = w0 + n_in;
        float *restrict w2 = w1 + n_in;
        float *restrict w3 = w2 + n_in;
        const float g0 = eta * delta[j], g1 = eta * delta[j + 1], g2 = eta * delta[j + 2], g3 = eta * delta[j + 3];
        int32_t left = n_in;
        for (; left >= 4; left -= 4) {
            EFF_GAIN_COLUMN(0);
            EFF_GAIN_COLUMN(1);
            EFF_GAIN_COLUMN(2);
            EFF_GAIN_COLUMN(3);
            p += 4, w0 += 4, w1 += 4, w2 += 4, w3 += 4;
        }
        for (int32_t i = 0; i < left; ++i) {
            EFF_GAIN_COLUMN(i);
        }
    }
    for (; j < n_out; ++j) {
        float *restrict row = w + (size_t)j * (size_t)n_in;
        const float g = eta * delta[j];
        for (int32_t k = 0; k < n_in; ++k) {
            row[k] -= g * a[k];
        }
    }
}

/* |G a| < 2^23 * 255 and r < 2^22 keep the sum in 32 bits. One draw of the generator serves four weights, eight bits each. */
void eff_dense_update_i8(int8_t *w, const int16_t *delta, const int8_t *a, const uint32_t *rate, const uint32_t *step,
                         const eff_matrix *size, const eff_step *how)
{
    const int32_t n_out = size->n_out, n_in = size->n_in, multiplier = how->multiplier, shift = how->shift,
                  stochastic = how->stochastic, a_zero = how->a_zero;
    const uint32_t key = how->key;
    const uint32_t stream = eff_step_key(key, *step);
    const uint32_t draws_per_row = ((uint32_t)n_in + 3u) / 4u;
    for (int32_t j = 0; j < n_out; ++j) {
        int8_t *restrict row = w + (size_t)j * (size_t)n_in;
        const int32_t gain = eff_gain(delta[j], multiplier, shift, *rate, INT32_C(1) << 23);
        if (gain == 0) {
            continue;
        }
        const int32_t base = (stochastic ? INT32_C(1) << 13 : INT32_C(1) << 21) - gain * a_zero;
        uint32_t counter = stream + (uint32_t)j * draws_per_row * EFF_GOLDEN;
        for (int32_t k = 0; k < n_in; counter += EFF_GOLDEN) {
            uint32_t bits = stochastic ? eff_mix(counter) : 0u;
            const int32_t end = k + 4 < n_in ? k + 4 : n_in;
            for (; k < end; ++k, bits >>= 8) {
                const int32_t change = (gain * a[k] + base + (int32_t)((bits & 0xFFu) << 14)) >> EFF_FRACTION_I8;
                row[k] = (int8_t)eff_clamp(row[k] - change, -127, 127);
            }
        }
    }
}

/* |G a| <= 2^15 * 2^15 and r < 2^16 keep the sum in 32 bits. */
void eff_dense_update_i16(int16_t *w, const int16_t *delta, const int16_t *a, const uint32_t *rate, const uint32_t *step,
                          const eff_matrix *size, const eff_step *how)
{
    const int32_t n_out = size->n_out, n_in = size->n_in, multiplier = how->multiplier, shift = how->shift,
                  stochastic = how->stochastic;
    const uint32_t key = how->key;
    const uint32_t stream = eff_step_key(key, *step);
    const uint32_t draws_per_row = ((uint32_t)n_in + 3u) / 4u;
    for (int32_t j = 0; j < n_out; ++j) {
        int16_t *restrict row = w + (size_t)j * (size_t)n_in;
        const int32_t gain = eff_gain(delta[j], multiplier, shift, *rate, INT32_C(1) << 15);
        if (gain == 0) {
            continue;
        }
        uint32_t counter = stream + (uint32_t)j * draws_per_row * EFF_GOLDEN;
        for (int32_t k = 0; k < n_in; counter += EFF_GOLDEN) {
            uint32_t bits = stochastic ? eff_mix(counter) : 0u;
            const int32_t end = k + 4 < n_in ? k + 4 : n_in;
            for (; k < end; ++k, bits >>= 8) {
                const int32_t r = stochastic ? (int32_t)((bits & 0xFFu) << 8) + (INT32_C(1) << 7) : INT32_C(1) << 15;
                const int32_t change = (gain * a[k] + r) >> EFF_FRACTION_I16;
                row[k] = (int16_t)eff_clamp(row[k] - change, -32767, 32767);
            }
        }
    }
}

void eff_bias_update_f32(float *b, const float *delta, const uint32_t *rate, int32_t n, float lr)
{
    const float eta = eff_rate_f32(rate, lr);
    for (int32_t j = 0; j < n; ++j) {
        b[j] -= eta * delta[j];
    }
}

void eff_bias_update_i32(int32_t *b, const int16_t *delta, const uint32_t *rate, int32_t n, const eff_requant *requant)
{
    const int32_t multiplier = requant->multiplier, shift = requant->shift;
    for (int32_t j = 0; j < n; ++j) {
        const int32_t change = eff_gain(delta[j], multiplier, shift, *rate, EFF_BIAS_LIMIT);
        b[j] = eff_clamp(b[j] - change, -EFF_BIAS_LIMIT, EFF_BIAS_LIMIT);
    }
}
