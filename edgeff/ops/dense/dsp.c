/* SPDX-License-Identifier: Apache-2.0 */
/* Weights as they are, because they learn: four rows by four inputs at a time, two products per instruction. */
#include "edgeff.h"
#include "eff_plain.h"

#if defined(__ARM_FEATURE_DSP) && __ARM_FEATURE_DSP

/* In assembly, because both compilers need half as many instructions again (docs/adr/0037). r0 to r3 the rows, r4 to r7 their sums, r8 the
 * pairs, up to lr, r9 and r10 four inputs, r11 and r12 weights. */
/* clang-format off */
#define EFF_ROW(w, sum) "ldr r11, [" w "], #4\n sxtb16 r12, r11\n smlad " sum ", r9, r12, " sum "\n sxtb16 r11, r11, ror #8\n" \
    "smlad " sum ", r10, r11, " sum "\n"
#define EFF_FOUR_ROWS "ldrd r9, r10, [r8], #8\n" EFF_ROW("r0", "r4") EFF_ROW("r1", "r5") EFF_ROW("r2", "r6") EFF_ROW("r3", "r7")
__asm__(
    ".syntax unified\n .section .text.eff_plain_rows,\"ax\",%progbits\n .balign 4\n .global eff_plain_rows\n .thumb_func\n"
    ".type eff_plain_rows, %function\n eff_plain_rows:\n"
    "push {r0, r4-r11, lr}\n ldr lr, [sp, #40]\n mov r8, r3\n mov r0, r1\n add r1, r0, r2\n add r3, r1, r2, lsl #1\n add r2, r1, r2\n"
    "mov r4, #0\n mov r5, #0\n mov r6, #0\n mov r7, #0\n sub r12, lr, r8\n lsls r12, r12, #28\n bmi 2f\n"
    "1:\n" EFF_FOUR_ROWS "2:\n" EFF_FOUR_ROWS "cmp r8, lr\n bne 1b\n"
    "ldr r0, [sp]\n stmia r0, {r4, r5, r6, r7}\n pop {r0, r4-r11, pc}\n"
    ".size eff_plain_rows, . - eff_plain_rows\n .text\n");
/* clang-format on */

#else

void eff_plain_rows(int32_t *sums, const int8_t *w, int32_t n_in, const uint32_t *pairs, const uint32_t *end)
{
    for (int32_t row = 0; row < 4; ++row, w += n_in) {
        const int8_t *v = w;
        sums[row] = 0;
        for (const uint32_t *p = pairs; p != end; p += 2, v += 4) {
            const uint32_t bytes = eff_load_bytes(v);
            sums[row] = eff_dot_halves(eff_odd_bytes(bytes), p[1], eff_dot_halves(eff_even_bytes(bytes), p[0], sums[row]));
        }
    }
}

#endif

/* Adds the last n inputs, fewer than four, to the sums of four rows. */
static EFF_NOINLINE void eff_add_rest(int32_t *sums, const int8_t *w, int32_t n_in, const int16_t *rest, int32_t n)
{
    for (int32_t row = 0; row < 4; ++row, w += n_in) {
        EFF_ROLLED
        for (int32_t k = 0; k < n; ++k) {
            sums[row] += (int32_t)w[k] * rest[k];
        }
    }
}

#define EFF_ROW_OUTPUT(row) \
    y[j + (row)] = (int8_t)eff_requantise_i8(sums[row] + (b ? b[j + (row)] : 0), (int32_t)((uint32_t)multiplier[(j + (row)) * step] * 2u), \
                                             INT32_C(1) << (32 + shift[(j + (row)) * step]), y_zero)

void eff_dense_i8_dsp(int8_t *y, const int8_t *x, const int8_t *w, const int32_t *b, const int32_t *multiplier, const int32_t *shift,
                      const eff_matrix *size, const eff_output_i8 *output, void *scratch)
{
    const int32_t n_out = size->n_out, n_in = size->n_in, whole = n_in & ~3, x_zero = output->x_zero;
    const uint32_t zeros = eff_join(x_zero, x_zero);
    uint32_t *pairs = scratch;
    int16_t *rest = (int16_t *)(pairs + whole / 2);
    for (int32_t k = 0; k < whole; k += 4) {
        const uint32_t bytes = eff_load_bytes(x + k);
        pairs[k / 2] = eff_sub_halves(eff_even_bytes(bytes), zeros);
        pairs[k / 2 + 1] = eff_sub_halves(eff_odd_bytes(bytes), zeros);
    }
    EFF_ROLLED
    for (int32_t k = whole; k < n_in; ++k) {
        rest[k - whole] = (int16_t)(x[k] - x_zero);
    }
    const int32_t step = output->per_channel ? 1 : 0, y_zero = output->y_zero;
    for (int32_t j = 0; n_out >= 4 && j < n_out; j += 4) {
        int32_t sums[4] = {0, 0, 0, 0};
        j = j < n_out - 4 ? j : n_out - 4; /* the last four, some of them again */
        const int8_t *rows = w + (size_t)j * (size_t)n_in;
        if (whole) {
            eff_plain_rows(sums, rows, n_in, pairs, pairs + whole / 2);
        }
        if (whole < n_in) {
            eff_add_rest(sums, rows + whole, n_in, rest, n_in - whole);
        }
        EFF_ROW_OUTPUT(0);
        EFF_ROW_OUTPUT(1);
        EFF_ROW_OUTPUT(2);
        EFF_ROW_OUTPUT(3);
    }
    for (int32_t j = 0; n_out < 4 && j < n_out; ++j, w += n_in) {
        int32_t s = b ? b[j] : 0;
        EFF_ROLLED
        for (int32_t k = 0; k < n_in; ++k) {
            s += w[k] * (k < whole ? eff_half(pairs[k / 4 * 2 + (k & 1)], k & 2) : rest[k - whole]);
        }
        y[j] = (int8_t)eff_requantise_i8(s, (int32_t)((uint32_t)multiplier[j * step] * 2u), INT32_C(1) << (32 + shift[j * step]), y_zero);
    }
    eff_limit_i8(y, n_out, output->y_min, output->y_max);
}
