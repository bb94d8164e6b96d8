/* SPDX-License-Identifier: Apache-2.0 */
/* The logarithm of the softmax. */
#include "edgeff.h"
#include "eff_logarithm.h"

void eff_log_softmax_f32(float *y, const float *x, int32_t rows, int32_t n)
{
    for (int32_t row = 0; row < rows; ++row, x += n, y += n) {
        float largest = x[0];
        for (int32_t c = 1; c < n; ++c) {
            largest = x[c] > largest ? x[c] : largest;
        }
        float sum = 0.0f;
        for (int32_t c = 0; c < n; ++c) {
            y[c] = x[c] - largest;
            sum += eff_exp_f32(y[c]);
        }
        const float share = eff_ln_f32(sum);
        for (int32_t c = 0; c < n; ++c) {
            y[c] -= share;
        }
    }
}
