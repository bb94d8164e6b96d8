/* SPDX-License-Identifier: Apache-2.0 */
/* Random directions of signs that are never stored, and steps along them. */
#include "edgeff.h"

void eff_minus_f32(float *d, int32_t n)
{
    for (int32_t k = 0; k < n; ++k) {
        d[k] = -d[k];
    }
}

void eff_minus_i16(int16_t *d, int32_t n)
{
    for (int32_t k = 0; k < n; ++k) {
        d[k] = (int16_t)-(int32_t)d[k];
    }
}

void eff_signed_dense_f32(float *y, const float *x, const uint32_t *step, const eff_matrix *size, int32_t add,
                          uint32_t key)
{
    const int32_t n_out = size->n_out, n_in = size->n_in;
    eff_feedback_f32(y, x, n_out, n_in, add, eff_step_key(key, *step), 1.0f);
}

void eff_signs_f32(float *d, const float *s, const uint32_t *step, int32_t n, int32_t add, uint32_t key)
{
    const float v = *s;
    uint32_t counter = eff_step_key(key, *step);
    for (int32_t k = 0; k < n; counter += EFF_GOLDEN) {
        uint32_t signs = eff_mix(counter);
        const int32_t end = k + 32 < n ? k + 32 : n;
        for (; k < end; ++k, signs >>= 1) {
            const float signed_v = signs & 1u ? v : -v;
            d[k] = add ? d[k] + signed_v : signed_v;
        }
    }
}

void eff_dot_f32(float *s, const float *a, const float *c, int32_t n)
{
    float sum = 0.0f;
    for (int32_t k = 0; k < n; ++k) {
        sum += a[k] * c[k];
    }
    *s = sum;
}

static void eff_move_along(float *w, const uint32_t *step, const eff_matrix *size, float amount, uint32_t key)
{
    const int32_t n_out = size->n_out, n_in = size->n_in;
    uint32_t counter = eff_step_key(key, *step);
    for (int32_t j = 0; j < n_out; ++j) {
        float *restrict row = w + (size_t)j * (size_t)n_in;
        for (int32_t k = 0; k < n_in; counter += EFF_GOLDEN) {
            uint32_t signs = eff_mix(counter);
            const int32_t end = k + 32 < n_in ? k + 32 : n_in;
            for (; k < end; ++k, signs >>= 1) {
                row[k] += signs & 1u ? amount : -amount;
            }
        }
    }
}

void eff_perturb_f32(float *w, const uint32_t *step, const eff_matrix *size, float amount, uint32_t key)
{
    eff_move_along(w, step, size, amount, key);
}

void eff_signed_update_f32(float *w, const float *s, const uint32_t *rate, const uint32_t *step, const eff_matrix *size,
                           float lr, uint32_t key)
{
    eff_move_along(w, step, size, -(eff_rate_f32(rate, lr) * *s), key); /* w - g and w + -g are one number */
}
