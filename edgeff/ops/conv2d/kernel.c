/* SPDX-License-Identifier: Apache-2.0 */
/* Convolutions over [h][w][c] images, in groups or not, their gradients and updates. */
#include "edgeff.h"
#include "eff_windows.h"
#include "eff_walk.h"
#include "eff_wide.h"

void eff_conv2d_f32(float *y, const float *x, const float *w, const float *b, const eff_window *window, int32_t relu)
{
    const int32_t in_h = window->in_h, in_w = window->in_w, in_c = window->in_c, out_h = window->out_h, out_w = window->out_w,
                  out_c = window->out_c, k_h = window->k_h, k_w = window->k_w, stride_h = window->stride_h,
                  stride_w = window->stride_w, pad_h = window->pad_h, pad_w = window->pad_w, groups = window->groups;
    const int32_t seen = in_c / groups, made = out_c / groups;
    const int32_t backwards = eff_backwards(y, x);
    for (int32_t down = 0; down < out_h; ++down) {
        const int32_t oy = eff_visited(down, out_h, backwards);
        const int32_t top = oy * stride_h - pad_h, ky0 = eff_first_tap(top), ky1 = eff_last_tap(top, k_h, in_h);
        for (int32_t across = 0; across < out_w; ++across) {
            const int32_t ox = eff_visited(across, out_w, backwards);
            const int32_t left = ox * stride_w - pad_w, kx0 = eff_first_tap(left), kx1 = eff_last_tap(left, k_w, in_w);
            float *to = y + (oy * out_w + ox) * out_c;
            for (int32_t oc = 0; oc < out_c; ++oc) {
                float s = b ? b[oc] : 0.0f;
                for (int32_t ky = ky0; ky < ky1; ++ky) {
                    for (int32_t kx = kx0; kx < kx1; ++kx) {
                        const float *p = x + ((top + ky) * in_w + left + kx) * in_c + oc / made * seen;
                        const float *v = w + ((oc * k_h + ky) * k_w + kx) * seen;
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

void eff_conv2d_i8(int8_t *y, const int8_t *x, const int8_t *w, const int32_t *b, const int32_t *multiplier, const int32_t *shift,
                   const eff_window *window, const eff_output_i8 *output)
{
    const int32_t in_h = window->in_h, in_w = window->in_w, in_c = window->in_c, out_h = window->out_h, out_w = window->out_w,
                  out_c = window->out_c, k_h = window->k_h, k_w = window->k_w, stride_h = window->stride_h,
                  stride_w = window->stride_w, pad_h = window->pad_h, pad_w = window->pad_w, groups = window->groups,
                  x_zero = output->x_zero, y_zero = output->y_zero, y_min = output->y_min, y_max = output->y_max,
                  per_channel = output->per_channel;
    const int32_t seen = in_c / groups, made = out_c / groups;
    const int32_t backwards = eff_backwards(y, x);
    for (int32_t down = 0; down < out_h; ++down) {
        const int32_t oy = eff_visited(down, out_h, backwards);
        const int32_t top = oy * stride_h - pad_h, ky0 = eff_first_tap(top), ky1 = eff_last_tap(top, k_h, in_h);
        for (int32_t across = 0; across < out_w; ++across) {
            const int32_t ox = eff_visited(across, out_w, backwards);
            const int32_t left = ox * stride_w - pad_w, kx0 = eff_first_tap(left), kx1 = eff_last_tap(left, k_w, in_w);
            int8_t *to = y + (oy * out_w + ox) * out_c;
            for (int32_t oc = 0; oc < out_c; ++oc) {
                int32_t s = b ? b[oc] : 0;
                for (int32_t ky = ky0; ky < ky1; ++ky) {
                    for (int32_t kx = kx0; kx < kx1; ++kx) {
                        const int8_t *p = x + ((top + ky) * in_w + left + kx) * in_c + oc / made * seen;
                        const int8_t *v = w + ((oc * k_h + ky) * k_w + kx) * seen;
                        for (int32_t c = 0; c < seen; ++c) {
                            s += v[c] * (p[c] - x_zero);
                        }
                    }
                }
                const int32_t channel = per_channel ? oc : 0, scaled = eff_requantise(s, multiplier[channel], shift[channel]);
                *to++ = eff_to_i8(scaled, y_zero, y_min, y_max);
            }
        }
    }
}

void eff_conv2d_i16x8(int16_t *y, const int16_t *x, const int8_t *w, const int64_t *b, const int32_t *multiplier,
                      const int32_t *shift, const eff_window *window, const eff_output_i16 *output)
{
    const int32_t in_w = window->in_w, in_c = window->in_c, out_c = window->out_c, k_h = window->k_h, k_w = window->k_w;
    const int32_t seen = in_c / window->groups, made = out_c / window->groups;
    const int32_t backwards = eff_backwards(y, x);
    for (int32_t down = 0; down < window->out_h; ++down) {
        const int32_t oy = eff_visited(down, window->out_h, backwards), top = oy * window->stride_h - window->pad_h;
        const int32_t ky0 = eff_first_tap(top), ky1 = eff_last_tap(top, k_h, window->in_h);
        for (int32_t across = 0; across < window->out_w; ++across) {
            const int32_t ox = eff_visited(across, window->out_w, backwards), left = ox * window->stride_w - window->pad_w;
            const int32_t kx0 = eff_first_tap(left), kx1 = eff_last_tap(left, k_w, in_w);
            int16_t *to = y + (oy * window->out_w + ox) * out_c;
            for (int32_t oc = 0; oc < out_c; ++oc) {
                int64_t s = b ? b[oc] : 0;
                for (int32_t ky = ky0; ky < ky1; ++ky) {
                    for (int32_t kx = kx0; kx < kx1; ++kx) {
                        const int16_t *p = x + ((top + ky) * in_w + left + kx) * in_c + oc / made * seen;
                        const int8_t *v = w + ((oc * k_h + ky) * k_w + kx) * seen;
                        for (int32_t c = 0; c < seen; ++c) {
                            s += (int32_t)v[c] * p[c];
                        }
                    }
                }
                const int32_t channel = output->per_channel ? oc : 0;
                *to++ = eff_output_of(s, multiplier[channel], shift[channel], output);
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

void eff_conv2d_update_f32(float *w, const float *delta, const float *a, const uint32_t *rate, const eff_window *window,
                           float lr)
{
    const int32_t in_h = window->in_h, in_w = window->in_w, in_c = window->in_c, out_h = window->out_h, out_w = window->out_w,
                  out_c = window->out_c, k_h = window->k_h, k_w = window->k_w, stride_h = window->stride_h,
                  stride_w = window->stride_w, pad_h = window->pad_h, pad_w = window->pad_w, groups = window->groups;
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

void eff_conv2d_update_i8(int8_t *w, const int16_t *delta, const int8_t *a, const uint32_t *rate, const uint32_t *step,
                          const eff_window *window, const eff_step *how)
{
    const int32_t in_h = window->in_h, in_w = window->in_w, in_c = window->in_c, out_h = window->out_h, out_w = window->out_w,
                  out_c = window->out_c, k_h = window->k_h, k_w = window->k_w, stride_h = window->stride_h,
                  stride_w = window->stride_w, pad_h = window->pad_h, pad_w = window->pad_w, groups = window->groups,
                  a_zero = how->a_zero;
    const eff_change change = {*rate, eff_step_key(how->key, *step), how->multiplier, how->shift, how->stochastic};
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
                            eff_change_weight_i8(w, i + j * filter + c, s[0], &change);
                            eff_change_weight_i8(w, i + j * filter + c + 1, s[1], &change);
                            eff_change_weight_i8(w, i + (j + 1) * filter + c, s[2], &change);
                            eff_change_weight_i8(w, i + (j + 1) * filter + c + 1, s[3], &change);
                        }
                    }
                    for (; c < seen; ++c) {
                        eff_outer_4x1_i8(s, d + oc, p + c, a_zero, &walk);
                        for (int32_t j = 0; j < 4; ++j) {
                            eff_change_weight_i8(w, i + j * filter + c, s[j], &change);
                        }
                    }
                }
                for (; oc < last; ++oc, i += filter) {
                    for (int32_t c = 0; c < seen; ++c) {
                        eff_change_weight_i8(w, i + c, eff_inner_1_i8(d + oc, p + c, a_zero, &walk), &change);
                    }
                }
            }
        }
    }
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

void eff_conv_bias_update_i32(int32_t *b, const int16_t *delta, const uint32_t *rate, int32_t n, int32_t out_c,
                              const eff_requant *requant)
{
    const int32_t multiplier = requant->multiplier, shift = requant->shift;
    for (int32_t c = 0; c < out_c; ++c) {
        int32_t s = 0;
        for (int32_t i = 0; i < n; ++i) {
            s += delta[i * out_c + c];
        }
        b[c] = eff_clamp(b[c] - eff_gain(s, multiplier, shift, *rate, EFF_BIAS_LIMIT), -EFF_BIAS_LIMIT, EFF_BIAS_LIMIT);
    }
}

void eff_conv2d_input_gradient_f32(float *d, const float *delta, const float *w, const eff_window *window)
{
    const int32_t in_h = window->in_h, in_w = window->in_w, in_c = window->in_c, out_h = window->out_h, out_w = window->out_w,
                  out_c = window->out_c, k_h = window->k_h, k_w = window->k_w, stride_h = window->stride_h,
                  stride_w = window->stride_w, pad_h = window->pad_h, pad_w = window->pad_w, groups = window->groups;
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

/* Deltas that a gate or a pool has set to zero, often most of them, are skipped. */
void eff_conv2d_input_gradient_i8(int16_t *d, const int16_t *delta, const int8_t *w, const eff_window *window, int32_t pre_shift,
                                  const eff_requant *requant, int32_t add)
{
    const int32_t in_h = window->in_h, in_w = window->in_w, in_c = window->in_c, out_h = window->out_h, out_w = window->out_w,
                  out_c = window->out_c, k_h = window->k_h, k_w = window->k_w, stride_h = window->stride_h,
                  stride_w = window->stride_w, pad_h = window->pad_h, pad_w = window->pad_w, groups = window->groups,
                  multiplier = requant->multiplier, shift = requant->shift;
    const int32_t seen = in_c / groups, made = out_c / groups, row = k_w * seen, filter = k_h * row;
    for (int32_t iy = 0; iy < in_h; ++iy) {
        const int32_t oy0 = (iy + pad_h) / stride_h, ky0 = iy + pad_h - oy0 * stride_h;
        for (int32_t ix = 0; ix < in_w; ++ix) {
            const int32_t ox0 = (ix + pad_w) / stride_w, kx0 = ix + pad_w - ox0 * stride_w;
            for (int32_t group = 0; group < groups; ++group) {
                const int16_t *taken = delta + group * made;
                const int8_t *weights = w + group * made * filter;
                int32_t c = 0;
                for (; c + 4 <= seen; c += 4, d += 4) {
                    int64_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
                    for (int32_t ky = ky0, oy = oy0; ky < k_h && oy >= 0; ky += stride_h, --oy) {
                        for (int32_t kx = kx0, ox = ox0; oy < out_h && kx < k_w && ox >= 0; kx += stride_w, --ox) {
                            if (ox >= out_w) {
                                continue;
                            }
                            const int16_t *p = taken + (oy * out_w + ox) * out_c;
                            const int8_t *v = weights + ky * row + kx * seen + c;
                            for (int32_t left = made; left > 0; left -= EFF_SAFE_PRODUCTS) {
                                int32_t t0 = 0, t1 = 0, t2 = 0, t3 = 0;
                                for (int32_t run = left < EFF_SAFE_PRODUCTS ? left : EFF_SAFE_PRODUCTS; run > 0; --run, v += filter) {
                                    const int32_t e = *p++;
                                    if (e != 0) {
                                        t0 += e * v[0];
                                        t1 += e * v[1];
                                        t2 += e * v[2];
                                        t3 += e * v[3];
                                    }
                                }
                                s0 += t0, s1 += t1, s2 += t2, s3 += t3;
                            }
                        }
                    }
                    d[0] = eff_onto_i16(d[0], eff_gradient_i16(s0, pre_shift, multiplier, shift), add);
                    d[1] = eff_onto_i16(d[1], eff_gradient_i16(s1, pre_shift, multiplier, shift), add);
                    d[2] = eff_onto_i16(d[2], eff_gradient_i16(s2, pre_shift, multiplier, shift), add);
                    d[3] = eff_onto_i16(d[3], eff_gradient_i16(s3, pre_shift, multiplier, shift), add);
                }
                for (; c < seen; ++c) {
                    int64_t s = 0;
                    for (int32_t ky = ky0, oy = oy0; ky < k_h && oy >= 0; ky += stride_h, --oy) {
                        for (int32_t kx = kx0, ox = ox0; oy < out_h && kx < k_w && ox >= 0; kx += stride_w, --ox) {
                            for (int32_t o = 0; ox < out_w && o < made; ++o) {
                                s += (int32_t)taken[(oy * out_w + ox) * out_c + o] * weights[o * filter + ky * row + kx * seen + c];
                            }
                        }
                    }
                    *d = eff_onto_i16(*d, eff_gradient_i16(s, pre_shift, multiplier, shift), add);
                    ++d;
                }
            }
        }
    }
}
