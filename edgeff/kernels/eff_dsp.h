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
/* sum + a half of a times a half of b: which of a and which of b. */
static inline int32_t eff_lower_lower(uint32_t a, uint32_t b, int32_t sum)
{
    int32_t v;
    __asm__("smlabb %0, %1, %2, %3" : "=r"(v) : "r"(a), "r"(b), "r"(sum));
    return v;
}
static inline int32_t eff_upper_upper(uint32_t a, uint32_t b, int32_t sum)
{
    int32_t v;
    __asm__("smlatt %0, %1, %2, %3" : "=r"(v) : "r"(a), "r"(b), "r"(sum));
    return v;
}
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
/* p + byte number `byte` of v, which is a constant. */
#define eff_past_byte(p, v, byte) \
    __extension__({ \
        const char *past; \
        __asm__("uxtab %0, %1, %2, ror %3" : "=r"(past) : "r"(p), "r"(v), "I"(8 * (byte))); \
        past; \
    })
/* sum + the products of the halves, in 64 bits. */
static inline int64_t eff_dot_halves_i64(uint32_t a, uint32_t b, int64_t sum) { return __smlald((int16x2_t)a, (int16x2_t)b, sum); }
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
static inline int32_t eff_lower_lower(uint32_t a, uint32_t b, int32_t sum) { return sum + eff_half(a, 0) * eff_half(b, 0); }
static inline int32_t eff_upper_upper(uint32_t a, uint32_t b, int32_t sum) { return sum + eff_half(a, 1) * eff_half(b, 1); }
static inline int32_t eff_lower_upper(uint32_t a, uint32_t b, int32_t sum) { return sum + eff_half(a, 0) * eff_half(b, 1); }
static inline int32_t eff_upper_lower(uint32_t a, uint32_t b, int32_t sum) { return sum + eff_half(a, 1) * eff_half(b, 0); }
static inline uint32_t eff_lower_halves(uint32_t a, uint32_t b) { return (a & 0xFFFFu) | b << 16; }
static inline uint32_t eff_upper_halves(uint32_t a, uint32_t b) { return a >> 16 | (b & 0xFFFF0000u); }
static inline uint32_t eff_load_halves(const int16_t *p) { return eff_halves(p[0], p[1]); }
#define eff_past_byte(p, v, byte) ((p) + ((v) >> (8 * (byte)) & 0xFFu))
static inline int64_t eff_dot_halves_i64(uint32_t a, uint32_t b, int64_t sum)
{
    return sum + (int64_t)(eff_half(a, 0) * eff_half(b, 0)) + (int64_t)(eff_half(a, 1) * eff_half(b, 1));
}
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

/* A requantisation in at most five instructions: `power` is 2^(32 + shift) for a shift of -2 or less, else 0. */
typedef struct {
    int32_t fits, doubled, left, power;
} eff_factor;

/* `fits` is 0 where the form does not hold: for a multiplier below 2^30, a shift of -1, and a shift to the left by which a value of up to
 * `largest` could leave 32 bits. */
static inline eff_factor eff_factor_of(int32_t multiplier, int32_t shift, int64_t largest)
{
    const int32_t left = shift > 0 ? shift : 0, fits = multiplier >= INT32_C(1) << 30 && shift != -1 && largest <= INT32_MAX >> left;
    const eff_factor by = {fits, (int32_t)((uint32_t)multiplier * 2u), left, shift < -1 ? INT32_C(1) << (32 + shift) : 0};
    return by;
}

static inline int32_t eff_scaled(int32_t v, const eff_factor *by)
{
    v *= INT32_C(1) << by->left;
    v = eff_high_sum(v, by->doubled, v);
    return by->power ? eff_high_sum(v + (v >> 31), by->power, 0) : v; /* ties away from zero */
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

/* Adds to four sums the products of four neighbouring weights in each of two rows and a factor a row, in the halves of `factors`. */
static inline void eff_dot_two_rows(int32_t *sums, const int8_t *upper, const int8_t *lower, uint32_t factors)
{
    const uint32_t first = eff_load_bytes(upper), second = eff_load_bytes(lower);
    const uint32_t even = eff_even_bytes(first), even_2 = eff_even_bytes(second);
    sums[0] = eff_dot_halves(eff_lower_halves(even, even_2), factors, sums[0]);
    sums[2] = eff_dot_halves(eff_upper_halves(even, even_2), factors, sums[2]);
    const uint32_t odd = eff_odd_bytes(first), odd_2 = eff_odd_bytes(second);
    sums[1] = eff_dot_halves(eff_lower_halves(odd, odd_2), factors, sums[1]);
    sums[3] = eff_dot_halves(eff_upper_halves(odd, odd_2), factors, sums[3]);
}

#endif
