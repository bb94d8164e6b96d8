/* SPDX-License-Identifier: Apache-2.0 */
/* Four output channels are computed side by side, so that each input is loaded once for four products; the order of every sum is unchanged.
 The taps of one row of a window lie side by side in * the image and in the weights, so a window is k_h runs of (taps inside the image) *
 in_c products. One group only. */
#include "edgeff.h"
#include "eff_windows.h"

void eff_conv2d_f32_x4(float *y, const float *x, const float *w, const float *b, const eff_window *window, int32_t relu)
{
    const int32_t in_w = window->in_w, in_c = window->in_c, k_w = window->k_w, out_c = window->out_c;
    const int32_t row = k_w * in_c, filter = window->k_h * row;
    const int32_t backwards = eff_backwards(y, x);
    for (int32_t down = 0; down < window->out_h; ++down) {
        const int32_t oy = eff_visited(down, window->out_h, backwards);
        const int32_t top = oy * window->stride_h - window->pad_h, ky0 = eff_first_tap(top), ky1 = eff_last_tap(top, window->k_h,
        window->in_h); for (int32_t across = 0; across < window->out_w; ++across) {
            const int32_t ox = eff_visited(across, window->out_w, backwards);
            const int32_t left = ox * window->stride_w - window->pad_w, kx0 = eff_first_tap(left), kx1 = eff_last_tap(left, k_w, in_w);
            float *to = y + (oy * window->out_w + ox) * out_c;
            const int32_t run = (kx1 - kx0) * in_c;
            int32_t oc = 0;
            for (; oc + 4 <= out_c; oc += 4) {
                float s0 = 0.0f, s1 = 0.0f, s2 = 0.0f, s3 = 0.0f;
                if (b) {
                    s0 = b[oc], s1 = b[oc + 1], s2 = b[oc + 2], s3 = b[oc + 3];
                }
                for (int32_t ky = ky0; ky < ky1; ++ky) {
                    const float *p = x + ((top + ky) * in_w + left + kx0) * in_c;
                    const float *w0 = w + oc * filter + ky * row + kx0 * in_c, *w1 = w0 + filter, *w2 = w1 + filter, *w3 = w2 + filter;
                    int32_t left_over = run;
                    for (; left_over >= 4; left_over -= 4) {
                        EFF_TAP(float, 0, p[0]);
                        EFF_TAP(float, 1, p[1]);
                        EFF_TAP(float, 2, p[2]);
                        EFF_TAP(float, 3, p[3]);
                        p += 4, w0 += 4, w1 += 4, w2 += 4, w3 += 4;
                    }
                    for (int32_t i = 0; i < left_over; ++i) {
                        EFF_TAP(float, i, p[i]);
                    }
                }
                to[0] = eff_activate_f32(s0, relu);
                to[1] = eff_activate_f32(s1, relu);
                to[2] = eff_activate_f32(s2, relu);
                to[3] = eff_activate_f32(s3, relu);
                to += 4;
            }
            for (; oc < out_c; ++oc) {
                float s = b ? b[oc] : 0.0f;
                for (int32_t ky = ky0; ky < ky1; ++ky) {
                    const float *p = x + ((top + ky) * in_w + left + kx0) * in_c, *v = w + oc * filter + ky * row + kx0 * in_c;
                    for (int32_t i = 0; i < run; ++i) {
                        s += v[i] * p[i];
                    }
                }
                *to++ = eff_activate_f32(s, relu);
            }
        }
    }
}

void eff_conv2d_i8_x4(int8_t *y, const int8_t *x, const int8_t *w, const int32_t *b, const int32_t *multiplier,
                      const int32_t *shift, const eff_window *window, const eff_output_i8 *output)
{
    const int32_t in_h = window->in_h, in_w = window->in_w, in_c = window->in_c, out_h = window->out_h, out_w = window->out_w,
                  out_c = window->out_c, k_h = window->k_h, k_w = window->k_w, stride_h = window->stride_h,
                  stride_w = window->stride_w, pad_h = window->pad_h, pad_w = window->pad_w, x_zero = output->x_zero;
    const int32_t row = k_w * in_c, filter = k_h * row;
    const int32_t backwards = eff_backwards(y, x);
    for (int32_t down = 0; down < out_h; ++down) {
        const int32_t oy = eff_visited(down, out_h, backwards);
        const int32_t top = oy * stride_h - pad_h, ky0 = eff_first_tap(top), ky1 = eff_last_tap(top, k_h, in_h);
        for (int32_t across = 0; across < out_w; ++across) {
            const int32_t ox = eff_visited(across, out_w, backwards);
            const int32_t left = ox * stride_w - pad_w, kx0 = eff_first_tap(left), kx1 = eff_last_tap(left, k_w, in_w);
            int8_t *to = y + (oy * out_w + ox) * out_c;
            const int32_t run = (kx1 - kx0) * in_c;
            for (int32_t oc = 0; oc < out_c; oc += 4) {
                const int32_t lanes = out_c - oc < 4 ? out_c - oc : 4;
                int32_t sums[4] = {0, 0, 0, 0};
                if (lanes == 4) {
                    int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
                    for (int32_t ky = ky0; ky < ky1; ++ky) {
                        const int8_t *p = x + ((top + ky) * in_w + left + kx0) * in_c;
                        const int8_t *restrict w0 = w + oc * filter + ky * row + kx0 * in_c;
                        const int8_t *restrict w1 = w0 + filter, *restrict w2 = w1 + filter, *restrict w3 = w2 + filter;
                        int32_t left_over = run;
                        for (; left_over >= 4; left_over -= 4) {
                            EFF_TAP(int32_t, 0, p[0] - x_zero);
                            EFF_TAP(int32_t, 1, p[1] - x_zero);
                            EFF_TAP(int32_t, 2, p[2] - x_zero);
                            EFF_TAP(int32_t, 3, p[3] - x_zero);
                            p += 4, w0 += 4, w1 += 4, w2 += 4, w3 += 4;
                        }
                        for (int32_t i = 0; i < left_over; ++i) {
                            EFF_TAP(int32_t, i, p[i] - x_zero);
                        }
                    }
                    sums[0] = s0, sums[1] = s1, sums[2] = s2, sums[3] = s3;
                } else {
                    for (int32_t lane = 0; lane < lanes; ++lane) {
                        for (int32_t ky = ky0; ky < ky1; ++ky) {
                            const int8_t *p = x + ((top + ky) * in_w + left + kx0) * in_c;
                            const int8_t *v = w + (oc + lane) * filter + ky * row + kx0 * in_c;
                            for (int32_t i = 0; i < run; ++i) {
                                sums[lane] += v[i] * (p[i] - x_zero);
                            }
                        }
                    }
                }
                for (int32_t lane = 0; lane < lanes; ++lane) {
                    const int32_t channel = output->per_channel ? oc + lane : 0;
                    const int32_t s = eff_requantise(sums[lane] + (b ? b[oc + lane] : 0), multiplier[channel], shift[channel]);
                    *to++ = eff_to_i8(s, output->y_zero, output->y_min, output->y_max);
                }
            }
        }
    }
}
