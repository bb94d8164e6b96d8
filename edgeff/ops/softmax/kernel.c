/* SPDX-License-Identifier: Apache-2.0 */
/* Probabilities, and their exponentials. The integer path is the fixed-point scheme of TFLite's int8 softmax:
 * differences to the largest input in Q5.26, exponentials in Q0.31, their sum in Q12.19. */
#include "edgeff.h"

#define EFF_BITS_OF_87 UINT32_C(0x42AE0000)
#define EFF_BITS_OF_88 UINT32_C(0x42B00000)
#define EFF_BITS_OF_INFINITY UINT32_C(0x7F800000)
#define EFF_EXP_OF_88 0x1.f1056ep126f /* by the polynomial below */

float eff_exp_f32(float x)
{
    const union {
        float value;
        uint32_t bits;
    } v = {x};
    const uint32_t magnitude = v.bits & UINT32_C(0x7FFFFFFF);
    if (magnitude > EFF_BITS_OF_87 && v.bits > EFF_BITS_OF_88) { /* below -87, above 88 or NaN, which no integer can hold */
        return magnitude > EFF_BITS_OF_INFINITY ? x : v.bits == magnitude ? EFF_EXP_OF_88 : 0.0f;
    }
    const float scaled = x * 1.44269504f;
    const int32_t n = (int32_t)(scaled < 0.0f ? scaled - 0.5f : scaled + 0.5f);
    const float r = (x - (float)n * 0.693359375f) - (float)n * -2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    const float y = (p * (r * r) + r) + 1.0f;
    union {
        uint32_t bits;
        float value;
    } power = {(uint32_t)(n + 127) << 23};
    return y * power.value;
}

void eff_softmax_f32(float *y, const float *x, int32_t n)
{
    float largest = x[0];
    for (int32_t c = 1; c < n; ++c) {
        largest = x[c] > largest ? x[c] : largest;
    }
    float sum = 0.0f;
    for (int32_t c = 0; c < n; ++c) {
        y[c] = eff_exp_f32(x[c] - largest);
        sum += y[c];
    }
    for (int32_t c = 0; c < n; ++c) {
        y[c] = y[c] / sum;
    }
}

static inline int32_t eff_saturating_double(int32_t v, int32_t n)
{
    const int64_t wide = (int64_t)v * (INT32_C(1) << n);
    return wide > INT32_MAX ? INT32_MAX : wide < INT32_MIN ? INT32_MIN : (int32_t)wide;
}

/* The part below a quarter goes through a polynomial around -1/8; each set bit of the rest multiplies by its power of
 * e. */
int32_t eff_exp_q31(int32_t a)
{
    static const int32_t powers[7] = {1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242};
    if (a == 0) {
        return INT32_MAX;
    }
    const int32_t quarter = INT32_C(1) << 24;
    const int32_t part = (a & (quarter - 1)) - quarter;
    const int32_t x = eff_saturating_double(part, 5) + (INT32_C(1) << 28);
    const int32_t x2 = eff_high_mul(x, x);
    const int32_t x3 = eff_high_mul(x2, x);
    const int32_t x4 = eff_high_mul(x2, x2);
    const int32_t cubic = eff_high_mul(eff_shift_round(x4, 2) + x3, 715827883);
    const int32_t tail = eff_shift_round(cubic + x2, 1);
    int32_t result = 1895147668 + eff_high_mul(1895147668, x + tail);
    const int32_t rest = part - a;
    for (int32_t i = 0; i < 7; ++i) {
        if (rest & (quarter << i)) {
            result = eff_high_mul(result, powers[i]);
        }
    }
    return result;
}

/* Three Newton-Raphson steps from 48/17 - 32/17 d, d = (1 + a) / 2; x is Q2.29. */
int32_t eff_reciprocal_q31(int32_t a)
{
    const int32_t half = (int32_t)(((int64_t)a + INT32_MAX + 1) / 2);
    int32_t x = 1515870810 + eff_high_mul(half, -1010580540);
    for (int32_t i = 0; i < 3; ++i) {
        const int32_t remainder = (INT32_C(1) << 29) - eff_high_mul(half, x);
        x += eff_saturating_double(eff_high_mul(x, remainder), 2);
    }
    return eff_saturating_double(x, 1);
}

static inline int32_t eff_leading_zeros(uint32_t v)
{
    int32_t n = 0;
    for (; n < 32 && !(v & UINT32_C(0x80000000)); ++n) {
        v <<= 1;
    }
    return n;
}

/* The reciprocal of a sum of exponentials in Q12.19: its mantissa in Q0.31, and how far the mantissa stands above one. */
int32_t eff_reciprocal_of_sum(int32_t sum, int32_t *bits_over_unit)
{
    const int32_t zeros = eff_leading_zeros((uint32_t)sum);
    *bits_over_unit = 12 - zeros;
    return eff_reciprocal_q31((int32_t)(((uint32_t)sum << zeros) - UINT32_C(0x80000000)));
}

static inline int32_t eff_exp_of_difference(int32_t difference, int32_t multiplier, int32_t shift)
{
    return eff_exp_q31(eff_high_mul(difference * (INT32_C(1) << shift), multiplier));
}

/* n <= 4,095 keeps the sum in Q12.19; diff_min keeps difference * 2^shift in 32 bits. */
void eff_softmax_i8(int8_t *y, const int8_t *x, int32_t n, const eff_logits *logits)
{
    const int32_t multiplier = logits->multiplier, shift = logits->shift, diff_min = logits->diff_min;
    int32_t largest = x[0];
    for (int32_t c = 1; c < n; ++c) {
        largest = x[c] > largest ? x[c] : largest;
    }
    int32_t sum = 0;
    for (int32_t c = 0; c < n; ++c) {
        if (x[c] - largest >= diff_min) {
            sum += eff_shift_round(eff_exp_of_difference(x[c] - largest, multiplier, shift), 12);
        }
    }
    int32_t over;
    const int32_t scale = eff_reciprocal_of_sum(sum, &over);
    for (int32_t c = 0; c < n; ++c) {
        int32_t v = -128;
        if (x[c] - largest >= diff_min) {
            const int32_t share = eff_high_mul(scale, eff_exp_of_difference(x[c] - largest, multiplier, shift));
            v = over > 8 ? -128 : eff_clamp(eff_shift_round(share, over + 23) - 128, -128, 127);
        }
        y[c] = (int8_t)v;
    }
}

void eff_softmax_i16(int16_t *y, const int16_t *x, int32_t n, const eff_logits *logits)
{
    const int32_t multiplier = logits->multiplier, shift = logits->shift, diff_min = logits->diff_min;
    int32_t largest = x[0];
    for (int32_t c = 1; c < n; ++c) {
        largest = x[c] > largest ? x[c] : largest;
    }
    int32_t sum = 0;
    for (int32_t c = 0; c < n; ++c) {
        if (x[c] - largest >= diff_min) {
            sum += eff_shift_round(eff_exp_of_difference(x[c] - largest, multiplier, shift), 12);
        }
    }
    int32_t over;
    const int32_t scale = eff_reciprocal_of_sum(sum, &over);
    for (int32_t c = 0; c < n; ++c) {
        int32_t v = 0;
        if (x[c] - largest >= diff_min) {
            const int32_t share = eff_high_mul(scale, eff_exp_of_difference(x[c] - largest, multiplier, shift));
            v = eff_clamp(eff_shift_round(share, over + 16), 0, 32767);
        }
        y[c] = (int16_t)v;
    }
}

void eff_softmax_rows_f32(float *y, const float *x, int32_t rows, int32_t n)
{
    for (int32_t row = 0; row < rows; ++row) {
        eff_softmax_f32(y + row * n, x + row * n, n);
    }
}

void eff_softmax_rows_i8(int8_t *y, const int8_t *x, int32_t rows, int32_t n, const eff_logits *logits)
{
    for (int32_t row = 0; row < rows; ++row) {
        eff_softmax_i8(y + row * n, x + row * n, n, logits);
    }
}

void eff_softmax_rows_i16(int16_t *y, const int16_t *x, int32_t rows, int32_t n, const eff_logits *logits)
{
    for (int32_t row = 0; row < rows; ++row) {
        eff_softmax_i16(y + row * n, x + row * n, n, logits);
    }
}

/* The function whose values at -32768, -32640, .. 32768 the table holds, at v within int16. */
static inline int32_t eff_on_chord(const int16_t *table, int32_t v)
{
    const int16_t *p = table + (v >> 7) + 256;
    return p[0] + ((((int32_t)p[1] - p[0]) * (v & 127) + 64) >> 7);
}

void eff_softmax_chords_i16(int16_t *y, const int16_t *x, const int16_t *powers, const int16_t *inverses, int32_t rows, int32_t n,
                            const eff_requant *how)
{
    for (; rows > 0; --rows, x += n, y += n) {
        int32_t largest = x[0], sum = 0, zeros = 0;
        for (int32_t c = 1; c < n; ++c) {
            largest = x[c] > largest ? x[c] : largest;
        }
        for (int32_t c = 0; c < n; ++c) {
            const int32_t difference = eff_clamp(eff_requantise(x[c] - largest, how->multiplier, how->shift), -65535, 0);
            y[c] = (int16_t)eff_on_chord(powers, difference + 32767);
            sum += y[c];
        }
        while (zeros < 16 && sum < INT32_C(1) << (30 - zeros)) { /* the largest counts as 2^15 - 1 */
            ++zeros;
        }
        const int32_t part = (int32_t)(((int64_t)sum * (INT64_C(1) << zeros) + (1 << 13)) >> 14) - (INT32_C(1) << 15) - (INT32_C(1) << 16);
        const int32_t inverse = eff_on_chord(inverses, eff_clamp(part, -32768, 32767)), away = 30 - zeros;
        for (int32_t c = 0; c < n; ++c) {
            y[c] = (int16_t)eff_clamp((y[c] * inverse + (INT32_C(1) << (away - 1))) >> away, 0, 32767);
        }
    }
}
