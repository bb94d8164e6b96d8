/* SPDX-License-Identifier: Apache-2.0 */
/* The average of each window, and its gradient. */
#include "edgeff.h"
#include "eff_windows.h"

void eff_average_pool2d_f32(float *y, const float *x, const eff_window *window, int32_t relu)
{
    const int32_t in_w = window->in_w, in_c = window->in_c;
    const int32_t backwards = eff_backwards(y, x);
    for (int32_t down = 0; down < window->out_h; ++down) {
        const int32_t oy = eff_visited(down, window->out_h, backwards);
        for (int32_t across = 0; across < window->out_w; ++across) {
            const int32_t ox = eff_visited(across, window->out_w, backwards);
            const eff_tap_run at = eff_window_at(window, oy, ox);
            float *to = y + (oy * window->out_w + ox) * in_c;
            const float count = (float)(at.rows * at.columns);
            for (int32_t c = 0; c < in_c; ++c) {
                float s = 0.0f;
                for (int32_t ky = 0; ky < at.rows; ++ky) {
                    const float *p = x + (at.first + ky * in_w) * in_c + c;
                    for (int32_t kx = 0; kx < at.columns; ++kx, p += in_c) {
                        s += *p;
                    }
                }
                *to++ = eff_activate_f32(s / count, relu);
            }
        }
    }
}

/* The average of each window of integers, rounded half away from zero. */
#define EFF_AVERAGE_POOL(type) \
    const int32_t in_w = window->in_w, in_c = window->in_c; \
    const int32_t backwards = eff_backwards(y, x); \
    for (int32_t down = 0; down < window->out_h; ++down) { \
        const int32_t oy = eff_visited(down, window->out_h, backwards); \
        for (int32_t across = 0; across < window->out_w; ++across) { \
            const int32_t ox = eff_visited(across, window->out_w, backwards); \
            const eff_tap_run at = eff_window_at(window, oy, ox); \
            type *to = y + (oy * window->out_w + ox) * in_c; \
            const int32_t count = at.rows * at.columns; \
            for (int32_t c = 0; c < in_c; ++c) { \
                int32_t s = 0; \
                for (int32_t ky = 0; ky < at.rows; ++ky) { \
                    const type *p = x + (at.first + ky * in_w) * in_c + c; \
                    for (int32_t kx = 0; kx < at.columns; ++kx, p += in_c) { \
                        s += *p; \
                    } \
                } \
                s = s > 0 ? (s + count / 2) / count : (s - count / 2) / count; \
                *to++ = (type)eff_clamp(s, y_min, y_max); \
            } \
        } \
    }

void eff_average_pool2d_i8(int8_t *y, const int8_t *x, const eff_window *window, int32_t y_min, int32_t y_max)
{
    EFF_AVERAGE_POOL(int8_t)
}

void eff_average_pool2d_i16(int16_t *y, const int16_t *x, const eff_window *window, int32_t y_min, int32_t y_max)
{
    EFF_AVERAGE_POOL(int16_t)
}

void eff_average_pool2d_input_gradient_f32(float *d, const float *delta, const eff_window *window)
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
            const float count = (float)((taps.y1 - taps.y0) * (taps.x1 - taps.x0));
            for (int32_t c = 0; c < in_c; ++c) {
                const float share = *delta++ / count;
                for (int32_t y = taps.y0; y < taps.y1; ++y) {
                    for (int32_t x = taps.x0; x < taps.x1; ++x) {
                        d[(y * in_w + x) * in_c + c] += share;
                    }
                }
            }
        }
    }
}

/* What each tap of a window takes of its delta e: e times `taps` over the window's taps inside the image, rounded half away from zero. */
static inline int32_t eff_share_of(int32_t e, const eff_window *w, int32_t oy, int32_t ox, int32_t taps)
{
    const eff_taps in = eff_taps_at(oy * w->stride_h - w->pad_h, ox * w->stride_w - w->pad_w, w->in_h, w->in_w, w->k_h, w->k_w);
    const int32_t count = (in.y1 - in.y0) * (in.x1 - in.x0);
    return e < 0 ? -((-e * taps + count / 2) / count) : (e * taps + count / 2) / count;
}

void eff_average_pool2d_input_gradient_i8(int16_t *d, const int16_t *delta, const eff_window *window, int32_t taps)
{
    const int32_t in_h = window->in_h, in_w = window->in_w, in_c = window->in_c, out_h = window->out_h, out_w = window->out_w,
                  k_h = window->k_h, k_w = window->k_w, stride_h = window->stride_h, stride_w = window->stride_w,
                  pad_h = window->pad_h, pad_w = window->pad_w;
    const int32_t padded = pad_h > 0 || pad_w > 0 || (out_h - 1) * stride_h + k_h > in_h || (out_w - 1) * stride_w + k_w > in_w;
    const int32_t whole = !padded && taps == k_h * k_w; /* then a share is the delta */
    for (int32_t iy = 0; iy < in_h; ++iy) {
        const int32_t oy0 = (iy + pad_h) / stride_h, ky0 = iy + pad_h - oy0 * stride_h;
        for (int32_t ix = 0; ix < in_w; ++ix) {
            const int32_t ox0 = (ix + pad_w) / stride_w, kx0 = ix + pad_w - ox0 * stride_w;
            for (int32_t c = 0; c < in_c; ++c) {
                int32_t sum = 0;
                for (int32_t ky = ky0, oy = oy0; ky < k_h && oy >= 0; ky += stride_h, --oy) {
                    for (int32_t kx = kx0, ox = ox0; oy < out_h && kx < k_w && ox >= 0; kx += stride_w, --ox) {
                        if (ox < out_w) {
                            const int32_t e = delta[(oy * out_w + ox) * in_c + c];
                            sum += whole ? e : eff_share_of(e, window, oy, ox, taps);
                        }
                    }
                }
                *d++ = (int16_t)eff_clamp(sum, -32767, 32767);
            }
        }
    }
}
