/* SPDX-License-Identifier: Apache-2.0 */
/* Sums of +-e with the generated feedback matrix: the bits of a draw, turned where an error is negative, choose magnitudes four at a time. */
#include "edgeff.h"
#include "eff_plain.h"

#define EFF_BLOCK_WORDS 17

/* The magnitudes of the errors as bytes, a block of 32 in EFF_BLOCK_WORDS words: first their signs, error k in bit k, then for i from 0 to 7
 * the lower and the upper bytes of errors 7 - i, 15 - i, 23 - i and 31 - i, 0 past the end. Returns the sum of the magnitudes. */
static EFF_NOINLINE int32_t eff_split_errors(uint32_t *words, const int16_t *e, int32_t n_e)
{
    int32_t sum = 0;
    for (int32_t first = 0; first < n_e; first += 32, words += EFF_BLOCK_WORDS) {
        EFF_ROLLED
        for (int32_t i = 0; i < EFF_BLOCK_WORDS; ++i) {
            words[i] = 0;
        }
        const int32_t count = n_e - first < 32 ? n_e - first : 32;
        EFF_ROLLED
        for (int32_t k = 0; k < count; ++k) {
            const int32_t v = e[first + k], magnitude = v < 0 ? -v : v;
            uint32_t *pair = words + 1 + 2 * (7 - (k & 7));
            words[0] |= (uint32_t)(v < 0) << k;
            pair[0] |= ((uint32_t)magnitude & 0xFFu) << (k & 24);
            pair[1] |= ((uint32_t)magnitude >> 8) << (k & 24);
            sum += magnitude;
        }
    }
    return sum;
}

#if defined(__ARM_FEATURE_DSP) && __ARM_FEATURE_DSP

/* In assembly, because compilers do not load four words at once, and know nothing of the flags between UADD8, which shifts the four bytes of
 * the draw and keeps the bits that leave them, and SEL; USADA8 then adds four bytes. r0 the blocks, r1 how many, r2 the counter, r3 the draw,
 * r4 to r7 bytes, r8 and r9 the sums of lower and of upper ones, r10 zero, r11, r12 and lr the generator's constants. */
/* clang-format off */
#define EFF_CHOOSE(low, high) "uadd8 r3, r3, r3\n sel " low ", " low ", r10\n sel " high ", " high ", r10\n" \
    "usada8 r8, " low ", r10, r8\n usada8 r9, " high ", r10, r9\n"
#define EFF_CHOOSE_8 "ldmia r0!, {r4, r5, r6, r7}\n" EFF_CHOOSE("r4", "r5") EFF_CHOOSE("r6", "r7")
__asm__(
    ".syntax unified\n .section .text.eff_chosen_sum,\"ax\",%progbits\n .balign 4\n .global eff_chosen_sum\n .thumb_func\n"
    ".type eff_chosen_sum, %function\n eff_chosen_sum:\n"
    "push {r4-r11, lr}\n mov r8, #0\n mov r9, #0\n mov r10, #0\n movw r11, #0x352D\n movt r11, #0x7FEB\n"
    "movw r12, #0xA68B\n movt r12, #0x846C\n movw lr, #0x79B9\n movt lr, #0x9E37\n"
    "1: eor r3, r2, r2, lsr #16\n add r2, lr\n mul r3, r3, r11\n eor r3, r3, r3, lsr #15\n ldr r4, [r0], #4\n mul r3, r3, r12\n"
    "eor r3, r3, r3, lsr #16\n eor r3, r3, r4\n"
    EFF_CHOOSE_8 EFF_CHOOSE_8 EFF_CHOOSE_8 EFF_CHOOSE_8
    "subs r1, #1\n bne 1b\n add r0, r8, r9, lsl #8\n pop {r4-r11, pc}\n"
    ".size eff_chosen_sum, . - eff_chosen_sum\n .text\n");
/* clang-format on */

#else

int32_t eff_chosen_sum(const uint32_t *words, int32_t blocks, uint32_t counter)
{
    uint32_t s = 0;
    for (; blocks > 0; --blocks, counter += EFF_GOLDEN, words += EFF_BLOCK_WORDS) {
        const uint32_t bits = eff_mix(counter) ^ words[0];
        for (int32_t k = 0; k < 32; ++k) {
            const uint32_t *pair = words + 1 + 2 * (7 - (k & 7));
            s += bits >> k & 1u ? (pair[0] >> (k & 24) & 0xFFu) + ((pair[1] >> (k & 24) & 0xFFu) << 8) : 0u;
        }
    }
    return (int32_t)s;
}

#endif

/* Row d of the product, requantised and added to what is there, within the limits; |2 s - sum| <= 32,767 n_e, and so are its parts. */
#define EFF_ROWS(type, held, change_limit, limit_low, limit_high) \
    const int32_t n = how->n, n_e = how->n_e, multiplier = how->multiplier, shift = how->shift; \
    const uint32_t blocks = ((uint32_t)n_e + 31u) / 32u; \
    uint32_t *words = scratch, counter = how->key; \
    const int32_t sum = eff_split_errors(words, e, n_e); \
    for (int32_t d = 0; d < n; ++d, counter += blocks * EFF_GOLDEN) { \
        const int32_t chosen = (int32_t)(2u * (uint32_t)eff_chosen_sum(words, (int32_t)blocks, counter) - (uint32_t)sum); \
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
