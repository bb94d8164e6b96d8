/* SPDX-License-Identifier: Apache-2.0 */
/* Weights as they are, because they learn: four rows by four inputs at a time, two products per instruction. */
#include "edgeff.h"
#include "eff_plain.h"

#if defined(__ARM_FEATURE_DSP) && __ARM_FEATURE_DSP

/* In assembly, because both compilers need half as many instructions again (docs/adr/0037). r0 to r3 the rows, r4 to r7 their sums, r8 the
 * pairs, up to lr, r9 and r10 four inputs, r11 and r12 weights. The frame holds the sums, n_in, the pairs, how many groups of four rows are
 * left, and the inputs of a row after the fours. */
/* clang-format off */
#define EFF_ROW(w, sum) "ldr r11, [" w "], #4\n sxtb16 r12, r11\n smlad " sum ", r9, r12, " sum "\n sxtb16 r11, r11, ror #8\n" \
    "smlad " sum ", r10, r11, " sum "\n"
#define EFF_FOUR_ROWS "ldrd r9, r10, [r8], #8\n" EFF_ROW("r0", "r4") EFF_ROW("r1", "r5") EFF_ROW("r2", "r6") EFF_ROW("r3", "r7")
__asm__(
    ".syntax unified\n .section .text.eff_plain_rows,\"ax\",%progbits\n .balign 4\n .global eff_plain_rows\n .thumb_func\n"
    ".type eff_plain_rows, %function\n eff_plain_rows:\n"
    "push {r4-r11, lr}\n sub sp, #20\n ldrd lr, r4, [sp, #56]\n strd r0, r2, [sp]\n strd r3, r4, [sp, #8]\n"
    "sub r4, lr, r3\n sub r4, r2, r4, lsr #1\n str r4, [sp, #16]\n mov r0, r1\n"
    "1:\n ldrd r12, r8, [sp, #4]\n add r1, r0, r12\n add r2, r1, r12\n add r3, r2, r12\n"
    "mov r4, #0\n mov r5, #0\n mov r6, #0\n mov r7, #0\n sub r12, lr, r8\n lsls r12, r12, #28\n bmi 3f\n"
    "2:\n" EFF_FOUR_ROWS "3:\n" EFF_FOUR_ROWS "cmp r8, lr\n bne 2b\n"
    "ldr r12, [sp]\n stmia r12!, {r4, r5, r6, r7}\n str r12, [sp]\n ldrd r11, r12, [sp, #12]\n add r0, r3, r12\n"
    "subs r11, #1\n str r11, [sp, #12]\n bne 1b\n add sp, #20\n pop {r4-r11, pc}\n"
    ".size eff_plain_rows, . - eff_plain_rows\n .text\n");
/* clang-format on */

#else

void eff_plain_rows(int32_t *sums, const int8_t *w, int32_t n_in, const uint32_t *pairs, const uint32_t *end, int32_t groups)
{
    for (int32_t row = 0; row < 4 * groups; ++row, w += n_in) {
        const int8_t *v = w;
        sums[row] = 0;
        for (const uint32_t *p = pairs; p != end; p += 2, v += 4) {
            const uint32_t bytes = eff_load_bytes(v);
            sums[row] = eff_dot_halves(eff_odd_bytes(bytes), p[1], eff_dot_halves(eff_even_bytes(bytes), p[0], sums[row]));
        }
    }
}

#endif

/* Adds the last n inputs, one to three, to the sums of `rows` rows; in place of one that is not there the first counts 0 times. */
static EFF_NOINLINE void eff_add_rest(int32_t *sums, const int8_t *w, int32_t n_in, const int16_t *rest, int32_t n, int32_t rows)
{
    const int32_t second = n > 1 ? 1 : 0, third = n > 2 ? 2 : 0;
    const int32_t r0 = rest[0], r1 = second ? rest[1] : 0, r2 = third ? rest[2] : 0;
    EFF_ROLLED
    for (int32_t row = 0; row < rows; ++row, w += n_in) {
        sums[row] += w[0] * r0 + w[second] * r1 + w[third] * r2;
    }
}

/* The sums of fewer than four rows, or of rows of fewer than four inputs. */
static EFF_NOINLINE void eff_few_rows(int32_t *sums, const int8_t *w, int32_t n_in, const uint32_t *pairs, int32_t whole, int32_t rows)
{
    for (int32_t row = 0; row < rows; ++row, w += n_in) {
        sums[row] = 0;
        EFF_ROLLED
        for (int32_t k = 0; k < whole; ++k) {
            sums[row] += w[k] * eff_half(pairs[k / 4 * 2 + (k & 1)], k & 2);
        }
    }
}

#define EFF_CHUNK 16 /* rows at a time */

/* Outputs of n rows from their sums; without `per_channel` one multiplier serves them all. */
static EFF_NOINLINE void eff_outputs(int8_t *y, int32_t *sums, const int32_t *b, int32_t n, const int32_t *multiplier, const int32_t *shift,
                                     int32_t per_channel, int32_t y_zero)
{
    EFF_ROLLED
    for (int32_t i = 0; b && i < n; ++i) {
        sums[i] += b[i];
    }
    EFF_ROLLED
    for (int32_t i = 0; per_channel && i < n; ++i) {
        y[i] = (int8_t)eff_requantise_i8(sums[i], (int32_t)((uint32_t)multiplier[i] * 2u), INT32_C(1) << (32 + shift[i]), y_zero);
    }
    const int32_t doubled = (int32_t)((uint32_t)multiplier[0] * 2u), power = INT32_C(1) << (32 + shift[0]);
    for (int32_t i = 0; !per_channel && i < n; ++i) {
        y[i] = (int8_t)eff_requantise_i8(sums[i], doubled, power, y_zero);
    }
}

void eff_dense_i8_dsp(int8_t *y, const int8_t *x, const int8_t *w, const int32_t *b, const int32_t *multiplier, const int32_t *shift,
                      const eff_matrix *size, const eff_output_i8 *output, void *scratch)
{
    const int32_t n_out = size->n_out, n_in = size->n_in, whole = n_in & ~3, x_zero = output->x_zero, per_channel = output->per_channel;
    const uint32_t below = eff_join(-x_zero, -x_zero);
    uint32_t *pairs = scratch;
    int16_t *rest = (int16_t *)(pairs + whole / 2);
    for (int32_t k = 0; k < whole; k += 4) {
        const uint32_t bytes = eff_load_bytes(x + k);
        pairs[k / 2] = eff_add_even_bytes(below, bytes);
        pairs[k / 2 + 1] = eff_add_odd_bytes(below, bytes);
    }
    EFF_ROLLED
    for (int32_t k = whole; k < n_in; ++k) {
        rest[k - whole] = (int16_t)(x[k] - x_zero);
    }
    for (int32_t j = 0; j < n_out;) {
        int32_t sums[EFF_CHUNK], rows = n_out - j < EFF_CHUNK ? n_out - j : EFF_CHUNK;
        if (rows < 4 && n_out >= 4) { /* the last four, some of them again */
            j = n_out - 4;
            rows = 4;
        }
        rows = rows < 4 ? rows : rows & ~3;
        const int8_t *first = w + (size_t)j * (size_t)n_in;
        const int32_t channel = per_channel ? j : 0;
        if (whole && rows >= 4) {
            eff_plain_rows(sums, first, n_in, pairs, pairs + whole / 2, rows / 4);
        } else {
            eff_few_rows(sums, first, n_in, pairs, whole, rows);
        }
        if (whole < n_in) {
            eff_add_rest(sums, first + whole, n_in, rest, n_in - whole, rows);
        }
        eff_outputs(y + j, sums, b ? b + j : NULL, rows, multiplier + channel, shift + channel, per_channel, output->y_zero);
        j += rows;
    }
    eff_limit_i8(y, n_out, output->y_min, output->y_max);
}
