/* SPDX-License-Identifier: Apache-2.0 */
/* Forward-Forward (Hinton 2022): wrong labels, goodness, its local loss. */
#include "edgeff.h"

void eff_wrong_label(int32_t *wrong, const int32_t *label, const uint32_t *step, int32_t classes, uint32_t key)
{
    const uint32_t draw = eff_draw(eff_step_key(key, *step), 0u);
    const int32_t other = (int32_t)(((uint64_t)draw * (uint32_t)(classes - 1)) >> 32);
    *wrong = other + (other >= *label);
}

/* loss = n / 2 softplus(sign (theta - G)), G = mean(h^2): d loss / d h = -sign sigmoid(sign (theta - G)) h, whatever the width n. A lift
 * above 0 on positive data gives a unit that is off, h = 0, a gradient too: no other sample would ever wake it up. */
void eff_ff_delta_f32(float *d, const float *h, int32_t n, float theta, int32_t sign, float lift)
{
    float sum = 0.0f;
    for (int32_t k = 0; k < n; ++k) {
        sum += h[k] * h[k];
    }
    const float goodness = sum / (float)n;
    const float s = sign < 0 ? -1.0f : 1.0f;
    const float slope = 1.0f / (1.0f + eff_exp_f32(s * (goodness - theta)));
    const float factor = -s * slope;
    for (int32_t k = 0; k < n; ++k) {
        d[k] = factor * (h[k] + lift);
    }
}

/* sigmoid of a number in units of 2^-16, in Q0.15 */
int32_t eff_sigmoid_q15(int32_t x)
{
    const int32_t magnitude = x < 0 ? (x < -0x1FFFFF ? 0x1FFFFF : -x) : (x > 0x1FFFFF ? 0x1FFFFF : x);
    const int32_t upper = eff_reciprocal_q31(eff_exp_q31(-(magnitude * 1024)));
    return (x < 0 ? INT32_MAX - upper : upper) >> 16;
}

static int16_t eff_ff_slope_times(int32_t slope, int32_t lifted, int32_t sign)
{
    const int32_t v = (slope * lifted + (INT32_C(1) << 14)) >> 15; /* slope < 2^15, lifted < 2^16 */
    const int32_t most = v < 32767 ? v : 32767;
    return (int16_t)(sign < 0 ? most : -most);
}

/* n <= 33,000 keeps the sum of squares in 32 bits; the goodness saturates at 2^30. d and lift have the scale s_h / 128. */
void eff_ff_delta_i8(int16_t *d, const int8_t *h, int32_t n, const eff_squares *squares, int32_t theta, int32_t sign,
                     int32_t lift)
{
    const int32_t h_zero = squares->h_zero, multiplier = squares->multiplier, shift = squares->shift;
    int32_t sum = 0;
    for (int32_t k = 0; k < n; ++k) {
        sum += (h[k] - h_zero) * (h[k] - h_zero);
    }
    const int32_t goodness = eff_clamp(eff_requantise(sum, multiplier, shift), 0, INT32_C(1) << 30);
    const int32_t slope = eff_sigmoid_q15(sign < 0 ? goodness - theta : theta - goodness);
    for (int32_t k = 0; k < n; ++k) {
        d[k] = eff_ff_slope_times(slope, (h[k] - h_zero) * 128 + lift, sign);
    }
}

/* d and lift have the scale s_h. */
void eff_ff_delta_i16(int16_t *d, const int16_t *h, int32_t n, const eff_squares *squares, int32_t theta, int32_t sign,
                      int32_t lift)
{
    const int32_t multiplier = squares->multiplier, shift = squares->shift;
    int64_t sum = 0;
    for (int32_t k = 0; k < n; ++k) {
        sum += (int32_t)h[k] * h[k];
    }
    const int32_t goodness = eff_clamp(eff_requantise((int32_t)(sum >> 16), multiplier, shift), 0, INT32_C(1) << 30);
    const int32_t slope = eff_sigmoid_q15(sign < 0 ? goodness - theta : theta - goodness);
    for (int32_t k = 0; k < n; ++k) {
        d[k] = eff_ff_slope_times(slope, (int32_t)h[k] + lift, sign);
    }
}

void eff_goodness_f32(float *scores, const float *h, int32_t n, int32_t index, int32_t add)
{
    float sum = 0.0f;
    for (int32_t k = 0; k < n; ++k) {
        sum += h[k] * h[k];
    }
    const float goodness = sum / (float)n;
    scores[index] = add ? scores[index] + goodness : goodness;
}

/* The goodness in units of 2^-16, saturating at 2^30 / 2^4 so that sixteen layers add up safely. */
void eff_goodness_i8(int32_t *scores, const int8_t *h, int32_t n, const eff_squares *squares, int32_t index, int32_t add)
{
    const int32_t h_zero = squares->h_zero, multiplier = squares->multiplier, shift = squares->shift;
    int32_t sum = 0;
    for (int32_t k = 0; k < n; ++k) {
        sum += (h[k] - h_zero) * (h[k] - h_zero);
    }
    const int32_t goodness = eff_clamp(eff_requantise(sum, multiplier, shift), 0, INT32_C(1) << 26);
    scores[index] = add ? scores[index] + goodness : goodness;
}

void eff_goodness_i16(int32_t *scores, const int16_t *h, int32_t n, int32_t index, int32_t add, const eff_squares *squares)
{
    const int32_t multiplier = squares->multiplier, shift = squares->shift;
    int64_t sum = 0;
    for (int32_t k = 0; k < n; ++k) {
        sum += (int32_t)h[k] * h[k];
    }
    const int32_t goodness = eff_clamp(eff_requantise((int32_t)(sum >> 16), multiplier, shift), 0, INT32_C(1) << 26);
    scores[index] = add ? scores[index] + goodness : goodness;
}
