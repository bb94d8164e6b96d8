/* tangent.c: forward derivatives: tangents through layers, random directions of signs that are never stored, and steps along them. */
#include "edgeff.h"

static inline int16_t eff_tangent_i16(int64_t sum, int32_t pre_shift, int32_t multiplier, int32_t shift)
{
    const int32_t rounded = (int32_t)((sum + ((INT64_C(1) << pre_shift) >> 1)) >> pre_shift);
    return (int16_t)eff_clamp(eff_requantise(rounded, multiplier, shift), -32767, 32767);
}

void eff_dense_tangent_i8(int16_t *y, const int16_t *dx, const int8_t *w, int32_t n_out, int32_t n_in, int32_t pre_shift,
                          int32_t multiplier, int32_t shift)
{
    for (int32_t j = 0; j < n_out; ++j) {
        const int8_t *restrict row = w + (size_t)j * (size_t)n_in;
        int64_t s = 0;
        for (int32_t k = 0; k < n_in; ++k) {
            s += (int32_t)row[k] * dx[k];
        }
        y[j] = eff_tangent_i16(s, pre_shift, multiplier, shift);
    }
}

void eff_dense_tangent_i16(int16_t *y, const int16_t *dx, const int16_t *w, int32_t n_out, int32_t n_in, int32_t pre_shift,
                           int32_t multiplier, int32_t shift)
{
    for (int32_t j = 0; j < n_out; ++j) {
        const int16_t *restrict row = w + (size_t)j * (size_t)n_in;
        int64_t s = 0;
        for (int32_t k = 0; k < n_in; ++k) {
            s += (int32_t)row[k] * dx[k];
        }
        y[j] = eff_tangent_i16(s, pre_shift, multiplier, shift);
    }
}

void eff_max_pool2d_tangent_f32(float *y, const float *dx, const float *x, int32_t in_h, int32_t in_w, int32_t in_c, int32_t out_h,
                                int32_t out_w, int32_t k_h, int32_t k_w, int32_t stride_h, int32_t stride_w, int32_t pad_h, int32_t pad_w)
{
    for (int32_t oy = 0; oy < out_h; ++oy) {
        const int32_t top = oy * stride_h - pad_h, y0 = top < 0 ? 0 : top, y1 = top + k_h > in_h ? in_h : top + k_h;
        for (int32_t ox = 0; ox < out_w; ++ox) {
            const int32_t left = ox * stride_w - pad_w, x0 = left < 0 ? 0 : left, x1 = left + k_w > in_w ? in_w : left + k_w;
            for (int32_t c = 0; c < in_c; ++c) {
                int32_t best = (y0 * in_w + x0) * in_c + c;
                for (int32_t iy = y0; iy < y1; ++iy) {
                    for (int32_t ix = x0; ix < x1; ++ix) {
                        const int32_t at = (iy * in_w + ix) * in_c + c;
                        best = x[at] > x[best] ? at : best;
                    }
                }
                *y++ = dx[best];
            }
        }
    }
}

void eff_minus_f32(float *d, int32_t n)
{
    for (int32_t k = 0; k < n; ++k) {
        d[k] = -d[k];
    }
}

void eff_minus_i16(int16_t *d, int32_t n)
{
    for (int32_t k = 0; k < n; ++k) {
        d[k] = (int16_t)-d[k];
    }
}

void eff_signed_dense_f32(float *y, const float *x, const uint32_t *step, int32_t n_out, int32_t n_in, int32_t add, uint32_t key)
{
    eff_feedback_f32(y, x, n_out, n_in, add, eff_step_key(key, *step), 1.0f);
}

void eff_signs_f32(float *d, const float *s, const uint32_t *step, int32_t n, int32_t add, uint32_t key)
{
    const float v = *s;
    uint32_t counter = eff_step_key(key, *step);
    for (int32_t k = 0; k < n; counter += EFF_GOLDEN) {
        uint32_t signs = eff_mix(counter);
        const int32_t end = k + 32 < n ? k + 32 : n;
        for (; k < end; ++k, signs >>= 1) {
            const float signed_v = signs & 1u ? v : -v;
            d[k] = add ? d[k] + signed_v : signed_v;
        }
    }
}

void eff_dot_f32(float *s, const float *a, const float *c, int32_t n)
{
    float sum = 0.0f;
    for (int32_t k = 0; k < n; ++k) {
        sum += a[k] * c[k];
    }
    *s = sum;
}

void eff_signed_update_f32(float *w, const float *s, const uint32_t *rate, const uint32_t *step, int32_t n_out, int32_t n_in, float lr,
                           uint32_t key)
{
    const float gain = eff_rate_f32(rate, lr) * *s;
    uint32_t counter = eff_step_key(key, *step);
    for (int32_t j = 0; j < n_out; ++j) {
        float *restrict row = w + (size_t)j * (size_t)n_in;
        for (int32_t k = 0; k < n_in; counter += EFF_GOLDEN) {
            uint32_t signs = eff_mix(counter);
            const int32_t end = k + 32 < n_in ? k + 32 : n_in;
            for (; k < end; ++k, signs >>= 1) {
                row[k] -= signs & 1u ? gain : -gain;
            }
        }
    }
}
