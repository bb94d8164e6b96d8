/* SPDX-License-Identifier: Apache-2.0 */
/* float32 sums and steps of four rows by eight columns, for cores with Thumb-2 and an FPU; elsewhere the same in plain C. */
#ifndef EFF_FPU_H
#define EFF_FPU_H

#include "edgeff.h"

/* The first three take two rows or more, all but an odd last one, and eight columns or more, all but those after the last eight. */

/* y = b + w x, in index order; `step` is 4, or 0 where the four numbers at b are those of every row. */
void eff_float_rows(float *y, const float *w, const float *x, const float *b, int32_t step, int32_t n_in, int32_t n_out);

/* d += w^T delta, in the order of the rows. */
void eff_float_columns(float *d, const float *delta, const float *w, int32_t n_in, int32_t n_out);

/* w -= (*eta delta) a^T. */
void eff_float_steps(float *w, const float *a, const float *delta, const float *eta, int32_t n_in, int32_t n_out);

/* Adds to each of n y the entries of eight tables of sixteen, chosen by four bits each of the draw of a counter that grows by `stride`. */
void eff_float_chosen(float *y, const float *sums, int32_t n, uint32_t counter, uint32_t stride);

#if defined(__thumb2__) && defined(__ARM_FEATURE_DSP) && __ARM_FEATURE_DSP && defined(__ARM_FP) && (__ARM_FP & 4)
#define EFF_FPU 1

/* VMLA and VMLS round the product and the sum, as VMUL and VADD do one after the other: the same bits in one instruction and three cycles
 * instead of two and two (Arm 100166). EFF_CHAINED says how many of eight columns take them: 0 for none, 1 for five in a sum and six in
 * a step or a gradient, 2 for all (docs/adr/0056). */
#ifndef EFF_CHAINED
#define EFF_CHAINED 1
#endif

/* Two products and sums at a time, so that no instruction waits for the result of the one before it. The first form changes a. */
/* clang-format off */
#define EFF_ADD_APART(sum, a, b, sum2, a2, b2) \
    "vmul.f32 " a ", " a ", " b "\n vmul.f32 " a2 ", " a2 ", " b2 "\n vadd.f32 " sum ", " sum ", " a "\n vadd.f32 " sum2 ", " sum2 ", " a2 "\n"
#define EFF_ADD_CHAINED(sum, a, b, sum2, a2, b2) "vmla.f32 " sum ", " a ", " b "\n vmla.f32 " sum2 ", " a2 ", " b2 "\n"
#define EFF_TAKE_APART(sum, a, b, sum2, a2, b2) \
    "vmul.f32 s28, " a ", " b "\n vmul.f32 s29, " a2 ", " b2 "\n vsub.f32 " sum ", " sum ", s28\n vsub.f32 " sum2 ", " sum2 ", s29\n"
#define EFF_TAKE_CHAINED(sum, a, b, sum2, a2, b2) "vmls.f32 " sum ", " a ", " b "\n vmls.f32 " sum2 ", " a2 ", " b2 "\n"

/* The columns of the first kind are chained unless none are, those of the second if all are. */
#if EFF_CHAINED == 0
#define EFF_ADD_FIRST EFF_ADD_APART
#define EFF_TAKE_FIRST EFF_TAKE_APART
#else
#define EFF_ADD_FIRST EFF_ADD_CHAINED
#define EFF_TAKE_FIRST EFF_TAKE_CHAINED
#endif
#if EFF_CHAINED == 2
#define EFF_ADD_SECOND EFF_ADD_CHAINED
#define EFF_TAKE_SECOND EFF_TAKE_CHAINED
#else
#define EFF_ADD_SECOND EFF_ADD_APART
#define EFF_TAKE_SECOND EFF_TAKE_APART
#endif

/* What the loops over rows share. A function begins with its columns in r5 and its rows in r6, the first row at `w`, the vector that every
 * row reads at `v`; r12 is the end of its whole eights, r7 the bytes of the columns after them, r8 to r10 the other rows, r11 runs along v. */
#define EFF_FUNCTION(name) \
    ".syntax unified\n .section .text." name ",\"ax\",%progbits\n .balign 4\n .global " name "\n .thumb_func\n .type " name ", %function\n" name ":\n"
#define EFF_SIZES(v) "bic r7, r5, #7\n add r12, " v ", r7, lsl #2\n sub r7, r5, r7\n lsl r7, r7, #2\n lsl r5, r5, #2\n vpush {d8-d15}\n"
#define EFF_ROWS(w, v, before_four, four, after_four, before_two, two, after_two) \
    "subs r6, r6, #4\n blt 3f\n" \
    "1:\n add r8, " w ", r5\n add r9, r8, r5\n add r10, r9, r5\n mov r11, " v "\n" before_four \
    "2:\n" four "cmp r11, r12\n bne 2b\n" after_four "add " w ", r10, r7\n subs r6, r6, #4\n bge 1b\n" \
    "3:\n lsls r6, r6, #31\n bcc 5f\n add r8, " w ", r5\n mov r11, " v "\n" before_two \
    "4:\n" two "cmp r11, r12\n bne 4b\n" after_two \
    "5:\n vpop {d8-d15}\n pop {r4-r11}\n bx lr\n"
#define EFF_END(name) ".size " name ", . - " name "\n .text\n"
/* clang-format on */
#endif

#endif
