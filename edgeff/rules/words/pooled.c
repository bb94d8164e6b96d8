/* SPDX-License-Identifier: Apache-2.0 */
/* Learning below a pooled linear head without a gradient map: delta is a share of the position's window, or 0 where ReLU cut the output off. */
#include "edgeff.h"
#include "eff_windows.h"
#include "eff_walk.h"
#include "eff_pooled.h"

/* Visits the positions in the order of (oy, ox): `u` points at their outputs, `p` at their taps. In each window of the pool `opening` stands
 * first, where `d` points at its shares. */
#define EFF_POOLED_WALK(type, opening, ...) \
    for (int32_t row = 0; row < walk->rows; ++row) { \
        const int32_t down = walk->oy + row, end = walk->ox + walk->columns; \
        const type *u = y + (down * walk->out_w + walk->ox) * walk->out_c, *p = a + row * walk->a_down; \
        for (int32_t ox = walk->ox; ox < end;) { \
            const float *d = g + (down / walk->pool_h * walk->pools + ox / walk->pool_w) * walk->out_c; \
            const int32_t stop = eff_pool_end(ox, end, walk->pool_w); \
            opening \
            for (; ox < stop; ++ox, u += walk->out_c, p += walk->a_across) { \
                __VA_ARGS__ \
            } \
        } \
    }

/* Output channel j times the four inputs. */
#define EFF_POOLED_OUTER(j) \
    do { \
        const float e = gated && !(u[j] > 0.0f) ? 0.0f : d##j; \
        s##j##0 += e * p0; \
        s##j##1 += e * p1; \
        s##j##2 += e * p2; \
        s##j##3 += e * p3; \
    } while (0)

/* s[4 j + c] = the sum of delta[j] * a[c] over the walk: four output channels times four input channels. */
static void eff_pooled_4x4_f32(float *s, const float *y, const float *g, const float *a, const eff_pooled_walk *walk)
{
    const int32_t gated = walk->gated;
    float s00 = 0.0f, s01 = 0.0f, s02 = 0.0f, s03 = 0.0f, s10 = 0.0f, s11 = 0.0f, s12 = 0.0f, s13 = 0.0f;
    float s20 = 0.0f, s21 = 0.0f, s22 = 0.0f, s23 = 0.0f, s30 = 0.0f, s31 = 0.0f, s32 = 0.0f, s33 = 0.0f;
    EFF_POOLED_WALK(float, const float d0 = d[0]; const float d1 = d[1]; const float d2 = d[2]; const float d3 = d[3];,
        const float p0 = p[0], p1 = p[1], p2 = p[2], p3 = p[3];
        EFF_POOLED_OUTER(0);
        EFF_POOLED_OUTER(1);
        EFF_POOLED_OUTER(2);
        EFF_POOLED_OUTER(3);
    )
    s[0] = s00, s[1] = s01, s[2] = s02, s[3] = s03, s[4] = s10, s[5] = s11, s[6] = s12, s[7] = s13;
    s[8] = s20, s[9] = s21, s[10] = s22, s[11] = s23, s[12] = s30, s[13] = s31, s[14] = s32, s[15] = s33;
}

/* The sum of delta[0] * a[0] over the walk. */
static float eff_pooled_1_f32(const float *y, const float *g, const float *a, const eff_pooled_walk *walk)
{
    const int32_t gated = walk->gated;
    float s = 0.0f;
    EFF_POOLED_WALK(float, const float d0 = d[0];, s += (gated && !(*u > 0.0f) ? 0.0f : d0) * *p;)
    return s;
}

/* s[j] = the sum of delta[j] * a[0] over the walk. */
static void eff_pooled_4x1_f32(float *s, const float *y, const float *g, const float *a, const eff_pooled_walk *walk)
{
    const int32_t gated = walk->gated;
    float s0 = 0.0f, s1 = 0.0f, s2 = 0.0f, s3 = 0.0f;
    EFF_POOLED_WALK(float, const float d0 = d[0]; const float d1 = d[1]; const float d2 = d[2]; const float d3 = d[3];,
        const float v = *p;
        s0 += (gated && !(u[0] > 0.0f) ? 0.0f : d0) * v;
        s1 += (gated && !(u[1] > 0.0f) ? 0.0f : d1) * v;
        s2 += (gated && !(u[2] > 0.0f) ? 0.0f : d2) * v;
        s3 += (gated && !(u[3] > 0.0f) ? 0.0f : d3) * v;
    )
    s[0] = s0, s[1] = s1, s[2] = s2, s[3] = s3;
}

void eff_pool_shares_f32(float *g, int32_t out_h, int32_t out_w, int32_t out_c, const eff_pool_grid *grid)
{
    for (int32_t y = 0; y < out_h; y = eff_pool_end(y, out_h, grid->pool_h)) {
        const int32_t rows = eff_pool_end(y, out_h, grid->pool_h) - y;
        for (int32_t x = 0; x < out_w; x = eff_pool_end(x, out_w, grid->pool_w)) {
            const float count = (float)(rows * (eff_pool_end(x, out_w, grid->pool_w) - x));
            for (int32_t c = 0; c < out_c; ++c, ++g) {
                *g /= count;
            }
        }
    }
}

void eff_pooled_update_f32(float *w, const float *y, const float *g, const float *a, const uint32_t *rate, const eff_window *window,
                           const eff_pool_grid *grid, float lr)
{
    const float eta = eff_rate_f32(rate, lr);
    const int32_t in_c = window->in_c, in_w = window->in_w, out_c = window->out_c, filter = window->k_h * window->k_w * in_c;
    eff_pooled_walk walk = eff_pooled_walk_of(window->out_w, out_c, grid);
    walk.a_down = window->stride_h * in_w * in_c;
    walk.a_across = window->stride_w * in_c;
    for (int32_t ky = 0; ky < window->k_h; ++ky) {
        for (int32_t kx = 0; kx < window->k_w; ++kx, w += in_c) {
            if (!eff_pooled_tap(&walk, window, ky, kx)) {
                continue;
            }
            const int32_t top = walk.oy * window->stride_h + ky - window->pad_h, left = walk.ox * window->stride_w + kx - window->pad_w;
            const float *p = a + (top * in_w + left) * in_c;
            for (int32_t oc = 0; oc < out_c;) {
                const int32_t lanes = oc + 4 <= out_c ? 4 : 1;
                float s[16];
                int32_t c = 0;
                for (; lanes == 4 && c + 4 <= in_c; c += 4) {
                    eff_pooled_4x4_f32(s, y + oc, g + oc, p + c, &walk);
                    for (int32_t i = 0; i < 16; ++i) {
                        w[(oc + i / 4) * filter + c + i % 4] -= eta * s[i];
                    }
                }
                for (; lanes == 4 && c < in_c; ++c) {
                    eff_pooled_4x1_f32(s, y + oc, g + oc, p + c, &walk);
                    for (int32_t j = 0; j < 4; ++j) {
                        w[(oc + j) * filter + c] -= eta * s[j];
                    }
                }
                for (; c < in_c; ++c) {
                    w[oc * filter + c] -= eta * eff_pooled_1_f32(y + oc, g + oc, p + c, &walk);
                }
                oc += lanes;
            }
        }
    }
}

void eff_pooled_bias_update_f32(float *b, const float *y, const float *g, const uint32_t *rate, int32_t out_h, int32_t out_w,
                                int32_t out_c, const eff_pool_grid *grid, float lr)
{
    const float eta = eff_rate_f32(rate, lr);
    const int32_t across = (out_w - 1) / grid->pool_w + 1;
    for (int32_t c = 0; c < out_c; ++c) {
        float s = 0.0f;
        for (int32_t i = 0; i < out_h * out_w; ++i) {
            const int32_t oy = i / out_w, place = oy / grid->pool_h * across + (i - oy * out_w) / grid->pool_w;
            s += grid->gated && !(y[i * out_c + c] > 0.0f) ? 0.0f : g[place * out_c + c];
        }
        b[c] -= eta * s;
    }
}

/* One output channel of the first convolution: w its filter, the taps of which lie `step` apart and read `count` input channels each. */
static void eff_pair_column_f32(float *h, const float *a, const float *w, float bias, int32_t step, int32_t count, const eff_window *first,
                                int32_t relu)
{
    for (int32_t oy = 0; oy < first->out_h; ++oy) {
        for (int32_t ox = 0; ox < first->out_w; ++ox) {
            const eff_taps t = eff_taps_at(oy * first->stride_h - first->pad_h, ox * first->stride_w - first->pad_w, first->in_h,
                                           first->in_w, first->k_h, first->k_w);
            const int32_t top = oy * first->stride_h - first->pad_h, left = ox * first->stride_w - first->pad_w;
            float s = bias;
            for (int32_t iy = t.y0; iy < t.y1; ++iy) {
                const float *p = a + (iy * first->in_w + t.x0) * first->in_c, *v = w + ((iy - top) * first->k_w + t.x0 - left) * step;
                for (int32_t taps = t.x1 - t.x0; taps > 0; --taps, p += first->in_c, v += step) {
                    for (int32_t i = 0; i < count; ++i) {
                        s += v[i] * p[i];
                    }
                }
            }
            *h++ = eff_activate_f32(s, relu);
        }
    }
}

/* The delta of one channel between the two convolutions, before its gate: w its weight in the first filter of the second one. */
static void eff_pair_delta_f32(float *e, const float *y, const float *g, const float *w, const eff_window *second,
                               const eff_pool_grid *grid)
{
    const int32_t out_c = second->out_c, out_w = second->out_w, across = (out_w - 1) / grid->pool_w + 1, mid_c = second->in_c,
                  filter = second->k_h * second->k_w * mid_c, gated = grid->gated;
    for (int32_t iy = 0; iy < second->in_h; ++iy) {
        const int32_t oy0 = (iy + second->pad_h) / second->stride_h, ky0 = iy + second->pad_h - oy0 * second->stride_h;
        for (int32_t ix = 0; ix < second->in_w; ++ix) {
            const int32_t ox0 = (ix + second->pad_w) / second->stride_w, kx0 = ix + second->pad_w - ox0 * second->stride_w;
            float s = 0.0f;
            for (int32_t ky = ky0, oy = oy0; ky < second->k_h && oy >= 0; ky += second->stride_h, --oy) {
                for (int32_t kx = kx0, ox = ox0; oy < second->out_h && kx < second->k_w && ox >= 0; kx += second->stride_w, --ox) {
                    if (ox >= out_w) {
                        continue;
                    }
                    const float *u = y + (oy * out_w + ox) * out_c, *v = w + (ky * second->k_w + kx) * mid_c;
                    const float *d = g + (oy / grid->pool_h * across + ox / grid->pool_w) * out_c;
                    for (int32_t o = 0; o < out_c; ++o, v += filter) {
                        s += (gated && !(u[o] > 0.0f) ? 0.0f : d[o]) * *v;
                    }
                }
            }
            *e++ = s;
        }
    }
}

/* v, the weights of one channel in the second convolution, take their step from delta and the channel's activations h. */
static void eff_pair_second_update_f32(float *v, const float *y, const float *g, const float *h, const eff_window *second,
                                       const eff_pool_grid *grid, float eta)
{
    const int32_t mid_c = second->in_c, in_w = second->in_w, out_c = second->out_c, filter = second->k_h * second->k_w * mid_c;
    eff_pooled_walk walk = eff_pooled_walk_of(second->out_w, out_c, grid);
    walk.a_down = second->stride_h * in_w;
    walk.a_across = second->stride_w;
    for (int32_t ky = 0; ky < second->k_h; ++ky) {
        for (int32_t kx = 0; kx < second->k_w; ++kx, v += mid_c) {
            if (!eff_pooled_tap(&walk, second, ky, kx)) {
                continue;
            }
            const float *p = h + (walk.oy * second->stride_h + ky - second->pad_h) * in_w + walk.ox * second->stride_w + kx - second->pad_w;
            int32_t oc = 0;
            for (; oc + 4 <= out_c; oc += 4) {
                float s[4];
                eff_pooled_4x1_f32(s, y + oc, g + oc, p, &walk);
                for (int32_t j = 0; j < 4; ++j) {
                    v[(oc + j) * filter] -= eta * s[j];
                }
            }
            for (; oc < out_c; ++oc) {
                v[oc * filter] -= eta * eff_pooled_1_f32(y + oc, g + oc, p, &walk);
            }
        }
    }
}

/* w, one filter of the first convolution, takes its step from the channel's delta e. */
static void eff_pair_first_update_f32(float *w, const float *e, const float *a, int32_t step, int32_t count, const eff_window *first,
                                      float eta)
{
    eff_walk walk = {0, 0, first->out_w, 1, first->stride_h * first->in_w * first->in_c, first->stride_w * first->in_c};
    for (int32_t ky = 0; ky < first->k_h; ++ky) {
        const int32_t oy = eff_first_position(ky, first->stride_h, first->pad_h);
        walk.rows = eff_last_position(ky, first->stride_h, first->pad_h, first->in_h, first->out_h) - oy;
        for (int32_t kx = 0; kx < first->k_w; ++kx, w += step) {
            const int32_t ox = eff_first_position(kx, first->stride_w, first->pad_w);
            walk.columns = eff_last_position(kx, first->stride_w, first->pad_w, first->in_w, first->out_w) - ox;
            if (walk.rows <= 0 || walk.columns <= 0) {
                continue;
            }
            const int32_t top = oy * first->stride_h + ky - first->pad_h, left = ox * first->stride_w + kx - first->pad_w;
            for (int32_t i = 0; i < count; ++i) {
                w[i] -= eta * eff_inner_1_f32(e + oy * first->out_w + ox, a + (top * first->in_w + left) * first->in_c + i, &walk);
            }
        }
    }
}

/* The delta of a channel's input, in d: w is the depthwise filter, whose taps lie `step` apart. */
static void eff_pair_input_f32(float *d, const float *e, const float *w, int32_t step, const eff_window *first)
{
    for (int32_t iy = 0; iy < first->in_h; ++iy) {
        const int32_t oy0 = (iy + first->pad_h) / first->stride_h, ky0 = iy + first->pad_h - oy0 * first->stride_h;
        for (int32_t ix = 0; ix < first->in_w; ++ix) {
            const int32_t ox0 = (ix + first->pad_w) / first->stride_w, kx0 = ix + first->pad_w - ox0 * first->stride_w;
            float s = 0.0f;
            for (int32_t ky = ky0, oy = oy0; ky < first->k_h && oy >= 0; ky += first->stride_h, --oy) {
                for (int32_t kx = kx0, ox = ox0; oy < first->out_h && kx < first->k_w && ox >= 0; kx += first->stride_w, --ox) {
                    s = ox < first->out_w ? s + e[oy * first->out_w + ox] * w[(ky * first->k_w + kx) * step] : s;
                }
            }
            *d++ = s;
        }
    }
}

/* Channel c's activations h and its gated delta e, and the update of v; the sum of e. */
static float eff_pair_channel_f32(float *h, float *e, float *v, const float *w, float bias, const float *y, const float *g,
                                  const float *a, int32_t step, int32_t count, const eff_window *first, const eff_window *second,
                                  const eff_pool_grid *grid, int32_t relu, float eta)
{
    float s = 0.0f;
    eff_pair_column_f32(h, a, w, bias, step, count, first, relu);
    eff_pair_delta_f32(e, y, g, v, second, grid);
    for (int32_t i = 0; i < first->out_h * first->out_w; ++i) {
        e[i] = relu && !(h[i] > 0.0f) ? 0.0f : e[i];
        s += e[i];
    }
    eff_pair_second_update_f32(v, y, g, h, second, grid, eta);
    return s;
}

void eff_pooled_pair_update_f32(float *w, float *b, float *v, float *columns, const float *y, const float *g, const float *a,
                                const uint32_t *rate, const eff_pair *pair, const eff_pool_grid *grid, int32_t relu, float lr)
{
    const eff_window first = eff_pair_first(pair), second = eff_pair_second(pair);
    const int32_t step = pair->depthwise ? pair->mid_c : pair->in_c, count = pair->depthwise ? 1 : pair->in_c,
                  filter = pair->depthwise ? 1 : pair->k_h * pair->k_w * pair->in_c;
    const float eta = eff_rate_f32(rate, lr);
    float *h = columns, *e = columns + pair->mid_h * pair->mid_w;
    for (int32_t c = 0; c < pair->mid_c; ++c, w += filter, ++v) {
        const float *read = pair->depthwise ? a + c : a;
        const float s = eff_pair_channel_f32(h, e, v, w, b[c], y, g, read, step, count, &first, &second, grid, relu, eta);
        eff_pair_first_update_f32(w, e, read, step, count, &first, eta);
        b[c] -= eta * s;
    }
}

void eff_pooled_pair_backward_f32(float *w, float *b, float *v, float *columns, float *a, const float *y, const float *g,
                                  const uint32_t *rate, const eff_pair *pair, const eff_pool_grid *grid, int32_t relu, int32_t through,
                                  float lr)
{
    const eff_window first = eff_pair_first(pair), second = eff_pair_second(pair);
    const int32_t channels = pair->in_c, positions = pair->mid_h * pair->mid_w, inputs = pair->in_h * pair->in_w;
    const float eta = eff_rate_f32(rate, lr);
    float *h = columns, *e = columns + (positions > inputs ? positions : inputs);
    for (int32_t c = 0; c < channels; ++c, ++w, ++v, ++a) {
        const float s = eff_pair_channel_f32(h, e, v, w, b[c], y, g, a, channels, 1, &first, &second, grid, relu, eta);
        eff_pair_input_f32(h, e, w, channels, &first);
        eff_pair_first_update_f32(w, e, a, channels, 1, &first, eta);
        b[c] -= eta * s;
        for (int32_t i = 0; i < inputs; ++i) {
            a[i * channels] = through && !(a[i * channels] > 0.0f) ? 0.0f : h[i];
        }
    }
}
