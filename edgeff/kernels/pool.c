/* pool.c: pooling over [h][w][c] images; a window's taps outside the image are left out. Channels go innermost. */
#include "edgeff.h"

/* One window: its first tap inside the image and how many rows and columns of taps lie there. */
typedef struct {
    int32_t first, rows, columns;
} eff_window;

static inline eff_window eff_window_at(int32_t top, int32_t left, int32_t in_h, int32_t in_w, int32_t k_h, int32_t k_w)
{
    const int32_t y0 = top < 0 ? 0 : top, y1 = top + k_h > in_h ? in_h : top + k_h;
    const int32_t x0 = left < 0 ? 0 : left, x1 = left + k_w > in_w ? in_w : left + k_w;
    const eff_window window = {y0 * in_w + x0, y1 - y0, x1 - x0};
    return window;
}

void eff_average_pool2d_f32(float *y, const float *x, int32_t in_h, int32_t in_w, int32_t in_c, int32_t out_h, int32_t out_w, int32_t k_h,
                            int32_t k_w, int32_t stride_h, int32_t stride_w, int32_t pad_h, int32_t pad_w, int32_t relu)
{
    for (int32_t oy = 0; oy < out_h; ++oy) {
        for (int32_t ox = 0; ox < out_w; ++ox) {
            const eff_window at = eff_window_at(oy * stride_h - pad_h, ox * stride_w - pad_w, in_h, in_w, k_h, k_w);
            const float count = (float)(at.rows * at.columns);
            for (int32_t c = 0; c < in_c; ++c) {
                float s = 0.0f;
                for (int32_t ky = 0; ky < at.rows; ++ky) {
                    const float *p = x + (at.first + ky * in_w) * in_c + c;
                    for (int32_t kx = 0; kx < at.columns; ++kx) {
                        s += p[kx * in_c];
                    }
                }
                *y++ = eff_activate_f32(s / count, relu);
            }
        }
    }
}

void eff_average_pool2d_i8(int8_t *y, const int8_t *x, int32_t in_h, int32_t in_w, int32_t in_c, int32_t out_h, int32_t out_w, int32_t k_h,
                           int32_t k_w, int32_t stride_h, int32_t stride_w, int32_t pad_h, int32_t pad_w, int32_t y_min, int32_t y_max)
{
    for (int32_t oy = 0; oy < out_h; ++oy) {
        for (int32_t ox = 0; ox < out_w; ++ox) {
            const eff_window at = eff_window_at(oy * stride_h - pad_h, ox * stride_w - pad_w, in_h, in_w, k_h, k_w);
            const int32_t count = at.rows * at.columns;
            for (int32_t c = 0; c < in_c; ++c) {
                int32_t s = 0;
                for (int32_t ky = 0; ky < at.rows; ++ky) {
                    const int8_t *p = x + (at.first + ky * in_w) * in_c + c;
                    for (int32_t kx = 0; kx < at.columns; ++kx) {
                        s += p[kx * in_c];
                    }
                }
                s = s > 0 ? (s + count / 2) / count : (s - count / 2) / count;
                *y++ = (int8_t)eff_clamp(s, y_min, y_max);
            }
        }
    }
}

void eff_max_pool2d_f32(float *y, const float *x, int32_t in_h, int32_t in_w, int32_t in_c, int32_t out_h, int32_t out_w, int32_t k_h,
                        int32_t k_w, int32_t stride_h, int32_t stride_w, int32_t pad_h, int32_t pad_w, int32_t relu)
{
    for (int32_t oy = 0; oy < out_h; ++oy) {
        for (int32_t ox = 0; ox < out_w; ++ox) {
            const eff_window at = eff_window_at(oy * stride_h - pad_h, ox * stride_w - pad_w, in_h, in_w, k_h, k_w);
            for (int32_t c = 0; c < in_c; ++c) {
                float best = x[at.first * in_c + c];
                for (int32_t ky = 0; ky < at.rows; ++ky) {
                    const float *p = x + (at.first + ky * in_w) * in_c + c;
                    for (int32_t kx = 0; kx < at.columns; ++kx) {
                        best = p[kx * in_c] > best ? p[kx * in_c] : best;
                    }
                }
                *y++ = eff_activate_f32(best, relu);
            }
        }
    }
}

void eff_max_pool2d_i8(int8_t *y, const int8_t *x, int32_t in_h, int32_t in_w, int32_t in_c, int32_t out_h, int32_t out_w, int32_t k_h,
                       int32_t k_w, int32_t stride_h, int32_t stride_w, int32_t pad_h, int32_t pad_w, int32_t y_min, int32_t y_max)
{
    for (int32_t oy = 0; oy < out_h; ++oy) {
        for (int32_t ox = 0; ox < out_w; ++ox) {
            const eff_window at = eff_window_at(oy * stride_h - pad_h, ox * stride_w - pad_w, in_h, in_w, k_h, k_w);
            for (int32_t c = 0; c < in_c; ++c) {
                int32_t best = -128;
                for (int32_t ky = 0; ky < at.rows; ++ky) {
                    const int8_t *p = x + (at.first + ky * in_w) * in_c + c;
                    for (int32_t kx = 0; kx < at.columns; ++kx) {
                        best = p[kx * in_c] > best ? p[kx * in_c] : best;
                    }
                }
                *y++ = (int8_t)eff_clamp(best, y_min, y_max);
            }
        }
    }
}

void eff_mean_f32(float *y, const float *x, int32_t n, int32_t in_c)
{
    for (int32_t c = 0; c < in_c; ++c) {
        float s = 0.0f;
        for (int32_t i = 0; i < n; ++i) {
            s += x[i * in_c + c];
        }
        y[c] = s / (float)n;
    }
}

void eff_mean_i8(int8_t *y, const int8_t *x, int32_t n, int32_t in_c, int32_t x_zero, int32_t y_zero, int32_t multiplier, int32_t shift)
{
    for (int32_t c = 0; c < in_c; ++c) {
        int32_t s = 0;
        for (int32_t i = 0; i < n; ++i) {
            s += x[i * in_c + c] - x_zero;
        }
        y[c] = (int8_t)eff_clamp(eff_clamp(eff_requantise(s, multiplier, shift), -1024, 1024) + y_zero, -128, 127);
    }
}
