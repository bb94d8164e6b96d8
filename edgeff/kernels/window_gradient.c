/* window_gradient.c: what convolutions and pools send back to their input image. A convolution's gradient is gathered pixel by pixel, so
 * that its sum stays in registers: of the taps that can reach a pixel only every stride-th does, with the positions going down. */
#include "edgeff.h"

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

void eff_depthwise_conv2d_input_gradient_f32(float *d, const float *delta, const float *w, int32_t in_h, int32_t in_w, int32_t in_c,
                                             int32_t depth, int32_t out_h, int32_t out_w, int32_t k_h, int32_t k_w, int32_t stride_h,
                                             int32_t stride_w, int32_t pad_h, int32_t pad_w)
{
    const int32_t out_c = in_c * depth;
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

/* The taps of a window that lie inside the image: the first and the one past the last, in rows and in columns of the image. */
typedef struct {
    int32_t y0, y1, x0, x1;
} eff_taps;

static inline eff_taps eff_taps_at(int32_t top, int32_t left, int32_t in_h, int32_t in_w, int32_t k_h, int32_t k_w)
{
    const int32_t bottom = top + k_h > in_h ? in_h : top + k_h, right = left + k_w > in_w ? in_w : left + k_w;
    const eff_taps taps = {top < 0 ? 0 : top, bottom, left < 0 ? 0 : left, right};
    return taps;
}

void eff_average_pool2d_input_gradient_f32(float *d, const float *delta, int32_t in_h, int32_t in_w, int32_t in_c, int32_t out_h,
                                           int32_t out_w, int32_t k_h, int32_t k_w, int32_t stride_h, int32_t stride_w, int32_t pad_h,
                                           int32_t pad_w)
{
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

void eff_average_pool2d_input_gradient_i8(int16_t *d, const int16_t *delta, int32_t in_h, int32_t in_w, int32_t in_c, int32_t out_h,
                                          int32_t out_w, int32_t k_h, int32_t k_w, int32_t stride_h, int32_t stride_w, int32_t pad_h,
                                          int32_t pad_w)
{
    for (int32_t iy = 0; iy < in_h; ++iy) {
        const int32_t oy0 = (iy + pad_h) / stride_h, ky0 = iy + pad_h - oy0 * stride_h;
        for (int32_t ix = 0; ix < in_w; ++ix) {
            const int32_t ox0 = (ix + pad_w) / stride_w, kx0 = ix + pad_w - ox0 * stride_w;
            for (int32_t c = 0; c < in_c; ++c) {
                int32_t sum = 0;
                for (int32_t ky = ky0, oy = oy0; ky < k_h && oy >= 0; ky += stride_h, --oy) {
                    for (int32_t kx = kx0, ox = ox0; oy < out_h && kx < k_w && ox >= 0; kx += stride_w, --ox) {
                        if (ox < out_w) {
                            sum += delta[(oy * out_w + ox) * in_c + c];
                        }
                    }
                }
                *d++ = (int16_t)eff_clamp(sum, -32767, 32767);
            }
        }
    }
}

void eff_max_pool2d_input_gradient_f32(float *d, const float *delta, const float *x, int32_t in_h, int32_t in_w, int32_t in_c,
                                       int32_t out_h, int32_t out_w, int32_t k_h, int32_t k_w, int32_t stride_h, int32_t stride_w,
                                       int32_t pad_h, int32_t pad_w)
{
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

void eff_max_pool2d_input_gradient_i8(int16_t *d, const int16_t *delta, const int8_t *x, int32_t in_h, int32_t in_w, int32_t in_c,
                                      int32_t out_h, int32_t out_w, int32_t k_h, int32_t k_w, int32_t stride_h, int32_t stride_w,
                                      int32_t pad_h, int32_t pad_w)
{
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
                d[best] = (int16_t)eff_clamp(d[best] + *delta++, -32767, 32767);
            }
        }
    }
}

void eff_mean_input_gradient_f32(float *d, const float *delta, int32_t n, int32_t in_c)
{
    for (int32_t i = 0; i < n; ++i) {
        for (int32_t c = 0; c < in_c; ++c) {
            *d++ = delta[c] / (float)n;
        }
    }
}
