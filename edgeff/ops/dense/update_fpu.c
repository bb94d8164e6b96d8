/* SPDX-License-Identifier: Apache-2.0 */
/* The update of float32 weights by an FPU: four rows by eight columns at a time, loaded and stored by one instruction a row. */
#include "edgeff.h"
#include "eff_fpu.h"

#ifdef EFF_FPU

/* In assembly as fpu.c is. r0 the first row, r1 a, r2 the deltas, r3 the rate; s0 to s7 a, s8 to s11 gains, s12 to s19 and s20 to s27 two
 * rows of weights, s28 and s29 products, s30 the rate. */
/* clang-format off */
#define EFF_TWO_STEPS(w, w2, gain, gain2) \
    "vldmia " w ", {s12-s19}\n vldmia " w2 ", {s20-s27}\n" \
    EFF_TAKE_FIRST("s12", gain, "s0", "s20", gain2, "s0") EFF_TAKE_SECOND("s13", gain, "s1", "s21", gain2, "s1") \
    EFF_TAKE_FIRST("s14", gain, "s2", "s22", gain2, "s2") EFF_TAKE_FIRST("s15", gain, "s3", "s23", gain2, "s3") \
    EFF_TAKE_FIRST("s16", gain, "s4", "s24", gain2, "s4") EFF_TAKE_FIRST("s17", gain, "s5", "s25", gain2, "s5") \
    EFF_TAKE_SECOND("s18", gain, "s6", "s26", gain2, "s6") EFF_TAKE_FIRST("s19", gain, "s7", "s27", gain2, "s7") \
    "vstmia " w "!, {s12-s19}\n vstmia " w2 "!, {s20-s27}\n"
__asm__(
    EFF_FUNCTION("eff_float_steps")
    "push {r4-r11}\n ldrd r5, r6, [sp, #32]\n"
    EFF_SIZES("r1") "vldr s30, [r3]\n"
    EFF_ROWS("r0", "r1",
             "vldmia r2!, {s8-s11}\n vmul.f32 s8, s8, s30\n vmul.f32 s9, s9, s30\n vmul.f32 s10, s10, s30\n vmul.f32 s11, s11, s30\n",
             "vldmia r11!, {s0-s7}\n" EFF_TWO_STEPS("r0", "r8", "s8", "s9") EFF_TWO_STEPS("r9", "r10", "s10", "s11"),
             "",
             "vldmia r2, {s8-s9}\n vmul.f32 s8, s8, s30\n vmul.f32 s9, s9, s30\n",
             "vldmia r11!, {s0-s7}\n" EFF_TWO_STEPS("r0", "r8", "s8", "s9"),
             "")
    EFF_END("eff_float_steps"));
/* clang-format on */

#else

void eff_float_steps(float *w, const float *a, const float *delta, const float *eta, int32_t n_in, int32_t n_out)
{
    for (int32_t j = 0; j < (n_out & ~1); ++j, w += n_in) {
        const float gain = *eta * delta[j];
        for (int32_t k = 0; k < (n_in & ~7); ++k) {
            w[k] -= gain * a[k];
        }
    }
}

#endif

void eff_dense_update_f32_fpu(float *w, const float *delta, const float *a, const uint32_t *rate, const eff_matrix *size, float lr)
{
    const int32_t n_out = size->n_out, n_in = size->n_in, even = n_out & ~1, whole = n_in & ~7;
    const float eta = eff_rate_f32(rate, lr);
    eff_float_steps(w, a, delta, &eta, n_in, n_out);
    for (int32_t j = whole < n_in ? 0 : even; j < n_out; ++j) { /* the columns left, and all of an odd last row */
        float *row = w + (size_t)j * (size_t)n_in;
        const float gain = eta * delta[j];
        EFF_ROLLED
        for (int32_t k = j < even ? whole : 0; k < n_in; ++k) {
            row[k] -= gain * a[k];
        }
    }
}
