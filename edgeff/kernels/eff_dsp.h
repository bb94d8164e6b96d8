/* SPDX-License-Identifier: Apache-2.0 */
/* One-instruction operations on pairs of 16-bit numbers, for cores with the DSP extension; elsewhere the same in plain C. */
#ifndef EFF_DSP_H
#define EFF_DSP_H

#include "edgeff.h"

/* The lower or the upper half of v. */
static inline int32_t eff_half(uint32_t v, int32_t upper) { return (int16_t)(uint16_t)(upper ? v >> 16 : v & 0xFFFFu); }

#if defined(__ARM_FEATURE_DSP) && __ARM_FEATURE_DSP && defined(__ARM_FEATURE_SIMD32)
#include <arm_acle.h>

/* Bytes 0 and 2 of v, as signed numbers, in the lower and the upper half. */
static inline uint32_t eff_even_bytes(uint32_t v) { return (uint32_t)__sxtb16((int8x4_t)v); }
/* Bytes 1 and 3. */
static inline uint32_t eff_odd_bytes(uint32_t v)
{
    uint32_t odd;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(odd) : "r"(v)); /* gcc 12 emits two instructions for it */
    return odd;
}
/* a - b in each half. */
static inline uint32_t eff_sub_halves(uint32_t a, uint32_t b) { return (uint32_t)__ssub16((int16x2_t)a, (int16x2_t)b); }
/* sums + bytes 0 and 2 of v; sums + bytes 1 and 3. */
static inline uint32_t eff_add_even_bytes(uint32_t sums, uint32_t v)
{
    uint32_t added;
    __asm__("sxtab16 %0, %1, %2" : "=r"(added) : "r"(sums), "r"(v));
    return added;
}
static inline uint32_t eff_add_odd_bytes(uint32_t sums, uint32_t v)
{
    uint32_t added;
    __asm__("sxtab16 %0, %1, %2, ror #8" : "=r"(added) : "r"(sums), "r"(v));
    return added;
}
/* sum + the products of the halves; no sum exceeds 32 bits. */
static inline int32_t eff_dot_halves(uint32_t a, uint32_t b, int32_t sum) { return __smlad((int16x2_t)a, (int16x2_t)b, sum); }
/* sum + a half of a times a half of b: the lower and the upper, the upper and the lower. */
static inline int32_t eff_lower_upper(uint32_t a, uint32_t b, int32_t sum)
{
    int32_t v;
    __asm__("smlabt %0, %1, %2, %3" : "=r"(v) : "r"(a), "r"(b), "r"(sum));
    return v;
}
static inline int32_t eff_upper_lower(uint32_t a, uint32_t b, int32_t sum)
{
    int32_t v;
    __asm__("smlatb %0, %1, %2, %3" : "=r"(v) : "r"(a), "r"(b), "r"(sum));
    return v;
}
/* The lower halves of a and b, a's below; their upper halves. */
static inline uint32_t eff_lower_halves(uint32_t a, uint32_t b)
{
    uint32_t v;
    __asm__("pkhbt %0, %1, %2, lsl #16" : "=r"(v) : "r"(a), "r"(b));
    return v;
}
static inline uint32_t eff_upper_halves(uint32_t a, uint32_t b)
{
    uint32_t v;
    __asm__("pkhtb %0, %1, %2, asr #16" : "=r"(v) : "r"(b), "r"(a));
    return v;
}
static inline uint32_t eff_load_halves(const int16_t *p)
{
    uint32_t v;
    __builtin_memcpy(&v, p, sizeof v);
    return v;
}
static inline uint32_t eff_join(int32_t lower, int32_t upper)
{
    uint32_t v;
    __asm__("pkhbt %0, %1, %2, lsl #16" : "=r"(v) : "r"(lower), "r"(upper));
    return v;
}
static inline uint32_t eff_load_bytes(const int8_t *p)
{
    uint32_t v;
    __builtin_memcpy(&v, p, sizeof v);
    return v;
}
static inline void eff_store_bytes(int8_t *p, uint32_t v) { __builtin_memcpy(p, &v, sizeof v); }
/* sum + round(a * b / 2^32), ties upwards. */
static inline int32_t eff_high_sum(int32_t a, int32_t b, int32_t sum)
{
    int32_t v;
    __asm__("smmlar %0, %1, %2, %3" : "=r"(v) : "r"(a), "r"(b), "r"(sum));
    return v;
}
static inline int32_t eff_saturate_i8(int32_t v)
{
    int32_t saturated;
    __asm__("ssat %0, #8, %1" : "=r"(saturated) : "r"(v) : "cc");
    return saturated;
}

#else

static inline uint32_t eff_halves(int32_t lower, int32_t upper) { return ((uint32_t)upper << 16) | ((uint32_t)lower & 0xFFFFu); }
static inline int32_t eff_byte(uint32_t v, int32_t place) { return (int8_t)(uint8_t)(v >> (8 * place)); }
static inline uint32_t eff_even_bytes(uint32_t v) { return eff_halves(eff_byte(v, 0), eff_byte(v, 2)); }
static inline uint32_t eff_odd_bytes(uint32_t v) { return eff_halves(eff_byte(v, 1), eff_byte(v, 3)); }
static inline uint32_t eff_sub_halves(uint32_t a, uint32_t b)
{
    return eff_halves(eff_half(a, 0) - eff_half(b, 0), eff_half(a, 1) - eff_half(b, 1));
}
static inline uint32_t eff_add_halves(uint32_t a, uint32_t b)
{
    return eff_halves(eff_half(a, 0) + eff_half(b, 0), eff_half(a, 1) + eff_half(b, 1));
}
static inline uint32_t eff_add_even_bytes(uint32_t sums, uint32_t v) { return eff_add_halves(sums, eff_even_bytes(v)); }
static inline uint32_t eff_add_odd_bytes(uint32_t sums, uint32_t v) { return eff_add_halves(sums, eff_odd_bytes(v)); }
static inline int32_t eff_dot_halves(uint32_t a, uint32_t b, int32_t sum)
{
    return sum + eff_half(a, 0) * eff_half(b, 0) + eff_half(a, 1) * eff_half(b, 1);
}
static inline int32_t eff_lower_upper(uint32_t a, uint32_t b, int32_t sum) { return sum + eff_half(a, 0) * eff_half(b, 1); }
static inline int32_t eff_upper_lower(uint32_t a, uint32_t b, int32_t sum) { return sum + eff_half(a, 1) * eff_half(b, 0); }
static inline uint32_t eff_lower_halves(uint32_t a, uint32_t b) { return (a & 0xFFFFu) | b << 16; }
static inline uint32_t eff_upper_halves(uint32_t a, uint32_t b) { return a >> 16 | (b & 0xFFFF0000u); }
static inline uint32_t eff_load_halves(const int16_t *p) { return eff_halves(p[0], p[1]); }
static inline uint32_t eff_join(int32_t lower, int32_t upper) { return eff_halves(lower, upper); }
static inline uint32_t eff_load_bytes(const int8_t *p)
{
    return (uint32_t)(uint8_t)p[0] | (uint32_t)(uint8_t)p[1] << 8 | (uint32_t)(uint8_t)p[2] << 16 | (uint32_t)(uint8_t)p[3] << 24;
}
static inline void eff_store_bytes(int8_t *p, uint32_t v)
{
    for (int32_t i = 0; i < 4; ++i) {
        p[i] = (int8_t)(uint8_t)(v >> (8 * i));
    }
}
static inline int32_t eff_high_sum(int32_t a, int32_t b, int32_t sum)
{
    return (int32_t)(((int64_t)sum * (INT64_C(1) << 32) + (int64_t)a * b + (INT64_C(1) << 31)) >> 32);
}
static inline int32_t eff_saturate_i8(int32_t v) { return eff_clamp(v, -128, 127); }

#endif

/* eff_requantise plus a zero point, saturated to int8, in four instructions, for a multiplier of 2^30 or more and a shift of -2 to -31:
 * `doubled` is twice the multiplier modulo 2^32, `power` is 2^(32 + shift). */
static inline int32_t eff_requantise_i8(int32_t v, int32_t doubled, int32_t power, int32_t zero)
{
    v = eff_high_sum(v, doubled, v); /* v * multiplier / 2^31 */
    v += v >> 31;                    /* ties away from zero */
    return eff_saturate_i8(eff_high_sum(v, power, zero));
}

/* The limits of an activation function narrower than int8. */
static inline void eff_limit_i8(int8_t *y, int32_t n, int32_t y_min, int32_t y_max)
{
    if (y_min > -128 || y_max < 127) {
        for (int32_t i = 0; i < n; ++i) {
            y[i] = (int8_t)eff_clamp(y[i], y_min, y_max);
        }
    }
}

/* Four sums of w[row * stride + i] * (p[i] - zero), rows 0 to 3, for i below n; `zeros` holds zero in both halves. */
static inline void eff_dot_4_rows(int32_t *sums, const int8_t *w, int32_t stride, const int8_t *p, int32_t n, int32_t zero)
{
    const uint32_t zeros = ((uint32_t)zero << 16) | ((uint32_t)zero & 0xFFFFu);
    int32_t s0 = sums[0], s1 = sums[1], s2 = sums[2], s3 = sums[3];
    const int8_t *v = w + 2 * stride;
#if defined(__clang__)
#pragma clang loop unroll(disable) /* two iterations at a time do not fit the registers */
#endif
    for (; n >= 4; n -= 4, p += 4, w += 4, v += 4) {
        const uint32_t x = eff_load_bytes(p);
        const uint32_t even = eff_sub_halves(eff_even_bytes(x), zeros), odd = eff_sub_halves(eff_odd_bytes(x), zeros);
        const uint32_t w0 = eff_load_bytes(w), w1 = eff_load_bytes(w + stride);
        s0 = eff_dot_halves(eff_odd_bytes(w0), odd, eff_dot_halves(eff_even_bytes(w0), even, s0));
        s1 = eff_dot_halves(eff_odd_bytes(w1), odd, eff_dot_halves(eff_even_bytes(w1), even, s1));
        const uint32_t w2 = eff_load_bytes(v), w3 = eff_load_bytes(v + stride);
        s2 = eff_dot_halves(eff_odd_bytes(w2), odd, eff_dot_halves(eff_even_bytes(w2), even, s2));
        s3 = eff_dot_halves(eff_odd_bytes(w3), odd, eff_dot_halves(eff_even_bytes(w3), even, s3));
    }
    for (; n > 0; --n, ++p, ++w, ++v) {
        const int32_t a = *p - zero;
        s0 += w[0] * a;
        s1 += w[stride] * a;
        s2 += v[0] * a;
        s3 += v[stride] * a;
    }
    sums[0] = s0, sums[1] = s1, sums[2] = s2, sums[3] = s3;
}

#endif
