/* SPDX-License-Identifier: Apache-2.0 */
/* Convolution of each channel separately, its gradient and update. */
#include "edgeff.h"
#include "eff_windows.h"
#include "eff_walk.h"
#include "eff_wide.h"

void eff_depthwise_conv2d_f32(float *y, const float *x, const float *w, const float *b, const eff_window *window,
                              int32_t relu)
{
    const int32_t in_h = window->in_h, in_w = window->in_w, in_c = window->in_c, out_h = window->out_h, out_w = window->out_w,
                  out_c = window->out_c, k_h = window->k_h, k_w = window->k_w, stride_h = window->stride_h,
                  stride_w = window->stride_w, pad_h = window->pad_h, pad_w = window->pad_w, depth = window->out_c / window->in_c;
    const int32_t backwards = eff_backwards(y, x);
    for (int32_t down = 0; down < out_h; ++down) {
        const int32_t oy = eff_visited(down, out_h, backwards);
        const int32_t top = oy * stride_h - pad_h, ky0 = eff_first_tap(top), ky1 = eff_last_tap(top, k_h, in_h);
        for (int32_t across = 0; across < out_w; ++across) {
            const int32_t ox = eff_visited(across, out_w, backwards);
            const int32_t left = ox * stride_w - pad_w, kx0 = eff_first_tap(left), kx1 = eff_last_tap(left, k_w, in_w);
            float *to = y + (oy * out_w + ox) * out_c;
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
                to[0] = eff_activate_f32(s0, relu);
                to[1] = eff_activate_f32(s1, relu);
                to[2] = eff_activate_f32(s2, relu);
                to[3] = eff_activate_f32(s3, relu);
                to += 4;
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
                    *to++ = eff_activate_f32(s, relu);
                }
            }
        }
    }
}

void eff_depthwise_conv2d_i8(int8_t *y, const int8_t *x, const int8_t *w, const int32_t *b, const int32_t *multiplier,
                             const int32_t *shift, const eff_window *window, const eff_output_i8 *output)
{
    const int32_t in_h = window->in_h, in_w = window->in_w, in_c = window->in_c, out_h = window->out_h, out_w = window->out_w,
                  out_c = window->out_c, k_h = window->k_h, k_w = window->k_w, stride_h = window->stride_h,
                  stride_w = window->stride_w, pad_h = window->pad_h, pad_w = window->pad_w, x_zero = output->x_zero,
                  depth = window->out_c / window->in_c;
    const int32_t backwards = eff_backwards(y, x);
    for (int32_t down = 0; down < out_h; ++down) {
        const int32_t oy = eff_visited(down, out_h, backwards);
        const int32_t top = oy * stride_h - pad_h, ky0 = eff_first_tap(top), ky1 = eff_last_tap(top, k_h, in_h);
        for (int32_t across = 0; across < out_w; ++across) {
            const int32_t ox = eff_visited(across, out_w, backwards);
            const int32_t left = ox * stride_w - pad_w, kx0 = eff_first_tap(left), kx1 = eff_last_tap(left, k_w, in_w);
            int8_t *to = y + (oy * out_w + ox) * out_c;
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
                    const int32_t channel = output->per_channel ? c + lane : 0;
                    const int32_t s = eff_requantise(sums[lane] + (b ? b[c + lane] : 0), multiplier[channel], shift[channel]);
                    *to++ = eff_to_i8(s, output->y_zero, output->y_min, output->y_max);
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
                    const int32_t channel = output->per_channel ? oc : 0;
                    s = eff_requantise(s, multiplier[channel], shift[channel]);
                    *to++ = eff_to_i8(s, output->y_zero, output->y_min, output->y_max);
                }
            }
        }
    }
}

void eff_depthwise_conv2d_i16x8(int16_t *y, const int16_t *x, const int8_t *w, const int64_t *b, const int32_t *multiplier,
                                const int32_t *shift, const eff_window *window, const eff_output_i16 *output)
{
    const int32_t in_w = window->in_w, in_c = window->in_c, out_c = window->out_c, k_h = window->k_h, k_w = window->k_w;
    const int32_t depth = out_c / in_c;
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
                        s += (int32_t)w[(ky * k_w + kx) * out_c + oc] * x[((top + ky) * in_w + left + kx) * in_c + oc / depth];
                    }
                }
                const int32_t channel = output->per_channel ? oc : 0;
                *to++ = eff_output_of(s, multiplier[channel], shift[channel], output);
            }
        }
    }
}

/* s[c] = the sum of d[c] * p[c] over the walk, for four channels. */
static void eff_inner_4_f32(float *s, const float *d, const float *p, const eff_walk *walk)
{
    float s0 = 0.0f, s1 = 0.0f, s2 = 0.0f, s3 = 0.0f;
    const int32_t d_rest = walk->d_down - walk->columns * walk->d_across, a_rest = walk->a_down - walk->columns * walk->a_across;
    for (int32_t rows = walk->rows; rows > 0; --rows, d += d_rest, p += a_rest) {
        for (int32_t left = walk->columns; left > 0; --left, d += walk->d_across, p += walk->a_across) {
            s0 += d[0] * p[0];
            s1 += d[1] * p[1];
            s2 += d[2] * p[2];
            s3 += d[3] * p[3];
        }
    }
    s[0] = s0, s[1] = s1, s[2] = s2, s[3] = s3;
}

void eff_depthwise_conv2d_update_f32(float *w, const float *delta, const float *a, const uint32_t *rate,
                                     const eff_window *window, float lr)
{
    const int32_t in_h = window->in_h, in_w = window->in_w, in_c = window->in_c, out_h = window->out_h, out_w = window->out_w,
                  out_c = window->out_c, k_h = window->k_h, k_w = window->k_w, stride_h = window->stride_h,
                  stride_w = window->stride_w, pad_h = window->pad_h, pad_w = window->pad_w, depth = window->out_c / window->in_c;
    const float eta = eff_rate_f32(rate, lr);
    eff_walk walk = {0, 0, out_w * out_c, out_c, stride_h * in_w * in_c, stride_w * in_c};
    for (int32_t ky = 0; ky < k_h; ++ky) {
        const int32_t oy = eff_first_position(ky, stride_h, pad_h);
        walk.rows = eff_last_position(ky, stride_h, pad_h, in_h, out_h) - oy;
        for (int32_t kx = 0; kx < k_w; ++kx, w += out_c) {
            const int32_t ox = eff_first_position(kx, stride_w, pad_w);
            walk.columns = eff_last_position(kx, stride_w, pad_w, in_w, out_w) - ox;
            if (walk.rows <= 0 || walk.columns <= 0) {
                continue;
            }
            const float *d = delta + (oy * out_w + ox) * out_c;
            const float *p = a + ((oy * stride_h + ky - pad_h) * in_w + ox * stride_w + kx - pad_w) * in_c;
            int32_t c = 0;
            for (; depth == 1 && c + 4 <= in_c; c += 4) {
                float s[4];
                eff_inner_4_f32(s, d + c, p + c, &walk);
                w[c] -= eta * s[0];
                w[c + 1] -= eta * s[1];
                w[c + 2] -= eta * s[2];
                w[c + 3] -= eta * s[3];
            }
            for (int32_t oc = c; c < in_c; ++c) {
                for (int32_t q = 0; q < depth; ++q, ++oc) {
                    w[oc] -= eta * eff_inner_1_f32(d + oc, p + c, &walk);
                }
            }
        }
    }
}

/* s[c] = the sum of delta[c] * (a[c] - a_zero) over the walk, for four channels. */
static void eff_inner_4_i8(int64_t *s, const int16_t *delta, const int8_t *a, int32_t a_zero, const eff_walk *walk)
{
    EFF_BANDS(
        t0 += d[0] * (p[0] - a_zero);
        t1 += d[1] * (p[1] - a_zero);
        t2 += d[2] * (p[2] - a_zero);
        t3 += d[3] * (p[3] - a_zero);
    )
}

void eff_depthwise_conv2d_update_i8(int8_t *w, const int16_t *delta, const int8_t *a, const uint32_t *rate, const uint32_t *step,
                                    const eff_window *window, const eff_step *how)
{
    const int32_t in_h = window->in_h, in_w = window->in_w, in_c = window->in_c, out_h = window->out_h, out_w = window->out_w,
                  out_c = window->out_c, k_h = window->k_h, k_w = window->k_w, stride_h = window->stride_h,
                  stride_w = window->stride_w, pad_h = window->pad_h, pad_w = window->pad_w, a_zero = how->a_zero, depth = window->out_c / window->in_c;
    const eff_change change = {*rate, eff_step_key(how->key, *step), how->multiplier, how->shift, how->stochastic};
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
            const int32_t i = (ky * k_w + kx) * out_c;
            int32_t c = 0;
            for (; depth == 1 && c + 4 <= in_c; c += 4) {
                int64_t s[4];
                eff_inner_4_i8(s, d + c, p + c, a_zero, &walk);
                for (int32_t j = 0; j < 4; ++j) {
                    eff_change_weight_i8(w, i + c + j, s[j], &change);
                }
            }
            for (int32_t oc = c; c < in_c; ++c) {
                for (int32_t q = 0; q < depth; ++q, ++oc) {
                    eff_change_weight_i8(w, i + oc, eff_inner_1_i8(d + oc, p + c, a_zero, &walk), &change);
                }
            }
        }
    }
}

void eff_depthwise_conv2d_input_gradient_f32(float *d, const float *delta, const float *w, const eff_window *window)
{
    const int32_t in_h = window->in_h, in_w = window->in_w, in_c = window->in_c, out_h = window->out_h, out_w = window->out_w,
                  out_c = window->out_c, k_h = window->k_h, k_w = window->k_w, stride_h = window->stride_h,
                  stride_w = window->stride_w, pad_h = window->pad_h, pad_w = window->pad_w, depth = window->out_c / window->in_c;
    for (int32_t iy = 0; iy < in_h; ++iy) {
        const int32_t oy0 = (iy + pad_h) / stride_h, ky0 = iy + pad_h - oy0 * stride_h;
        for (int32_t ix = 0; ix < in_w; ++ix) {
            const int32_t ox0 = (ix + pad_w) / stride_w, kx0 = ix + pad_w - ox0 * stride_w;
            int32_t c = 0;
            for (; depth == 1 && c + 4 <= in_c; c += 4, d += 4) {
                float s0 = 0.0f, s1 = 0.0f, s2 = 0.0f, s3 = 0.0f;
                for (int32_t ky = ky0, oy = oy0; ky < k_h && oy >= 0; ky += stride_h, --oy) {
                    for (int32_t kx = kx0, ox = ox0; oy < out_h && kx < k_w && ox >= 0; kx += stride_w, --ox) {
                        if (ox >= out_w) {
                            continue;
                        }
                        const float *p = delta + (oy * out_w + ox) * in_c + c, *v = w + (ky * k_w + kx) * in_c + c;
                        s0 += p[0] * v[0];
                        s1 += p[1] * v[1];
                        s2 += p[2] * v[2];
                        s3 += p[3] * v[3];
                    }
                }
                d[0] = s0, d[1] = s1, d[2] = s2, d[3] = s3;
            }
            for (; c < in_c; ++c) {
                float s = 0.0f;
                for (int32_t ky = ky0, oy = oy0; ky < k_h && oy >= 0; ky += stride_h, --oy) {
                    for (int32_t kx = kx0, ox = ox0; oy < out_h && kx < k_w && ox >= 0; kx += stride_w, --ox) {
                        const int32_t at = (oy * out_w + ox) * out_c + c * depth, tap = (ky * k_w + kx) * out_c + c * depth;
                        for (int32_t q = 0; ox < out_w && q < depth; ++q) {
                            s += delta[at + q] * w[tap + q];
                        }
                    }
                }
                *d++ = s;
            }
        }
    }
}

void eff_depthwise_conv2d_input_gradient_i8(int16_t *d, const int16_t *delta, const int8_t *w, const eff_window *window,
                                            const eff_requant *requant, int32_t add)
{
    const int32_t in_h = window->in_h, in_w = window->in_w, in_c = window->in_c, out_h = window->out_h, out_w = window->out_w,
                  out_c = window->out_c, k_h = window->k_h, k_w = window->k_w, stride_h = window->stride_h,
                  stride_w = window->stride_w, pad_h = window->pad_h, pad_w = window->pad_w, depth = window->out_c / window->in_c,
                  multiplier = requant->multiplier, shift = requant->shift;
    for (int32_t iy = 0; iy < in_h; ++iy) {
        const int32_t oy0 = (iy + pad_h) / stride_h, ky0 = iy + pad_h - oy0 * stride_h;
        for (int32_t ix = 0; ix < in_w; ++ix) {
            const int32_t ox0 = (ix + pad_w) / stride_w, kx0 = ix + pad_w - ox0 * stride_w;
            int32_t c = 0;
            for (; depth == 1 && c + 4 <= in_c; c += 4, d += 4) {
                int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
                for (int32_t ky = ky0, oy = oy0; ky < k_h && oy >= 0; ky += stride_h, --oy) {
                    for (int32_t kx = kx0, ox = ox0; oy < out_h && kx < k_w && ox >= 0; kx += stride_w, --ox) {
                        if (ox >= out_w) {
                            continue;
                        }
                        const int16_t *p = delta + (oy * out_w + ox) * in_c + c;
                        const int8_t *v = w + (ky * k_w + kx) * in_c + c;
                        s0 += (int32_t)p[0] * v[0];
                        s1 += (int32_t)p[1] * v[1];
                        s2 += (int32_t)p[2] * v[2];
                        s3 += (int32_t)p[3] * v[3];
                    }
                }
                d[0] = eff_onto_i16(d[0], eff_gradient_i16(s0, 0, multiplier, shift), add);
                d[1] = eff_onto_i16(d[1], eff_gradient_i16(s1, 0, multiplier, shift), add);
                d[2] = eff_onto_i16(d[2], eff_gradient_i16(s2, 0, multiplier, shift), add);
                d[3] = eff_onto_i16(d[3], eff_gradient_i16(s3, 0, multiplier, shift), add);
            }
            for (; c < in_c; ++c) {
                int32_t s = 0;
                for (int32_t ky = ky0, oy = oy0; ky < k_h && oy >= 0; ky += stride_h, --oy) {
                    for (int32_t kx = kx0, ox = ox0; oy < out_h && kx < k_w && ox >= 0; kx += stride_w, --ox) {
                        const int32_t at = (oy * out_w + ox) * out_c + c * depth, tap = (ky * k_w + kx) * out_c + c * depth;
                        for (int32_t q = 0; ox < out_w && q < depth; ++q) {
                            s += (int32_t)delta[at + q] * w[tap + q];
                        }
                    }
                }
                *d = eff_onto_i16(*d, eff_gradient_i16(s, 0, multiplier, shift), add);
                ++d;
            }
        }
    }
}
