/* SPDX-License-Identifier: Apache-2.0 */
/* float32 by an FPU: four rows by eight columns at a time, loaded by one instruction a row; every sum runs in index order from the bias. */
#include "edgeff.h"
#include "eff_fpu.h"

#ifdef EFF_FPU

/* In assembly, because compilers form no loads of several registers here (docs/adr/0056). r0 y, r1 the first row, r2 x, r3 b, r4 the bytes
 * from one four of b to the next; s0 to s7 x, s8 to s11 the sums, s12 to s19 and s20 to s27 two rows of weights. */
/* clang-format off */
#define EFF_TWO_SUMS(w, w2, sum, sum2) \
    "vldmia " w "!, {s12-s19}\n vldmia " w2 "!, {s20-s27}\n" \
    EFF_ADD_FIRST(sum, "s12", "s0", sum2, "s20", "s0") EFF_ADD_SECOND(sum, "s13", "s1", sum2, "s21", "s1") \
    EFF_ADD_FIRST(sum, "s14", "s2", sum2, "s22", "s2") EFF_ADD_FIRST(sum, "s15", "s3", sum2, "s23", "s3") \
    EFF_ADD_SECOND(sum, "s16", "s4", sum2, "s24", "s4") EFF_ADD_FIRST(sum, "s17", "s5", sum2, "s25", "s5") \
    EFF_ADD_FIRST(sum, "s18", "s6", sum2, "s26", "s6") EFF_ADD_SECOND(sum, "s19", "s7", sum2, "s27", "s7")
__asm__(
    EFF_FUNCTION("eff_float_rows")
    "push {r4-r11}\n ldrd r4, r5, [sp, #32]\n ldr r6, [sp, #40]\n lsl r4, r4, #2\n"
    EFF_SIZES("r2")
    EFF_ROWS("r1", "r2",
             "vldmia r3, {s8-s11}\n add r3, r4\n",
             "vldmia r11!, {s0-s7}\n" EFF_TWO_SUMS("r1", "r8", "s8", "s9") EFF_TWO_SUMS("r9", "r10", "s10", "s11"),
             "vstmia r0!, {s8-s11}\n",
             "vldmia r3, {s8-s9}\n",
             "vldmia r11!, {s0-s7}\n" EFF_TWO_SUMS("r1", "r8", "s8", "s9"),
             "vstmia r0, {s8-s9}\n")
    EFF_END("eff_float_rows"));
/* clang-format on */

#else

void eff_float_rows(float *y, const float *w, const float *x, const float *b, int32_t step, int32_t n_in, int32_t n_out)
{
    for (int32_t j = 0; j + 2 <= n_out;) {
        const int32_t rows = j + 4 <= n_out ? 4 : 2;
        float sums[4];
        for (int32_t row = 0; row < rows; ++row, w += n_in) {
            float s = b[step ? j + row : row];
            for (int32_t k = 0; k < (n_in & ~7); ++k) {
                s += w[k] * x[k];
            }
            sums[row] = s;
        }
        for (int32_t row = 0; row < rows; ++row, ++j) { /* y may lie on x */
            y[j] = sums[row];
        }
    }
}

#endif

/* Adds to n_out sums the products of the last n inputs, fewer than eight. */
static EFF_NOINLINE void eff_add_rest(float *y, const float *w, const float *rest, int32_t n, int32_t n_in, int32_t n_out)
{
    for (int32_t j = 0; j < n_out; ++j, w += n_in) {
        float s = y[j];
        EFF_ROLLED
        for (int32_t k = 0; k < n; ++k) {
            s += w[k] * rest[k];
        }
        y[j] = s;
    }
}

/* max(v, 0), 0 for NaN, without a comparison of floats: the numbers above zero have the bits 1 to 0x7F800000. */
static inline float eff_open_f32(float v)
{
    union {
        float value;
        uint32_t bits;
    } u = {v};
    u.bits = u.bits - 1u < UINT32_C(0x7F800000) ? u.bits : 0u;
    return u.value;
}

void eff_dense_f32_fpu(float *y, const float *x, const float *w, const float *b, const eff_matrix *size, int32_t relu)
{
    const int32_t n_out = size->n_out, n_in = size->n_in, even = n_out & ~1, whole = n_in & ~7;
    const float zeros[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    eff_float_rows(y, w, x, b ? b : zeros, b ? 4 : 0, n_in, n_out);
    if (whole < n_in) {
        eff_add_rest(y, w + whole, x + whole, n_in - whole, n_in, even);
    }
    if (even < n_out) {
        const float *row = w + (size_t)even * (size_t)n_in;
        float s = b ? b[even] : 0.0f;
        EFF_ROLLED
        for (int32_t k = 0; k < n_in; ++k) {
            s += row[k] * x[k];
        }
        y[even] = s;
    }
    for (int32_t j = 0; relu == 1 && j < n_out; ++j) {
        y[j] = eff_open_f32(y[j]);
    }
    EFF_ROLLED
    for (int32_t j = 0; relu == 2 && j < n_out; ++j) {
        y[j] = eff_activate_f32(y[j], relu);
    }
}
