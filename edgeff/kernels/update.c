/* update.c: weights change in place, one sample at a time; no gradient is ever stored. */
#include "edgeff.h"

/* Activation i times the gain of each of the four rows. */
#define EFF_COLUMN(i) \
    do { \
        const float v = p[i]; \
        w0[i] -= g0 * v; \
        w1[i] -= g1 * v; \
        w2[i] -= g2 * v; \
        w3[i] -= g3 * v; \
    } while (0)

void eff_dense_update_f32(float *w, const float *delta, const float *a, const uint32_t *rate, int32_t n_out, int32_t n_in, float lr)
{
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
            EFF_COLUMN(0);
            EFF_COLUMN(1);
            EFF_COLUMN(2);
            EFF_COLUMN(3);
            p += 4, w0 += 4, w1 += 4, w2 += 4, w3 += 4;
        }
        for (int32_t i = 0; i < left; ++i) {
            EFF_COLUMN(i);
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
void eff_dense_update_i8(int8_t *w, const int16_t *delta, const int8_t *a, const uint32_t *rate, const uint32_t *step, int32_t n_out,
                         int32_t n_in, int32_t a_zero, int32_t multiplier, int32_t shift, int32_t stochastic, uint32_t key)
{
    const uint32_t stream = eff_step_key(key, *step);
    const uint32_t draws_per_row = ((uint32_t)n_in + 3u) / 4u;
    for (int32_t j = 0; j < n_out; ++j) {
        int8_t *restrict row = w + (size_t)j * (size_t)n_in;
        const int32_t gain = eff_gain(delta[j], multiplier, shift, *rate, 1 << 23);
        if (gain == 0) {
            continue;
        }
        uint32_t counter = stream + (uint32_t)j * draws_per_row * EFF_GOLDEN;
        for (int32_t k = 0; k < n_in; counter += EFF_GOLDEN) {
            uint32_t bits = stochastic ? eff_mix(counter) : 0u;
            const int32_t end = k + 4 < n_in ? k + 4 : n_in;
            for (; k < end; ++k, bits >>= 8) {
                const int32_t r = stochastic ? (int32_t)((bits & 0xFFu) << 14) + (1 << 13) : 1 << 21;
                const int32_t change = (gain * (a[k] - a_zero) + r) >> EFF_FRACTION_I8;
                row[k] = (int8_t)eff_clamp(row[k] - change, -127, 127);
            }
        }
    }
}

/* |G a| <= 2^15 * 2^15 and r < 2^16 keep the sum in 32 bits. */
void eff_dense_update_i16(int16_t *w, const int16_t *delta, const int16_t *a, const uint32_t *rate, const uint32_t *step, int32_t n_out,
                          int32_t n_in, int32_t multiplier, int32_t shift, int32_t stochastic, uint32_t key)
{
    const uint32_t stream = eff_step_key(key, *step);
    const uint32_t draws_per_row = ((uint32_t)n_in + 3u) / 4u;
    for (int32_t j = 0; j < n_out; ++j) {
        int16_t *restrict row = w + (size_t)j * (size_t)n_in;
        const int32_t gain = eff_gain(delta[j], multiplier, shift, *rate, 1 << 15);
        if (gain == 0) {
            continue;
        }
        uint32_t counter = stream + (uint32_t)j * draws_per_row * EFF_GOLDEN;
        for (int32_t k = 0; k < n_in; counter += EFF_GOLDEN) {
            uint32_t bits = stochastic ? eff_mix(counter) : 0u;
            const int32_t end = k + 4 < n_in ? k + 4 : n_in;
            for (; k < end; ++k, bits >>= 8) {
                const int32_t r = stochastic ? (int32_t)((bits & 0xFFu) << 8) + (1 << 7) : 1 << 15;
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

void eff_bias_update_i32(int32_t *b, const int16_t *delta, const uint32_t *rate, int32_t n, int32_t multiplier, int32_t shift)
{
    for (int32_t j = 0; j < n; ++j) {
        const int32_t change = eff_gain(delta[j], multiplier, shift, *rate, EFF_BIAS_LIMIT);
        b[j] = eff_clamp(b[j] - change, -EFF_BIAS_LIMIT, EFF_BIAS_LIMIT);
    }
}

void eff_advance(uint32_t *step, uint32_t *rate, uint32_t period, uint32_t factor)
{
    *step += 1u;
    if (period != 0u && *step % period == 0u) {
        *rate = (uint32_t)(((uint64_t)*rate * factor + 0x8000u) >> 16);
    }
}
