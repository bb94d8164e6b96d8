/* SPDX-License-Identifier: Apache-2.0 */
/* An activation function alone, and the gate of its gradient. */
#include "edgeff.h"

void eff_relu_f32(float *y, const float *x, int32_t n, int32_t relu)
{
    for (int32_t i = 0; i < n; ++i) {
        y[i] = eff_activate_f32(x[i], relu);
    }
}

void eff_relu_gate_f32(float *d, const float *h, int32_t n)
{
    for (int32_t k = 0; k < n; ++k) {
        if (!(h[k] > 0.0f)) {
            d[k] = 0.0f;
        }
    }
}

void eff_relu_gate_i8(int16_t *d, const int8_t *h, int32_t n, int32_t h_zero)
{
    for (int32_t k = 0; k < n; ++k) {
        if (!eff_opens_i8(h[k], h_zero)) {
            d[k] = 0;
        }
    }
}

void eff_relu_gate_i16(int16_t *d, const int16_t *h, int32_t n)
{
    for (int32_t k = 0; k < n; ++k) {
        if (h[k] <= 0 || h[k] == INT16_MAX) {
            d[k] = 0;
        }
    }
}
