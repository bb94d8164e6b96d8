/* SPDX-License-Identifier: Apache-2.0 */
/* Long short-term memory over a sequence. Gates stand in the order input, forget, cell, output; each has n_out rows. */
#include "edgeff.h"
#include "eff_chords.h"

static inline float eff_gate_f32(float x)
{
    const float power = eff_exp_f32(x < 0.0f ? x : -x);
    const float share = 1.0f / (1.0f + power);
    return x < 0.0f ? power * share : share;
}

/* 2 / (1 + exp(-2 |x|)) - 1 loses the low bits of a small x, where the first terms of the series are exact enough. */
static inline float eff_squash_f32(float x)
{
    const float size = x < 0.0f ? -x : x, square = x * x;
    if (size < 0.0625f) {
        return x * (1.0f + square * (square * 0.133333333f - 0.333333333f));
    }
    const float value = 1.0f - 2.0f / (eff_exp_f32(size + size) + 1.0f);
    return x < 0.0f ? -value : value;
}

void eff_lstm_f32(float *y, float *hidden, float *cell, float *gates, const float *x, const float *weights, const float *recurrent,
                  const float *biases, const eff_sequence *size, float clip, int32_t fresh)
{
    const int32_t n_in = size->n_in, n_out = size->n_out;
    for (int32_t j = 0; fresh && j < n_out; ++j) {
        hidden[j] = 0.0f;
        cell[j] = 0.0f;
    }
    for (int32_t t = 0; t < size->steps; ++t, x += n_in, y += n_out) {
        const float *w = weights, *r = recurrent;
        for (int32_t j = 0; j < 4 * n_out; ++j) {
            float s = biases[j];
            for (int32_t k = 0; k < n_in; ++k) {
                s += *w++ * x[k];
            }
            for (int32_t k = 0; k < n_out; ++k) {
                s += *r++ * hidden[k];
            }
            gates[j] = s;
        }
        for (int32_t j = 0; j < n_out; ++j) {
            const float kept = eff_gate_f32(gates[n_out + j]) * cell[j];
            const float c = kept + eff_gate_f32(gates[j]) * eff_squash_f32(gates[2 * n_out + j]);
            cell[j] = c < -clip ? -clip : c > clip ? clip : c;
            hidden[j] = eff_gate_f32(gates[3 * n_out + j]) * eff_squash_f32(cell[j]);
            y[j] = hidden[j];
        }
    }
}

/* x in Q3.12 -> Q0.15. */
static inline int32_t eff_gate_i16(const int16_t *table, int32_t x) { return eff_logistic_q15(table, 3 * x); }

/* x in steps of 2^power -> Q0.15. */
static inline int32_t eff_squash_i16(const int16_t *table, int32_t x, int32_t power)
{
    const int32_t shift = 12 + power;
    return eff_tanh_q15(table, shift >= 0 ? 3 * x * (INT32_C(1) << shift) : (3 * x + ((INT32_C(1) << -shift) >> 1)) >> -shift);
}

static inline int32_t eff_within_i16(int32_t v) { return eff_clamp(v, INT16_MIN, INT16_MAX); }

static inline int32_t eff_scaled(int32_t v, const eff_requant *how) { return eff_requantise(v, how->multiplier, how->shift); }

static void eff_gates_i8(int16_t *gates, const int8_t *x, const int8_t *hidden, const int8_t *w, const int8_t *r, const int32_t *b,
                         const eff_sequence *size, const eff_requant *by_input, const eff_requant *by_hidden,
                         const eff_lstm_scales *how)
{
    for (int32_t j = 0; j < size->n_out; ++j) {
        int32_t s = b[j], h = 0;
        for (int32_t k = 0; k < size->n_in; ++k) {
            s += *w++ * (x[k] - how->x_zero);
        }
        for (int32_t k = 0; k < size->n_out; ++k) {
            h += *r++ * (hidden[k] - how->y_zero);
        }
        gates[j] = (int16_t)eff_within_i16(eff_within_i16(eff_scaled(s, by_input)) + eff_within_i16(eff_scaled(h, by_hidden)));
    }
}

void eff_lstm_i8(int8_t *y, int8_t *hidden, int16_t *cell, int16_t *gates, const int8_t *x, const int8_t *weights,
                 const int8_t *recurrent, const int32_t *biases, const int16_t *table, const eff_sequence *size,
                 const eff_lstm_scales *how, int32_t fresh)
{
    const int32_t n_in = size->n_in, n_out = size->n_out;
    const eff_requant *by_input[4] = {&how->input_x, &how->forget_x, &how->cell_x, &how->output_x};
    const eff_requant *by_hidden[4] = {&how->input_h, &how->forget_h, &how->cell_h, &how->output_h};
    const int32_t lowest = how->clip > INT16_MAX ? INT16_MIN : -how->clip, highest = how->clip > INT16_MAX ? INT16_MAX : how->clip;
    for (int32_t j = 0; fresh && j < n_out; ++j) {
        hidden[j] = (int8_t)how->y_zero;
        cell[j] = 0;
    }
    for (int32_t t = 0; t < size->steps; ++t, x += n_in, y += n_out) {
        for (int32_t g = 0; g < 4; ++g) {
            const size_t row = (size_t)g * (size_t)n_out;
            eff_gates_i8(gates + row, x, hidden, weights + row * (size_t)n_in, recurrent + row * (size_t)n_out, biases + row, size,
                         by_input[g], by_hidden[g], how);
        }
        for (int32_t j = 0; j < n_out; ++j) {
            const int32_t kept = eff_gate_i16(table, gates[n_out + j]) * cell[j];
            const int32_t added = eff_gate_i16(table, gates[j]) * eff_squash_i16(table, gates[2 * n_out + j], -12);
            const int32_t sum = eff_within_i16(eff_scaled(kept, &how->keep)) + eff_within_i16(eff_scaled(added, &how->add));
            cell[j] = (int16_t)eff_clamp(eff_within_i16(sum), lowest, highest);
            const int32_t made = eff_squash_i16(table, cell[j], how->cell_power) * eff_gate_i16(table, gates[3 * n_out + j]);
            hidden[j] = eff_to_i8(eff_scaled(made, &how->make), how->y_zero, -128, 127);
            y[j] = hidden[j];
        }
    }
}
