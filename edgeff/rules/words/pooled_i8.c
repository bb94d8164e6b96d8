/* SPDX-License-Identifier: Apache-2.0 */
/* Learning below a pooled linear head in int8: the deltas of words/pooled.c, with one bit for each output that ReLU let through. */
#include "edgeff.h"
#include "eff_windows.h"
#include "eff_walk.h"
#include "eff_pooled.h"

/* Bit `at` of the mask and those above it in its byte. */
static inline uint32_t eff_bits_at(const int8_t *mask, int32_t at) { return (uint32_t)(uint8_t)mask[at >> 3] >> (at & 7); }

/* A weight is w in whole steps and, if the update is `fine`, low in steps of 2^-8. */
static inline void eff_change_fine_i8(int8_t *w, int8_t *low, int32_t i, int64_t s, const eff_change *how, int32_t fine)
{
    if (!fine) {
        eff_change_weight_i8(w, i, s, how);
        return;
    }
    const int32_t saturated = s > INT32_MAX ? INT32_MAX : s < INT32_MIN ? INT32_MIN : (int32_t)s;
    const int32_t gain = eff_gain(saturated, how->multiplier, how->shift, how->rate, EFF_BIAS_LIMIT);
    if (gain != 0) {
        const uint32_t bits = how->stochastic ? eff_draw(how->stream, (uint32_t)i >> 2) >> (8 * (i & 3)) & 0xFFu : 0u;
        const int32_t r = how->stochastic ? (int32_t)(bits << (EFF_FRACTION_I8 - 16)) + (INT32_C(1) << (EFF_FRACTION_I8 - 17))
                                          : INT32_C(1) << (EFF_FRACTION_I8 - 9);
        const int32_t m = eff_clamp(w[i] * INT32_C(256) + low[i] - ((gain + r) >> (EFF_FRACTION_I8 - 8)), -127 * 256 - 128, 127 * 256 + 127);
        const int32_t whole = (m + 128) >> 8;
        w[i] = (int8_t)whole;
        low[i] = (int8_t)(m - whole * 256);
    }
}

static inline eff_change eff_change_of(const eff_step *how, uint32_t rate, uint32_t step)
{
    const eff_change change = {rate, eff_step_key(how->key, step), how->multiplier, how->shift, how->stochastic};
    return change;
}

void eff_mask_i8(int8_t *mask, const int8_t *y, int32_t n, int32_t zero)
{
    for (int32_t i = 0; i < n; i += 8) {
        uint32_t bits = 0;
        for (int32_t k = 0; k < 8 && i + k < n; ++k) {
            bits |= (uint32_t)eff_opens_i8(y[i + k], zero) << k;
        }
        mask[i >> 3] = (int8_t)(bits < 128 ? (int32_t)bits : (int32_t)bits - 256);
    }
}

void eff_pool_shares_i16(int16_t *g, int32_t out_h, int32_t out_w, int32_t out_c, int32_t taps, const eff_pool_grid *grid)
{
    for (int32_t y = 0; y < out_h; y = eff_pool_end(y, out_h, grid->pool_h)) {
        const int32_t rows = eff_pool_end(y, out_h, grid->pool_h) - y;
        for (int32_t x = 0; x < out_w; x = eff_pool_end(x, out_w, grid->pool_w)) {
            const int32_t count = rows * (eff_pool_end(x, out_w, grid->pool_w) - x);
            for (int32_t c = 0; c < out_c; ++c, ++g) {
                const int64_t wide = (int64_t)*g * taps;
                *g = eff_saturate_i16((int32_t)(wide > 0 ? (wide + count / 2) / count : (wide - count / 2) / count));
            }
        }
    }
}

#define EFF_PACKED_POSITIONS 128 /* 128 * 255 < 2^15: so many differences of int8 values add up in half a word */

/* Two bits as the factor that adds a value to the halves of a word whose bits are set. */
static const uint32_t eff_halves[4] = {0u, 1u, 65536u, 65537u};

/* A half of a word as a number with a sign. */
static inline int32_t eff_signed_half(uint32_t half) { return (int32_t)((half & 0xFFFFu) ^ 0x8000u) - 0x8000; }

/* s[0] += d[0] * the lower half of t, s[1] += d[1] * the upper half, both sums with a sign. */
static inline void eff_add_halves(int64_t *s, const int16_t *d, uint32_t t)
{
    const int32_t low = eff_signed_half(t), high = eff_signed_half((t - (uint32_t)low) >> 16);
    s[0] += (int64_t)d[0] * low;
    s[1] += (int64_t)d[1] * high;
}

/* Where one window of the pool and the walk meet: rows and columns, the bits of the first position, its a and the window's shares. */
typedef struct {
    int32_t rows, columns, at;
    const int8_t *a;
    const int16_t *d;
} eff_meeting;

/* s[0] += d[0] * the sum of a[0] - a_zero where the bit is set. */
static void eff_masked_sum_i8(int64_t *s, const int8_t *mask, int32_t a_zero, const eff_meeting *m, const eff_pooled_walk *walk)
{
    for (int32_t row = 0; row < m->rows; ++row) {
        const int8_t *p = m->a + row * walk->a_down;
        int32_t at = m->at + row * walk->out_w * walk->out_c, t = 0;
        for (int32_t left = m->columns; left > 0; --left, p += walk->a_across, at += walk->out_c) {
            t += !walk->gated || eff_bits_at(mask, at) & 1u ? *p - a_zero : 0;
        }
        s[0] += (int64_t)m->d[0] * t;
    }
}

/* The same for eight neighbouring output channels, whose bits are one byte of the mask: two sums in a word. */
static void eff_masked_sums_i8(int64_t *s, const int8_t *mask, int32_t a_zero, const eff_meeting *m, const eff_pooled_walk *walk)
{
    const int32_t channels = walk->out_c >> 3;
    const uint32_t shut = walk->gated ? 0u : 0xFFu;
    uint32_t t0 = 0, t1 = 0, t2 = 0, t3 = 0;
    int32_t room = EFF_PACKED_POSITIONS;
    for (int32_t row = 0; row < m->rows; ++row) {
        const int8_t *p = m->a + row * walk->a_down, *bytes = mask + ((m->at >> 3) + row * walk->out_w * channels);
        for (int32_t left = m->columns; left > 0;) {
            const int32_t run = left < room ? left : room;
            for (int32_t i = run; i > 0; --i, p += walk->a_across, bytes += channels) {
                const uint32_t bits = (uint32_t)(uint8_t)*bytes | shut, v = (uint32_t)(*p - a_zero);
                t0 += v * eff_halves[bits & 3u];
                t1 += v * eff_halves[bits >> 2 & 3u];
                t2 += v * eff_halves[bits >> 4 & 3u];
                t3 += v * eff_halves[bits >> 6];
            }
            left -= run;
            room -= run;
            if (room == 0 || (left == 0 && row == m->rows - 1)) {
                eff_add_halves(s, m->d, t0);
                eff_add_halves(s + 2, m->d + 2, t1);
                eff_add_halves(s + 4, m->d + 4, t2);
                eff_add_halves(s + 6, m->d + 6, t3);
                t0 = t1 = t2 = t3 = 0;
                room = EFF_PACKED_POSITIONS;
            }
        }
    }
}

/* The weights of input channel `first` at a tap take their step: weight i = at + oc * filter for each output channel. */
static void eff_masked_tap_i8(int8_t *w, int8_t *low, const int8_t *mask, const int16_t *g, const int8_t *p, int32_t a_zero, int32_t at,
                              int32_t filter, const eff_pooled_walk *walk, const eff_change *change, int32_t fine)
{
    const int32_t lanes = walk->out_c % 8 == 0 ? 8 : 1, bottom = walk->oy + walk->rows, right = walk->ox + walk->columns;
    for (int32_t oc = 0; oc < walk->out_c; oc += lanes) {
        int64_t s[8] = {0, 0, 0, 0, 0, 0, 0, 0};
        for (int32_t y = walk->oy, y_end; y < bottom; y = y_end) {
            y_end = eff_pool_end(y, bottom, walk->pool_h);
            for (int32_t x = walk->ox, x_end; x < right; x = x_end) {
                x_end = eff_pool_end(x, right, walk->pool_w);
                const eff_meeting m = {y_end - y, x_end - x, (y * walk->out_w + x) * walk->out_c + oc,
                                       p + (y - walk->oy) * walk->a_down + (x - walk->ox) * walk->a_across,
                                       g + (y / walk->pool_h * walk->pools + x / walk->pool_w) * walk->out_c + oc};
                if (lanes == 8) {
                    eff_masked_sums_i8(s, mask, a_zero, &m, walk);
                } else {
                    eff_masked_sum_i8(s, mask, a_zero, &m, walk);
                }
            }
        }
        for (int32_t j = 0; j < lanes; ++j) {
            eff_change_fine_i8(w, low, at + (oc + j) * filter, s[j], change, fine);
        }
    }
}

void eff_pooled_update_i8(int8_t *w, int8_t *low, const int8_t *mask, const int16_t *g, const int8_t *a, const uint32_t *rate,
                          const uint32_t *step, const eff_window *window, const eff_pool_grid *grid, const eff_step *how, int32_t fine)
{
    const int32_t in_c = window->in_c, in_w = window->in_w, filter = window->k_h * window->k_w * in_c;
    const eff_change change = eff_change_of(how, *rate, *step);
    eff_pooled_walk walk = eff_pooled_walk_of(window->out_w, window->out_c, grid);
    walk.a_down = window->stride_h * in_w * in_c;
    walk.a_across = window->stride_w * in_c;
    for (int32_t tap = 0; tap < window->k_h * window->k_w; ++tap) {
        const int32_t ky = tap / window->k_w, kx = tap - ky * window->k_w;
        if (!eff_pooled_tap(&walk, window, ky, kx)) {
            continue;
        }
        const int32_t top = walk.oy * window->stride_h + ky - window->pad_h, left = walk.ox * window->stride_w + kx - window->pad_w;
        for (int32_t c = 0; c < in_c; ++c) {
            const int8_t *p = a + (top * in_w + left) * in_c + c;
            eff_masked_tap_i8(w, low, mask, g, p, how->a_zero, tap * in_c + c, filter, &walk, &change, fine);
        }
    }
}

void eff_pooled_bias_update_i32(int32_t *b, const int8_t *mask, const int16_t *g, const uint32_t *rate, int32_t out_h, int32_t out_w,
                                int32_t out_c, const eff_pool_grid *grid, const eff_requant *requant)
{
    const int32_t across = (out_w - 1) / grid->pool_w + 1;
    for (int32_t c = 0; c < out_c; ++c) {
        int32_t s = 0;
        for (int32_t i = 0; i < out_h * out_w; ++i) {
            const int32_t oy = i / out_w, place = oy / grid->pool_h * across + (i - oy * out_w) / grid->pool_w;
            s += grid->gated && !(eff_bits_at(mask, i * out_c + c) & 1u) ? 0 : g[place * out_c + c];
        }
        b[c] = eff_clamp(b[c] - eff_gain(s, requant->multiplier, requant->shift, *rate, EFF_BIAS_LIMIT), -EFF_BIAS_LIMIT, EFF_BIAS_LIMIT);
    }
}

/* What a pair of convolutions is made of, but for its scratch memory. */
typedef struct {
    int8_t *w, *w_low, *v, *v_low;
    int32_t *b;
    const int8_t *mask, *a;
    const int16_t *g;
    eff_window first, second;
    const eff_pair_steps *how;
    eff_change w_change, v_change;
    int32_t depthwise, pixel; /* pixel: how far the pixels of a lie apart; a is that of the channel, if depthwise */
} eff_pair_parts;

/* s + the sum of w[i] * (x[i] - zero) over `rows` rows of `run` neighbours. */
static EFF_NOINLINE int32_t eff_rows_i8(int32_t s, const int8_t *w, const int8_t *x, int32_t zero, int32_t rows, int32_t run, int32_t w_row,
                                        int32_t x_row)
{
    const int32_t fours = run & ~INT32_C(3), w_rest = w_row - run, x_rest = x_row - run;
    EFF_ROLLED
    for (; rows > 0; --rows, w += w_rest, x += x_rest) {
        const int8_t *end = x + run;
        EFF_ROLLED
        for (const int8_t *most = x + fours; x != most; w += 4, x += 4) {
            s += w[0] * (x[0] - zero);
            s += w[1] * (x[1] - zero);
            s += w[2] * (x[2] - zero);
            s += w[3] * (x[3] - zero);
        }
        EFF_ROLLED
        for (; x != end; ++w, ++x) {
            s += *w * (*x - zero);
        }
    }
    return s;
}

/* The same where the neighbours of w lie w_step apart and those of x x_step. */
static EFF_NOINLINE int32_t eff_taps_i8(int32_t s, const int8_t *w, const int8_t *x, int32_t zero, const eff_taps *t, const eff_window *window,
                                        int32_t w_step, int32_t x_step)
{
    const int32_t run = t->x1 - t->x0, w_rest = (window->k_w - run) * w_step, x_rest = (window->in_w - run) * x_step;
    EFF_ROLLED
    for (int32_t rows = t->y1 - t->y0; rows > 0; --rows, w += w_rest, x += x_rest) {
        EFF_ROLLED
        for (int32_t left = run; left > 0; --left, w += w_step, x += x_step) {
            s += *w * (*x - zero);
        }
    }
    return s;
}

/* The sum of the window at (oy, ox) of one output channel of a convolution over a; the rest as of eff_column_i8. */
static inline int32_t eff_window_sum_i8(int32_t oy, int32_t ox, const int8_t *a, int32_t a_zero, int32_t pixel, const int8_t *w, int32_t bias,
                                        int32_t step, int32_t count, const eff_window *window)
{
    const int32_t a_row = window->in_w * pixel, w_row = window->k_w * step;
    const int32_t top = oy * window->stride_h - window->pad_h, left = ox * window->stride_w - window->pad_w;
    const eff_taps t = eff_taps_at(top, left, window->in_h, window->in_w, window->k_h, window->k_w);
    const int8_t *x = a + t.y0 * a_row + t.x0 * pixel, *v = w + (t.y0 - top) * w_row + (t.x0 - left) * step;
    return pixel == count && step == count ? eff_rows_i8(bias, v, x, a_zero, t.y1 - t.y0, (t.x1 - t.x0) * count, w_row, a_row)
                                           : eff_taps_i8(bias, v, x, a_zero, &t, window, step, pixel);
}

/* One output channel of a convolution over a, whose pixels lie `pixel` apart: w its filter, with `step` a tap and `count` weights in each. */
static void eff_column_i8(int8_t *h, const int8_t *a, int32_t a_zero, int32_t pixel, const int8_t *w, int32_t bias, int32_t step,
                          int32_t count, const eff_window *window, const eff_stage *stage)
{
    for (int32_t oy = 0; oy < window->out_h; ++oy) {
        for (int32_t ox = 0; ox < window->out_w; ++ox) {
            const int32_t s = eff_window_sum_i8(oy, ox, a, a_zero, pixel, w, bias, step, count, window);
            *h++ = eff_to_i8(eff_requantise(s, stage->multiplier, stage->shift), stage->y_zero, stage->y_min, stage->y_max);
        }
    }
}

/* The activations h of channel c between the two convolutions. */
static void eff_pair_column_i8(int8_t *h, const eff_pair_parts *p, int32_t c)
{
    const eff_window *first = &p->first;
    const int32_t a_zero = p->how->w_how.a_zero;
    if (p->depthwise) {
        eff_column_i8(h, p->a, a_zero, p->pixel, p->w + c, p->b[c], first->out_c, 1, first, &p->how->stage);
    } else {
        const int8_t *filter = p->w + c * first->k_h * first->k_w * first->in_c;
        eff_column_i8(h, p->a, a_zero, p->pixel, filter, p->b[c], first->in_c, first->in_c, first, &p->how->stage);
    }
}

/* The sum of d[o] * v[o * step] over `count` outputs, with a mask those whose bit, counted from `at`, is set. */
static inline int64_t eff_masked_product_i8(const int16_t *d, const int8_t *v, int32_t step, int32_t count, const int8_t *mask, int32_t at)
{
    int64_t s = 0;
    for (int32_t o = 0; o < count;) {
        const int32_t ahead = 8 - (at & 7), run = count - o < ahead ? count - o : ahead;
        uint32_t bits = mask ? eff_bits_at(mask, at) : 0xFFu;
        int32_t t = 0;
        for (int32_t i = run; i > 0; --i, ++d, v += step, bits >>= 1) {
            t += bits & 1u ? (int32_t)*d * *v : 0;
        }
        s += t;
        o += run;
        at += run;
    }
    return s;
}

/* The delta of channel c at (iy, ix) between the two convolutions, before its gate. */
static inline int16_t eff_hidden_delta_i8(int32_t iy, int32_t ix, int32_t c, const int8_t *v, const int8_t *mask, const int16_t *g,
                                          const eff_window *second, const eff_pair_steps *how)
{
    const eff_pool_grid *grid = &how->grid;
    const int32_t out_c = second->out_c, out_w = second->out_w, across = (out_w - 1) / grid->pool_w + 1, mid_c = second->in_c,
                  filter = second->k_h * second->k_w * mid_c;
    const int32_t oy0 = (iy + second->pad_h) / second->stride_h, ky0 = iy + second->pad_h - oy0 * second->stride_h;
    const int32_t ox0 = (ix + second->pad_w) / second->stride_w, kx0 = ix + second->pad_w - ox0 * second->stride_w;
    int64_t s = 0;
    for (int32_t ky = ky0, oy = oy0; ky < second->k_h && oy >= 0; ky += second->stride_h, --oy) {
        for (int32_t kx = kx0, ox = ox0; oy < second->out_h && kx < second->k_w && ox >= 0; kx += second->stride_w, --ox) {
            if (ox >= out_w) {
                continue;
            }
            const int16_t *d = g + (oy / grid->pool_h * across + ox / grid->pool_w) * out_c;
            s += eff_masked_product_i8(d, v + (ky * second->k_w + kx) * mid_c + c, filter, out_c, grid->gated ? mask : NULL,
                                       (oy * out_w + ox) * out_c);
        }
    }
    return eff_gradient_i16(s, how->hidden.pre_shift, how->hidden.e_multiplier, how->hidden.e_shift);
}

/* The gated delta e of channel c between the two convolutions; its sum. */
static int32_t eff_pair_delta_i8(int16_t *e, const int8_t *h, const eff_pair_parts *p, int32_t c)
{
    const eff_window *second = &p->second;
    const int32_t gated = p->how->hidden.gated, zero = p->how->stage.y_zero;
    int32_t total = 0;
    for (int32_t iy = 0; iy < second->in_h; ++iy) {
        for (int32_t ix = 0; ix < second->in_w; ++ix, ++e, ++h) {
            *e = gated && !eff_opens_i8(*h, zero) ? 0 : eff_hidden_delta_i8(iy, ix, c, p->v, p->mask, p->g, second, p->how);
            total += *e;
        }
    }
    return total;
}

/* The weights that read channel c take their step from delta and the channel's activations h. */
static void eff_pair_second_update_i8(const int8_t *h, const eff_pair_parts *p, int32_t c)
{
    const eff_window *second = &p->second;
    const int32_t mid_c = second->in_c, in_w = second->in_w, filter = second->k_h * second->k_w * mid_c;
    eff_pooled_walk walk = eff_pooled_walk_of(second->out_w, second->out_c, &p->how->grid);
    walk.a_down = second->stride_h * in_w;
    walk.a_across = second->stride_w;
    for (int32_t tap = 0; tap < second->k_h * second->k_w; ++tap) {
        const int32_t ky = tap / second->k_w, kx = tap - ky * second->k_w;
        if (eff_pooled_tap(&walk, second, ky, kx)) {
            const int32_t top = walk.oy * second->stride_h + ky - second->pad_h, left = walk.ox * second->stride_w + kx - second->pad_w;
            eff_masked_tap_i8(p->v, p->v_low, p->mask, p->g, h + top * in_w + left, p->how->stage.y_zero, tap * mid_c + c, filter, &walk,
                              &p->v_change, p->how->fine);
        }
    }
}

/* A filter takes its step from the delta e of its output, one value a position: its weights lie from `at` on, `step` a tap. */
static void eff_filter_update_i8(int8_t *w, int8_t *low, const int16_t *e, const int8_t *a, int32_t a_zero, int32_t at, int32_t step,
                                 int32_t count, const eff_window *first, const eff_change *change, int32_t fine)
{
    eff_walk walk = {0, 0, first->out_w, 1, first->stride_h * first->in_w * first->in_c, first->stride_w * first->in_c};
    for (int32_t ky = 0; ky < first->k_h; ++ky) {
        const int32_t oy = eff_first_position(ky, first->stride_h, first->pad_h);
        walk.rows = eff_last_position(ky, first->stride_h, first->pad_h, first->in_h, first->out_h) - oy;
        for (int32_t kx = 0; kx < first->k_w; ++kx, at += step) {
            const int32_t ox = eff_first_position(kx, first->stride_w, first->pad_w);
            walk.columns = eff_last_position(kx, first->stride_w, first->pad_w, first->in_w, first->out_w) - ox;
            if (walk.rows <= 0 || walk.columns <= 0) {
                continue;
            }
            const int32_t top = oy * first->stride_h + ky - first->pad_h, left = ox * first->stride_w + kx - first->pad_w;
            for (int32_t i = 0; i < count; ++i) {
                const int8_t *p = a + (top * first->in_w + left) * first->in_c + i;
                eff_change_fine_i8(w, low, at + i, eff_inner_1_i8(e + oy * first->out_w + ox, p, a_zero, &walk), change, fine);
            }
        }
    }
}

static void eff_pair_first_update_i8(const int16_t *e, const eff_pair_parts *p, int32_t c)
{
    eff_window first = p->first;
    const int32_t a_zero = p->how->w_how.a_zero, fine = p->how->fine;
    if (p->depthwise) {
        first.in_c = p->pixel;
        eff_filter_update_i8(p->w, p->w_low, e, p->a, a_zero, c, p->first.out_c, 1, &first, &p->w_change, fine);
    } else {
        const int32_t filter = first.k_h * first.k_w * first.in_c;
        eff_filter_update_i8(p->w, p->w_low, e, p->a, a_zero, c * filter, first.in_c, first.in_c, &first, &p->w_change, fine);
    }
}

static inline void eff_change_bias(int32_t *b, int32_t sum, const eff_requant *how, uint32_t rate)
{
    *b = eff_clamp(*b - eff_gain(sum, how->multiplier, how->shift, rate, EFF_BIAS_LIMIT), -EFF_BIAS_LIMIT, EFF_BIAS_LIMIT);
}

void eff_pooled_pair_update_i8(int8_t *w, int8_t *w_low, int32_t *b, int8_t *v, int8_t *v_low, int8_t *h, int16_t *e,
                               const int8_t *mask, const int16_t *g, const int8_t *a, const uint32_t *rate, const uint32_t *step,
                               const eff_pair *pair, const eff_pair_steps *how)
{
    eff_pair_parts p = {w, w_low, v, v_low, b, mask, a, g, eff_pair_first(pair), eff_pair_second(pair), how,
                        eff_change_of(&how->w_how, *rate, *step), eff_change_of(&how->v_how, *rate, *step), pair->depthwise, pair->in_c};
    for (int32_t c = 0; c < pair->mid_c; ++c) {
        eff_pair_column_i8(h, &p, c);
        const int32_t sum = eff_pair_delta_i8(e, h, &p, c);
        eff_pair_second_update_i8(h, &p, c);
        eff_pair_first_update_i8(e, &p, c);
        eff_change_bias(b + c, sum, &how->b_how, *rate);
        p.a += pair->depthwise ? 1 : 0;
    }
}

/* The gated delta d of channel c of the pair's input x, one value a pixel, from e; its sum. */
static int32_t eff_pair_input_i8(int16_t *d, const int16_t *e, const int8_t *x, const eff_pair_parts *p, int32_t c,
                                 const eff_through *through)
{
    const eff_window *first = &p->first;
    const int32_t channels = first->out_c;
    int32_t total = 0;
    for (int32_t iy = 0; iy < first->in_h; ++iy) {
        const int32_t oy0 = (iy + first->pad_h) / first->stride_h, ky0 = iy + first->pad_h - oy0 * first->stride_h;
        for (int32_t ix = 0; ix < first->in_w; ++ix, ++d) {
            const int32_t ox0 = (ix + first->pad_w) / first->stride_w, kx0 = ix + first->pad_w - ox0 * first->stride_w;
            int32_t s = 0;
            for (int32_t ky = ky0, oy = oy0; ky < first->k_h && oy >= 0; ky += first->stride_h, --oy) {
                for (int32_t kx = kx0, ox = ox0; oy < first->out_h && kx < first->k_w && ox >= 0; kx += first->stride_w, --ox) {
                    s += ox < first->out_w ? (int32_t)e[oy * first->out_w + ox] * p->w[(ky * first->k_w + kx) * channels + c] : 0;
                }
            }
            const int32_t open = !through->d_gated || eff_opens_i8(x[iy * first->in_w + ix], p->how->w_how.a_zero);
            *d = open ? eff_gradient_i16(s, 0, through->d_multiplier, through->d_shift) : 0;
            total += *d;
        }
    }
    return total;
}

static inline eff_window eff_stem_window(const eff_stem *s, const eff_pair *p)
{
    const eff_window w = {s->image_h, s->image_w, s->image_c, p->in_h, p->in_w, p->in_c, s->stem_k_h, s->stem_k_w,
                          s->stem_stride_h, s->stem_stride_w, s->stem_pad_h, s->stem_pad_w, 1};
    return w;
}

void eff_pooled_stem_update_i8(int8_t *w, int8_t *w_low, int32_t *b, int8_t *v, int8_t *v_low, int8_t *u, int8_t *u_low, int32_t *stem_b,
                               int8_t *x, int8_t *h, int16_t *e, int16_t *d, const int8_t *mask, const int16_t *g, const int8_t *image,
                               const uint32_t *rate, const uint32_t *step, const eff_pair *pair, const eff_pair_steps *how,
                               const eff_stem *stem, const eff_stem_steps *stem_how)
{
    const eff_pair_parts p = {w, w_low, v, v_low, b, mask, x, g, eff_pair_first(pair), eff_pair_second(pair), how,
                              eff_change_of(&how->w_how, *rate, *step), eff_change_of(&how->v_how, *rate, *step), 1, 1};
    const eff_window below = eff_stem_window(stem, pair);
    const eff_step *u_how = &stem_how->u_how;
    const eff_change u_change = eff_change_of(u_how, *rate, *step);
    const int32_t filter = below.k_h * below.k_w * below.in_c;
    for (int32_t c = 0; c < pair->mid_c; ++c) {
        eff_column_i8(x, image, u_how->a_zero, below.in_c, u + c * filter, stem_b[c], below.in_c, below.in_c, &below, &stem->stem_stage);
        eff_pair_column_i8(h, &p, c);
        const int32_t sum = eff_pair_delta_i8(e, h, &p, c);
        eff_pair_second_update_i8(h, &p, c);
        const int32_t stem_sum = eff_pair_input_i8(d, e, x, &p, c, &stem_how->through);
        eff_pair_first_update_i8(e, &p, c);
        eff_filter_update_i8(u, u_low, d, image, u_how->a_zero, c * filter, below.in_c, below.in_c, &below, &u_change, how->fine);
        eff_change_bias(b + c, sum, &how->b_how, *rate);
        eff_change_bias(stem_b + c, stem_sum, &stem_how->b_how, *rate);
    }
}

/* Two convolutions whose output is added to their input x, and the convolution of an image that makes x. */
typedef struct {
    const int8_t *mask, *image, *x, *w, *v;
    const int16_t *g;
    const int32_t *b;
    eff_window first, second, below;
    const eff_pair_steps *how;
    const eff_skip *skip;
} eff_skip_parts;

/* Row iy of the gated deltas between the two convolutions, [mid_w][mid_c]. */
static void eff_skip_row_i8(int16_t *e, int32_t iy, const eff_skip_parts *p)
{
    const eff_window *first = &p->first;
    const eff_stage *stage = &p->how->stage;
    const int32_t in_c = first->in_c, filter = first->k_h * first->k_w * in_c;
    for (int32_t ix = 0; ix < first->out_w; ++ix) {
        for (int32_t c = 0; c < first->out_c; ++c, ++e) {
            int32_t open = !p->how->hidden.gated;
            if (!open) {
                const int32_t s = eff_window_sum_i8(iy, ix, p->x, p->how->w_how.a_zero, in_c, p->w + c * filter, p->b[c], in_c, in_c, first);
                open = eff_opens_i8(eff_to_i8(eff_requantise(s, stage->multiplier, stage->shift), stage->y_zero, stage->y_min, stage->y_max),
                                    stage->y_zero);
            }
            *e = open ? eff_hidden_delta_i8(iy, ix, c, p->v, p->mask, p->g, &p->second, p->how) : 0;
        }
    }
}

/* The delta of x at (iy, ix), channel i: what comes past the two convolutions and what comes through them, in one scale; gated. */
static int16_t eff_skip_delta_i8(int32_t iy, int32_t ix, int32_t i, const int16_t *e, const eff_skip_parts *p)
{
    const eff_window *first = &p->first;
    const eff_pool_grid *grid = &p->how->grid;
    const eff_skip *skip = p->skip;
    const int32_t at = (iy * first->in_w + ix) * first->in_c + i, filter = first->k_h * first->k_w * first->in_c;
    if (skip->d_gated && !eff_opens_i8(p->x[at], p->how->w_how.a_zero)) {
        return 0;
    }
    const int32_t oy0 = (iy + first->pad_h) / first->stride_h, ky0 = iy + first->pad_h - oy0 * first->stride_h;
    const int32_t ox0 = (ix + first->pad_w) / first->stride_w, kx0 = ix + first->pad_w - ox0 * first->stride_w;
    int64_t s = 0;
    for (int32_t ky = ky0, oy = oy0; ky < first->k_h && oy >= 0; ky += first->stride_h, --oy) {
        for (int32_t kx = kx0, ox = ox0; oy < first->out_h && kx < first->k_w && ox >= 0; kx += first->stride_w, --ox) {
            if (ox < first->out_w) {
                const int16_t *d = e + (oy % first->k_h * first->out_w + ox) * first->out_c;
                s += eff_masked_product_i8(d, p->w + (ky * first->k_w + kx) * first->in_c + i, filter, first->out_c, NULL, 0);
            }
        }
    }
    const int32_t through = eff_gradient_i16(s, skip->pre_shift, skip->d_multiplier, skip->d_shift);
    const int32_t open = !grid->gated || (eff_bits_at(p->mask, at) & 1u);
    const int32_t across = (first->in_w - 1) / grid->pool_w + 1;
    const int32_t past = open ? p->g[(iy / grid->pool_h * across + ix / grid->pool_w) * first->in_c + i] : 0;
    if (skip->onto) {
        return eff_saturate_i16(past + through);
    }
    const int32_t left = eff_requantise(past * (INT32_C(1) << EFF_ADD_BITS_I16), skip->sides.a_multiplier, skip->sides.a_shift);
    const int32_t right = eff_requantise(through * (INT32_C(1) << EFF_ADD_BITS_I16), skip->sides.c_multiplier, skip->sides.c_shift);
    return (int16_t)eff_clamp(eff_requantise(left + right, skip->total.multiplier, skip->total.shift), -32767, 32767);
}

/* s[1] 2^16 + s[0] grows by t. */
static inline void eff_add_wide(int32_t *s, int64_t t)
{
    t += s[0];
    s[0] = (int32_t)(t & 0xFFFF);
    s[1] += (int32_t)(t >> 16);
}

/* Row iy of the delta of channel i, in d, is added to the sums of the filter that makes it, and to that of its bias. */
static void eff_skip_sums_i8(int32_t *sums, const int16_t *d, int32_t iy, const eff_skip_parts *p)
{
    const eff_window *below = &p->below;
    const int32_t zero = p->skip->u_how.a_zero, top = iy * below->stride_h - below->pad_h;
    int64_t total = 0;
    for (int32_t ix = 0; ix < below->out_w; ++ix) {
        total += d[ix];
    }
    eff_add_wide(sums, total);
    for (int32_t tap = 0; tap < below->k_h * below->k_w; ++tap) {
        const int32_t ky = tap / below->k_w, kx = tap - ky * below->k_w, y = top + ky;
        for (int32_t c = 0; c < below->in_c; ++c) {
            int64_t t = 0;
            sums += 2;
            if (y < 0 || y >= below->in_h) {
                continue;
            }
            for (int32_t ix = 0; ix < below->out_w; ++ix) {
                const int32_t x = ix * below->stride_w - below->pad_w + kx;
                t += x >= 0 && x < below->in_w ? d[ix] * (p->image[(y * below->in_w + x) * below->in_c + c] - zero) : 0;
            }
            eff_add_wide(sums, t);
        }
    }
}

void eff_pooled_skip_update_i8(int8_t *u, int8_t *u_low, int32_t *stem_b, int16_t *e, int16_t *d, int32_t *sums, const int8_t *mask,
                               const int16_t *g, const int8_t *image, const int8_t *x, const int8_t *w, const int32_t *b, const int8_t *v,
                               const uint32_t *rate, const uint32_t *step, const eff_pair *pair, const eff_pair_steps *how,
                               const eff_stem *stem, const eff_skip *skip)
{
    const eff_skip_parts p = {mask, image, x, w, v, g, b, eff_pair_first(pair), eff_pair_second(pair), eff_stem_window(stem, pair), how, skip};
    const int32_t filter = p.below.k_h * p.below.k_w * p.below.in_c, row = pair->mid_w * pair->mid_c;
    for (int32_t i = 0; i < pair->k_h * row; ++i) {
        e[i] = 0;
    }
    for (int32_t i = 0; i < 2 * pair->in_c * (filter + 1); ++i) {
        sums[i] = 0;
    }
    for (int32_t iy = 0, next = 0; iy < pair->in_h; ++iy) {
        for (; next < pair->mid_h && next * pair->stride_h <= iy + pair->pad_h; ++next) {
            eff_skip_row_i8(e + next % pair->k_h * row, next, &p);
        }
        for (int32_t i = 0; i < pair->in_c; ++i) {
            for (int32_t ix = 0; ix < pair->in_w; ++ix) {
                d[ix] = eff_skip_delta_i8(iy, ix, i, e, &p);
            }
            eff_skip_sums_i8(sums + 2 * i * (filter + 1), d, iy, &p);
        }
    }
    const eff_change change = eff_change_of(&skip->u_how, *rate, *step);
    for (int32_t i = 0; i < pair->in_c; ++i) {
        eff_change_bias(stem_b + i, sums[1] * INT32_C(65536) + sums[0], &skip->b_how, *rate);
        sums += 2;
        for (int32_t tap = 0; tap < filter; ++tap, sums += 2) {
            eff_change_fine_i8(u, u_low, i * filter + tap, sums[1] * INT64_C(65536) + sums[0], &change, how->fine);
        }
    }
}

/* A depthwise and a pointwise convolution whose output is summed over windows, and the scratch memory between them. */
typedef struct {
    int8_t *mask, *row;
    int32_t *sums;
    const int8_t *a, *w, *v;
    const int32_t *b, *v_b;
    eff_window first;
    const eff_pair *pair;
    const eff_separable *how;
    int32_t a_zero, ring; /* ring: a holds row i of the input at i % ring */
} eff_separable_parts;

static void eff_separable_start_i8(const eff_separable_parts *p)
{
    const eff_pair *pair = p->pair;
    const int32_t across = (pair->out_w - 1) / p->how->grid.pool_w + 1, down = (pair->out_h - 1) / p->how->grid.pool_h + 1;
    for (int32_t i = 0; i < down * across * pair->out_c; ++i) {
        p->sums[i] = 0;
    }
    for (int32_t i = 0; i < (pair->out_h * pair->out_w * pair->out_c + 7) / 8; ++i) {
        p->mask[i] = 0;
    }
}

/* One row of the output. */
static void eff_separable_row_i8(const eff_separable_parts *p, int32_t oy)
{
    const eff_window *first = &p->first;
    const eff_stage *stage = &p->how->stage, *out_stage = &p->how->out_stage;
    const int32_t mid_c = p->pair->mid_c, out_c = p->pair->out_c, out_w = p->pair->out_w, across = (out_w - 1) / p->how->grid.pool_w + 1;
    for (int32_t ox = 0; ox < out_w; ++ox) {
        const int32_t top = oy * first->stride_h - first->pad_h, left = ox * first->stride_w - first->pad_w;
        const eff_taps t = eff_taps_at(top, left, first->in_h, first->in_w, first->k_h, first->k_w);
        for (int32_t c = 0; c < mid_c; ++c) {
            int32_t s = p->b[c];
            for (int32_t iy = t.y0; iy < t.y1; ++iy) {
                const int8_t *x = p->a + (iy % p->ring * first->in_w + t.x0) * mid_c + c;
                const int8_t *k = p->w + ((iy - top) * first->k_w + t.x0 - left) * mid_c + c;
                for (int32_t taps = t.x1 - t.x0; taps > 0; --taps, x += mid_c, k += mid_c) {
                    s += *k * (*x - p->a_zero);
                }
            }
            p->row[c] = eff_to_i8(eff_requantise(s, stage->multiplier, stage->shift), stage->y_zero, stage->y_min, stage->y_max);
        }
        int32_t *total = p->sums + (oy / p->how->grid.pool_h * across + ox / p->how->grid.pool_w) * out_c;
        const int8_t *k = p->v;
        for (int32_t o = 0, at = (oy * out_w + ox) * out_c; o < out_c; ++o, ++at, k += mid_c) {
            const int32_t s = eff_rows_i8(p->v_b[o], k, p->row, stage->y_zero, 1, mid_c, mid_c, mid_c);
            const int32_t made = eff_to_i8(eff_requantise(s, out_stage->multiplier, out_stage->shift), out_stage->y_zero,
                                           out_stage->y_min, out_stage->y_max);
            total[o] += made;
            if (eff_opens_i8(made, out_stage->y_zero)) {
                const uint32_t bits = (uint32_t)(uint8_t)p->mask[at >> 3] | (UINT32_C(1) << (at & 7));
                p->mask[at >> 3] = (int8_t)(bits < 128 ? (int32_t)bits : (int32_t)bits - 256);
            }
        }
    }
}

/* The averages y from the sums. */
static void eff_separable_averages_i8(int8_t *y, const eff_separable_parts *p)
{
    const int32_t out_h = p->pair->out_h, out_w = p->pair->out_w, out_c = p->pair->out_c;
    const int32_t *sums = p->sums;
    for (int32_t oy = 0; oy < out_h; oy = eff_pool_end(oy, out_h, p->how->grid.pool_h)) {
        const int32_t rows = eff_pool_end(oy, out_h, p->how->grid.pool_h) - oy;
        for (int32_t ox = 0; ox < out_w; ox = eff_pool_end(ox, out_w, p->how->grid.pool_w)) {
            const int32_t count = rows * (eff_pool_end(ox, out_w, p->how->grid.pool_w) - ox);
            for (int32_t o = 0; o < out_c; ++o, ++sums) {
                *y++ = (int8_t)(*sums > 0 ? (*sums + count / 2) / count : (*sums - count / 2) / count);
            }
        }
    }
}

void eff_pooled_separable_i8(int8_t *mask, int8_t *y, int32_t *sums, int8_t *row, const int8_t *a, const int8_t *w, const int32_t *b,
                             const int8_t *v, const int32_t *v_b, const eff_pair *pair, const eff_separable *how, int32_t a_zero)
{
    const eff_separable_parts p = {mask, row, sums, a, w, v, b, v_b, eff_pair_first(pair), pair, how, a_zero, pair->in_h};
    eff_separable_start_i8(&p);
    for (int32_t oy = 0; oy < pair->out_h; ++oy) {
        eff_separable_row_i8(&p, oy);
    }
    eff_separable_averages_i8(y, &p);
}

/* Row oy of a convolution over the image. */
static void eff_stem_row_i8(int8_t *to, int32_t oy, const int8_t *image, const int8_t *u, const int32_t *b, int32_t image_zero,
                            const eff_window *window, const eff_stage *stage)
{
    const int32_t in_c = window->in_c, top = oy * window->stride_h - window->pad_h, filter = window->k_h * window->k_w * in_c;
    for (int32_t ox = 0; ox < window->out_w; ++ox) {
        const int32_t left = ox * window->stride_w - window->pad_w;
        const eff_taps t = eff_taps_at(top, left, window->in_h, window->in_w, window->k_h, window->k_w);
        const int32_t x_row = window->in_w * in_c, k_row = window->k_w * in_c, run = (t.x1 - t.x0) * in_c;
        const int8_t *first = image + t.y0 * x_row + t.x0 * in_c, *k = u + (t.y0 - top) * k_row + (t.x0 - left) * in_c;
        for (int32_t c = 0; c < window->out_c; ++c, k += filter) {
            const int32_t s = eff_rows_i8(b[c], k, first, image_zero, t.y1 - t.y0, run, k_row, x_row);
            *to++ = eff_to_i8(eff_requantise(s, stage->multiplier, stage->shift), stage->y_zero, stage->y_min, stage->y_max);
        }
    }
}

void eff_pooled_stem_separable_i8(int8_t *mask, int8_t *y, int32_t *sums, int8_t *row, int8_t *rows, const int8_t *image, const int8_t *u,
                                  const int32_t *u_b, const int8_t *w, const int32_t *b, const int8_t *v, const int32_t *v_b,
                                  const eff_pair *pair, const eff_separable *how, const eff_stem *stem, int32_t image_zero)
{
    const eff_separable_parts p = {mask, row, sums, rows, w, v, b, v_b, eff_pair_first(pair), pair, how, stem->stem_stage.y_zero, pair->k_h};
    const eff_window below = eff_stem_window(stem, pair);
    const int32_t length = pair->in_w * pair->in_c;
    eff_separable_start_i8(&p);
    for (int32_t i = 0; i < pair->k_h * length; ++i) {
        rows[i] = 0;
    }
    for (int32_t oy = 0, next = 0; oy < pair->out_h; ++oy) {
        const int32_t top = oy * pair->stride_h - pair->pad_h, end = top + pair->k_h > pair->in_h ? pair->in_h : top + pair->k_h;
        for (next = next > top ? next : top; next < end; ++next) {
            eff_stem_row_i8(rows + next % pair->k_h * length, next, image, u, u_b, image_zero, &below, &stem->stem_stage);
        }
        eff_separable_row_i8(&p, oy);
    }
    eff_separable_averages_i8(y, &p);
}

/* |G a| <= 2^23 * 255 and r < 2^14 keep the sum in 32 bits. */
void eff_dense_update_fine_i8(int8_t *w, int8_t *low, const int16_t *delta, const int8_t *a, const uint32_t *rate, const uint32_t *step,
                              const eff_matrix *size, const eff_step *how)
{
    const int32_t n_in = size->n_in, stochastic = how->stochastic;
    const uint32_t stream = eff_step_key(how->key, *step), draws_per_row = ((uint32_t)n_in + 3u) / 4u;
    for (int32_t j = 0; j < size->n_out; ++j) {
        const int32_t gain = eff_gain(delta[j], how->multiplier, how->shift, *rate, INT32_C(1) << 23);
        for (int32_t k = 0; gain != 0 && k < n_in; ++k, ++w, ++low) {
            const uint32_t bits = stochastic ? eff_draw(stream, (uint32_t)j * draws_per_row + (uint32_t)k / 4u) >> (8 * (k & 3)) & 0xFFu : 0u;
            const int32_t r = stochastic ? (int32_t)(bits << 6) + 32 : INT32_C(1) << 13;
            const int32_t change = (gain * (a[k] - how->a_zero) + r) >> (EFF_FRACTION_I8 - 8);
            const int32_t m = eff_clamp(*w * INT32_C(256) + *low - change, -127 * 256 - 128, 127 * 256 + 127), whole = (m + 128) >> 8;
            *w = (int8_t)whole;
            *low = (int8_t)(m - whole * 256);
        }
        w += gain == 0 ? n_in : 0;
        low += gain == 0 ? n_in : 0;
    }
}
