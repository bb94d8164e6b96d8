/* SPDX-License-Identifier: Apache-2.0 */
/* Rank-constrained filters over time: a product with each input, and one with the last `memory` of these. */
#include "edgeff.h"

void eff_svdf_f32(float *y, float *state, const float *x, const float *features, const float *time, const float *biases,
                  const eff_svdf_size *size, int32_t relu)
{
    const float *w = features, *past = time;
    float *kept = state;
    for (int32_t unit = 0; unit < size->units; ++unit) {
        float sum = biases[unit];
        for (int32_t r = 0; r < size->rank; ++r) {
            float now = 0.0f, filtered = 0.0f;
            for (int32_t k = 0; k < size->n_in; ++k) {
                now += *w++ * x[k];
            }
            for (int32_t t = 0; t + 1 < size->memory; ++t) {
                kept[t] = kept[t + 1];
                filtered += *past++ * kept[t];
            }
            kept[size->memory - 1] = now;
            filtered += *past++ * now;
            kept += size->memory;
            sum += filtered;
        }
        y[unit] = eff_activate_f32(sum, relu);
    }
}

static int32_t eff_feature_i8(const int8_t *x, const int8_t *w, const eff_svdf_size *size, const eff_svdf_scales *how)
{
    int32_t sum = 0;
    for (int32_t k = 0; k < size->n_in; ++k) {
        sum += w[k] * (x[k] - how->x_zero);
    }
    return eff_requantise(sum, how->feature.multiplier, how->feature.shift);
}

void eff_svdf_i8(int8_t *y, int8_t *state, const int8_t *x, const int8_t *features, const int8_t *time, const int32_t *biases,
                 const eff_svdf_size *size, const eff_svdf_scales *how)
{
    const int8_t *past = time;
    int8_t *kept = state;
    for (int32_t unit = 0; unit < size->units; ++unit) {
        int32_t sum = biases[unit];
        for (int32_t r = 0; r < size->rank; ++r, features += size->n_in, kept += size->memory) {
            const int32_t now = eff_clamp(eff_feature_i8(x, features, size, how), -128, 127) + how->state_zero;
            for (int32_t t = 0; t + 1 < size->memory; ++t) {
                kept[t] = kept[t + 1];
                sum += *past++ * (kept[t] - how->state_zero);
            }
            kept[size->memory - 1] = (int8_t)(((now + 128) & 255) - 128);
            sum += *past++ * (kept[size->memory - 1] - how->state_zero);
        }
        y[unit] = eff_to_i8(eff_requantise(sum, how->filter.multiplier, how->filter.shift), how->y_zero, how->y_min, how->y_max);
    }
}

void eff_svdf_i8x16(int8_t *y, int16_t *state, const int8_t *x, const int8_t *features, const int16_t *time, const int32_t *biases,
                  const eff_svdf_size *size, const eff_svdf_scales *how)
{
    const int16_t *past = time;
    int16_t *kept = state;
    for (int32_t unit = 0; unit < size->units; ++unit) {
        int64_t sum = biases[unit];
        for (int32_t r = 0; r < size->rank; ++r, features += size->n_in, kept += size->memory) {
            for (int32_t t = 0; t + 1 < size->memory; ++t) {
                kept[t] = kept[t + 1];
                sum += (int32_t)*past++ * kept[t];
            }
            kept[size->memory - 1] = (int16_t)eff_clamp(eff_feature_i8(x, features, size, how), INT16_MIN, INT16_MAX);
            sum += (int32_t)*past++ * kept[size->memory - 1];
        }
        const int32_t whole = sum > INT32_MAX ? INT32_MAX : sum < INT32_MIN ? INT32_MIN : (int32_t)sum;
        y[unit] = eff_to_i8(eff_requantise(whole, how->filter.multiplier, how->filter.shift), how->y_zero, how->y_min, how->y_max);
    }
}
