/* conv.c: convolutions over [h][w][c] images. The taps of one row of a window lie side by side in the image and in the weights, so a window
 * is k_h runs of (taps inside the image) * in_c products. Four output channels go side by side so that each input is loaded once for four
 * products, which changes no sum's order. */
#include "edgeff.h"

/* The taps first..last - 1 of a window that lie inside an image of `size`, when tap 0 lies at `start`. */
static inline int32_t eff_first_tap(int32_t start) { return start < 0 ? -start : 0; }
static inline int32_t eff_last_tap(int32_t start, int32_t taps, int32_t size) { return start + taps > size ? size - start : taps; }

/* Input i times its weight of each of the four output channels; `value` is a float or an integer without its zero point. */
#define EFF_TAP(type, i, value) \
    do { \
        const type v = (value); \
        s0 += w0[i] * v; \
        s1 += w1[i] * v; \
        s2 += w2[i] * v; \
        s3 += w3[i] * v; \
    } while (0)

void eff_conv2d_f32(float *y, const float *x, const float *w, const float *b, int32_t in_h, int32_t in_w, int32_t in_c, int32_t out_h,
                    int32_t out_w, int32_t out_c, int32_t k_h, int32_t k_w, int32_t stride_h, int32_t stride_w, int32_t pad_h,
                    int32_t pad_w, int32_t relu)
{
    const int32_t row = k_w * in_c, filter = k_h * row;
    for (int32_t oy = 0; oy < out_h; ++oy) {
        const int32_t top = oy * stride_h - pad_h, ky0 = eff_first_tap(top), ky1 = eff_last_tap(top, k_h, in_h);
        for (int32_t ox = 0; ox < out_w; ++ox) {
            const int32_t left = ox * stride_w - pad_w, kx0 = eff_first_tap(left), kx1 = eff_last_tap(left, k_w, in_w);
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
                y[0] = eff_activate_f32(s0, relu);
                y[1] = eff_activate_f32(s1, relu);
                y[2] = eff_activate_f32(s2, relu);
                y[3] = eff_activate_f32(s3, relu);
                y += 4;
            }
            for (; oc < out_c; ++oc) {
                float s = b ? b[oc] : 0.0f;
                for (int32_t ky = ky0; ky < ky1; ++ky) {
                    const float *p = x + ((top + ky) * in_w + left + kx0) * in_c, *v = w + oc * filter + ky * row + kx0 * in_c;
                    for (int32_t i = 0; i < run; ++i) {
                        s += v[i] * p[i];
                    }
                }
                *y++ = eff_activate_f32(s, relu);
            }
        }
    }
}

void eff_conv2d_i8(int8_t *y, const int8_t *x, const int8_t *w, const int32_t *b, const int32_t *multiplier, const int32_t *shift,
                   int32_t in_h, int32_t in_w, int32_t in_c, int32_t out_h, int32_t out_w, int32_t out_c, int32_t k_h, int32_t k_w,
                   int32_t stride_h, int32_t stride_w, int32_t pad_h, int32_t pad_w, int32_t per_channel, int32_t x_zero, int32_t y_zero,
                   int32_t y_min, int32_t y_max)
{
    const int32_t row = k_w * in_c, filter = k_h * row;
    for (int32_t oy = 0; oy < out_h; ++oy) {
        const int32_t top = oy * stride_h - pad_h, ky0 = eff_first_tap(top), ky1 = eff_last_tap(top, k_h, in_h);
        for (int32_t ox = 0; ox < out_w; ++ox) {
            const int32_t left = ox * stride_w - pad_w, kx0 = eff_first_tap(left), kx1 = eff_last_tap(left, k_w, in_w);
            const int32_t run = (kx1 - kx0) * in_c;
            for (int32_t oc = 0; oc < out_c; oc += 4) {
                const int32_t lanes = out_c - oc < 4 ? out_c - oc : 4;
                int32_t sums[4] = {0, 0, 0, 0};
                if (lanes == 4) {
                    int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
                    for (int32_t ky = ky0; ky < ky1; ++ky) {
                        const int8_t *restrict p = x + ((top + ky) * in_w + left + kx0) * in_c;
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
                    const int32_t channel = per_channel ? oc + lane : 0;
                    const int32_t s = eff_requantise(sums[lane] + (b ? b[oc + lane] : 0), multiplier[channel], shift[channel]);
                    *y++ = (int8_t)eff_clamp(eff_clamp(s, -1024, 1024) + y_zero, y_min, y_max);
                }
            }
        }
    }
}

void eff_grouped_conv2d_f32(float *y, const float *x, const float *w, const float *b, int32_t in_h, int32_t in_w, int32_t in_c,
                            int32_t out_h, int32_t out_w, int32_t out_c, int32_t groups, int32_t k_h, int32_t k_w, int32_t stride_h,
                            int32_t stride_w, int32_t pad_h, int32_t pad_w, int32_t relu)
{
    const int32_t seen = in_c / groups, made = out_c / groups, row = k_w * seen, filter = k_h * row;
    for (int32_t oy = 0; oy < out_h; ++oy) {
        const int32_t top = oy * stride_h - pad_h, ky0 = eff_first_tap(top), ky1 = eff_last_tap(top, k_h, in_h);
        for (int32_t ox = 0; ox < out_w; ++ox) {
            const int32_t left = ox * stride_w - pad_w, kx0 = eff_first_tap(left), kx1 = eff_last_tap(left, k_w, in_w);
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
                    y[0] = eff_activate_f32(s0, relu);
                    y[1] = eff_activate_f32(s1, relu);
                    y[2] = eff_activate_f32(s2, relu);
                    y[3] = eff_activate_f32(s3, relu);
                    y += 4;
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
                    *y++ = eff_activate_f32(s, relu);
                }
            }
        }
    }
}

void eff_grouped_conv2d_i8(int8_t *y, const int8_t *x, const int8_t *w, const int32_t *b, const int32_t *multiplier, const int32_t *shift,
                           int32_t in_h, int32_t in_w, int32_t in_c, int32_t out_h, int32_t out_w, int32_t out_c, int32_t groups,
                           int32_t k_h, int32_t k_w, int32_t stride_h, int32_t stride_w, int32_t pad_h, int32_t pad_w,
                           int32_t per_channel, int32_t x_zero, int32_t y_zero, int32_t y_min, int32_t y_max)
{
    const int32_t seen = in_c / groups, made = out_c / groups, row = k_w * seen, filter = k_h * row;
    for (int32_t oy = 0; oy < out_h; ++oy) {
        const int32_t top = oy * stride_h - pad_h, ky0 = eff_first_tap(top), ky1 = eff_last_tap(top, k_h, in_h);
        for (int32_t ox = 0; ox < out_w; ++ox) {
            const int32_t left = ox * stride_w - pad_w, kx0 = eff_first_tap(left), kx1 = eff_last_tap(left, k_w, in_w);
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
                        const int32_t channel = per_channel ? oc : 0;
                        const int32_t s = eff_requantise(sums[lane] + (b ? b[oc] : 0), multiplier[channel], shift[channel]);
                        *y++ = (int8_t)eff_clamp(eff_clamp(s, -1024, 1024) + y_zero, y_min, y_max);
                    }
                }
            }
        }
    }
}

void eff_depthwise_conv2d_f32(float *y, const float *x, const float *w, const float *b, int32_t in_h, int32_t in_w, int32_t in_c,
                              int32_t depth, int32_t out_h, int32_t out_w, int32_t k_h, int32_t k_w, int32_t stride_h, int32_t stride_w,
                              int32_t pad_h, int32_t pad_w, int32_t relu)
{
    const int32_t out_c = in_c * depth;
    for (int32_t oy = 0; oy < out_h; ++oy) {
        const int32_t top = oy * stride_h - pad_h, ky0 = eff_first_tap(top), ky1 = eff_last_tap(top, k_h, in_h);
        for (int32_t ox = 0; ox < out_w; ++ox) {
            const int32_t left = ox * stride_w - pad_w, kx0 = eff_first_tap(left), kx1 = eff_last_tap(left, k_w, in_w);
            int32_t c = 0;
            for (; depth == 1 && c + 4 <= in_c; c += 4) {
                float s0 = 0.0f, s1 = 0.0f, s2 = 0.0f, s3 = 0.0f;
                if (b) {
                    s0 = b[c], s1 = b[c + 1], s2 = b[c + 2], s3 = b[c + 3];
                }
                for (int32_t ky = ky0; ky < ky1; ++ky) {
                    const float *p = x + ((top + ky) * in_w + left + kx0) * in_c + c, *v = w + (ky * k_w + kx0) * in_c + c;
                    for (int32_t taps = kx1 - kx0; taps > 0; --taps, p += in_c, v += in_c) {
                        s0 += v[0] * p[0];
                        s1 += v[1] * p[1];
                        s2 += v[2] * p[2];
                        s3 += v[3] * p[3];
                    }
                }
                y[0] = eff_activate_f32(s0, relu);
                y[1] = eff_activate_f32(s1, relu);
                y[2] = eff_activate_f32(s2, relu);
                y[3] = eff_activate_f32(s3, relu);
                y += 4;
            }
            int32_t oc = c;
            for (; c < in_c; ++c) {
                for (int32_t q = 0; q < depth; ++q, ++oc) {
                    float s = b ? b[oc] : 0.0f;
                    for (int32_t ky = ky0; ky < ky1; ++ky) {
                        const float *p = x + ((top + ky) * in_w + left + kx0) * in_c + c, *v = w + (ky * k_w + kx0) * out_c + oc;
                        for (int32_t taps = kx1 - kx0; taps > 0; --taps, p += in_c, v += out_c) {
                            s += *v * *p;
                        }
                    }
                    *y++ = eff_activate_f32(s, relu);
                }
            }
        }
    }
}

void eff_depthwise_conv2d_i8(int8_t *y, const int8_t *x, const int8_t *w, const int32_t *b, const int32_t *multiplier,
                             const int32_t *shift, int32_t in_h, int32_t in_w, int32_t in_c, int32_t depth, int32_t out_h, int32_t out_w,
                             int32_t k_h, int32_t k_w, int32_t stride_h, int32_t stride_w, int32_t pad_h, int32_t pad_w,
                             int32_t per_channel, int32_t x_zero, int32_t y_zero, int32_t y_min, int32_t y_max)
{
    const int32_t out_c = in_c * depth;
    for (int32_t oy = 0; oy < out_h; ++oy) {
        const int32_t top = oy * stride_h - pad_h, ky0 = eff_first_tap(top), ky1 = eff_last_tap(top, k_h, in_h);
        for (int32_t ox = 0; ox < out_w; ++ox) {
            const int32_t left = ox * stride_w - pad_w, kx0 = eff_first_tap(left), kx1 = eff_last_tap(left, k_w, in_w);
            int32_t c = 0;
            for (; depth == 1 && c + 4 <= in_c; c += 4) {
                int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
                for (int32_t ky = ky0; ky < ky1; ++ky) {
                    const int8_t *restrict p = x + ((top + ky) * in_w + left + kx0) * in_c + c;
                    const int8_t *restrict v = w + (ky * k_w + kx0) * in_c + c;
                    for (int32_t taps = kx1 - kx0; taps > 0; --taps, p += in_c, v += in_c) {
                        s0 += v[0] * (p[0] - x_zero);
                        s1 += v[1] * (p[1] - x_zero);
                        s2 += v[2] * (p[2] - x_zero);
                        s3 += v[3] * (p[3] - x_zero);
                    }
                }
                const int32_t sums[4] = {s0, s1, s2, s3};
                for (int32_t lane = 0; lane < 4; ++lane) {
                    const int32_t channel = per_channel ? c + lane : 0;
                    const int32_t s = eff_requantise(sums[lane] + (b ? b[c + lane] : 0), multiplier[channel], shift[channel]);
                    *y++ = (int8_t)eff_clamp(eff_clamp(s, -1024, 1024) + y_zero, y_min, y_max);
                }
            }
            int32_t oc = c;
            for (; c < in_c; ++c) {
                for (int32_t q = 0; q < depth; ++q, ++oc) {
                    int32_t s = b ? b[oc] : 0;
                    for (int32_t ky = ky0; ky < ky1; ++ky) {
                        const int8_t *restrict p = x + ((top + ky) * in_w + left + kx0) * in_c + c;
                        const int8_t *restrict v = w + (ky * k_w + kx0) * out_c + oc;
                        for (int32_t taps = kx1 - kx0; taps > 0; --taps, p += in_c, v += out_c) {
                            s += *v * (*p - x_zero);
                        }
                    }
                    const int32_t channel = per_channel ? oc : 0;
                    s = eff_requantise(s, multiplier[channel], shift[channel]);
                    *y++ = (int8_t)eff_clamp(eff_clamp(s, -1024, 1024) + y_zero, y_min, y_max);
                }
            }
        }
    }
}
