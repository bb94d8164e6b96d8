/* SPDX-License-Identifier: Apache-2.0 */
/* A learned parameter drawn back to its exported value, a part of each tensor in each step (Kumar, Marklund & Van Roy 2023). */
#include "edgeff.h"

/* The elements whose turn it is: all have had theirs after 2^turn_bits steps. */
typedef struct {
    int32_t first, end;
} eff_turn;

static eff_turn eff_turn_of(int32_t n, int32_t turn_bits, const uint32_t *step)
{
    const uint32_t last = (UINT32_C(1) << turn_bits) - 1u;
    const int32_t part = (int32_t)(((uint32_t)n + last) >> turn_bits);
    const int32_t turn = (int32_t)(*step & last);
    if (turn > (n - 1) / part) {
        const eff_turn none = {0, 0};
        return none;
    }
    const int32_t first = turn * part;
    const eff_turn some = {first, n - first < part ? n : first + part};
    return some;
}

/* The change of an integer that is `apart` from its exported value; it never goes beyond it, since the gain is at most a half. */
static int32_t eff_back(int32_t apart, int32_t gain, uint32_t stream, int32_t i)
{
    return (int32_t)(((int64_t)gain * apart + (int64_t)(eff_draw(stream, (uint32_t)i) >> 1)) >> 31);
}

static int32_t eff_gain_back(int32_t share, const uint32_t *rate) { return share * (int32_t)*rate; }

void eff_anchor_f32(float *w, const float *exported, const uint32_t *rate, const uint32_t *step, int32_t n, int32_t turn_bits,
                    float share)
{
    const eff_turn turn = eff_turn_of(n, turn_bits, step);
    const float gain = eff_rate_f32(rate, share);
    for (int32_t i = turn.first; i < turn.end; ++i) {
        w[i] += gain * (exported[i] - w[i]);
    }
}

void eff_anchor_i8(int8_t *w, const int8_t *exported, const uint32_t *rate, const uint32_t *step, int32_t n, int32_t turn_bits,
                   int32_t share, uint32_t key)
{
    const eff_turn turn = eff_turn_of(n, turn_bits, step);
    const int32_t gain = eff_gain_back(share, rate);
    const uint32_t stream = eff_step_key(key, *step);
    for (int32_t i = turn.first; i < turn.end; ++i) {
        w[i] = (int8_t)(w[i] + eff_back(exported[i] - w[i], gain, stream, i));
    }
}

void eff_anchor_i16(int16_t *w, const int16_t *exported, const uint32_t *rate, const uint32_t *step, int32_t n,
                    int32_t turn_bits, int32_t share, uint32_t key)
{
    const eff_turn turn = eff_turn_of(n, turn_bits, step);
    const int32_t gain = eff_gain_back(share, rate);
    const uint32_t stream = eff_step_key(key, *step);
    for (int32_t i = turn.first; i < turn.end; ++i) {
        w[i] = (int16_t)(w[i] + eff_back((int32_t)exported[i] - w[i], gain, stream, i));
    }
}

void eff_anchor_i32(int32_t *w, const int32_t *exported, const uint32_t *rate, const uint32_t *step, int32_t n,
                    int32_t turn_bits, int32_t share, uint32_t key)
{
    const eff_turn turn = eff_turn_of(n, turn_bits, step);
    const int32_t gain = eff_gain_back(share, rate);
    const uint32_t stream = eff_step_key(key, *step);
    for (int32_t i = turn.first; i < turn.end; ++i) {
        w[i] += eff_back(exported[i] - w[i], gain, stream, i); /* biases stay within 2^30, so their distance within 2^31 */
    }
}
