/* SPDX-License-Identifier: Apache-2.0 */
/* Four packed rows by four inputs in fourteen instructions. */
#include "edgeff.h"
#include "eff_packed.h"

#if defined(__ARM_FEATURE_DSP) && __ARM_FEATURE_DSP

/* In assembly, because both compilers need a fifth more instructions for it (docs/adr/0037). r0 x, r1 w, r2 A0, r3 T0, r4 A2, r5 T2, r6 to r9
 * weights, r10 and r11 inputs, lr the end of the inputs; the frame holds y, x, quads, y_zero, factors and step. */
/* clang-format off */
#define EFF_TWO_ROWS(w, x, a, t) "sxtb16 r12, " w "\n smlad " a ", " x ", r12, " a "\n smlad " t ", " x ", " w ", " t "\n"
#define EFF_FOUR_INPUTS \
    "ldmia r1!, {r6, r7, r8, r9}\n ldrd r10, r11, [r0], #8\n" \
    EFF_TWO_ROWS("r6", "r10", "r2", "r3") EFF_TWO_ROWS("r7", "r10", "r4", "r5") \
    EFF_TWO_ROWS("r8", "r11", "r2", "r3") EFF_TWO_ROWS("r9", "r11", "r4", "r5")
#define EFF_REQUANTISE(v, doubled, power) \
    "smmlar " v ", " v ", " doubled ", " v "\n add " v ", " v ", " v ", asr #31\n" \
    "smmlar " v ", " v ", " power ", r12\n ssat " v ", #8, " v "\n"
__asm__(
    ".syntax unified\n .section .text.eff_packed_rows,\"ax\",%progbits\n .balign 4\n .global eff_packed_rows\n .thumb_func\n"
    ".type eff_packed_rows, %function\n eff_packed_rows:\n"
    "push {r4-r11, lr}\n mov lr, r3\n add r3, sp, #36\n ldmia r3, {r4, r5, r6, r7}\n sub sp, #28\n"
    "str r0, [sp]\n str r2, [sp, #4]\n strd r4, r5, [sp, #8]\n strd r6, r7, [sp, #16]\n"
    "1: ldr r0, [sp, #4]\n ldrd r2, r4, [r1], #8\n mov r3, r2\n mov r5, r4\n"
    "2:\n" EFF_FOUR_INPUTS EFF_FOUR_INPUTS
    "cmp r0, lr\n bne 2b\n"
    "ldmia r1!, {r6, r7}\n ldr r12, [sp, #12]\n sub r3, r3, r2\n sub r5, r5, r4\n"
    "ldr r0, [sp, #16]\n add r3, r6, r3, asr #8\n add r5, r7, r5, asr #8\n ldmia r0!, {r6, r7, r8, r9, r10, r11}\n"
    EFF_REQUANTISE("r2", "r6", "r7") EFF_REQUANTISE("r3", "r8", "r9") EFF_REQUANTISE("r4", "r10", "r11")
    "ldrd r6, r7, [r0]\n" EFF_REQUANTISE("r5", "r6", "r7")
    "ldrd r6, r7, [sp, #16]\n add r6, r7\n str r6, [sp, #16]\n ldr r0, [sp]\n ldr r12, [sp, #8]\n strb r2, [r0]\n strb r3, [r0, #1]\n strb r4, [r0, #2]\n strb r5, [r0, #3]\n"
    "adds r0, #4\n str r0, [sp]\n subs r12, #1\n str r12, [sp, #8]\n bne 1b\n"
    "mov r0, r1\n add sp, #28\n pop {r4-r11, pc}\n"
    ".size eff_packed_rows, . - eff_packed_rows\n .text\n");
/* clang-format on */

#else

const uint32_t *eff_packed_rows(int8_t *y, const uint32_t *w, const uint32_t *x, const uint32_t *x_end, int32_t quads, int32_t y_zero,
                                const int32_t *factors, int32_t step)
{
    for (; quads > 0; --quads, factors += step / 4) {
        int32_t sums[4];
        uint32_t whole[2];
        for (int32_t pair = 0; pair < 2; ++pair) {
            sums[2 * pair] = (int32_t)*w;
            whole[pair] = *w++;
        }
        for (const uint32_t *p = x; p != x_end; ++p) {
            for (int32_t pair = 0; pair < 2; ++pair, ++w) {
                sums[2 * pair] = eff_dot_halves(eff_even_bytes(*w), *p, sums[2 * pair]);
                whole[pair] += (uint32_t)eff_dot_halves(*w, *p, 0);
            }
        }
        for (int32_t pair = 0; pair < 2; ++pair) {
            const int32_t odd = (int32_t)(whole[pair] - (uint32_t)sums[2 * pair]) >> 8;
            sums[2 * pair + 1] = odd + (int32_t)*w++;
        }
        for (int32_t row = 0; row < 4; ++row) {
            *y++ = (int8_t)eff_requantise_i8(sums[row], factors[2 * row], factors[2 * row + 1], y_zero);
        }
    }
    return w;
}

#endif

/* `w` holds the packed rows with their biases, then those that are left of four as they are; `multiplier` holds both factors of each row,
 * or of four rows if all have the same; b and shift are NULL. */
void eff_dense_i8_packed(int8_t *y, const int8_t *x, const int8_t *w, const int32_t *b, const int32_t *multiplier,
                         const int32_t *shift, const eff_matrix *size, const eff_output_i8 *output, void *scratch)
{
    const int32_t n_out = size->n_out, n_in = size->n_in, whole = n_in & ~3, quads = n_out / 4;
    const uint32_t *next = (const uint32_t *)(const void *)w;
    uint32_t *xs = scratch, *end = xs + (n_in + 7) / 8 * 4;
    (void)b, (void)shift;
    for (int32_t k = 0; k < whole; k += 4) {
        const uint32_t bytes = eff_load_bytes(x + k);
        xs[k / 2] = eff_even_bytes(bytes);
        xs[k / 2 + 1] = eff_odd_bytes(bytes);
    }
    uint32_t *tail = xs + whole / 2;
    for (uint32_t *p = tail; p != end; ++p) {
        *p = 0;
    }
    for (int32_t i = whole; i < n_in; ++i) { /* inputs k and k + 2 lie in word 0, k + 1 and k + 3 in word 1 */
        tail[i & 1] |= ((uint32_t)x[i] & 0xFFFFu) << (8 * (i & 2));
    }
    if (quads) {
        next = eff_packed_rows(y, next, xs, end, quads, output->y_zero, multiplier, output->per_channel ? 32 : 0);
    }
    for (int32_t j = 4 * quads; j < n_out; ++j, next += 1 + (n_in + 3) / 4) {
        const int8_t *row = (const int8_t *)(next + 1);
        const int32_t *factors = multiplier + (output->per_channel ? 2 * j : 0);
        int32_t s = (int32_t)next[0];
        for (int32_t k = 0; k < n_in; ++k) {
            s += row[k] * ((int32_t)(int16_t)(uint16_t)(xs[k / 4 * 2 + (k & 1)] >> (8 * (k & 2))));
        }
        y[j] = (int8_t)eff_requantise_i8(s, factors[0], factors[1], output->y_zero);
    }
    eff_limit_i8(y, n_out, output->y_min, output->y_max);
}
