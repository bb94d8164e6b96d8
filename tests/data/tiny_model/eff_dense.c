#include "edgeff.h"

void eff_dense_f32(float *y, const float *x, const float *w, const float *bias, int32_t rows, int32_t columns, int32_t relu)
{
    for (int32_t r = 0; r < rows; r++) {
        float sum = bias[r];
        for (int32_t c = 0; c < columns; c++) {
            sum += w[r * columns + c] * x[c];
        }
        y[r] = (relu && sum < 0.0f) ? 0.0f : sum;
    }
}

void eff_argmax_f32(int32_t *best, const float *y, int32_t n)
{
    *best = 0;
    for (int32_t i = 1; i < n; i++) {
        if (y[i] > y[*best]) {
            *best = i;
        }
    }
}
