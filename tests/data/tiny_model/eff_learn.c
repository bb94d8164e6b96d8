#include "edgeff.h"

void eff_error_f32(float *e, const float *y, const int32_t *label, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        e[i] = (i == *label ? 1.0f : 0.0f) - y[i];
    }
}

void eff_back_f32(float *d, const float *e, const float *w, const float *h, int32_t rows, int32_t columns)
{
    for (int32_t c = 0; c < columns; c++) {
        float sum = 0.0f;
        for (int32_t r = 0; r < rows; r++) {
            sum += w[r * columns + c] * e[r];
        }
        d[c] = h[c] > 0.0f ? sum : 0.0f;
    }
}

void eff_update_f32(float *w, float *bias, const float *e, const float *x, int32_t rows, int32_t columns, float rate)
{
    for (int32_t r = 0; r < rows; r++) {
        const float step = rate * e[r];
        bias[r] += step;
        for (int32_t c = 0; c < columns; c++) {
            w[r * columns + c] += step * x[c];
        }
    }
}
