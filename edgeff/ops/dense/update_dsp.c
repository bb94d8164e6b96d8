/* SPDX-License-Identifier: Apache-2.0 */
/* The update of int8 weights with stochastic rounding: four weights in a word, one draw of the generator for them. */
#include "edgeff.h"
#include "eff_plain.h"

/* With a gain up to this v = (gain a + 2^13) >> 14 and eight bits more fit 16 bits; the change is then the upper byte of their sum, for
 * (gain a + (bits << 14) + 2^13) >> 22 = (v + bits) >> 8. */
#define EFF_SMALL_GAIN INT32_C(2000000)

#if defined(__ARM_FEATURE_DSP) && __ARM_FEATURE_DSP

/* In assembly, because it needs every register (docs/adr/0037): 25 instructions for four weights. r0 w, r1 a, r2 `base`, r3 four times the
 * gain, r4 the counter, r5 to r7 the generator's constants, r8 four ones, r9 the draw, r10 to r12 and lr the inputs, then 2^16 v; the frame
 * holds the end of a. The flags GE choose bytes 1 and 3 in SEL. QSUB8 and QADD8 of one raise -128 to -127. */
/* clang-format off */
#define EFF_FOUR_WEIGHTS \
    "ldrsb r11, [r1, #1]\n ldrsb r12, [r1, #2]\n ldrsb lr, [r1, #3]\n ldrsb r10, [r1], #4\n" \
    "eor r9, r4, r4, lsr #16\n add r4, r7\n mul r9, r9, r5\n eor r9, r9, r9, lsr #15\n mul r9, r9, r6\n eor r9, r9, r9, lsr #16\n" \
    "mla r10, r10, r3, r2\n mla r11, r11, r3, r2\n mla r12, r12, r3, r2\n mla lr, lr, r3, r2\n" \
    "pkhtb r10, r12, r10, asr #16\n pkhtb r11, lr, r11, asr #16\n uxtab16 r10, r10, r9\n uxtab16 r11, r11, r9, ror #8\n" \
    "ldr r12, [r0]\n lsr r10, r10, #8\n sel r11, r11, r10\n" \
    "qsub8 r12, r12, r11\n qsub8 r12, r12, r8\n qadd8 r12, r12, r8\n str r12, [r0], #4\n"
__asm__(
    ".syntax unified\n .section .text.eff_update_fours,\"ax\",%progbits\n .balign 4\n .global eff_update_fours\n .thumb_func\n"
    ".type eff_update_fours, %function\n eff_update_fours:\n"
    "push {r0, r4-r11, lr}\n add r9, r1, r2, lsl #2\n str r9, [sp]\n lsls r9, r2, #31\n ldr r4, [sp, #40]\n ldr r2, [sp, #44]\n"
    "movw r5, #0x352D\n movt r5, #0x7FEB\n movw r6, #0xA68B\n movt r6, #0x846C\n movw r7, #0x79B9\n movt r7, #0x9E37\n"
    "mov r8, #0x01010101\n mov r9, #0x80008000\n uadd8 r9, r9, r9\n bne 2f\n"
    "1:\n" EFF_FOUR_WEIGHTS
    "2:\n" EFF_FOUR_WEIGHTS
    "ldr r9, [sp]\n cmp r1, r9\n bne 1b\n pop {r0, r4-r11, pc}\n"
    ".size eff_update_fours, . - eff_update_fours\n .text\n");
/* clang-format on */

#else

void eff_update_fours(int8_t *w, const int8_t *a, int32_t fours, int32_t gain_4, uint32_t counter, int32_t base)
{
    for (; fours > 0; --fours, counter += EFF_GOLDEN, a += 4, w += 4) {
        const uint32_t bits = eff_mix(counter);
        for (int32_t k = 0; k < 4; ++k) {
            const int32_t v = (gain_4 * a[k] + base) >> 16;
            w[k] = (int8_t)eff_clamp(w[k] - ((v + (int32_t)(bits >> (8 * k) & 0xFFu)) >> 8), -127, 127);
        }
    }
}

#endif

/* eff_gain in fewer instructions; `fast`: a shift of 0 to 16, which no delta leaves 32 bits by, a multiplier of 2^30 or more, a rate of 1. */
static inline int32_t eff_row_gain(int32_t delta, const eff_step *how, uint32_t rate, int32_t fast)
{
    if (!fast) {
        return eff_gain(delta, how->multiplier, how->shift, rate, INT32_C(1) << 23);
    }
    const int32_t v = delta * (INT32_C(1) << how->shift);
    return eff_clamp(eff_high_sum(v, (int32_t)((uint32_t)how->multiplier * 2u), v), -(INT32_C(1) << 23), INT32_C(1) << 23);
}

/* Stochastic rounding only. */
void eff_dense_update_i8_dsp(int8_t *w, const int16_t *delta, const int8_t *a, const uint32_t *rate, const uint32_t *step,
                             const eff_matrix *size, const eff_step *how)
{
    const int32_t n_out = size->n_out, n_in = size->n_in, a_zero = how->a_zero;
    const uint32_t stream = eff_step_key(how->key, *step), draws = ((uint32_t)n_in + 3u) / 4u;
    const int32_t fast = how->multiplier >= INT32_C(1) << 30 && how->shift >= 0 && how->shift <= 16 && *rate == UINT32_C(65536);
    for (int32_t j = 0; j < n_out; ++j, w += n_in) {
        const int32_t gain = eff_row_gain(delta[j], how, *rate, fast);
        if (gain == 0) {
            continue;
        }
        const uint32_t counter = stream + (uint32_t)j * draws * EFF_GOLDEN;
        int32_t k = 0;
        if (gain <= EFF_SMALL_GAIN && gain >= -EFF_SMALL_GAIN) {
            k = n_in & ~3;
            eff_update_fours(w, a, k / 4, 4 * gain, counter, (INT32_C(1) << 15) - 4 * gain * a_zero);
        }
        EFF_ROLLED
        for (uint32_t bits = 0u; k < n_in; ++k, bits >>= 8) {
            bits = k & 3 ? bits : eff_mix(counter + (uint32_t)k / 4u * EFF_GOLDEN);
            const int32_t drawn = (int32_t)((bits & 0xFFu) << 14) + (INT32_C(1) << 13);
            w[k] = (int8_t)eff_clamp(w[k] - ((gain * (a[k] - a_zero) + drawn) >> EFF_FRACTION_I8), -127, 127);
        }
    }
}
