/* SPDX-License-Identifier: Apache-2.0 */
/* host.c: loops around a model for the host, so that whole epochs need no calls from Python. Not part of a firmware. */
#include <string.h>
#include "model.h"

#ifndef EFF_EACH_INPUT
#define EFF_EACH_INPUT(DO) DO(eff_input, EFF_INPUTS)
#endif
#ifndef EFF_EACH_OUTPUT
#define EFF_EACH_OUTPUT(DO) DO(eff_output, EFF_OUTPUTS)
#endif

/* Fills every input from a sample, all of them one after the other; returns what follows it. */
static const eff_input_t *fill(const eff_input_t *x)
{
#define FILL(function, count)             \
    memcpy(function(), x, (count) * sizeof *x); \
    x += (count);
    EFF_EACH_INPUT(FILL)
    return x;
}

/* Copies every output, one after the other; returns the place after them. */
static eff_output_t *take(eff_output_t *scores)
{
#define TAKE(function, count)                            \
    memcpy(scores, function(), (count) * sizeof *scores); \
    scores += (count);
    EFF_EACH_OUTPUT(TAKE)
    return scores;
}

void host_predict_many(const eff_input_t *x, int32_t n, int32_t *best, eff_output_t *scores)
{
    for (int32_t i = 0; i < n; ++i) {
        x = fill(x);
        best[i] = eff_predict();
        scores = take(scores);
    }
}

#ifdef HOST_TRACE
void eff_trace(uint8_t *out);

/* The outputs of each call of inference, `bytes` per sample. */
void host_trace_many(const eff_input_t *x, int32_t n, uint8_t *out, size_t bytes)
{
    for (int32_t i = 0; i < n; ++i) {
        x = fill(x);
        eff_trace(out + (size_t)i * bytes);
    }
}
#endif

#if defined(EFF_LEARNS_VALUES)
typedef eff_output_t truth_t;
#define TRUTHS EFF_OUTPUTS
#define LEARN(truth) eff_learn_target(truth)
#elif EFF_HAS_LEARN
typedef int32_t truth_t;
#define TRUTHS 1
#define LEARN(truth) eff_learn(*(truth))
#endif

#if EFF_HAS_LEARN
/* `truths` holds the class of each sample, or the EFF_OUTPUTS values to learn. `order` lists the samples in turn; `codes` receives the results of eff_learn; `states`, unless NULL, the first `state_bytes` of the arena
 * after each step. */
void host_learn_many(const eff_input_t *x, const truth_t *truths, const int32_t *order, int32_t n, int32_t *codes, uint8_t *states,
                     size_t state_bytes)
{
    for (int32_t i = 0; i < n; ++i) {
        const int32_t sample = order[i];
        memcpy(eff_input(), x + (size_t)sample * EFF_INPUTS, EFF_INPUTS * sizeof *x);
        codes[i] = LEARN(truths + (size_t)sample * TRUTHS);
        if (states) {
            memcpy(states + (size_t)i * state_bytes, eff_arena, state_bytes);
        }
    }
}
#endif
