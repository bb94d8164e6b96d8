/* SPDX-License-Identifier: Apache-2.0 */
/* float32 input gradients by an FPU: rows are added into d in index order, four rows by eight columns at a time. */
#include "edgeff.h"
#include "eff_fpu.h"

#ifdef EFF_FPU

/* In assembly as fpu.c is. r0 d, r1 the deltas, r2 the first row; s0 to s7 d, s8 to s11 deltas, s12 to s19 and s20 to s27 two rows. */
/* clang-format off */
#define EFF_TWO_ROWS(w, w2, delta, delta2) \
    "vldmia " w "!, {s12-s19}\n vldmia " w2 "!, {s20-s27}\n" \
    EFF_ADD_FIRST("s0", "s12", delta, "s1", "s13", delta) EFF_ADD_SECOND("s2", "s14", delta, "s3", "s15", delta) \
    EFF_ADD_FIRST("s4", "s16", delta, "s5", "s17", delta) EFF_ADD_FIRST("s6", "s18", delta, "s7", "s19", delta) \
    EFF_ADD_FIRST("s0", "s20", delta2, "s1", "s21", delta2) EFF_ADD_FIRST("s2", "s22", delta2, "s3", "s23", delta2) \
    EFF_ADD_SECOND("s4", "s24", delta2, "s5", "s25", delta2) EFF_ADD_FIRST("s6", "s26", delta2, "s7", "s27", delta2)
__asm__(
    EFF_FUNCTION("eff_float_columns")
    "push {r4-r11}\n mov r5, r3\n ldr r6, [sp, #32]\n"
    EFF_SIZES("r0")
    EFF_ROWS("r2", "r0",
             "vldmia r1!, {s8-s11}\n",
             "vldmia r11, {s0-s7}\n" EFF_TWO_ROWS("r2", "r8", "s8", "s9") EFF_TWO_ROWS("r9", "r10", "s10", "s11") "vstmia r11!, {s0-s7}\n",
             "",
             "vldmia r1, {s8-s9}\n",
             "vldmia r11, {s0-s7}\n" EFF_TWO_ROWS("r2", "r8", "s8", "s9") "vstmia r11!, {s0-s7}\n",
             "")
    EFF_END("eff_float_columns"));
/* clang-format on */

#else

void eff_float_columns(float *d, const float *delta, const float *w, int32_t n_in, int32_t n_out)
{
    for (int32_t j = 0; j < (n_out & ~1); ++j, w += n_in) {
        for (int32_t k = 0; k < (n_in & ~7); ++k) {
            d[k] += delta[j] * w[k];
        }
    }
}

#endif

void eff_input_gradient_f32_fpu(float *d, const float *delta, const float *w, const eff_matrix *size)
{
    const int32_t n_out = size->n_out, n_in = size->n_in, even = n_out & ~1, whole = n_in & ~7;
    for (int32_t k = 0; k < n_in; ++k) {
        d[k] = 0.0f;
    }
    eff_float_columns(d, delta, w, n_in, n_out);
    EFF_ROLLED
    for (int32_t k = 0; even < n_out && k < whole; ++k) {
        d[k] += delta[even] * w[(size_t)even * (size_t)n_in + (size_t)k];
    }
    EFF_ROLLED
    for (int32_t k = whole; k < n_in; ++k) {
        const float *column = w + k;
        EFF_ROLLED
        for (int32_t j = 0; j < n_out; ++j, column += n_in) {
            d[k] += delta[j] * *column;
        }
    }
}
