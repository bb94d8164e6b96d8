/* SPDX-License-Identifier: Apache-2.0 */
/* edgeff.h: the arithmetic that the kernels share; eff_kernels.h, written beside it, holds their parameters and prototypes.
 *
 * Elements and bytes of a tensor are counted in int32_t: lowering refuses a tensor of more than 2^31 - 1 bytes.
 *
 * Refused on purpose: malloc, stdio, libm, recursion, global state. Every function is C99 and gives the same bits on every machine with
 * IEEE-754 binary32, two's complement and an arithmetic right shift. An argument list is: outputs, inputs, sizes, parameters; an output
 * that is also read is marked so. A pointer called `b` may be NULL (no bias). Matrices are row-major: `w` is [n_out][n_in].
 * An output may share memory with an input as far as the kernel's `overlap` says (edgeff/kernels/overlap.py): the planner of the arena
 * obeys it, and nothing here promises `restrict` for the two. Otherwise arguments do not overlap.
 */
#ifndef EDGEFF_H
#define EDGEFF_H

#include <float.h>
#include <stddef.h>
#include <stdint.h>

/* Flags that change bits. Evaluation method 16 widens only types narrower than float. */
#if defined(__FAST_MATH__) || defined(_M_FP_FAST) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__ > 0)
#error "the results would differ from the reference: compile without -ffast-math, -Ofast and -ffinite-math-only"
#endif
#if FLT_EVAL_METHOD != 0 && FLT_EVAL_METHOD != 16
#error "float arithmetic has to round to float at each step: on x86 compile with -msse2 -mfpmath=sse"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* A product and a sum stay two roundings, whatever the compiler's default: fusing them gives other bits. */
#if defined(__clang__)
#pragma clang fp contract(off)
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#elif defined(_MSC_VER)
#pragma fp_contract(off)
#endif

/* Keeps a function from being inlined, so that its calls can be counted one by one. */
#if defined(__GNUC__)
#define EFF_NOINLINE __attribute__((noinline))
#else
#define EFF_NOINLINE
#endif

/* Before a loop that is short or rare: it stays a loop, where clang would unroll it into several times the code. */
#if defined(__clang__)
#define EFF_ROLLED _Pragma("clang loop unroll(disable)")
#else
#define EFF_ROLLED
#endif

typedef char eff_assert_arithmetic_shift[((-5) >> 1) == -3 ? 1 : -1];
typedef char eff_assert_binary32[sizeof(float) == 4 ? 1 : -1];

/* ------------------------------------------------------------------ integers */

static inline int32_t eff_clamp(int32_t v, int32_t lo, int32_t hi) { return v < lo ? lo : v > hi ? hi : v; }

/* Whether ReLU lets a gradient through an int8 output: above its zero point, and not saturated, where a step would go on for ever. */
static inline int32_t eff_opens_i8(int32_t h, int32_t zero) { return h > zero && h < INT8_MAX; }

static inline int16_t eff_saturate_i16(int32_t v) { return (int16_t)eff_clamp(v, -32767, 32767); }

/* The bits by which both sides of a sum of int16 tensors are shifted before they are brought to one scale. */
#define EFF_ADD_BITS_I16 14

/* v + zero within low..high, which lie in -128..127: no sum can overflow. */
static inline int8_t eff_to_i8(int32_t v, int32_t zero, int32_t low, int32_t high)
{
    return (int8_t)(eff_clamp(v, low - zero, high - zero) + zero);
}

/* round(a * b / 2^31), ties upwards; a and b not both INT32_MIN */
static inline int32_t eff_high_mul(int32_t a, int32_t b) { return (int32_t)(((int64_t)a * b + (INT32_C(1) << 30)) >> 31); }

/* round(v / 2^n), ties away from zero, 0 <= n <= 31 */
static inline int32_t eff_shift_round(int32_t v, int32_t n)
{
    const int32_t mask = (int32_t)((UINT32_C(1) << n) - 1u);
    return (v >> n) + ((v & mask) > (mask >> 1) + (v < 0));
}

/* round(v / 2^n), ties upwards, of a 64-bit v whose result fits 32 bits. */
static inline int32_t eff_shift_round_i64(int64_t v, int32_t n) { return (int32_t)((v + ((INT64_C(1) << n) >> 1)) >> n); }

/* The one requantisation: v * multiplier * 2^(shift - 31), gemmlowp's double rounding. multiplier >= 0, -31 <= shift <= 30; saturates if
 * v * 2^shift exceeds 32 bits. */
static inline int32_t eff_requantise(int32_t v, int32_t multiplier, int32_t shift)
{
    if (shift > 0) {
        const int64_t wide = (int64_t)v * (INT32_C(1) << shift);
        v = wide > INT32_MAX ? INT32_MAX : wide < INT32_MIN ? INT32_MIN : (int32_t)wide;
    }
    return eff_shift_round(eff_high_mul(v, multiplier), shift < 0 ? -shift : 0);
}

/* An integer gradient: the sum of its products, rounded by 2^pre_shift to 32 bits, requantised and saturated. */
static inline int16_t eff_gradient_i16(int64_t sum, int32_t pre_shift, int32_t multiplier, int32_t shift)
{
    return eff_saturate_i16(eff_requantise(eff_shift_round_i64(sum, pre_shift), multiplier, shift));
}

/* ------------------------------------------------------------------ randomness: one counter-based generator */

#define EFF_GOLDEN UINT32_C(0x9E3779B9)

/* A well-mixing bijection of 32 bits (Wellons' lowbias32). */
static inline uint32_t eff_mix(uint32_t v)
{
    v ^= v >> 16;
    v *= UINT32_C(0x7FEB352D);
    v ^= v >> 15;
    v *= UINT32_C(0x846CA68B);
    return v ^ (v >> 16);
}

/* The draw of number `index` of the stream `key`: each can be computed without those before it. */
static inline uint32_t eff_draw(uint32_t key, uint32_t index) { return eff_mix(key + index * EFF_GOLDEN); }

/* The stream of one call site at one step. */
static inline uint32_t eff_step_key(uint32_t key, uint32_t step) { return eff_mix(key ^ eff_mix(step + EFF_GOLDEN)); }

/* ------------------------------------------------------------------ learning rates */

static inline float eff_rate_f32(const uint32_t *rate, float lr) { return lr * ((float)*rate * (1.0f / 65536.0f)); }

/* The gain of an integer gradient: requantised, saturated, times the rate (in units of 2^-16), rounded to nearest (ties upwards). */
static inline int32_t eff_gain(int32_t gradient, int32_t multiplier, int32_t shift, uint32_t rate, int32_t limit)
{
    const int32_t gain = eff_clamp(eff_requantise(gradient, multiplier, shift), -limit, limit);
    return (int32_t)(((int64_t)gain * (int64_t)rate + 0x8000) >> 16);
}

/* ------------------------------------------------------------------ square root */

/* Correctly rounded, but 0 for denormal numbers. The digit-by-digit loop is the definition; VSQRT gives the same
 * bits. */
static inline float eff_sqrt_f32(float x)
{
    union {
        float value;
        uint32_t bits;
    } v = {x};
    if (v.bits < UINT32_C(0x00800000)) {
        return 0.0f;
    }
#if defined(__GNUC__) && defined(__ARM_FP) && (__ARM_FP & 4)
    __asm__("vsqrt.f32 %0, %1" : "=t"(v.value) : "t"(x));
#else
    if (v.bits >= UINT32_C(0x7F800000)) { /* infinity, NaN and -0 are their own roots; the root of any number below -0 is NaN */
        v.bits |= v.bits > UINT32_C(0x80000000) ? UINT32_C(0x7FC00000) : 0u;
        return v.value;
    }
    const int32_t exponent = (int32_t)(v.bits >> 23) - 127;
    uint32_t rest = (v.bits & UINT32_C(0x7FFFFF)) | UINT32_C(0x800000);
    rest <<= exponent & 1 ? 2 : 1;
    uint32_t root = 0;
    uint32_t sum = 0;
    for (uint32_t bit = UINT32_C(1) << 24; bit != 0; bit >>= 1) {
        if (sum + bit <= rest) {
            sum += bit;
            rest -= sum;
            sum += bit;
            root += bit;
        }
        rest <<= 1;
    }
    v.bits = ((root + (root & 1u)) >> 1) + ((uint32_t)((exponent - (exponent & 1)) / 2 + 126) << 23);
#endif
    return v.value;
}

/* ------------------------------------------------------------------ activation functions */

/* The activation function of v: relu is 0 for v itself, 1 for max(v, 0), 2 for min(max(v, 0), 6). */
static inline float eff_activate_f32(float v, int32_t relu)
{
    if (relu) {
        v = v > 0.0f ? v : 0.0f;
        v = relu == 2 && v > 6.0f ? 6.0f : v;
    }
    return v;
}

/* ------------------------------------------------------------------ integer steps of weights */

#define EFF_FRACTION_I8 22
#define EFF_FRACTION_I16 16
#define EFF_BIAS_LIMIT INT32_C(0x3FFFFFFF)

/* ------------------------------------------------------------------ functions that several kernels call */

int32_t eff_exp_q31(int32_t a);          /* exp of a Q5.26 number <= 0, in Q0.31 */
int32_t eff_reciprocal_q31(int32_t a);   /* 1 / (1 + a), a in [0, 1), Q0.31 */
int32_t eff_reciprocal_of_sum(int32_t sum, int32_t *bits_over_unit); /* of a sum of exponentials in Q12.19: mantissa and exponent */
float eff_exp_f32(float x);              /* |relative error| < 2^-22; 0 below -87, clamped above 88, NaN of NaN */
int32_t eff_sigmoid_q15(int32_t x);      /* the logistic function of a number in units of 2^-16, in Q0.15 */
uint32_t eff_sqrt_u64(uint64_t v);       /* the integer part of the root */

#include "eff_kernels.h"

#ifdef __cplusplus
}
#endif

#endif
