/* SPDX-License-Identifier: Apache-2.0 */
/* The update of int8 weights, filter by filter: deltas of zero, often most of them, are skipped. One group only. */
#include "edgeff.h"
#include "eff_windows.h"
#include "eff_walk.h"
#include "eff_runs.h"

#define EFF_SAFE_DELTAS (UINT32_C(0x7FFFFFFF) / 255u) /* deltas of this sum, times a byte each, fit 32 bits */

#if defined(__ARM_FEATURE_DSP) && __ARM_FEATURE_DSP

/* In assembly, because compilers load and store the four sums one by one: half as many instructions again. r0 the sums, r1 a, r2 turns, r3
 * delta, r4 to r7 four sums, r8 and r9 inputs, r12 minus the zero point, twice. */
/* clang-format off */
#define EFF_FOUR_SUMS \
    "ldr r8, [r1], #4\n ldm r0, {r4, r5, r6, r7}\n sxtab16 r9, r12, r8, ror #8\n sxtab16 r8, r12, r8\n" \
    "smlabb r4, r8, r3, r4\n smlabb r5, r9, r3, r5\n smlatb r6, r8, r3, r6\n smlatb r7, r9, r3, r7\n stmia r0!, {r4, r5, r6, r7}\n"
__asm__(
    ".syntax unified\n .section .text.eff_add_fours,\"ax\",%progbits\n .balign 4\n .global eff_add_fours\n .thumb_func\n"
    ".type eff_add_fours, %function\n eff_add_fours:\n"
    "push {r4-r9}\n ldr r12, [sp, #24]\n tst r2, #1\n add.w r2, r2, #1\n lsr.w r2, r2, #1\n bne 2f\n"
    "1:\n" EFF_FOUR_SUMS
    "2:\n" EFF_FOUR_SUMS
    "subs r2, #1\n bne 1b\n pop {r4-r9}\n bx lr\n"
    ".size eff_add_fours, . - eff_add_fours\n .text\n");
/* clang-format on */

#else

void eff_add_fours(int32_t *sums, const int8_t *a, int32_t fours, int32_t delta, uint32_t below)
{
    for (int32_t i = 0; i < 4 * fours; ++i) {
        sums[i] += delta * (a[i] + eff_half(below, 0));
    }
}

#endif

/* A requantisation with a multiplier of 2^30 or more: for a shift of 0 to 18 sums within `limit` are moved by `left`, for one of -2 or less
 * `power` is 2^(32 + shift), else 0. */
typedef struct {
    int32_t doubled, limit, left, power;
} eff_gain_factor;

/* The step of one weight whose sum of products is s, at a rate of 1. A sum beyond the limit changes any weight by 254 or more all the same. */
static inline int8_t eff_stepped(int32_t w, int32_t s, const eff_gain_factor *by, uint32_t drawn)
{
    int32_t v = eff_clamp(s, -by->limit - 1, by->limit) * (INT32_C(1) << by->left);
    v = eff_high_sum(v, by->doubled, v);
    if (by->power) {
        v = eff_high_sum(v + (v >> 31), by->power, 0); /* ties away from zero */
    }
    v = eff_clamp(v, -EFF_BIAS_LIMIT, EFF_BIAS_LIMIT) + (int32_t)((drawn & 0xFFu) << 14) + (INT32_C(1) << 13);
    return (int8_t)eff_clamp(w - (v >> EFF_FRACTION_I8), -127, 127);
}

void eff_change_run(int8_t *w, int32_t i, int32_t n, const int32_t *sums, const eff_change *how)
{
    int32_t t = 0;
    if (how->multiplier < INT32_C(1) << 30 || how->shift > 18 || how->shift == -1 || how->rate != UINT32_C(65536) || !how->stochastic) {
        EFF_ROLLED
        for (; t < n; ++t) {
            eff_change_weight_i8(w, i + t, sums[t], how);
        }
        return;
    }
    const int32_t left = how->shift > 0 ? how->shift : 0;
    const eff_gain_factor by = {(int32_t)((uint32_t)how->multiplier * 2u), INT32_MAX >> left, left,
                                how->shift < 0 ? INT32_C(1) << (32 + how->shift) : 0};
    uint32_t bits = eff_draw(how->stream, (uint32_t)i >> 2) >> (8 * (i & 3));
    EFF_ROLLED
    for (; t < n && (i + t) & 3; ++t, bits >>= 8) {
        w[i + t] = eff_stepped(w[i + t], sums[t], &by, bits);
    }
    for (w += i; t + 4 <= n; t += 4) {
        bits = eff_draw(how->stream, (uint32_t)(i + t) >> 2);
        w[t] = eff_stepped(w[t], sums[t], &by, bits);
        w[t + 1] = eff_stepped(w[t + 1], sums[t + 1], &by, bits >> 8);
        w[t + 2] = eff_stepped(w[t + 2], sums[t + 2], &by, bits >> 16);
        w[t + 3] = eff_stepped(w[t + 3], sums[t + 3], &by, bits >> 24);
    }
    bits = eff_draw(how->stream, (uint32_t)(i + t) >> 2);
    EFF_ROLLED
    for (; t < n; ++t, bits >>= 8) {
        w[t] = eff_stepped(w[t], sums[t], &by, bits);
    }
}

/* The sum of delta * (a - a_zero) over the positions whose tap lies inside the image, saturated at 32 bits. */
static EFF_NOINLINE int32_t eff_tap_sum(const int16_t *delta, const int8_t *a, int32_t a_zero, const eff_window *window, int32_t ky, int32_t kx)
{
    int64_t s = 0;
    for (int32_t oy = 0; oy < window->out_h; ++oy) {
        const int32_t y = oy * window->stride_h + ky - window->pad_h;
        for (int32_t ox = 0; ox < window->out_w; ++ox, delta += window->out_c) {
            const int32_t x = ox * window->stride_w + kx - window->pad_w;
            if (y >= 0 && y < window->in_h && x >= 0 && x < window->in_w) {
                s += *delta * (a[(y * window->in_w + x) * window->in_c] - a_zero);
            }
        }
    }
    return s > INT32_MAX ? INT32_MAX : s < INT32_MIN ? INT32_MIN : (int32_t)s;
}

/* The sums of one filter, whose deltas begin at `delta`. */
static void eff_filter_sums(int32_t *sums, const int16_t *delta, const int8_t *a, int32_t a_zero, const eff_window *window)
{
    const int32_t in_c = window->in_c, out_c = window->out_c, row = window->k_w * in_c;
    const int16_t *d = delta;
    uint32_t size = 0;
    for (int32_t i = 0; i < window->k_h * row; ++i) {
        sums[i] = 0;
    }
    for (int32_t oy = 0; oy < window->out_h; ++oy) {
        const int32_t top = oy * window->stride_h - window->pad_h;
        for (int32_t ox = 0; ox < window->out_w; ++ox, d += out_c) {
            const int32_t value = *d;
            if (value != 0) {
                const int32_t left = ox * window->stride_w - window->pad_w;
                const eff_taps taps = eff_taps_at(top, left, window->in_h, window->in_w, window->k_h, window->k_w);
                size += (uint32_t)(value < 0 ? -value : value);
                for (int32_t y = taps.y0; y < taps.y1; ++y) {
                    eff_add_run(sums + (y - top) * row + (taps.x0 - left) * in_c, a + (y * window->in_w + taps.x0) * in_c,
                                (taps.x1 - taps.x0) * in_c, value, a_zero);
                }
            }
        }
    }
    for (int32_t i = 0; size > EFF_SAFE_DELTAS && i < window->k_h * row; ++i) {
        const int32_t tap = i / in_c, ky = tap / window->k_w;
        sums[i] = eff_tap_sum(delta, a + (i - tap * in_c), a_zero, window, ky, tap - ky * window->k_w);
    }
}

void eff_conv2d_update_i8_dsp(int8_t *w, const int16_t *delta, const int8_t *a, const uint32_t *rate, const uint32_t *step,
                              const eff_window *window, const eff_step *how, void *scratch)
{
    const eff_change change = {*rate, eff_step_key(how->key, *step), how->multiplier, how->shift, how->stochastic};
    const int32_t filter = window->k_h * window->k_w * window->in_c;
    for (int32_t oc = 0; oc < window->out_c; ++oc) {
        eff_filter_sums(scratch, delta + oc, a, how->a_zero, window);
        eff_change_run(w, oc * filter, filter, scratch, &change);
    }
}
