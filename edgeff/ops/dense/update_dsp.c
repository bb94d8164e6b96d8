/* SPDX-License-Identifier: Apache-2.0 */
/* The update of int8 weights with stochastic rounding: four weights in a word, one draw of the generator for them. */
#include "edgeff.h"
#include "eff_plain.h"

#if defined(__ARM_FEATURE_DSP) && __ARM_FEATURE_DSP

/* In assembly, because it needs every register (docs/adr/0037): nine instructions a weight. r0 w, r1 a, r2 turns, r3 eight times the gain,
 * r4 the counter, r5 to r7 the generator's constants, r8 four times -127, r9 the draw, r10 one plus two times eight bits of it.
 * SMLAW gives (gain a + r) / 2^13, whose last nine bits are cut off: (gain a + r) >> 22 is exact. SEL replaces -128 by -127. */
/* clang-format off */
#define EFF_FOUR_WEIGHTS \
    "ldrd r11, r12, [r1], #8\n eor r9, r4, r4, lsr #16\n add r4, r7\n mul r9, r9, r5\n eor r9, r9, r9, lsr #15\n mul r9, r9, r6\n" \
    "eor r9, r9, r9, lsr #16\n bfi r10, r9, #1, #8\n smlawb lr, r3, r11, r10\n ror r9, r9, #16\n bfi r10, r9, #1, #8\n" \
    "smlawt r11, r3, r11, r10\n asr lr, lr, #9\n pkhbt lr, lr, r11, lsl #7\n ror r9, r9, #24\n bfi r10, r9, #1, #8\n" \
    "smlawb r11, r3, r12, r10\n ror r9, r9, #16\n bfi r10, r9, #1, #8\n smlawt r12, r3, r12, r10\n asr r11, r11, #9\n" \
    "pkhbt r11, r11, r12, lsl #7\n ldr r12, [r0]\n sxtb16 r9, r12\n sxtb16 r12, r12, ror #8\n ssub16 r9, r9, lr\n ssub16 r12, r12, r11\n" \
    "ssat16 r9, #8, r9\n ssat16 r12, #8, r12\n uxtb16 r9, r9\n uxtb16 r12, r12\n orr r9, r9, r12, lsl #8\n ssub8 r12, r9, r8\n" \
    "sel r9, r9, r8\n str r9, [r0], #4\n"
__asm__(
    ".syntax unified\n .section .text.eff_update_fours,\"ax\",%progbits\n .balign 4\n .global eff_update_fours\n .thumb_func\n"
    ".type eff_update_fours, %function\n eff_update_fours:\n"
    "push {r4-r11, lr}\n ldr r4, [sp, #36]\n movw r5, #0x352D\n movt r5, #0x7FEB\n movw r6, #0xA68B\n movt r6, #0x846C\n"
    "movw r7, #0x79B9\n movt r7, #0x9E37\n mov r8, #0x81818181\n mov r10, #1\n"
    "tst r2, #1\n add.w r2, r2, #1\n lsr.w r2, r2, #1\n bne 2f\n"
    "1:\n" EFF_FOUR_WEIGHTS
    "2:\n" EFF_FOUR_WEIGHTS
    "subs r2, #1\n bne 1b\n pop {r4-r11, pc}\n"
    ".size eff_update_fours, . - eff_update_fours\n .text\n");
/* clang-format on */

#else

void eff_update_fours(int8_t *w, const uint32_t *a, int32_t fours, int32_t gain_8, uint32_t counter)
{
    for (; fours > 0; --fours, counter += EFF_GOLDEN, a += 2, w += 4) {
        const uint32_t bits = eff_mix(counter);
        for (int32_t k = 0; k < 4; ++k) {
            const int32_t input = eff_half(a[k & 1], k & 2), drawn = (int32_t)((bits >> (8 * k) & 0xFFu) << 14) + (INT32_C(1) << 13);
            w[k] = (int8_t)eff_clamp(w[k] - ((gain_8 / 8 * input + drawn) >> EFF_FRACTION_I8), -127, 127);
        }
    }
}

#endif

/* eff_gain in fewer instructions; `fast`: the factor is one that eff_requantise_i8 takes, and the rate is 1. */
static inline int32_t eff_row_gain(int32_t delta, const eff_step *how, uint32_t rate, int32_t fast)
{
    if (!fast) {
        return eff_gain(delta, how->multiplier, how->shift, rate, INT32_C(1) << 23);
    }
    int32_t v = eff_high_sum(delta, (int32_t)((uint32_t)how->multiplier * 2u), delta);
    v += v >> 31; /* ties away from zero */
    return eff_clamp(eff_high_sum(v, INT32_C(1) << (32 + how->shift), 0), -(INT32_C(1) << 23), INT32_C(1) << 23);
}

/* Stochastic rounding only. The inputs without their zero point are expanded once. */
void eff_dense_update_i8_dsp(int8_t *w, const int16_t *delta, const int8_t *a, const uint32_t *rate, const uint32_t *step,
                             const eff_matrix *size, const eff_step *how, void *scratch)
{
    const int32_t n_out = size->n_out, n_in = size->n_in, whole = n_in & ~3, a_zero = how->a_zero;
    const uint32_t stream = eff_step_key(how->key, *step), draws = ((uint32_t)n_in + 3u) / 4u, zeros = eff_join(a_zero, a_zero);
    const int32_t fast = how->multiplier >= INT32_C(1) << 30 && how->shift <= -2 && *rate == UINT32_C(65536);
    uint32_t *pairs = scratch;
    for (int32_t k = 0; k < whole; k += 4) {
        const uint32_t bytes = eff_load_bytes(a + k);
        pairs[k / 2] = eff_sub_halves(eff_even_bytes(bytes), zeros);
        pairs[k / 2 + 1] = eff_sub_halves(eff_odd_bytes(bytes), zeros);
    }
    for (int32_t j = 0; j < n_out; ++j, w += n_in) {
        const int32_t gain = eff_row_gain(delta[j], how, *rate, fast);
        if (gain == 0) {
            continue;
        }
        const uint32_t counter = stream + (uint32_t)j * draws * EFF_GOLDEN;
        if (whole) {
            eff_update_fours(w, pairs, whole / 4, gain * 8, counter);
        }
        uint32_t bits = whole < n_in ? eff_mix(counter + (draws - 1u) * EFF_GOLDEN) : 0u;
        for (int32_t k = whole; k < n_in; ++k, bits >>= 8) {
            const int32_t drawn = (int32_t)((bits & 0xFFu) << 14) + (INT32_C(1) << 13);
            w[k] = (int8_t)eff_clamp(w[k] - ((gain * (a[k] - a_zero) + drawn) >> EFF_FRACTION_I8), -127, 127);
        }
    }
}
