/* SPDX-License-Identifier: Apache-2.0 */
/* The update of int8 weights with stochastic rounding: four weights in a word, one draw of the generator for them. */
#include "edgeff.h"
#include "eff_plain.h"

/* With a gain up to this v = (gain a + 2^13) >> 14 and eight bits more fit 16 bits; the change is then the upper byte of their sum, for
 * (gain a + (bits << 14) + 2^13) >> 22 = (v + bits) >> 8. */
#define EFF_SMALL_GAIN INT32_C(2000000)

#if defined(__ARM_FEATURE_DSP) && __ARM_FEATURE_DSP

/* In assembly, because it needs every register (docs/adr/0037): 25 instructions for four weights. r0 w, r1 a, r2 `base`, r3 four times the
 * gain, r4 the counter, r5 to r7 the generator's constants, r8 four ones, r9 the draw, r10 to r12 and lr the inputs, then 2^16 v. The frame
 * holds the end of a, a, the gains, how many rows are left, the row, its counter, n_in, the stride and the zero point. The flags GE choose
 * bytes 1 and 3 in SEL. QSUB8 and QADD8 of one raise -128 to -127. */
/* clang-format off */
#define EFF_FOUR_WEIGHTS \
    "ldrsb r11, [r1, #1]\n ldrsb r12, [r1, #2]\n ldrsb lr, [r1, #3]\n ldrsb r10, [r1], #4\n" \
    "eor r9, r4, r4, lsr #16\n add r4, r7\n mul r9, r9, r5\n eor r9, r9, r9, lsr #15\n mul r9, r9, r6\n eor r9, r9, r9, lsr #16\n" \
    "mla r10, r10, r3, r2\n mla r11, r11, r3, r2\n mla r12, r12, r3, r2\n mla lr, lr, r3, r2\n" \
    "pkhtb r10, r12, r10, asr #16\n pkhtb r11, lr, r11, asr #16\n uxtab16 r10, r10, r9\n uxtab16 r11, r11, r9, ror #8\n" \
    "ldr r12, [r0]\n lsr r10, r10, #8\n sel r11, r11, r10\n" \
    "qsub8 r12, r12, r11\n qsub8 r12, r12, r8\n qadd8 r12, r12, r8\n str r12, [r0], #4\n"
__asm__(
    ".syntax unified\n .section .text.eff_update_rows,\"ax\",%progbits\n .balign 4\n .global eff_update_rows\n .thumb_func\n"
    ".type eff_update_rows, %function\n eff_update_rows:\n"
    "push {r4-r11, lr}\n sub sp, #36\n ldr r12, [sp, #72]\n ldmia r12, {r5, r6, r7, r8, r9}\n add r10, r1, r6, lsl #2\n"
    "strd r10, r1, [sp]\n strd r2, r3, [sp, #8]\n strd r0, r8, [sp, #16]\n strd r5, r9, [sp, #24]\n str r7, [sp, #32]\n"
    "movw r5, #0x352D\n movt r5, #0x7FEB\n movw r6, #0xA68B\n movt r6, #0x846C\n movw r7, #0x79B9\n movt r7, #0x9E37\n"
    "mov r8, #0x01010101\n mov r9, #0x80008000\n uadd8 r9, r9, r9\n"
    "1:\n ldr r12, [sp, #8]\n ldr r3, [r12], #4\n str r12, [sp, #8]\n cmp r3, #0\n beq 4f\n"
    "ldr r9, [sp]\n ldr r1, [sp, #4]\n ldr r2, [sp, #32]\n ldr r4, [sp, #20]\n lsl r3, r3, #2\n mul r2, r2, r3\n rsb r2, r2, #0x8000\n"
    "sub r9, r9, r1\n lsls r9, r9, #29\n bne 3f\n"
    "2:\n" EFF_FOUR_WEIGHTS
    "3:\n" EFF_FOUR_WEIGHTS
    "ldr r9, [sp]\n cmp r1, r9\n bne 2b\n"
    "4:\n ldrd r0, r4, [sp, #16]\n ldrd r9, r12, [sp, #24]\n ldr r10, [sp, #12]\n add r0, r9\n add r4, r12\n strd r0, r4, [sp, #16]\n"
    "subs r10, #1\n str r10, [sp, #12]\n bne 1b\n add sp, #36\n pop {r4-r11, pc}\n"
    ".size eff_update_rows, . - eff_update_rows\n .text\n");
/* clang-format on */

#else

void eff_update_rows(int8_t *w, const int8_t *a, const int32_t *gains, int32_t count, const eff_rows *rows)
{
    for (int32_t row = 0; row < count; ++row, w += rows->n_in) {
        const int32_t gain_4 = 4 * gains[row], base = (INT32_C(1) << 15) - gain_4 * rows->a_zero;
        uint32_t counter = rows->counter + (uint32_t)row * rows->stride;
        for (int32_t four = 0; gain_4 != 0 && four < rows->fours; ++four, counter += EFF_GOLDEN) {
            const uint32_t bits = eff_mix(counter);
            for (int32_t k = 4 * four; k < 4 * four + 4; ++k) {
                const int32_t v = (gain_4 * a[k] + base) >> 16;
                w[k] = (int8_t)eff_clamp(w[k] - ((v + (int32_t)(bits >> (8 * (k & 3)) & 0xFFu)) >> 8), -127, 127);
            }
        }
    }
}

#endif

static inline uint32_t eff_is_large(int32_t gain) { return (uint32_t)gain + (uint32_t)EFF_SMALL_GAIN > 2u * (uint32_t)EFF_SMALL_GAIN; }

/* The gains of `count` rows; whether one is large. */
static EFF_NOINLINE uint32_t eff_row_gains(int32_t *gains, const int16_t *delta, int32_t count, const eff_step *how, uint32_t rate)
{
    const eff_factor by = eff_factor_of(how->multiplier, how->shift, INT16_MAX);
    const int32_t fast = by.fits && rate == UINT32_C(65536), limit = INT32_C(1) << 23;
    uint32_t large = 0;
    EFF_ROLLED
    for (int32_t row = 0; fast && row < count; ++row) {
        gains[row] = eff_scaled(delta[row], &by);
        large |= eff_is_large(gains[row]);
    }
    EFF_ROLLED
    for (int32_t row = 0; !fast && row < count; ++row) {
        gains[row] = eff_gain(delta[row], how->multiplier, how->shift, rate, limit);
        large |= eff_is_large(gains[row]);
    }
    EFF_ROLLED
    for (int32_t row = 0; large && row < count; ++row) {
        gains[row] = eff_clamp(gains[row], -limit, limit);
    }
    return large;
}

/* What a step leaves to do after its fours: the last weights of each row, and all of a row with a large gain, whose gain becomes 0. */
static EFF_NOINLINE void eff_update_rest(int8_t *w, const int8_t *a, int32_t *gains, int32_t count, const eff_rows *rows)
{
    const int32_t n_in = rows->n_in, a_zero = rows->a_zero;
    uint32_t stream = rows->counter;
    for (int32_t i = 0; i < count; ++i, stream += rows->stride, w += n_in) {
        const int32_t gain = gains[i], large = (int32_t)eff_is_large(gain), first = large ? 0 : 4 * rows->fours;
        uint32_t counter = stream + (uint32_t)first / 4u * EFF_GOLDEN, bits = 0u;
        EFF_ROLLED
        for (int32_t k = gain == 0 ? n_in : first; k < n_in; ++k, bits >>= 8) {
            if ((k & 3) == 0) {
                bits = eff_mix(counter);
                counter += EFF_GOLDEN;
            }
            const int32_t drawn = (int32_t)((bits & 0xFFu) << 14) + (INT32_C(1) << 13);
            w[k] = (int8_t)eff_clamp(w[k] - ((gain * (a[k] - a_zero) + drawn) >> EFF_FRACTION_I8), -127, 127);
        }
        gains[i] = large ? 0 : gain;
    }
}

#define EFF_CHUNK 16 /* rows at a time */

/* Stochastic rounding only. */
void eff_dense_update_i8_dsp(int8_t *w, const int16_t *delta, const int8_t *a, const uint32_t *rate, const uint32_t *step,
                             const eff_matrix *size, const eff_step *how)
{
    const int32_t n_out = size->n_out, n_in = size->n_in, whole = n_in & ~3;
    const uint32_t stride = ((uint32_t)n_in + 3u) / 4u * EFF_GOLDEN;
    eff_rows rows = {n_in, n_in / 4, how->a_zero, eff_step_key(how->key, *step), stride};
    for (int32_t j = 0; j < n_out; j += EFF_CHUNK, rows.counter += EFF_CHUNK * stride, w += EFF_CHUNK * (size_t)n_in) {
        const int32_t count = n_out - j < EFF_CHUNK ? n_out - j : EFF_CHUNK;
        int32_t gains[EFF_CHUNK];
        const uint32_t any_large = eff_row_gains(gains, delta + j, count, how, *rate);
        if (any_large || whole < n_in) {
            eff_update_rest(w, a, gains, count, &rows);
        }
        eff_update_rows(w, a, gains, count, &rows);
    }
}
