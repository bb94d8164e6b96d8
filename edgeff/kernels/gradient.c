/* gradient.c: what travels between layers in a learning step. Integer differences and gradients are int16 with a scale of their own. */
#include "edgeff.h"

static inline int16_t eff_saturate_i16(int32_t v) { return (int16_t)eff_clamp(v, -32767, 32767); }

static inline int32_t eff_shift_round_i64(int64_t v, int32_t n) { return (int32_t)((v + ((INT64_C(1) << n) >> 1)) >> n); }

/* Rows add into d in index order; four rows at a time spare d the loads and stores. */
void eff_input_gradient_f32(float *d, const float *delta, const float *w, int32_t n_out, int32_t n_in)
{
    for (int32_t k = 0; k < n_in; ++k) {
        d[k] = 0.0f;
    }
    int32_t j = 0;
    for (; j + 4 <= n_out; j += 4) {
        const float *w0 = w + (size_t)j * (size_t)n_in, *w1 = w0 + n_in, *w2 = w1 + n_in, *w3 = w2 + n_in;
        const float d0 = delta[j], d1 = delta[j + 1], d2 = delta[j + 2], d3 = delta[j + 3];
        float *restrict p = d;
        for (int32_t left = n_in; left > 0; --left) {
            float s = *p;
            s += d0 * *w0++;
            s += d1 * *w1++;
            s += d2 * *w2++;
            s += d3 * *w3++;
            *p++ = s;
        }
    }
    for (; j < n_out; ++j) {
        const float *row = w + (size_t)j * (size_t)n_in;
        for (int32_t k = 0; k < n_in; ++k) {
            d[k] += delta[j] * row[k];
        }
    }
}

void eff_input_gradient_i8(int16_t *d, const int16_t *delta, const int8_t *w, int32_t n_out, int32_t n_in, int32_t pre_shift,
                           int32_t multiplier, int32_t shift)
{
    for (int32_t k = 0; k < n_in; ++k) {
        int64_t s = 0;
        for (int32_t j = 0; j < n_out; ++j) {
            s += (int32_t)delta[j] * w[(size_t)j * (size_t)n_in + (size_t)k];
        }
        d[k] = eff_saturate_i16(eff_requantise(eff_shift_round_i64(s, pre_shift), multiplier, shift));
    }
}

void eff_input_gradient_i16(int16_t *d, const int16_t *delta, const int16_t *w, int32_t n_out, int32_t n_in, int32_t pre_shift,
                            int32_t multiplier, int32_t shift)
{
    for (int32_t k = 0; k < n_in; ++k) {
        int64_t s = 0;
        for (int32_t j = 0; j < n_out; ++j) {
            s += (int32_t)delta[j] * w[(size_t)j * (size_t)n_in + (size_t)k];
        }
        d[k] = eff_saturate_i16(eff_requantise(eff_shift_round_i64(s, pre_shift), multiplier, shift));
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
        if (h[k] <= h_zero) {
            d[k] = 0;
        }
    }
}

void eff_relu_gate_i16(int16_t *d, const int16_t *h, int32_t n)
{
    for (int32_t k = 0; k < n; ++k) {
        if (h[k] <= 0) {
            d[k] = 0;
        }
    }
}

void eff_difference_f32(float *d, const float *a, const float *c, int32_t n)
{
    for (int32_t k = 0; k < n; ++k) {
        d[k] = a[k] - c[k];
    }
}

void eff_difference_i8(int16_t *d, const int8_t *a, const int8_t *c, int32_t n)
{
    for (int32_t k = 0; k < n; ++k) {
        d[k] = (int16_t)(a[k] - c[k]);
    }
}

void eff_difference_i16(int16_t *d, const int16_t *a, const int16_t *c, int32_t n)
{
    for (int32_t k = 0; k < n; ++k) {
        d[k] = eff_saturate_i16((int32_t)a[k] - c[k]);
    }
}

void eff_residual_i8(int16_t *d, const int8_t *a, const int8_t *c, int32_t n, int32_t a_zero, int32_t a_multiplier, int32_t a_shift,
                     int32_t c_zero, int32_t c_multiplier, int32_t c_shift)
{
    for (int32_t k = 0; k < n; ++k) {
        const int32_t left = eff_saturate_i16(eff_requantise(a[k] - a_zero, a_multiplier, a_shift));
        const int32_t right = eff_saturate_i16(eff_requantise(c[k] - c_zero, c_multiplier, c_shift));
        d[k] = eff_saturate_i16(left - right);
    }
}

void eff_residual_i16(int16_t *d, const int16_t *a, const int16_t *c, int32_t n, int32_t a_multiplier, int32_t a_shift,
                      int32_t c_multiplier, int32_t c_shift)
{
    for (int32_t k = 0; k < n; ++k) {
        const int32_t left = eff_saturate_i16(eff_requantise(a[k], a_multiplier, a_shift));
        const int32_t right = eff_saturate_i16(eff_requantise(c[k], c_multiplier, c_shift));
        d[k] = eff_saturate_i16(left - right);
    }
}

void eff_error_f32(float *e, const float *p, const int32_t *label, int32_t n)
{
    for (int32_t c = 0; c < n; ++c) {
        e[c] = c == *label ? p[c] - 1.0f : p[c];
    }
}

void eff_error_i8(int16_t *e, const int8_t *p, const int32_t *label, int32_t n, int32_t p_zero, int32_t one)
{
    for (int32_t c = 0; c < n; ++c) {
        e[c] = eff_saturate_i16(p[c] - p_zero - (c == *label ? one : 0));
    }
}

void eff_error_i16(int16_t *e, const int16_t *p, const int32_t *label, int32_t n, int32_t one)
{
    for (int32_t c = 0; c < n; ++c) {
        e[c] = eff_saturate_i16(p[c] - (c == *label ? one : 0));
    }
}
