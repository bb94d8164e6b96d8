/* SPDX-License-Identifier: Apache-2.0 */
/* A gated recurrent unit over a sequence. Gates stand in the order update, reset, candidate; each has n_out rows. */
#include "edgeff.h"

static float eff_sum_f32(float s, const float *w, const float *x, int32_t n)
{
    for (int32_t k = 0; k < n; ++k) {
        s += w[k] * x[k];
    }
    return s;
}

void eff_gru_f32(float *y, float *hidden, float *gates, const float *x, const float *weights, const float *recurrent,
                 const float *biases, const eff_sequence *size, int32_t reset_after)
{
    const int32_t n_in = size->n_in, n_out = size->n_out;
    float *update = gates, *reset = gates + n_out, *candidate = gates + 2 * n_out;
    const float *w = weights + 2 * n_out * n_in, *r = recurrent + 2 * n_out * n_out, *b = biases + 2 * n_out;
    for (int32_t j = 0; j < n_out; ++j) {
        hidden[j] = 0.0f;
    }
    for (int32_t t = 0; t < size->steps; ++t, x += n_in, y += n_out) {
        for (int32_t j = 0; j < 2 * n_out; ++j) {
            gates[j] = eff_sum_f32(eff_sum_f32(biases[j], weights + j * n_in, x, n_in), recurrent + j * n_out, hidden, n_out);
        }
        eff_logistic_f32(gates, gates, 2 * n_out);
        for (int32_t j = 0; j < n_out && !reset_after; ++j) {
            reset[j] *= hidden[j];
        }
        for (int32_t j = 0; j < n_out; ++j) {
            const float of_input = eff_sum_f32(b[j], w + j * n_in, x, n_in);
            const float of_state = eff_sum_f32(b[n_out + j], r + j * n_out, reset_after ? hidden : reset, n_out);
            candidate[j] = of_input + (reset_after ? reset[j] * of_state : of_state);
        }
        eff_tanh_f32(candidate, candidate, n_out);
        for (int32_t j = 0; j < n_out; ++j) {
            hidden[j] = update[j] * hidden[j] + (1.0f - update[j]) * candidate[j];
            y[j] = hidden[j];
        }
    }
}
