/* SPDX-License-Identifier: Apache-2.0 */
/* Four rows by sixteen inputs at a time with Helium; the zero point of x is in the bias. */
#include "edgeff.h"
#include "eff_mve.h"

#if defined(__ARM_FEATURE_MVE)

/* The outputs of up to four rows from their sums. */
static inline void eff_four_outputs(int8_t *y, int32x4_t sums, const int32_t *b, const int32_t *multiplier, const int32_t *shift,
                                    const eff_output_i8 *output, mve_pred16_t rows)
{
    const int32x4_t factors = output->per_channel ? vld1q_z_s32(multiplier, rows) : vdupq_n_s32(*multiplier);
    const int32x4_t shifts = output->per_channel ? vld1q_z_s32(shift, rows) : vdupq_n_s32(*shift);
    sums = vaddq_s32(sums, vld1q_z_s32(b, rows));
    vstrbq_p_s32(y, eff_limited(eff_scaled(sums, factors, shifts), output), rows);
}

/* Fours of rows of 64 inputs, with a factor each: the inputs stay in registers. In assembly, because compilers keep other things there and
 * take half as many instructions again. r0 y, r2 w, r3 b, r5 and r7 the factors, r4, r6, r8 and r10 the sums, r9 the zero point; q0 to q3
 * the inputs, q4 and q5 weights and sums, q6 and q7 the limits. */
/* clang-format off */
#define EFF_ROW(sum) \
    "vldrb.u8 q4, [r2], #16\n vldrb.u8 q5, [r2], #16\n vmladav.s8 " sum ", q0, q4\n vmladava.s8 " sum ", q1, q5\n" \
    "vldrb.u8 q4, [r2], #16\n vldrb.u8 q5, [r2], #16\n vmladava.s8 " sum ", q2, q4\n vmladava.s8 " sum ", q3, q5\n"
__asm__(
    ".syntax unified\n .section .text.eff_rows_of_64,\"ax\",%progbits\n .balign 4\n .global eff_rows_of_64\n .thumb_func\n"
    ".type eff_rows_of_64, %function\n eff_rows_of_64:\n"
    "push {r4-r10, lr}\n vpush {d8-d15}\n add r4, sp, #96\n ldm r4, {r5, r7, r8, r10}\n"
    "ldr r9, [r10, #4]\n ldr r4, [r10, #8]\n ldr r6, [r10, #12]\n vdup.32 q7, r4\n vdup.32 q6, r6\n"
    "vldrb.u8 q0, [r1]\n vldrb.u8 q1, [r1, #16]\n vldrb.u8 q2, [r1, #32]\n vldrb.u8 q3, [r1, #48]\n dls lr, r8\n"
    "1:\n" EFF_ROW("r4") EFF_ROW("r6") EFF_ROW("r8") EFF_ROW("r10")
    "vmov d8, r4, r6\n vmov d9, r8, r10\n vldrw.u32 q5, [r3], #16\n vadd.i32 q4, q4, q5\n vldrw.u32 q5, [r5], #16\n"
    "vqrdmulh.s32 q4, q4, q5\n vshr.s32 q5, q4, #31\n vadd.i32 q4, q4, q5\n vldrw.u32 q5, [r7], #16\n vrshl.s32 q4, q4, q5\n"
    "vadd.i32 q4, q4, r9\n vmin.s32 q4, q4, q6\n vmax.s32 q4, q4, q7\n vstrb.32 q4, [r0], #4\n le lr, 1b\n"
    "vpop {d8-d15}\n pop {r4-r10, pc}\n"
    ".size eff_rows_of_64, . - eff_rows_of_64\n .text\n");
/* clang-format on */

void eff_dense_i8_mve(int8_t *y, const int8_t *x, const int8_t *w, const int32_t *b, const int32_t *multiplier, const int32_t *shift,
                      const eff_matrix *size, const eff_output_i8 *output)
{
    const int32_t n_out = size->n_out, n_in = size->n_in, whole = n_in & ~15, step = output->per_channel ? 1 : 0;
    if (n_in == 64 && n_out % 4 == 0 && step) {
        eff_rows_of_64(y, x, w, b, multiplier, shift, n_out / 4, output);
        return;
    }
    for (int32_t j = 0; j < n_out; j += 4) {
        const int32_t last = n_out - 1 - j;
        const int8_t *p = x, *w0 = w + (size_t)j * (size_t)n_in, *w1 = w0 + (last > 0 ? n_in : 0), *w2 = w1 + (last > 1 ? n_in : 0),
                     *w3 = w2 + (last > 2 ? n_in : 0);
        int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
        EFF_ROLLED
        for (int32_t k = whole; k > 0; k -= 16, p += 16, w0 += 16, w1 += 16, w2 += 16, w3 += 16) {
            const int8x16_t v = vld1q_s8(p);
            s0 = vmladavaq_s8(s0, v, vld1q_s8(w0));
            s1 = vmladavaq_s8(s1, v, vld1q_s8(w1));
            s2 = vmladavaq_s8(s2, v, vld1q_s8(w2));
            s3 = vmladavaq_s8(s3, v, vld1q_s8(w3));
        }
        if (whole < n_in) {
            const mve_pred16_t rest = vctp8q((uint32_t)(n_in - whole));
            const int8x16_t v = vld1q_z_s8(p, rest);
            s0 = vmladavaq_s8(s0, v, vld1q_z_s8(w0, rest));
            s1 = vmladavaq_s8(s1, v, vld1q_z_s8(w1, rest));
            s2 = vmladavaq_s8(s2, v, vld1q_z_s8(w2, rest));
            s3 = vmladavaq_s8(s3, v, vld1q_z_s8(w3, rest));
        }
        eff_four_outputs(y + j, eff_vector(s0, s1, s2, s3), b + j, multiplier + j * step, shift + j * step, output,
                         vctp32q((uint32_t)(n_out - j)));
    }
}

#else

void eff_dense_i8_mve(int8_t *y, const int8_t *x, const int8_t *w, const int32_t *b, const int32_t *multiplier, const int32_t *shift,
                      const eff_matrix *size, const eff_output_i8 *output)
{
    for (int32_t j = 0; j < size->n_out; ++j, w += size->n_in) {
        const int32_t channel = output->per_channel ? j : 0;
        int32_t s = b[j];
        for (int32_t k = 0; k < size->n_in; ++k) {
            s += w[k] * x[k];
        }
        y[j] = eff_to_i8(eff_requantise(s, multiplier[channel], shift[channel]), output->y_zero, output->y_min, output->y_max);
    }
}

#endif
