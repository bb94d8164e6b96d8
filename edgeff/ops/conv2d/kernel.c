/* Convolutions over [h][w][c] images, in groups or not, their gradients and updates. */
#include "edgeff.h"
#include "eff_windows.h"
#include "eff_walk.h"

void eff_conv2d_f32(float *y, const float *x, const float *w, const float *b, int32_t in_h, int32_t in_w, int32_t in_c, int32_t out_h,
                    int32_t out_w, int32_t out_c, int32_t k_h, int32_t k_w, int32_t stride_h, int32_t stride_w, int32_t pad_h,
                    int32_t pad_w, int32_t relu)
{
    const int32_t row = k_w * in_c, filter = k_h * row;
    const int32_t backwards = eff_backwards(y, x);
    for (int32_t down = 0; down < out_h; ++down) {
        const int32_t oy = eff_visited(down, out_h, backwards);
        const int32_t top = oy * stride_h - pad_h, ky0 = eff_first_tap(top), ky1 = eff_last_tap(top, k_h, in_h);
        for (int32_t across = 0; across < out_w; ++across) {
            const int32_t ox = eff_visited(across, out_w, backwards);
            const int32_t left = ox * stride_w - pad_w, kx0 = eff_first_tap(left), kx1 = eff_last_tap(left, k_w, in_w);
            float *to = y + (oy * out_w + ox) * out_c;
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

void eff_conv2d_i8(int8_t *y, const int8_t *x, const int8_t *w, const int32_t *b, const int32_t *multiplier, const int32_t *shift,
                   int32_t in_h, int32_t in_w, int32_t in_c, int32_t out_h, int32_t out_w, int32_t out_c, int32_t k_h, int32_t k_w,
                   int32_t stride_h, int32_t stride_w, int32_t pad_h, int32_t pad_w, int32_t per_channel, int32_t x_zero, int32_t y_zero,
                   int32_t y_min, int32_t y_max)
{
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
                    *to++ = (int8_t)eff_clamp(eff_clamp(s, -1024, 1024) + y_zero, y_min, y_max);
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

void eff_grouped_conv2d_i8(int8_t *y, const int8_t *x, const int8_t *w, const int32_t *b, const int32_t *multiplier, const int32_t *shift,
                           int32_t in_h, int32_t in_w, int32_t in_c, int32_t out_h, int32_t out_w, int32_t out_c, int32_t groups,
                           int32_t k_h, int32_t k_w, int32_t stride_h, int32_t stride_w, int32_t pad_h, int32_t pad_w,
                           int32_t per_channel, int32_t x_zero, int32_t y_zero, int32_t y_min, int32_t y_max)
{
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
                        const int32_t channel = per_channel ? oc : 0;
                        const int32_t s = eff_requantise(sums[lane] + (b ? b[oc] : 0), multiplier[channel], shift[channel]);
                        *to++ = (int8_t)eff_clamp(eff_clamp(s, -1024, 1024) + y_zero, y_min, y_max);
                    }
                }
            }
        }
    }
}

/* Delta of output channel j times the four inputs. */
#define EFF_OUTER(j) \
    do { \
        const float v = d[j]; \
        s##j##0 += v * p0; \
        s##j##1 += v * p1; \
        s##j##2 += v * p2; \
        s##j##3 += v * p3; \
    } while (0)

/* s[4 j + c] = the sum of d[j] * p[c] over the walk: four output channels times four input channels. */
static void eff_outer_4x4_f32(float *s, const float *d, const float *p, const eff_walk *walk)
{
    float s00 = 0.0f, s01 = 0.0f, s02 = 0.0f, s03 = 0.0f, s10 = 0.0f, s11 = 0.0f, s12 = 0.0f, s13 = 0.0f;
    float s20 = 0.0f, s21 = 0.0f, s22 = 0.0f, s23 = 0.0f, s30 = 0.0f, s31 = 0.0f, s32 = 0.0f, s33 = 0.0f;
    const int32_t d_rest = walk->d_down - walk->columns * walk->d_across, a_rest = walk->a_down - walk->columns * walk->a_across;
    for (int32_t rows = walk->rows; rows > 0; --rows, d += d_rest, p += a_rest) {
        for (int32_t left = walk->columns; left > 0; --left, d += walk->d_across, p += walk->a_across) {
            const float p0 = p[0], p1 = p[1], p2 = p[2], p3 = p[3];
            EFF_OUTER(0);
            EFF_OUTER(1);
            EFF_OUTER(2);
            EFF_OUTER(3);
        }
    }
    s[0] = s00, s[1] = s01, s[2] = s02, s[3] = s03, s[4] = s10, s[5] = s11, s[6] = s12, s[7] = s13;
    s[8] = s20, s[9] = s21, s[10] = s22, s[11] = s23, s[12] = s30, s[13] = s31, s[14] = s32, s[15] = s33;
}

/* s[j] = the sum of d[j] * p[0] over the walk. */
static void eff_outer_4x1_f32(float *s, const float *d, const float *p, const eff_walk *walk)
{
    float s0 = 0.0f, s1 = 0.0f, s2 = 0.0f, s3 = 0.0f;
    const int32_t d_rest = walk->d_down - walk->columns * walk->d_across, a_rest = walk->a_down - walk->columns * walk->a_across;
    for (int32_t rows = walk->rows; rows > 0; --rows, d += d_rest, p += a_rest) {
        for (int32_t left = walk->columns; left > 0; --left, d += walk->d_across, p += walk->a_across) {
            const float v = *p;
            s0 += d[0] * v;
            s1 += d[1] * v;
            s2 += d[2] * v;
            s3 += d[3] * v;
        }
    }
    s[0] = s0, s[1] = s1, s[2] = s2, s[3] = s3;
}

/* The update of a grouped convolution; an ordinary one has one group. */
static inline void eff_update_groups_f32(float *w, const float *delta, const float *a, const uint32_t *rate, int32_t in_h, int32_t in_w,
                                         int32_t in_c, int32_t out_h, int32_t out_w, int32_t out_c, int32_t groups, int32_t k_h,
                                         int32_t k_w, int32_t stride_h, int32_t stride_w, int32_t pad_h, int32_t pad_w, float lr)
{
    const float eta = eff_rate_f32(rate, lr);
    const int32_t seen = in_c / groups, made = out_c / groups, filter = k_h * k_w * seen;
    eff_walk walk = {0, 0, out_w * out_c, out_c, stride_h * in_w * in_c, stride_w * in_c};
    for (int32_t ky = 0; ky < k_h; ++ky) {
        const int32_t oy = eff_first_position(ky, stride_h, pad_h);
        walk.rows = eff_last_position(ky, stride_h, pad_h, in_h, out_h) - oy;
        for (int32_t kx = 0; kx < k_w; ++kx, w += seen) {
            const int32_t ox = eff_first_position(kx, stride_w, pad_w);
            walk.columns = eff_last_position(kx, stride_w, pad_w, in_w, out_w) - ox;
            if (walk.rows <= 0 || walk.columns <= 0) {
                continue;
            }
            const float *d = delta + (oy * out_w + ox) * out_c;
            const float *p = a + ((oy * stride_h + ky - pad_h) * in_w + ox * stride_w + kx - pad_w) * in_c;
            for (int32_t group = 0, oc = 0; group < groups; ++group, p += seen) {
                const int32_t last = oc + made;
                for (; oc + 4 <= last; oc += 4) {
                    float s[16];
                    int32_t c = 0;
                    for (; c + 4 <= seen; c += 4) {
                        eff_outer_4x4_f32(s, d + oc, p + c, &walk);
                        for (int32_t j = 0; j < 4; ++j) {
                            float *v = w + (oc + j) * filter + c;
                            v[0] -= eta * s[4 * j];
                            v[1] -= eta * s[4 * j + 1];
                            v[2] -= eta * s[4 * j + 2];
                            v[3] -= eta * s[4 * j + 3];
                        }
                    }
                    for (; c < seen; ++c) {
                        eff_outer_4x1_f32(s, d + oc, p + c, &walk);
                        for (int32_t j = 0; j < 4; ++j) {
                            w[(oc + j) * filter + c] -= eta * s[j];
                        }
                    }
                }
                for (; oc < last; ++oc) {
                    for (int32_t c = 0; c < seen; ++c) {
                        w[oc * filter + c] -= eta * eff_inner_1_f32(d + oc, p + c, &walk);
                    }
                }
            }
        }
    }
}

void eff_conv2d_update_f32(float *w, const float *delta, const float *a, const uint32_t *rate, int32_t in_h, int32_t in_w, int32_t in_c,
                           int32_t out_h, int32_t out_w, int32_t out_c, int32_t k_h, int32_t k_w, int32_t stride_h, int32_t stride_w,
                           int32_t pad_h, int32_t pad_w, float lr)
{
    eff_update_groups_f32(w, delta, a, rate, in_h, in_w, in_c, out_h, out_w, out_c, 1, k_h, k_w, stride_h, stride_w, pad_h, pad_w, lr);
}

void eff_grouped_conv2d_update_f32(float *w, const float *delta, const float *a, const uint32_t *rate, int32_t in_h, int32_t in_w,
                                   int32_t in_c, int32_t out_h, int32_t out_w, int32_t out_c, int32_t groups, int32_t k_h, int32_t k_w,
                                   int32_t stride_h, int32_t stride_w, int32_t pad_h, int32_t pad_w, float lr)
{
    eff_update_groups_f32(w, delta, a, rate, in_h, in_w, in_c, out_h, out_w, out_c, groups, k_h, k_w, stride_h, stride_w, pad_h, pad_w,
                          lr);
}

/* s[2 j + c] = the sum of delta[j] * (a[c] - a_zero) over the walk: two output channels times two input channels. */
static void eff_outer_2x2_i8(int64_t *s, const int16_t *delta, const int8_t *a, int32_t a_zero, const eff_walk *walk)
{
    EFF_BANDS(
        const int32_t d0 = d[0], d1 = d[1], p0 = p[0] - a_zero, p1 = p[1] - a_zero;
        t0 += d0 * p0;
        t1 += d0 * p1;
        t2 += d1 * p0;
        t3 += d1 * p1;
    )
}

/* s[j] = the sum of delta[j] * (a[0] - a_zero) over the walk. */
static void eff_outer_4x1_i8(int64_t *s, const int16_t *delta, const int8_t *a, int32_t a_zero, const eff_walk *walk)
{
    EFF_BANDS(
        const int32_t v = p[0] - a_zero;
        t0 += d[0] * v;
        t1 += d[1] * v;
        t2 += d[2] * v;
        t3 += d[3] * v;
    )
}

/* The update of a grouped convolution; an ordinary one has one group. */
static inline void eff_update_groups_i8(int8_t *w, const int16_t *delta, const int8_t *a, int32_t in_h, int32_t in_w, int32_t in_c,
                                        int32_t out_h, int32_t out_w, int32_t out_c, int32_t groups, int32_t k_h, int32_t k_w,
                                        int32_t stride_h, int32_t stride_w, int32_t pad_h, int32_t pad_w, int32_t a_zero,
                                        const eff_change *how)
{
    const int32_t seen = in_c / groups, made = out_c / groups, filter = k_h * k_w * seen;
    eff_walk walk = {0, 0, out_w * out_c, out_c, stride_h * in_w * in_c, stride_w * in_c};
    for (int32_t ky = 0; ky < k_h; ++ky) {
        const int32_t oy = eff_first_position(ky, stride_h, pad_h);
        walk.rows = eff_last_position(ky, stride_h, pad_h, in_h, out_h) - oy;
        for (int32_t kx = 0; kx < k_w; ++kx) {
            const int32_t ox = eff_first_position(kx, stride_w, pad_w);
            walk.columns = eff_last_position(kx, stride_w, pad_w, in_w, out_w) - ox;
            if (walk.rows <= 0 || walk.columns <= 0) {
                continue;
            }
            const int16_t *d = delta + (oy * out_w + ox) * out_c;
            const int8_t *p = a + ((oy * stride_h + ky - pad_h) * in_w + ox * stride_w + kx - pad_w) * in_c;
            int32_t i = (ky * k_w + kx) * seen;
            for (int32_t group = 0, oc = 0; group < groups; ++group, p += seen) {
                const int32_t last = oc + made;
                for (; oc + 4 <= last; oc += 4, i += 4 * filter) {
                    int64_t s[4];
                    int32_t c = 0;
                    for (; c + 2 <= seen; c += 2) {
                        for (int32_t j = 0; j < 4; j += 2) {
                            eff_outer_2x2_i8(s, d + oc + j, p + c, a_zero, &walk);
                            eff_change_weight_i8(w, i + j * filter + c, s[0], how);
                            eff_change_weight_i8(w, i + j * filter + c + 1, s[1], how);
                            eff_change_weight_i8(w, i + (j + 1) * filter + c, s[2], how);
                            eff_change_weight_i8(w, i + (j + 1) * filter + c + 1, s[3], how);
                        }
                    }
                    for (; c < seen; ++c) {
                        eff_outer_4x1_i8(s, d + oc, p + c, a_zero, &walk);
                        for (int32_t j = 0; j < 4; ++j) {
                            eff_change_weight_i8(w, i + j * filter + c, s[j], how);
                        }
                    }
                }
                for (; oc < last; ++oc, i += filter) {
                    for (int32_t c = 0; c < seen; ++c) {
                        eff_change_weight_i8(w, i + c, eff_inner_1_i8(d + oc, p + c, a_zero, &walk), how);
                    }
                }
            }
        }
    }
}

void eff_conv2d_update_i8(int8_t *w, const int16_t *delta, const int8_t *a, const uint32_t *rate, const uint32_t *step, int32_t in_h,
                          int32_t in_w, int32_t in_c, int32_t out_h, int32_t out_w, int32_t out_c, int32_t k_h, int32_t k_w,
                          int32_t stride_h, int32_t stride_w, int32_t pad_h, int32_t pad_w, int32_t a_zero, int32_t multiplier,
                          int32_t shift, int32_t stochastic, uint32_t key)
{
    const eff_change how = {*rate, eff_step_key(key, *step), multiplier, shift, stochastic};
    eff_update_groups_i8(w, delta, a, in_h, in_w, in_c, out_h, out_w, out_c, 1, k_h, k_w, stride_h, stride_w, pad_h, pad_w, a_zero, &how);
}

void eff_grouped_conv2d_update_i8(int8_t *w, const int16_t *delta, const int8_t *a, const uint32_t *rate, const uint32_t *step,
                                  int32_t in_h, int32_t in_w, int32_t in_c, int32_t out_h, int32_t out_w, int32_t out_c, int32_t groups,
                                  int32_t k_h, int32_t k_w, int32_t stride_h, int32_t stride_w, int32_t pad_h, int32_t pad_w,
                                  int32_t a_zero, int32_t multiplier, int32_t shift, int32_t stochastic, uint32_t key)
{
    const eff_change how = {*rate, eff_step_key(key, *step), multiplier, shift, stochastic};
    eff_update_groups_i8(w, delta, a, in_h, in_w, in_c, out_h, out_w, out_c, groups, k_h, k_w, stride_h, stride_w, pad_h, pad_w, a_zero,
                         &how);
}

void eff_conv_bias_update_f32(float *b, const float *delta, const uint32_t *rate, int32_t n, int32_t out_c, float lr)
{
    const float eta = eff_rate_f32(rate, lr);
    for (int32_t c = 0; c < out_c; ++c) {
        float s = 0.0f;
        for (int32_t i = 0; i < n; ++i) {
            s += delta[i * out_c + c];
        }
        b[c] -= eta * s;
    }
}

void eff_conv_bias_update_i32(int32_t *b, const int16_t *delta, const uint32_t *rate, int32_t n, int32_t out_c, int32_t multiplier,
                              int32_t shift)
{
    for (int32_t c = 0; c < out_c; ++c) {
        int32_t s = 0;
        for (int32_t i = 0; i < n; ++i) {
            s += delta[i * out_c + c];
        }
        b[c] = eff_clamp(b[c] - eff_gain(s, multiplier, shift, *rate, EFF_BIAS_LIMIT), -EFF_BIAS_LIMIT, EFF_BIAS_LIMIT);
    }
}

/* The gradient of a grouped convolution; an ordinary one has one group. */
static inline void eff_groups_input_gradient_f32(float *d, const float *delta, const float *w, int32_t in_h, int32_t in_w, int32_t in_c,
                                                 int32_t out_h, int32_t out_w, int32_t out_c, int32_t groups, int32_t k_h, int32_t k_w,
                                                 int32_t stride_h, int32_t stride_w, int32_t pad_h, int32_t pad_w)
{
    const int32_t seen = in_c / groups, made = out_c / groups, row = k_w * seen, filter = k_h * row;
    for (int32_t iy = 0; iy < in_h; ++iy) {
        const int32_t oy0 = (iy + pad_h) / stride_h, ky0 = iy + pad_h - oy0 * stride_h;
        for (int32_t ix = 0; ix < in_w; ++ix) {
            const int32_t ox0 = (ix + pad_w) / stride_w, kx0 = ix + pad_w - ox0 * stride_w;
            for (int32_t group = 0; group < groups; ++group) {
                const float *taken = delta + group * made, *weights = w + group * made * filter;
                int32_t c = 0;
                for (; c + 4 <= seen; c += 4, d += 4) {
                    float s0 = 0.0f, s1 = 0.0f, s2 = 0.0f, s3 = 0.0f;
                    for (int32_t ky = ky0, oy = oy0; ky < k_h && oy >= 0; ky += stride_h, --oy) {
                        for (int32_t kx = kx0, ox = ox0; oy < out_h && kx < k_w && ox >= 0; kx += stride_w, --ox) {
                            if (ox >= out_w) {
                                continue;
                            }
                            const float *p = taken + (oy * out_w + ox) * out_c, *v = weights + ky * row + kx * seen + c;
                            for (int32_t left = made; left > 0; --left, v += filter) {
                                const float e = *p++;
                                s0 += e * v[0];
                                s1 += e * v[1];
                                s2 += e * v[2];
                                s3 += e * v[3];
                            }
                        }
                    }
                    d[0] = s0, d[1] = s1, d[2] = s2, d[3] = s3;
                }
                for (; c < seen; ++c) {
                    float s = 0.0f;
                    for (int32_t ky = ky0, oy = oy0; ky < k_h && oy >= 0; ky += stride_h, --oy) {
                        for (int32_t kx = kx0, ox = ox0; oy < out_h && kx < k_w && ox >= 0; kx += stride_w, --ox) {
                            for (int32_t o = 0; ox < out_w && o < made; ++o) {
                                s += taken[(oy * out_w + ox) * out_c + o] * weights[o * filter + ky * row + kx * seen + c];
                            }
                        }
                    }
                    *d++ = s;
                }
            }
        }
    }
}

void eff_conv2d_input_gradient_f32(float *d, const float *delta, const float *w, int32_t in_h, int32_t in_w, int32_t in_c, int32_t out_h,
                                   int32_t out_w, int32_t out_c, int32_t k_h, int32_t k_w, int32_t stride_h, int32_t stride_w,
                                   int32_t pad_h, int32_t pad_w)
{
    eff_groups_input_gradient_f32(d, delta, w, in_h, in_w, in_c, out_h, out_w, out_c, 1, k_h, k_w, stride_h, stride_w, pad_h, pad_w);
}

void eff_grouped_conv2d_input_gradient_f32(float *d, const float *delta, const float *w, int32_t in_h, int32_t in_w, int32_t in_c,
                                           int32_t out_h, int32_t out_w, int32_t out_c, int32_t groups, int32_t k_h, int32_t k_w,
                                           int32_t stride_h, int32_t stride_w, int32_t pad_h, int32_t pad_w)
{
    eff_groups_input_gradient_f32(d, delta, w, in_h, in_w, in_c, out_h, out_w, out_c, groups, k_h, k_w, stride_h, stride_w, pad_h, pad_w);
}
