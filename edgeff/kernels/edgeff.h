/* edgeff.h: the kernels' prototypes and the arithmetic they share.
 *
 * Refused on purpose: malloc, stdio, libm, recursion, global state. Every function is C99 and gives the same bits on every machine with
 * IEEE-754 binary32, two's complement and an arithmetic right shift. An argument list is: outputs, inputs, sizes, parameters; an output
 * that is also read says so. A pointer called `b` may be NULL (no bias). Matrices are row-major: `w` is [n_out][n_in].
 * An output may share memory with an input as far as the kernel's `overlap` says (edgeff/kernels/overlap.py): the planner of the arena
 * keeps to it, and nothing here promises `restrict` for the two. Otherwise all arguments lie apart.
 */
#ifndef EDGEFF_H
#define EDGEFF_H

#include <stddef.h>
#include <stdint.h>

/* A product and a sum stay two roundings, whatever the compiler's default: a fused one gives other bits. */
#if defined(__clang__)
#pragma clang fp contract(off)
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#elif defined(_MSC_VER)
#pragma fp_contract(off)
#endif

/* Keeps a function in one piece, so that its calls can be counted one by one. */
#if defined(__GNUC__)
#define EFF_NOINLINE __attribute__((noinline))
#else
#define EFF_NOINLINE
#endif

typedef char eff_assert_arithmetic_shift[((-5) >> 1) == -3 ? 1 : -1];
typedef char eff_assert_binary32[sizeof(float) == 4 ? 1 : -1];

/* ------------------------------------------------------------------ integers */

static inline int32_t eff_clamp(int32_t v, int32_t lo, int32_t hi) { return v < lo ? lo : v > hi ? hi : v; }

static inline int16_t eff_saturate_i16(int32_t v) { return (int16_t)eff_clamp(v, -32767, 32767); }

/* round(a * b / 2^31), ties upwards; a and b not both INT32_MIN */
static inline int32_t eff_high_mul(int32_t a, int32_t b) { return (int32_t)(((int64_t)a * b + (1 << 30)) >> 31); }

/* round(v / 2^n), ties away from zero, 0 <= n <= 31 */
static inline int32_t eff_shift_round(int32_t v, int32_t n)
{
    const int32_t mask = (int32_t)((UINT32_C(1) << n) - 1u);
    return (v >> n) + ((v & mask) > (mask >> 1) + (v < 0));
}

/* The one requantisation: v * multiplier * 2^(shift - 31), gemmlowp's double rounding. multiplier >= 0, -31 <= shift <= 30; a v that
 * v * 2^shift would carry out of 32 bits saturates. */
static inline int32_t eff_requantise(int32_t v, int32_t multiplier, int32_t shift)
{
    if (shift > 0) {
        const int64_t wide = (int64_t)v * (INT32_C(1) << shift);
        v = wide > INT32_MAX ? INT32_MAX : wide < INT32_MIN ? INT32_MIN : (int32_t)wide;
    }
    return eff_shift_round(eff_high_mul(v, multiplier), shift < 0 ? -shift : 0);
}

/* ------------------------------------------------------------------ randomness: one counter-based generator */

#define EFF_GOLDEN UINT32_C(0x9E3779B9)

/* A bijection of 32 bits that mixes well (Wellons' lowbias32). */
static inline uint32_t eff_mix(uint32_t v)
{
    v ^= v >> 16;
    v *= UINT32_C(0x7FEB352D);
    v ^= v >> 15;
    v *= UINT32_C(0x846CA68B);
    return v ^ (v >> 16);
}

/* The draw of number `index` of the stream `key`: any one can be had without those before it. */
static inline uint32_t eff_draw(uint32_t key, uint32_t index) { return eff_mix(key + index * EFF_GOLDEN); }

/* The stream of one call site at one step. */
static inline uint32_t eff_step_key(uint32_t key, uint32_t step) { return eff_mix(key ^ eff_mix(step + EFF_GOLDEN)); }

/* ------------------------------------------------------------------ learning rates */

static inline float eff_rate_f32(const uint32_t *rate, float lr) { return lr * ((float)*rate * 0x1p-16f); }

/* The gain of an integer gradient: requantised, saturated, times the rate (in units of 2^-16), rounded to nearest (ties upwards). */
static inline int32_t eff_gain(int32_t gradient, int32_t multiplier, int32_t shift, uint32_t rate, int32_t limit)
{
    const int32_t gain = eff_clamp(eff_requantise(gradient, multiplier, shift), -limit, limit);
    return (int32_t)(((int64_t)gain * (int64_t)rate + 0x8000) >> 16);
}

/* ------------------------------------------------------------------ activation functions */

/* What an activation function leaves of v: relu is 0 for all of it, 1 for max(v, 0), 2 for min(max(v, 0), 6). */
static inline float eff_activate_f32(float v, int32_t relu)
{
    if (relu) {
        v = v > 0.0f ? v : 0.0f;
        v = relu == 2 && v > 6.0f ? 6.0f : v;
    }
    return v;
}

/* ------------------------------------------------------------------ dense.c
 * y = w x + b, then the activation: relu (see eff_activate_f32), or the ends y_min and y_max. f32 sums from b in index order. i8 follows
 * the TFLite 8-bit specification: multiplier and shift have one entry, or n_out when per_channel; n_in <= 32,768 and |b| < 2^30 keep the
 * sum in 32 bits. i16 sums in 64 bits, rounds by 2^pre_shift, then adds b. */
void eff_dense_f32(float *y, const float *x, const float *w, const float *b, int32_t n_out, int32_t n_in, int32_t relu);
void eff_dense_i8(int8_t *y, const int8_t *x, const int8_t *w, const int32_t *b, const int32_t *multiplier, const int32_t *shift,
                  int32_t n_out, int32_t n_in, int32_t per_channel, int32_t x_zero, int32_t y_zero, int32_t y_min, int32_t y_max);
void eff_dense_i16(int16_t *y, const int16_t *x, const int16_t *w, const int32_t *b, const int32_t *multiplier, const int32_t *shift,
                   int32_t n_out, int32_t n_in, int32_t per_channel, int32_t pre_shift, int32_t y_min);

/* ------------------------------------------------------------------ conv.c
 * Images are [h][w][c]; w is [out_c][k_h][k_w][in_c] (conv2d), [out_c][k_h][k_w][in_c / groups] (grouped: in_c and out_c are cut into so
 * many runs of channels, and each reads its own) or [k_h][k_w][in_c * depth] (depthwise: output channel c * depth + q reads input channel
 * c). Taps outside the image count for nothing; pad_h and pad_w are the rows above and the columns left of it. f32 sums from
 * b in the order of (ky, kx, c). i8: TFLite 8-bit specification, k_h * k_w * in_c <= 32,768 and |b| < 2^30. */
void eff_conv2d_f32(float *y, const float *x, const float *w, const float *b, int32_t in_h, int32_t in_w, int32_t in_c, int32_t out_h,
                    int32_t out_w, int32_t out_c, int32_t k_h, int32_t k_w, int32_t stride_h, int32_t stride_w, int32_t pad_h,
                    int32_t pad_w, int32_t relu);
void eff_conv2d_i8(int8_t *y, const int8_t *x, const int8_t *w, const int32_t *b, const int32_t *multiplier, const int32_t *shift,
                   int32_t in_h, int32_t in_w, int32_t in_c, int32_t out_h, int32_t out_w, int32_t out_c, int32_t k_h, int32_t k_w,
                   int32_t stride_h, int32_t stride_w, int32_t pad_h, int32_t pad_w, int32_t per_channel, int32_t x_zero, int32_t y_zero,
                   int32_t y_min, int32_t y_max);
void eff_grouped_conv2d_f32(float *y, const float *x, const float *w, const float *b, int32_t in_h, int32_t in_w, int32_t in_c,
                            int32_t out_h, int32_t out_w, int32_t out_c, int32_t groups, int32_t k_h, int32_t k_w, int32_t stride_h,
                            int32_t stride_w, int32_t pad_h, int32_t pad_w, int32_t relu);
void eff_grouped_conv2d_i8(int8_t *y, const int8_t *x, const int8_t *w, const int32_t *b, const int32_t *multiplier, const int32_t *shift,
                           int32_t in_h, int32_t in_w, int32_t in_c, int32_t out_h, int32_t out_w, int32_t out_c, int32_t groups,
                           int32_t k_h, int32_t k_w, int32_t stride_h, int32_t stride_w, int32_t pad_h, int32_t pad_w,
                           int32_t per_channel, int32_t x_zero, int32_t y_zero, int32_t y_min, int32_t y_max);
void eff_depthwise_conv2d_f32(float *y, const float *x, const float *w, const float *b, int32_t in_h, int32_t in_w, int32_t in_c,
                              int32_t depth, int32_t out_h, int32_t out_w, int32_t k_h, int32_t k_w, int32_t stride_h, int32_t stride_w,
                              int32_t pad_h, int32_t pad_w, int32_t relu);
void eff_depthwise_conv2d_i8(int8_t *y, const int8_t *x, const int8_t *w, const int32_t *b, const int32_t *multiplier,
                             const int32_t *shift, int32_t in_h, int32_t in_w, int32_t in_c, int32_t depth, int32_t out_h, int32_t out_w,
                             int32_t k_h, int32_t k_w, int32_t stride_h, int32_t stride_w, int32_t pad_h, int32_t pad_w,
                             int32_t per_channel, int32_t x_zero, int32_t y_zero, int32_t y_min, int32_t y_max);

/* ------------------------------------------------------------------ conv_learning.c
 * Learning in the convolutions of conv.c, one sample at a time, no gradient stored: w -= rate * lr * S in place, where S of a weight is
 * the sum of delta * a over the positions (oy, ox) whose tap lies inside the image; rate as in update.c. f32 sums from 0 in the order of
 * (oy, ox). i8: S is exact and saturates at 32 bits; the change (G + r) >> 22 with G = requantise(S) * rate, |G| < 2^30, r uniform
 * (stochastic) or one half (to nearest): byte i % 4 of draw i / 4 of the step's stream for weight i as it lies in w; w stays within +-127.
 * conv_bias_update: b -= rate * lr * (the sum of delta over n positions); i32: n <= 65,536. */
void eff_conv2d_update_f32(float *w, const float *delta, const float *a, const uint32_t *rate, int32_t in_h, int32_t in_w, int32_t in_c,
                           int32_t out_h, int32_t out_w, int32_t out_c, int32_t k_h, int32_t k_w, int32_t stride_h, int32_t stride_w,
                           int32_t pad_h, int32_t pad_w, float lr);
void eff_conv2d_update_i8(int8_t *w, const int16_t *delta, const int8_t *a, const uint32_t *rate, const uint32_t *step, int32_t in_h,
                          int32_t in_w, int32_t in_c, int32_t out_h, int32_t out_w, int32_t out_c, int32_t k_h, int32_t k_w,
                          int32_t stride_h, int32_t stride_w, int32_t pad_h, int32_t pad_w, int32_t a_zero, int32_t multiplier,
                          int32_t shift, int32_t stochastic, uint32_t key);
void eff_grouped_conv2d_update_f32(float *w, const float *delta, const float *a, const uint32_t *rate, int32_t in_h, int32_t in_w,
                                   int32_t in_c, int32_t out_h, int32_t out_w, int32_t out_c, int32_t groups, int32_t k_h, int32_t k_w,
                                   int32_t stride_h, int32_t stride_w, int32_t pad_h, int32_t pad_w, float lr);
void eff_grouped_conv2d_update_i8(int8_t *w, const int16_t *delta, const int8_t *a, const uint32_t *rate, const uint32_t *step,
                                  int32_t in_h, int32_t in_w, int32_t in_c, int32_t out_h, int32_t out_w, int32_t out_c, int32_t groups,
                                  int32_t k_h, int32_t k_w, int32_t stride_h, int32_t stride_w, int32_t pad_h, int32_t pad_w,
                                  int32_t a_zero, int32_t multiplier, int32_t shift, int32_t stochastic, uint32_t key);
void eff_depthwise_conv2d_update_f32(float *w, const float *delta, const float *a, const uint32_t *rate, int32_t in_h, int32_t in_w,
                                     int32_t in_c, int32_t depth, int32_t out_h, int32_t out_w, int32_t k_h, int32_t k_w,
                                     int32_t stride_h, int32_t stride_w, int32_t pad_h, int32_t pad_w, float lr);
void eff_depthwise_conv2d_update_i8(int8_t *w, const int16_t *delta, const int8_t *a, const uint32_t *rate, const uint32_t *step,
                                    int32_t in_h, int32_t in_w, int32_t in_c, int32_t depth, int32_t out_h, int32_t out_w, int32_t k_h,
                                    int32_t k_w, int32_t stride_h, int32_t stride_w, int32_t pad_h, int32_t pad_w, int32_t a_zero,
                                    int32_t multiplier, int32_t shift, int32_t stochastic, uint32_t key);
void eff_conv_bias_update_f32(float *b, const float *delta, const uint32_t *rate, int32_t n, int32_t out_c, float lr);
void eff_conv_bias_update_i32(int32_t *b, const int16_t *delta, const uint32_t *rate, int32_t n, int32_t out_c, int32_t multiplier,
                              int32_t shift);

/* ------------------------------------------------------------------ window_gradient.c
 * What the windows of conv.c and pool.c send back to their input: d[iy][ix][c] = the sum over all windows of delta * w, in the order of
 * (ky, kx, o); or every window in the order of (oy, ox) adds delta / (its taps inside the image) to each of them (average), or delta to the
 * first of its largest taps (max). mean: d[i][c] = delta[c] / n. i8: the average without its division, saturated. */
void eff_conv2d_input_gradient_f32(float *d, const float *delta, const float *w, int32_t in_h, int32_t in_w, int32_t in_c, int32_t out_h,
                                   int32_t out_w, int32_t out_c, int32_t k_h, int32_t k_w, int32_t stride_h, int32_t stride_w,
                                   int32_t pad_h, int32_t pad_w);
void eff_grouped_conv2d_input_gradient_f32(float *d, const float *delta, const float *w, int32_t in_h, int32_t in_w, int32_t in_c,
                                           int32_t out_h, int32_t out_w, int32_t out_c, int32_t groups, int32_t k_h, int32_t k_w,
                                           int32_t stride_h, int32_t stride_w, int32_t pad_h, int32_t pad_w);
void eff_depthwise_conv2d_input_gradient_f32(float *d, const float *delta, const float *w, int32_t in_h, int32_t in_w, int32_t in_c,
                                             int32_t depth, int32_t out_h, int32_t out_w, int32_t k_h, int32_t k_w, int32_t stride_h,
                                             int32_t stride_w, int32_t pad_h, int32_t pad_w);
void eff_average_pool2d_input_gradient_f32(float *d, const float *delta, int32_t in_h, int32_t in_w, int32_t in_c, int32_t out_h,
                                           int32_t out_w, int32_t k_h, int32_t k_w, int32_t stride_h, int32_t stride_w, int32_t pad_h,
                                           int32_t pad_w);
void eff_average_pool2d_input_gradient_i8(int16_t *d, const int16_t *delta, int32_t in_h, int32_t in_w, int32_t in_c, int32_t out_h,
                                          int32_t out_w, int32_t k_h, int32_t k_w, int32_t stride_h, int32_t stride_w, int32_t pad_h,
                                          int32_t pad_w);
void eff_max_pool2d_input_gradient_f32(float *d, const float *delta, const float *x, int32_t in_h, int32_t in_w, int32_t in_c,
                                       int32_t out_h, int32_t out_w, int32_t k_h, int32_t k_w, int32_t stride_h, int32_t stride_w,
                                       int32_t pad_h, int32_t pad_w);
void eff_max_pool2d_input_gradient_i8(int16_t *d, const int16_t *delta, const int8_t *x, int32_t in_h, int32_t in_w, int32_t in_c,
                                      int32_t out_h, int32_t out_w, int32_t k_h, int32_t k_w, int32_t stride_h, int32_t stride_w,
                                      int32_t pad_h, int32_t pad_w);
void eff_mean_input_gradient_f32(float *d, const float *delta, int32_t n, int32_t in_c);

/* ------------------------------------------------------------------ pool.c
 * Windows over [h][w][c]; taps outside the image are left out, and every window has one inside. average: the sum in the order of (ky, kx)
 * over the count of taps inside, i8 rounded half away from zero; input and output of one scale. mean: over n positions of c channels;
 * i8: see pool.py. */
void eff_average_pool2d_f32(float *y, const float *x, int32_t in_h, int32_t in_w, int32_t in_c, int32_t out_h, int32_t out_w, int32_t k_h,
                            int32_t k_w, int32_t stride_h, int32_t stride_w, int32_t pad_h, int32_t pad_w, int32_t relu);
void eff_average_pool2d_i8(int8_t *y, const int8_t *x, int32_t in_h, int32_t in_w, int32_t in_c, int32_t out_h, int32_t out_w, int32_t k_h,
                           int32_t k_w, int32_t stride_h, int32_t stride_w, int32_t pad_h, int32_t pad_w, int32_t y_min, int32_t y_max);
void eff_max_pool2d_f32(float *y, const float *x, int32_t in_h, int32_t in_w, int32_t in_c, int32_t out_h, int32_t out_w, int32_t k_h,
                        int32_t k_w, int32_t stride_h, int32_t stride_w, int32_t pad_h, int32_t pad_w, int32_t relu);
void eff_max_pool2d_i8(int8_t *y, const int8_t *x, int32_t in_h, int32_t in_w, int32_t in_c, int32_t out_h, int32_t out_w, int32_t k_h,
                       int32_t k_w, int32_t stride_h, int32_t stride_w, int32_t pad_h, int32_t pad_w, int32_t y_min, int32_t y_max);
void eff_mean_f32(float *y, const float *x, int32_t n, int32_t in_c);
void eff_mean_i8(int8_t *y, const int8_t *x, int32_t n, int32_t in_c, int32_t x_zero, int32_t y_zero, int32_t multiplier, int32_t shift);

/* ------------------------------------------------------------------ elementwise.c
 * add: y = a + c; i8 brings both to one scale with 20 more bits (TFLite). rescale: y = x in another scale, y_min and y_max an activation.
 * transpose: y[i] = x with axis p0 of x first, p1 second, p2 last; d0, d1, d2 are x's sizes. */
void eff_add_f32(float *y, const float *a, const float *c, int32_t n, int32_t relu);
void eff_add_i8(int8_t *y, const int8_t *a, const int8_t *c, int32_t n, int32_t a_zero, int32_t a_multiplier, int32_t a_shift,
                int32_t c_zero, int32_t c_multiplier, int32_t c_shift, int32_t y_zero, int32_t multiplier, int32_t shift, int32_t y_min,
                int32_t y_max);
void eff_relu_f32(float *y, const float *x, int32_t n, int32_t relu);
void eff_rescale_i8(int8_t *y, const int8_t *x, int32_t n, int32_t x_zero, int32_t y_zero, int32_t multiplier, int32_t shift,
                    int32_t y_min, int32_t y_max);
void eff_transpose_f32(float *y, const float *x, int32_t d0, int32_t d1, int32_t d2, int32_t p0, int32_t p1, int32_t p2);
void eff_transpose_i8(int8_t *y, const int8_t *x, int32_t d0, int32_t d1, int32_t d2, int32_t p0, int32_t p1, int32_t p2);

/* ------------------------------------------------------------------ gradient.c
 * input_gradient: d = w^T delta, integers rounded by 2^pre_shift and requantised. relu_gate: d = 0 where h is not above its zero (d is also
 * read). difference: d = a - c of one scale and zero point. residual: d = a - c of two scales. error: e = p - one-hot(label). */
void eff_input_gradient_f32(float *d, const float *delta, const float *w, int32_t n_out, int32_t n_in);
void eff_input_gradient_i8(int16_t *d, const int16_t *delta, const int8_t *w, int32_t n_out, int32_t n_in, int32_t pre_shift,
                           int32_t multiplier, int32_t shift);
void eff_input_gradient_i16(int16_t *d, const int16_t *delta, const int16_t *w, int32_t n_out, int32_t n_in, int32_t pre_shift,
                            int32_t multiplier, int32_t shift);
void eff_relu_gate_f32(float *d, const float *h, int32_t n);
void eff_relu_gate_i8(int16_t *d, const int8_t *h, int32_t n, int32_t h_zero);
void eff_relu_gate_i16(int16_t *d, const int16_t *h, int32_t n);
void eff_difference_f32(float *d, const float *a, const float *c, int32_t n);
void eff_difference_i8(int16_t *d, const int8_t *a, const int8_t *c, int32_t n);
void eff_difference_i16(int16_t *d, const int16_t *a, const int16_t *c, int32_t n);
void eff_residual_i8(int16_t *d, const int8_t *a, const int8_t *c, int32_t n, int32_t a_zero, int32_t a_multiplier, int32_t a_shift,
                     int32_t c_zero, int32_t c_multiplier, int32_t c_shift);
void eff_residual_i16(int16_t *d, const int16_t *a, const int16_t *c, int32_t n, int32_t a_multiplier, int32_t a_shift,
                      int32_t c_multiplier, int32_t c_shift);
void eff_error_f32(float *e, const float *p, const int32_t *label, int32_t n);
void eff_error_i8(int16_t *e, const int8_t *p, const int32_t *label, int32_t n, int32_t p_zero, int32_t one);
void eff_error_i16(int16_t *e, const int16_t *p, const int32_t *label, int32_t n, int32_t one);

/* ------------------------------------------------------------------ update.c
 * dense_update: w -= rate * lr * delta a^T in place, no gradient stored; rate is in units of 2^-16. Integers: row j has the gain
 * G_j = requantise(delta_j) * rate, |G_j| <= 2^23 (i8) or 2^15 (i16), and w -= (G_j a_k + r) >> fraction bits (22 and 16), r uniform
 * (stochastic) or one half (to nearest); w stays within +-127 or +-32767. bias_update: b -= requantise(delta) * rate.
 * advance: step += 1; after every `period` steps rate *= factor / 2^16 (period 0: never). */
#define EFF_FRACTION_I8 22
#define EFF_FRACTION_I16 16
#define EFF_BIAS_LIMIT INT32_C(0x3FFFFFFF)
void eff_dense_update_f32(float *w, const float *delta, const float *a, const uint32_t *rate, int32_t n_out, int32_t n_in, float lr);
void eff_dense_update_i8(int8_t *w, const int16_t *delta, const int8_t *a, const uint32_t *rate, const uint32_t *step, int32_t n_out,
                         int32_t n_in, int32_t a_zero, int32_t multiplier, int32_t shift, int32_t stochastic, uint32_t key);
void eff_dense_update_i16(int16_t *w, const int16_t *delta, const int16_t *a, const uint32_t *rate, const uint32_t *step, int32_t n_out,
                          int32_t n_in, int32_t multiplier, int32_t shift, int32_t stochastic, uint32_t key);
void eff_bias_update_f32(float *b, const float *delta, const uint32_t *rate, int32_t n, float lr);
void eff_bias_update_i32(int32_t *b, const int16_t *delta, const uint32_t *rate, int32_t n, int32_t multiplier, int32_t shift);
void eff_advance(uint32_t *step, uint32_t *rate, uint32_t period, uint32_t factor);

/* ------------------------------------------------------------------ feedback.c
 * y = F e, or y += F e when add (y is then also read). Generated: F is +-scale, the sign of (d, c) is bit c % 32 of draw
 * d * ceil(n_e / 32) + c / 32 of the stream `key`; nothing is stored. Table: F is [n][n_e]. */
void eff_feedback_f32(float *y, const float *e, int32_t n, int32_t n_e, int32_t add, uint32_t key, float scale);
void eff_feedback_table_f32(float *y, const float *e, const float *f, int32_t n, int32_t n_e, int32_t add);
void eff_feedback_add_i8(int8_t *y, const int16_t *e, int32_t n, int32_t n_e, int32_t multiplier, int32_t shift, uint32_t key);
void eff_feedback_add_i16(int16_t *y, const int16_t *e, int32_t n, int32_t n_e, int32_t multiplier, int32_t shift, uint32_t key);
void eff_feedback_delta_i16(int16_t *d, const int16_t *e, int32_t n, int32_t n_e, int32_t multiplier, int32_t shift, uint32_t key);
void eff_feedback_table_add_i8(int8_t *y, const int16_t *e, const int8_t *f, int32_t n, int32_t n_e, int32_t multiplier, int32_t shift);
void eff_feedback_table_add_i16(int16_t *y, const int16_t *e, const int8_t *f, int32_t n, int32_t n_e, int32_t multiplier, int32_t shift);
void eff_feedback_table_delta_i16(int16_t *d, const int16_t *e, const int8_t *f, int32_t n, int32_t n_e, int32_t multiplier, int32_t shift);

/* ------------------------------------------------------------------ tangent.c: forward derivatives
 * dense_tangent: y = w dx, rounded by 2^pre_shift (2^pre_shift > n_in / 2^8 for i8, > n_in for i16, keeps the sum within 2^30) and
 * requantised. max_pool2d_tangent: y = dx where the first of each window's largest taps of x lies. minus: d = -d; no -32768 in i16.
 * Directions are +-1, others at every step: the sign of (j, k) is bit k % 32 of draw j * ceil(n_in / 32) + k / 32 of the step's stream of
 * `key`; of a vector, row 0. signed_dense: y = V x, or y += V x when add, in the order of feedback_f32. signs: d = s v, or d += s v when
 * add. dot: s = <a, c> from 0 in index order. signed_update: w -= rate * lr * s * V. */
void eff_dense_tangent_i8(int16_t *y, const int16_t *dx, const int8_t *w, int32_t n_out, int32_t n_in, int32_t pre_shift,
                          int32_t multiplier, int32_t shift);
void eff_dense_tangent_i16(int16_t *y, const int16_t *dx, const int16_t *w, int32_t n_out, int32_t n_in, int32_t pre_shift,
                           int32_t multiplier, int32_t shift);
void eff_max_pool2d_tangent_f32(float *y, const float *dx, const float *x, int32_t in_h, int32_t in_w, int32_t in_c, int32_t out_h,
                                int32_t out_w, int32_t k_h, int32_t k_w, int32_t stride_h, int32_t stride_w, int32_t pad_h, int32_t pad_w);
void eff_minus_f32(float *d, int32_t n);
void eff_minus_i16(int16_t *d, int32_t n);
void eff_signed_dense_f32(float *y, const float *x, const uint32_t *step, int32_t n_out, int32_t n_in, int32_t add, uint32_t key);
void eff_signs_f32(float *d, const float *s, const uint32_t *step, int32_t n, int32_t add, uint32_t key);
void eff_dot_f32(float *s, const float *a, const float *c, int32_t n);
void eff_signed_update_f32(float *w, const float *s, const uint32_t *rate, const uint32_t *step, int32_t n_out, int32_t n_in, float lr,
                           uint32_t key);

/* ------------------------------------------------------------------ softmax.c
 * i8: bit for bit TFLite's int8 softmax (output scale 1/256, zero point -128). i16: the same with 1/32768, 0. */
void eff_softmax_f32(float *y, const float *x, int32_t n);
void eff_softmax_i8(int8_t *y, const int8_t *x, int32_t n, int32_t multiplier, int32_t shift, int32_t diff_min);
void eff_softmax_i16(int16_t *y, const int16_t *x, int32_t n, int32_t multiplier, int32_t shift, int32_t diff_min);
int32_t eff_exp_q31(int32_t a);          /* exp of a Q5.26 number <= 0, in Q0.31 */
int32_t eff_reciprocal_q31(int32_t a);   /* 1 / (1 + a), a in [0, 1), Q0.31 */
float eff_exp_f32(float x);              /* |relative error| < 2^-22; 0 below -87, clamped above 88 */

/* ------------------------------------------------------------------ forward.c: Forward-Forward
 * embed_label: at each of the places of x, y = the label's `classes` entries (off, on at the label; a negative label: all neutral), then
 * the n entries of x: one place for a vector, H x W for an image.
 * wrong_label: uniform over the classes other than label. ff_delta: d loss / d h of n / 2 softplus(sign (theta - mean h^2)), sign +1 for
 * positive data; theta in units of 2^-16 and requantised goodness for integers. normalise: y = x / rms(x).
 * goodness: scores[index] = mean h^2, or += when add. */
void eff_embed_label_f32(float *y, const float *x, const int32_t *label, int32_t places, int32_t classes, int32_t n, float on, float off,
                         float neutral);
void eff_embed_label_i8(int8_t *y, const int8_t *x, const int32_t *label, int32_t places, int32_t classes, int32_t n, int32_t on,
                        int32_t off, int32_t neutral);
void eff_embed_label_i16(int16_t *y, const int16_t *x, const int32_t *label, int32_t places, int32_t classes, int32_t n, int32_t on,
                         int32_t off, int32_t neutral);
void eff_wrong_label(int32_t *wrong, const int32_t *label, const uint32_t *step, int32_t classes, uint32_t key);
void eff_ff_delta_f32(float *d, const float *h, int32_t n, float theta, int32_t sign);
void eff_ff_delta_i8(int16_t *d, const int8_t *h, int32_t n, int32_t h_zero, int32_t multiplier, int32_t shift, int32_t theta,
                     int32_t sign);
void eff_ff_delta_i16(int16_t *d, const int16_t *h, int32_t n, int32_t multiplier, int32_t shift, int32_t theta, int32_t sign);
void eff_normalise_f32(float *y, const float *x, int32_t n, float eps);
void eff_normalise_i8(int8_t *y, const int8_t *x, int32_t n, int32_t x_zero, int32_t y_zero, int32_t gain);
void eff_normalise_i16(int16_t *y, const int16_t *x, int32_t n, int32_t gain);
void eff_goodness_f32(float *scores, const float *h, int32_t n, int32_t index, int32_t add);
void eff_goodness_i8(int32_t *scores, const int8_t *h, int32_t n, int32_t h_zero, int32_t index, int32_t add, int32_t multiplier,
                     int32_t shift);
void eff_goodness_i16(int32_t *scores, const int16_t *h, int32_t n, int32_t index, int32_t add, int32_t multiplier, int32_t shift);
int32_t eff_sigmoid_q15(int32_t x);      /* the logistic function of a number in units of 2^-16, in Q0.15 */
float eff_sqrt_f32(float x);             /* correctly rounded; 0 below 2^-126 */
uint32_t eff_sqrt_u64(uint64_t v);       /* the integer part of the root */

/* ------------------------------------------------------------------ scff.c: self-contrastive Forward-Forward
 * standardise: y = (x - mean x) / sqrt(variance x + eps). pair: y = (a + c) / 2, integers of one scale and zero point. scff_delta:
 * d = channels / 8 d loss / d h of softplus(theta - G) + sparsity G (sign 1) or softplus(G - theta) (sign -1), G = 4 mean h^2 over the
 * channels of each position; integers: theta in units of 2^-16, sparsity in Q0.15. */
void eff_standardise_f32(float *y, const float *x, int32_t n, float eps);
void eff_standardise_i8(int8_t *y, const int8_t *x, int32_t n, int32_t y_zero, int32_t gain);
void eff_standardise_i16(int16_t *y, const int16_t *x, int32_t n, int32_t gain);
void eff_pair_f32(float *y, const float *a, const float *c, int32_t n);
void eff_pair_i8(int8_t *y, const int8_t *a, const int8_t *c, int32_t n);
void eff_pair_i16(int16_t *y, const int16_t *a, const int16_t *c, int32_t n);
void eff_scff_delta_f32(float *d, const float *h, int32_t positions, int32_t channels, float theta, int32_t sign, float sparsity);
void eff_scff_delta_i8(int16_t *d, const int8_t *h, int32_t positions, int32_t channels, int32_t h_zero, int32_t multiplier, int32_t shift,
                       int32_t theta, int32_t sign, int32_t sparsity);
void eff_scff_delta_i16(int16_t *d, const int16_t *h, int32_t positions, int32_t channels, int32_t multiplier, int32_t shift, int32_t theta,
                        int32_t sign, int32_t sparsity);

/* ------------------------------------------------------------------ competitive.c: channel-wise competitive Forward-Forward
 * h[n][in_c] has min(classes, in_c) groups of channels, class c that of c % groups. channel_goodness: scores[c] = the group's mean square
 * over the mean of all groups', or += when add; i8 in units of 2^-16. competitive_delta: d loss / d h of the cross-entropy of
 * softmax(sharpness * goodness); scratch[2 * groups]; i8: d in steps of 2 sharpness groups / (n in_c 2^15 s_h), sharpness in units of
 * 2^-8. */
void eff_channel_goodness_f32(float *scores, const float *h, int32_t n, int32_t in_c, int32_t classes, int32_t add);
void eff_channel_goodness_i8(int32_t *scores, const int8_t *h, int32_t n, int32_t in_c, int32_t classes, int32_t h_zero, int32_t add);
void eff_competitive_delta_f32(float *d, float *scratch, const float *h, const int32_t *label, int32_t n, int32_t in_c, int32_t classes,
                               float sharpness);
void eff_competitive_delta_i8(int16_t *d, int32_t *scratch, const int8_t *h, const int32_t *label, int32_t n, int32_t in_c,
                              int32_t classes, int32_t h_zero, int32_t sharpness);

/* ------------------------------------------------------------------ select.c: the index of the first largest value; copies */
void eff_argmax_f32(int32_t *best, const float *x, int32_t n);
void eff_argmax_i8(int32_t *best, const int8_t *x, int32_t n);
void eff_argmax_i16(int32_t *best, const int16_t *x, int32_t n);
void eff_argmax_i32(int32_t *best, const int32_t *x, int32_t n);
void eff_set_label(int32_t *label, int32_t value);
void eff_copy(void *y, const void *x, int32_t n_bytes);

/* ------------------------------------------------------------------ mfcc.c
 * Mel-frequency cepstral coefficients of n samples, frames x coefficients: y = dct ln(mel |FFT(window x)| / max(x, 1) + eps). Frame f
 * begins at sample f hop. fft: a power of two from 4; frame <= fft; sine[3/4 fft], sine[k] = sin(2 pi k / fft); only bins 1 .. bins - 1
 * count, bins <= fft / 2; spans: first bin and count of each band's weights, which stand in mel one band after the other;
 * dct[coefficients][bands], whose rows but the first sum to zero; eps >= 2^-126. scratch[fft + bands + coefficients] is the memory of one
 * frame. i8: y / y_scale + y_zero, rounded half away from zero or truncated, saturated or wrapped around; i16: rounded and saturated. */
void eff_mfcc_f32(float *y, float *scratch, const int16_t *x, const float *window, const float *sine, const float *mel,
                  const int32_t *spans, const float *dct, int32_t n, int32_t frames, int32_t frame, int32_t hop, int32_t fft, int32_t bins,
                  int32_t bands, int32_t coefficients, float eps);
void eff_mfcc_i8(int8_t *y, float *scratch, const int16_t *x, const float *window, const float *sine, const float *mel,
                 const int32_t *spans, const float *dct, int32_t n, int32_t frames, int32_t frame, int32_t hop, int32_t fft, int32_t bins,
                 int32_t bands, int32_t coefficients, float eps, float y_scale, int32_t y_zero, int32_t truncate, int32_t wrap);
void eff_mfcc_i16(int16_t *y, float *scratch, const int16_t *x, const float *window, const float *sine, const float *mel,
                  const int32_t *spans, const float *dct, int32_t n, int32_t frames, int32_t frame, int32_t hop, int32_t fft, int32_t bins,
                  int32_t bands, int32_t coefficients, float eps, float y_scale);

#endif
