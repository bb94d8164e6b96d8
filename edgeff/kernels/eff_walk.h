/* SPDX-License-Identifier: Apache-2.0 */
/* The walk over the positions whose tap lies inside the image, and the step of an int8 weight. */
#ifndef EFF_WALK_H
#define EFF_WALK_H

#include "edgeff.h"

#define EFF_SAFE_POSITIONS 256 /* 256 * 32767 * 255 < 2^31: this many products of an int16 and an int8 can be summed in 32 bits */

/* The positions whose tap lies inside the image, as a walk over delta and a: rows and columns of them, and the steps between them. */
typedef struct {
    int32_t rows, columns, d_down, d_across, a_down, a_across;
} eff_walk;

/* The positions first..last - 1 of `out` whose tap `tap` lies inside an image of `size`. */
static inline int32_t eff_first_position(int32_t tap, int32_t stride, int32_t pad)
{
    return tap < pad ? (pad - tap + stride - 1) / stride : 0;
}

static inline int32_t eff_last_position(int32_t tap, int32_t stride, int32_t pad, int32_t size, int32_t out)
{
    const int32_t last = size + pad > tap ? (size + pad - tap - 1) / stride + 1 : 0;
    return last < out ? last : out;
}

/* The parameters of an int8 weight's update besides its sum. */
typedef struct {
    uint32_t rate, stream;
    int32_t multiplier, shift, stochastic;
} eff_change;

/* Weight i of w, whose products sum up to s, is updated. */
static inline void eff_change_weight_i8(int8_t *w, int32_t i, int64_t s, const eff_change *how)
{
    const int32_t saturated = s > INT32_MAX ? INT32_MAX : s < INT32_MIN ? INT32_MIN : (int32_t)s;
    const int32_t gain = eff_gain(saturated, how->multiplier, how->shift, how->rate, EFF_BIAS_LIMIT);
    if (gain != 0) {
        const uint32_t bits = how->stochastic ? eff_draw(how->stream, (uint32_t)i >> 2) >> (8 * (i & 3)) & 0xFFu : 0u;
        const int32_t drawn = (int32_t)(bits << (EFF_FRACTION_I8 - 8)) + (INT32_C(1) << (EFF_FRACTION_I8 - 9));
        const int32_t r = how->stochastic ? drawn : INT32_C(1) << (EFF_FRACTION_I8 - 1);
        w[i] = (int8_t)eff_clamp(w[i] - ((gain + r) >> EFF_FRACTION_I8), -127, 127);
    }
}

/* The sum of d[0] * p[0] over the walk. */
static inline float eff_inner_1_f32(const float *d, const float *p, const eff_walk *walk)
{
    float s = 0.0f;
    for (int32_t row = 0; row < walk->rows; ++row) {
        for (int32_t column = 0; column < walk->columns; ++column) {
            s += d[row * walk->d_down + column * walk->d_across] * p[row * walk->a_down + column * walk->a_across];
        }
    }
    return s;
}

/* The sums over a walk go by bands of at most EFF_SAFE_POSITIONS positions, each band in 32 bits; the
 * argument adds one position to t0, t1, t2 and t3. */
#define EFF_BANDS(...) \
    const int32_t most = walk->columns < EFF_SAFE_POSITIONS ? EFF_SAFE_POSITIONS / walk->columns : 1; \
    s[0] = s[1] = s[2] = s[3] = 0; \
    for (int32_t row = 0; row < walk->rows; row += most) { \
        const int32_t band = walk->rows - row < most ? walk->rows - row : most; \
        for (int32_t column = 0; column < walk->columns; column += EFF_SAFE_POSITIONS) { \
            const int32_t run = walk->columns - column < EFF_SAFE_POSITIONS ? walk->columns - column : EFF_SAFE_POSITIONS; \
            const int16_t *d = delta + row * walk->d_down + column * walk->d_across; \
            const int8_t *p = a + row * walk->a_down + column * walk->a_across; \
            const int32_t d_rest = walk->d_down - run * walk->d_across, a_rest = walk->a_down - run * walk->a_across; \
            int32_t t0 = 0, t1 = 0, t2 = 0, t3 = 0; \
            for (int32_t rows = band; rows > 0; --rows, d += d_rest, p += a_rest) { \
                for (int32_t left = run; left > 0; --left, d += walk->d_across, p += walk->a_across) { \
                    __VA_ARGS__ \
                } \
            } \
            s[0] += t0, s[1] += t1, s[2] += t2, s[3] += t3; \
        } \
    }

/* The sum of delta[0] * (a[0] - a_zero) over the walk. */
static inline int64_t eff_inner_1_i8(const int16_t *delta, const int8_t *a, int32_t a_zero, const eff_walk *walk)
{
    int64_t s[4];
    EFF_BANDS(t0 += *d * (*p - a_zero);)
    return s[0];
}

#endif
