/* SPDX-License-Identifier: Apache-2.0 */
/* The largest of each window, its gradient and tangent. */
#include "edgeff.h"
#include "eff_windows.h"

void eff_max_pool2d_f32(float *y, const float *x, const eff_window *window, int32_t relu)
{
    const int32_t in_w = window->in_w, in_c = window->in_c;
    const int32_t backwards = eff_backwards(y, x);
    for (int32_t down = 0; down < window->out_h; ++down) {
        const int32_t oy = eff_visited(down, window->out_h, backwards);
        for (int32_t across = 0; across < window->out_w; ++across) {
            const int32_t ox = eff_visited(across, window->out_w, backwards);
            const eff_tap_run at = eff_window_at(window, oy, ox);
            float *to = y + (oy * window->out_w + ox) * in_c;
            for (int32_t c = 0; c < in_c; ++c) {
                float best = x[at.first * in_c + c];
                for (int32_t ky = 0; ky < at.rows; ++ky) {
                    const float *p = x + (at.first + ky * in_w) * in_c + c;
                    for (int32_t kx = 0; kx < at.columns; ++kx, p += in_c) {
                        best = *p > best ? *p : best;
                    }
                }
                *to++ = eff_activate_f32(best, relu);
            }
        }
    }
}

/* The largest of each window of integers that are no less than `lowest`. */
#define EFF_MAX_POOL(type, lowest) \
    const int32_t in_w = window->in_w, in_c = window->in_c; \
    const int32_t backwards = eff_backwards(y, x); \
    for (int32_t down = 0; down < window->out_h; ++down) { \
        const int32_t oy = eff_visited(down, window->out_h, backwards); \
        for (int32_t across = 0; across < window->out_w; ++across) { \
            const int32_t ox = eff_visited(across, window->out_w, backwards); \
            const eff_tap_run at = eff_window_at(window, oy, ox); \
            type *to = y + (oy * window->out_w + ox) * in_c; \
            for (int32_t c = 0; c < in_c; ++c) { \
                int32_t best = lowest; \
                for (int32_t ky = 0; ky < at.rows; ++ky) { \
                    const type *p = x + (at.first + ky * in_w) * in_c + c; \
                    for (int32_t kx = 0; kx < at.columns; ++kx, p += in_c) { \
                        best = *p > best ? *p : best; \
                    } \
                } \
                *to++ = (type)eff_clamp(best, y_min, y_max); \
            } \
        } \
    }

void eff_max_pool2d_i8(int8_t *y, const int8_t *x, const eff_window *window, int32_t y_min, int32_t y_max)
{
    EFF_MAX_POOL(int8_t, -128)
}

void eff_max_pool2d_i16(int16_t *y, const int16_t *x, const eff_window *window, int32_t y_min, int32_t y_max)
{
    EFF_MAX_POOL(int16_t, -32768)
}

void eff_max_pool2d_tangent_f32(float *y, const float *dx, const float *x, const eff_window *window)
{
    const int32_t in_h = window->in_h, in_w = window->in_w, in_c = window->in_c, out_h = window->out_h, out_w = window->out_w,
                  k_h = window->k_h, k_w = window->k_w, stride_h = window->stride_h, stride_w = window->stride_w,
                  pad_h = window->pad_h, pad_w = window->pad_w;
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

void eff_max_pool2d_input_gradient_f32(float *d, const float *delta, const float *x, const eff_window *window)
{
    const int32_t in_h = window->in_h, in_w = window->in_w, in_c = window->in_c, out_h = window->out_h, out_w = window->out_w,
                  k_h = window->k_h, k_w = window->k_w, stride_h = window->stride_h, stride_w = window->stride_w,
                  pad_h = window->pad_h, pad_w = window->pad_w;
    for (int32_t i = 0; i < in_h * in_w * in_c; ++i) {
        d[i] = 0.0f;
    }
    for (int32_t oy = 0; oy < out_h; ++oy) {
        for (int32_t ox = 0; ox < out_w; ++ox) {
            const eff_taps taps = eff_taps_at(oy * stride_h - pad_h, ox * stride_w - pad_w, in_h, in_w, k_h, k_w);
            for (int32_t c = 0; c < in_c; ++c) {
                int32_t best = (taps.y0 * in_w + taps.x0) * in_c + c;
                for (int32_t iy = taps.y0; iy < taps.y1; ++iy) {
                    for (int32_t ix = taps.x0; ix < taps.x1; ++ix) {
                        const int32_t at = (iy * in_w + ix) * in_c + c;
                        best = x[at] > x[best] ? at : best;
                    }
                }
                d[best] += *delta++;
            }
        }
    }
}

void eff_max_pool2d_input_gradient_i8(int16_t *d, const int16_t *delta, const int8_t *x, const eff_window *window)
{
    const int32_t in_h = window->in_h, in_w = window->in_w, in_c = window->in_c, out_h = window->out_h, out_w = window->out_w,
                  k_h = window->k_h, k_w = window->k_w, stride_h = window->stride_h, stride_w = window->stride_w,
                  pad_h = window->pad_h, pad_w = window->pad_w;
    for (int32_t i = 0; i < in_h * in_w * in_c; ++i) {
        d[i] = 0;
    }
    for (int32_t oy = 0; oy < out_h; ++oy) {
        for (int32_t ox = 0; ox < out_w; ++ox) {
            const eff_taps taps = eff_taps_at(oy * stride_h - pad_h, ox * stride_w - pad_w, in_h, in_w, k_h, k_w);
            for (int32_t c = 0; c < in_c; ++c) {
                int32_t best = (taps.y0 * in_w + taps.x0) * in_c + c;
                for (int32_t iy = taps.y0; iy < taps.y1; ++iy) {
                    for (int32_t ix = taps.x0; ix < taps.x1; ++ix) {
                        const int32_t at = (iy * in_w + ix) * in_c + c;
                        best = x[at] > x[best] ? at : best;
                    }
                }
                d[best] = (int16_t)eff_clamp((int32_t)d[best] + *delta++, -32767, 32767);
            }
        }
    }
}
