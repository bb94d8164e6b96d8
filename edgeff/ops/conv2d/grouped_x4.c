/* SPDX-License-Identifier: Apache-2.0 */
/* Four output channels are computed side by side, so that each input is loaded once for four products; the order of every sum is unchanged.
Any number of groups. */ #include "edgeff.h"
#include "eff_windows.h"

void eff_conv2d_f32_grouped_x4(float *y, const float *x, const float *w, const float *b, const eff_window *window,
                               int32_t relu)
{
    const int32_t in_h = window->in_h, in_w = window->in_w, in_c = window->in_c, out_h = window->out_h, out_w = window->out_w,
                  out_c = window->out_c, k_h = window->k_h, k_w = window->k_w, stride_h = window->stride_h,
                  stride_w = window->stride_w, pad_h = window->pad_h, pad_w = window->pad_w, groups = window->groups;
    const int32_t seen = in_c / groups, made = out_c / groups, row = k_w * seen, filter = k_h * row;
    const int32_t backwards = eff_backwards(y, x);
    for (int32_t down = 0; down < out_h; ++down) {
        const int32_t oy = eff_visited(down, out_h, backwards);
        const int32_t top = oy * stride_h - pad_h, ky0 = eff_first_tap(top), ky1 = eff_last_tap(top, k_h, in_h);
        for (int32_t across = 0; across < out_w; ++across) {
            const int32_t ox = eff_visited(across, out_w, backwards);
            const int32_t left = ox * stride_w - pad_w, kx0 = eff_first_tap(left), kx1 = eff_last_tap(left, k_w, in_w);
            float *to = y + (oy * out_w + ox) * out_c;
            for (int32_t group = 0, oc = 0; group < groups; ++group) {
                const float *image = x + group * seen;
                const int32_t last = oc + made;
                for (; oc + 4 <= last; oc += 4) {
                    float s0 = 0.0f, s1 = 0.0f, s2 = 0.0f, s3 = 0.0f;
                    if (b) {
                        s0 = b[oc], s1 = b[oc + 1], s2 = b[oc + 2], s3 = b[oc + 3];
                    }
                    for (int32_t ky = ky0; ky < ky1; ++ky) {
                        const float *p = image + ((top + ky) * in_w + left + kx0) * in_c;
                        const float *w0 = w + oc * filter + ky * row + kx0 * seen, *w1 = w0 + filter, *w2 = w1 + filter, *w3 = w2 + filter;
                        for (int32_t taps = kx1 - kx0; taps > 0; --taps, p += in_c, w0 += seen, w1 += seen, w2 += seen, w3 += seen) {
                            for (int32_t c = 0; c < seen; ++c) {
                                EFF_TAP(float, c, p[c]);
                            }
                        }
                    }
                    to[0] = eff_activate_f32(s0, relu);
                    to[1] = eff_activate_f32(s1, relu);
                    to[2] = eff_activate_f32(s2, relu);
                    to[3] = eff_activate_f32(s3, relu);
                    to += 4;
                }
                for (; oc < last; ++oc) {
                    float s = b ? b[oc] : 0.0f;
                    for (int32_t ky = ky0; ky < ky1; ++ky) {
                        const float *p = image + ((top + ky) * in_w + left + kx0) * in_c, *v = w + oc * filter + ky * row + kx0 * seen;
                        for (int32_t taps = kx1 - kx0; taps > 0; --taps, p += in_c, v += seen) {
                            for (int32_t c = 0; c < seen; ++c) {
                                s += v[c] * p[c];
                            }
                        }
                    }
                    *to++ = eff_activate_f32(s, relu);
                }
            }
        }
    }
}

void eff_conv2d_i8_grouped_x4(int8_t *y, const int8_t *x, const int8_t *w, const int32_t *b, const int32_t *multiplier,
                              const int32_t *shift, const eff_window *window, const eff_output_i8 *output)
{
    const int32_t in_h = window->in_h, in_w = window->in_w, in_c = window->in_c, out_h = window->out_h, out_w = window->out_w,
                  out_c = window->out_c, k_h = window->k_h, k_w = window->k_w, stride_h = window->stride_h,
                  stride_w = window->stride_w, pad_h = window->pad_h, pad_w = window->pad_w, groups = window->groups,
                  x_zero = output->x_zero;
    const int32_t seen = in_c / groups, made = out_c / groups, row = k_w * seen, filter = k_h * row;
    const int32_t backwards = eff_backwards(y, x);
    for (int32_t down = 0; down < out_h; ++down) {
        const int32_t oy = eff_visited(down, out_h, backwards);
        const int32_t top = oy * stride_h - pad_h, ky0 = eff_first_tap(top), ky1 = eff_last_tap(top, k_h, in_h);
        for (int32_t across = 0; across < out_w; ++across) {
            const int32_t ox = eff_visited(across, out_w, backwards);
            const int32_t left = ox * stride_w - pad_w, kx0 = eff_first_tap(left), kx1 = eff_last_tap(left, k_w, in_w);
            int8_t *to = y + (oy * out_w + ox) * out_c;
            for (int32_t group = 0, oc = 0; group < groups; ++group) {
                const int8_t *image = x + group * seen;
                const int32_t last = oc + made;
                while (oc < last) {
                    const int32_t lanes = oc + 4 <= last ? 4 : 1;
                    int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
                    for (int32_t ky = ky0; ky < ky1; ++ky) {
                        const int8_t *p = image + ((top + ky) * in_w + left + kx0) * in_c;
                        const int8_t *w0 = w + oc * filter + ky * row + kx0 * seen;
                        if (lanes == 4) {
                            const int8_t *w1 = w0 + filter, *w2 = w1 + filter, *w3 = w2 + filter;
                            for (int32_t taps = kx1 - kx0; taps > 0; --taps, p += in_c, w0 += seen, w1 += seen, w2 += seen, w3 += seen) {
                                for (int32_t c = 0; c < seen; ++c) {
                                    EFF_TAP(int32_t, c, p[c] - x_zero);
                                }
                            }
                        } else {
                            for (int32_t taps = kx1 - kx0; taps > 0; --taps, p += in_c, w0 += seen) {
                                for (int32_t c = 0; c < seen; ++c) {
                                    s0 += w0[c] * (p[c] - x_zero);
                                }
                            }
                        }
                    }
                    const int32_t sums[4] = {s0, s1, s2, s3};
                    for (int32_t lane = 0; lane < lanes; ++lane, ++oc) {
                        const int32_t channel = output->per_channel ? oc : 0;
                        const int32_t s = eff_requantise(sums[lane] + (b ? b[oc] : 0), multiplier[channel], shift[channel]);
                        *to++ = eff_to_i8(s, output->y_zero, output->y_min, output->y_max);
                    }
                }
            }
        }
    }
}
