/* Kernels of the small hand-written model that the tests of the toolchains and of the emulator build. */
#ifndef EDGEFF_H
#define EDGEFF_H

#include <stddef.h>
#include <stdint.h>

/* y[r] = bias[r] + sum over c of w[r][c] * x[c], in the order of c; with relu, negative sums become 0. */
void eff_dense_f32(float *y, const float *x, const float *w, const float *bias, int32_t rows, int32_t columns, int32_t relu);
/* e = one_hot(label) - y */
void eff_error_f32(float *e, const float *y, const int32_t *label, int32_t n);
/* d = w^T e where h > 0, else 0 */
void eff_back_f32(float *d, const float *e, const float *w, const float *h, int32_t rows, int32_t columns);
/* w += rate e x^T, bias += rate e */
void eff_update_f32(float *w, float *bias, const float *e, const float *x, int32_t rows, int32_t columns, float rate);
/* the index of the first largest element */
void eff_argmax_f32(int32_t *best, const float *y, int32_t n);

#endif
