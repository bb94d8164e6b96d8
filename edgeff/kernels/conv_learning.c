/* conv_learning.c: convolutions learn in place, one sample at a time. A weight's gradient is the sum of delta * a over the positions whose
 * tap lies inside the image: it is formed in registers for a tile of output and input channels, applied, and never stored. */
#include "edgeff.h"

#define EFF_SAFE_POSITIONS 256 /* 256 * 32767 * 255 < 2^31: so many products of an int16 and an int8 sum up in 32 bits */

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

/* The sum of d[0] * p[0] over the walk. */
static float eff_inner_1_f32(const float *d, const float *p, const eff_walk *walk)
{
    float s = 0.0f;
    for (int32_t row = 0; row < walk->rows; ++row) {
        for (int32_t column = 0; column < walk->columns; ++column) {
            s += d[row * walk->d_down + column * walk->d_across] * p[row * walk->a_down + column * walk->a_across];
        }
    }
    return s;
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

void eff_depthwise_conv2d_update_f32(float *w, const float *delta, const float *a, const uint32_t *rate, int32_t in_h, int32_t in_w,
                                     int32_t in_c, int32_t depth, int32_t out_h, int32_t out_w, int32_t k_h, int32_t k_w,
                                     int32_t stride_h, int32_t stride_w, int32_t pad_h, int32_t pad_w, float lr)
{
    const float eta = eff_rate_f32(rate, lr);
    const int32_t out_c = in_c * depth;
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

/* What an int8 weight's change needs besides its sum. */
typedef struct {
    uint32_t rate, stream;
    int32_t multiplier, shift, stochastic;
} eff_change;

/* Weight i of w, whose products sum up to s, takes its step. */
static inline void eff_change_weight_i8(int8_t *w, int32_t i, int64_t s, const eff_change *how)
{
    const int32_t saturated = s > INT32_MAX ? INT32_MAX : s < INT32_MIN ? INT32_MIN : (int32_t)s;
    const int32_t gain = eff_gain(saturated, how->multiplier, how->shift, how->rate, EFF_BIAS_LIMIT);
    if (gain != 0) {
        const uint32_t bits = how->stochastic ? eff_draw(how->stream, (uint32_t)i >> 2) >> (8 * (i & 3)) & 0xFFu : 0u;
        const int32_t drawn = (int32_t)(bits << (EFF_FRACTION_I8 - 8)) + (1 << (EFF_FRACTION_I8 - 9));
        const int32_t r = how->stochastic ? drawn : 1 << (EFF_FRACTION_I8 - 1);
        w[i] = (int8_t)eff_clamp(w[i] - ((gain + r) >> EFF_FRACTION_I8), -127, 127);
    }
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

/* The sum of delta[0] * (a[0] - a_zero) over the walk. */
static int64_t eff_inner_1_i8(const int16_t *delta, const int8_t *a, int32_t a_zero, const eff_walk *walk)
{
    int64_t s = 0;
    for (int32_t row = 0; row < walk->rows; ++row) {
        for (int32_t column = 0; column < walk->columns; ++column) {
            s += delta[row * walk->d_down + column * walk->d_across] * (a[row * walk->a_down + column * walk->a_across] - a_zero);
        }
    }
    return s;
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

void eff_depthwise_conv2d_update_i8(int8_t *w, const int16_t *delta, const int8_t *a, const uint32_t *rate, const uint32_t *step,
                                    int32_t in_h, int32_t in_w, int32_t in_c, int32_t depth, int32_t out_h, int32_t out_w, int32_t k_h,
                                    int32_t k_w, int32_t stride_h, int32_t stride_w, int32_t pad_h, int32_t pad_w, int32_t a_zero,
                                    int32_t multiplier, int32_t shift, int32_t stochastic, uint32_t key)
{
    const eff_change how = {*rate, eff_step_key(key, *step), multiplier, shift, stochastic};
    const int32_t out_c = in_c * depth;
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
                    eff_change_weight_i8(w, i + c + j, s[j], &how);
                }
            }
            for (int32_t oc = c; c < in_c; ++c) {
                for (int32_t q = 0; q < depth; ++q, ++oc) {
                    eff_change_weight_i8(w, i + oc, eff_inner_1_i8(d + oc, p + c, a_zero, &walk), &how);
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
