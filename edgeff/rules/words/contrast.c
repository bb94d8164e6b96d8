/* SPDX-License-Identifier: Apache-2.0 */
/* Self-contrastive Forward-Forward (Chen et al. 2025): pairs of samples, the local loss. */
#include "edgeff.h"

void eff_pair_f32(float *y, const float *a, const float *c, int32_t n)
{
    for (int32_t k = 0; k < n; ++k) {
        y[k] = (a[k] + c[k]) * 0.5f;
    }
}

void eff_pair_i8(int8_t *y, const int8_t *a, const int8_t *c, int32_t n)
{
    for (int32_t k = 0; k < n; ++k) {
        y[k] = (int8_t)((a[k] + c[k] + 1) >> 1);
    }
}

void eff_pair_i16(int16_t *y, const int16_t *a, const int16_t *c, int32_t n)
{
    for (int32_t k = 0; k < n; ++k) {
        y[k] = (int16_t)(((int32_t)a[k] + c[k] + 1) >> 1);
    }
}

/* loss = softplus(theta - G) + sparsity G or softplus(G - theta), G = 4 mean(h^2) at each position: d = channels / 8 d loss / d h. */
void eff_scff_delta_f32(float *d, const float *h, int32_t positions, int32_t channels, float theta, int32_t sign, float sparsity)
{
    const float s = sign < 0 ? -1.0f : 1.0f;
    for (int32_t p = 0; p < positions; ++p, d += channels, h += channels) {
        float sum = 0.0f;
        for (int32_t c = 0; c < channels; ++c) {
            sum += h[c] * h[c];
        }
        const float goodness = 4.0f * sum / (float)channels;
        const float slope = 1.0f / (1.0f + eff_exp_f32(s * (goodness - theta)));
        const float factor = sign < 0 ? slope : sparsity - slope;
        for (int32_t c = 0; c < channels; ++c) {
            d[c] = factor * h[c];
        }
    }
}

/* The factor of a position in Q0.15. */
static int32_t eff_scff_factor(int32_t sum, int32_t multiplier, int32_t shift, int32_t theta, int32_t sign, int32_t sparsity)
{
    const int32_t goodness = eff_clamp(eff_requantise(sum, multiplier, shift), 0, INT32_C(1) << 30);
    const int32_t slope = eff_sigmoid_q15(sign < 0 ? goodness - theta : theta - goodness);
    return sign < 0 ? slope : sparsity - slope;
}

/* channels <= 33,000 keeps the sum of squares in 32 bits. d has the scale s_h / 128. */
void eff_scff_delta_i8(int16_t *d, const int8_t *h, int32_t positions, int32_t channels, const eff_squares *squares,
                       int32_t theta, int32_t sign, int32_t sparsity)
{
    const int32_t h_zero = squares->h_zero, multiplier = squares->multiplier, shift = squares->shift;
    for (int32_t p = 0; p < positions; ++p, d += channels, h += channels) {
        int32_t sum = 0;
        for (int32_t c = 0; c < channels; ++c) {
            sum += (h[c] - h_zero) * (h[c] - h_zero);
        }
        const int32_t factor = eff_scff_factor(sum, multiplier, shift, theta, sign, sparsity);
        for (int32_t c = 0; c < channels; ++c) {
            d[c] = (int16_t)((factor * (h[c] - h_zero) + 128) >> 8);
        }
    }
}

/* d has the scale s_h. */
void eff_scff_delta_i16(int16_t *d, const int16_t *h, int32_t positions, int32_t channels, const eff_squares *squares,
                        int32_t theta, int32_t sign, int32_t sparsity)
{
    const int32_t multiplier = squares->multiplier, shift = squares->shift;
    for (int32_t p = 0; p < positions; ++p, d += channels, h += channels) {
        int64_t sum = 0;
        for (int32_t c = 0; c < channels; ++c) {
            sum += (int32_t)h[c] * h[c];
        }
        const int32_t factor = eff_scff_factor((int32_t)(sum >> 16), multiplier, shift, theta, sign, sparsity);
        for (int32_t c = 0; c < channels; ++c) {
            d[c] = (int16_t)((factor * h[c] + (INT32_C(1) << 14)) >> 15);
        }
    }
}
