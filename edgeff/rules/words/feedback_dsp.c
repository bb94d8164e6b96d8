/* SPDX-License-Identifier: Apache-2.0 */
/* Sums of +-e with the generated feedback matrix: a draw's top bits choose two errors per instruction. */
#include "edgeff.h"
#include "eff_plain.h"

/* The errors as pairs: for a block of 32, word i holds errors 15 - i and 31 - i of it, 0 past the end. Returns the sum of all. */
static int32_t eff_pair_errors(uint32_t *pairs, const int16_t *e, int32_t n_e)
{
    int32_t sum = 0;
    for (int32_t first = 0; first < n_e; first += 32) {
        for (int32_t i = 0; i < 16; ++i) {
            const int32_t lower = first + 15 - i, upper = first + 31 - i;
            const int32_t low = lower < n_e ? e[lower] : 0, high = upper < n_e ? e[upper] : 0;
            *pairs++ = eff_join(low, high);
            sum += low + high;
        }
    }
    return sum;
}

#if defined(__ARM_FEATURE_DSP) && __ARM_FEATURE_DSP

/* In assembly, because compilers do not load four pairs at once, and know nothing of the flags between UADD16, which shifts both halves of
 * the draw and keeps the bits that leave them, and SEL. r0 pairs, r1 blocks, r2 the counter, r3 the draw, r4 to r7 pairs, r8 the sum, r9 ones,
 * r10 zero, r11, r12 and lr the generator's constants. */
/* clang-format off */
#define EFF_CHOOSE(pair) "uadd16 r3, r3, r3\n sel " pair ", " pair ", r10\n smlad r8, " pair ", r9, r8\n"
#define EFF_CHOOSE_8 "ldmia r0!, {r4, r5, r6, r7}\n" EFF_CHOOSE("r4") EFF_CHOOSE("r5") EFF_CHOOSE("r6") EFF_CHOOSE("r7")
__asm__(
    ".syntax unified\n .section .text.eff_chosen_sum,\"ax\",%progbits\n .balign 4\n .global eff_chosen_sum\n .thumb_func\n"
    ".type eff_chosen_sum, %function\n eff_chosen_sum:\n"
    "push {r4-r11, lr}\n mov r8, #0\n mov r9, #0x00010001\n mov r10, #0\n movw r11, #0x352D\n movt r11, #0x7FEB\n"
    "movw r12, #0xA68B\n movt r12, #0x846C\n movw lr, #0x79B9\n movt lr, #0x9E37\n"
    "1: eor r3, r2, r2, lsr #16\n add r2, lr\n mul r3, r3, r11\n eor r3, r3, r3, lsr #15\n mul r3, r3, r12\n eor r3, r3, r3, lsr #16\n"
    EFF_CHOOSE_8 EFF_CHOOSE_8 EFF_CHOOSE_8 EFF_CHOOSE_8
    "subs r1, #1\n bne 1b\n mov r0, r8\n pop {r4-r11, pc}\n"
    ".size eff_chosen_sum, . - eff_chosen_sum\n .text\n");
/* clang-format on */

#else

int32_t eff_chosen_sum(const uint32_t *pairs, int32_t blocks, uint32_t counter)
{
    int32_t s = 0;
    for (; blocks > 0; --blocks, counter += EFF_GOLDEN) {
        uint32_t bits = eff_mix(counter);
        for (int32_t i = 0; i < 16; ++i, bits <<= 1, ++pairs) {
            s += (bits >> 15 & 1u ? eff_half(*pairs, 0) : 0) + (bits >> 31 & 1u ? eff_half(*pairs, 1) : 0);
        }
    }
    return s;
}

#endif

/* Row d of the product, requantised and added to what is there, within the limits; |2 s - sum| <= 32,767 n_e, and so are its parts. */
#define EFF_ROWS(type, held, change_limit, limit_low, limit_high) \
    const int32_t n = how->n, n_e = how->n_e, multiplier = how->multiplier, shift = how->shift; \
    const uint32_t blocks = ((uint32_t)n_e + 31u) / 32u; \
    uint32_t *pairs = scratch, counter = how->key; \
    const int32_t sum = eff_pair_errors(pairs, e, n_e); \
    for (int32_t d = 0; d < n; ++d, counter += blocks * EFF_GOLDEN) { \
        const int32_t chosen = (int32_t)(2u * (uint32_t)eff_chosen_sum(pairs, (int32_t)blocks, counter) - (uint32_t)sum); \
        const int32_t change = eff_clamp(eff_requantise(chosen, multiplier, shift), -(change_limit), change_limit); \
        y[d] = (type)eff_clamp((held) + change, limit_low, limit_high); \
    }

void eff_feedback_add_i8_dsp(int8_t *y, const int16_t *e, const eff_feedback_int *how, void *scratch)
{
    EFF_ROWS(int8_t, y[d], 1024, -128, 127)
}

void eff_feedback_delta_i16_dsp(int16_t *y, const int16_t *e, const eff_feedback_int *how, void *scratch)
{
    EFF_ROWS(int16_t, 0, 131072, -32767, 32767)
}
