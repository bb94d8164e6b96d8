/* forward.c: Forward-Forward (Hinton 2022): labels written into the input, goodness, its local loss, and normalisation between layers. */
#include "edgeff.h"

void eff_embed_label_f32(float *y, const float *x, const int32_t *label, int32_t places, int32_t classes, int32_t n, float on, float off,
                         float neutral)
{
    for (int32_t place = 0; place < places; ++place) {
        for (int32_t c = 0; c < classes; ++c) {
            *y++ = *label < 0 ? neutral : c == *label ? on : off;
        }
        for (int32_t k = 0; k < n; ++k) {
            *y++ = *x++;
        }
    }
}

void eff_embed_label_i8(int8_t *y, const int8_t *x, const int32_t *label, int32_t places, int32_t classes, int32_t n, int32_t on,
                        int32_t off, int32_t neutral)
{
    for (int32_t place = 0; place < places; ++place) {
        for (int32_t c = 0; c < classes; ++c) {
            *y++ = (int8_t)(*label < 0 ? neutral : c == *label ? on : off);
        }
        for (int32_t k = 0; k < n; ++k) {
            *y++ = *x++;
        }
    }
}

void eff_embed_label_i16(int16_t *y, const int16_t *x, const int32_t *label, int32_t places, int32_t classes, int32_t n, int32_t on,
                         int32_t off, int32_t neutral)
{
    for (int32_t place = 0; place < places; ++place) {
        for (int32_t c = 0; c < classes; ++c) {
            *y++ = (int16_t)(*label < 0 ? neutral : c == *label ? on : off);
        }
        for (int32_t k = 0; k < n; ++k) {
            *y++ = *x++;
        }
    }
}

void eff_wrong_label(int32_t *wrong, const int32_t *label, const uint32_t *step, int32_t classes, uint32_t key)
{
    const uint32_t draw = eff_draw(eff_step_key(key, *step), 0u);
    const int32_t other = (int32_t)(((uint64_t)draw * (uint32_t)(classes - 1)) >> 32);
    *wrong = other + (other >= *label);
}

/* loss = n / 2 softplus(sign (theta - G)), G = mean(h^2): d loss / d h = -sign sigmoid(sign (theta - G)) h, whatever the width n. */
void eff_ff_delta_f32(float *d, const float *h, int32_t n, float theta, int32_t sign)
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
        d[k] = factor * h[k];
    }
}

/* sigmoid of a number in units of 2^-16, in Q0.15 */
int32_t eff_sigmoid_q15(int32_t x)
{
    const int32_t magnitude = x < 0 ? (x < -0x1FFFFF ? 0x1FFFFF : -x) : (x > 0x1FFFFF ? 0x1FFFFF : x);
    const int32_t upper = eff_reciprocal_q31(eff_exp_q31(-(magnitude * 1024)));
    return (x < 0 ? INT32_MAX - upper : upper) >> 16;
}

/* n <= 33,000 keeps the sum of squares in 32 bits; the goodness saturates at 2^30. d has the scale s_h / 128. */
void eff_ff_delta_i8(int16_t *d, const int8_t *h, int32_t n, int32_t h_zero, int32_t multiplier, int32_t shift, int32_t theta, int32_t sign)
{
    int32_t sum = 0;
    for (int32_t k = 0; k < n; ++k) {
        sum += (h[k] - h_zero) * (h[k] - h_zero);
    }
    const int32_t goodness = eff_clamp(eff_requantise(sum, multiplier, shift), 0, 1 << 30);
    const int32_t slope = eff_sigmoid_q15(sign < 0 ? goodness - theta : theta - goodness);
    for (int32_t k = 0; k < n; ++k) {
        const int32_t v = (slope * (h[k] - h_zero) + 128) >> 8;
        d[k] = (int16_t)(sign < 0 ? v : -v);
    }
}

/* d has the scale s_h. */
void eff_ff_delta_i16(int16_t *d, const int16_t *h, int32_t n, int32_t multiplier, int32_t shift, int32_t theta, int32_t sign)
{
    int64_t sum = 0;
    for (int32_t k = 0; k < n; ++k) {
        sum += (int32_t)h[k] * h[k];
    }
    const int32_t goodness = eff_clamp(eff_requantise((int32_t)(sum >> 16), multiplier, shift), 0, 1 << 30);
    const int32_t slope = eff_sigmoid_q15(sign < 0 ? goodness - theta : theta - goodness);
    for (int32_t k = 0; k < n; ++k) {
        const int32_t v = (slope * h[k] + (1 << 14)) >> 15;
        d[k] = (int16_t)(sign < 0 ? v : -v);
    }
}

/* The correctly rounded square root of a non-negative, finite, normal number, one bit of the mantissa at a time. */
float eff_sqrt_f32(float x)
{
    union {
        float value;
        uint32_t bits;
    } v = {x};
    if (v.bits < UINT32_C(0x00800000)) {
        return 0.0f;
    }
    const int32_t exponent = (int32_t)(v.bits >> 23) - 127;
    uint64_t rest = (uint64_t)((v.bits & UINT32_C(0x7FFFFF)) | UINT32_C(0x800000)) << (exponent & 1 ? 26 : 25);
    uint64_t root = 0;
    for (uint64_t bit = UINT64_C(1) << 50; bit != 0; bit >>= 2) {
        if (rest >= root + bit) {
            rest -= root + bit;
            root = (root >> 1) + bit;
        } else {
            root >>= 1;
        }
    }
    root = (root + 1) >> 1;
    v.bits = ((uint32_t)((exponent - (exponent & 1)) / 2 + 127) << 23) + ((uint32_t)root - UINT32_C(0x800000));
    return v.value;
}

void eff_normalise_f32(float *y, const float *x, int32_t n, float eps)
{
    float sum = 0.0f;
    for (int32_t k = 0; k < n; ++k) {
        sum += x[k] * x[k];
    }
    const float length = eff_sqrt_f32(sum / (float)n) + eps;
    for (int32_t k = 0; k < n; ++k) {
        y[k] = x[k] / length;
    }
}

uint32_t eff_sqrt_u64(uint64_t v)
{
    uint64_t root = 0;
    for (uint64_t bit = UINT64_C(1) << 62; bit != 0; bit >>= 2) {
        if (v >= root + bit) {
            v -= root + bit;
            root = (root >> 1) + bit;
        } else {
            root >>= 1;
        }
    }
    return (uint32_t)root;
}

/* The root mean square is taken in units of 2^-8 input steps; the one that is added is the eps of the integer form. gain = 2^24 / s_y;
 * n <= 33,000. */
void eff_normalise_i8(int8_t *y, const int8_t *x, int32_t n, int32_t x_zero, int32_t y_zero, int32_t gain)
{
    int32_t sum = 0;
    for (int32_t k = 0; k < n; ++k) {
        sum += (x[k] - x_zero) * (x[k] - x_zero);
    }
    const int32_t factor = gain / (int32_t)(eff_sqrt_u64(((uint64_t)sum << 16) / (uint32_t)n) + 1u);
    for (int32_t k = 0; k < n; ++k) {
        const int64_t v = ((int64_t)(x[k] - x_zero) * factor + 0x8000) >> 16;
        y[k] = (int8_t)eff_clamp((int32_t)(v > 1024 ? 1024 : v < -1024 ? -1024 : v) + y_zero, -128, 127);
    }
}

/* The root mean square in input steps, plus one; gain = 2^16 / s_y. */
void eff_normalise_i16(int16_t *y, const int16_t *x, int32_t n, int32_t gain)
{
    int64_t sum = 0;
    for (int32_t k = 0; k < n; ++k) {
        sum += (int32_t)x[k] * x[k];
    }
    const int32_t factor = gain / (int32_t)(eff_sqrt_u64((uint64_t)sum / (uint32_t)n) + 1u);
    for (int32_t k = 0; k < n; ++k) {
        const int64_t v = ((int64_t)x[k] * factor + 0x8000) >> 16;
        y[k] = (int16_t)(v > 32767 ? 32767 : v < -32767 ? -32767 : v);
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
void eff_goodness_i8(int32_t *scores, const int8_t *h, int32_t n, int32_t h_zero, int32_t index, int32_t add, int32_t multiplier,
                     int32_t shift)
{
    int32_t sum = 0;
    for (int32_t k = 0; k < n; ++k) {
        sum += (h[k] - h_zero) * (h[k] - h_zero);
    }
    const int32_t goodness = eff_clamp(eff_requantise(sum, multiplier, shift), 0, 1 << 26);
    scores[index] = add ? scores[index] + goodness : goodness;
}

void eff_goodness_i16(int32_t *scores, const int16_t *h, int32_t n, int32_t index, int32_t add, int32_t multiplier, int32_t shift)
{
    int64_t sum = 0;
    for (int32_t k = 0; k < n; ++k) {
        sum += (int32_t)h[k] * h[k];
    }
    const int32_t goodness = eff_clamp(eff_requantise((int32_t)(sum >> 16), multiplier, shift), 0, 1 << 26);
    scores[index] = add ? scores[index] + goodness : goodness;
}
