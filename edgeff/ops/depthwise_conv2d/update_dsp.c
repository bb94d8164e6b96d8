/* SPDX-License-Identifier: Apache-2.0 */
/* The update of int8 weights, tap by tap, four channels at a time; positions whose four deltas are zero are skipped. One filter per channel, and
 * no more than EFF_SAFE_POSITIONS positions, whose sums fit 32 bits. */
#include "edgeff.h"
#include "eff_runs.h"

/* The sums of delta * (a - a_zero) over the walk for four channels; both halves of `below` hold -a_zero. */
static EFF_NOINLINE void eff_sum_fours(int32_t *sums, const int16_t *delta, const int8_t *a, uint32_t below, const eff_walk *walk)
{
    int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    const int32_t d_across = walk->d_across, a_across = walk->a_across, columns = walk->columns;
    const int32_t d_rest = walk->d_down - columns * d_across, a_rest = walk->a_down - columns * a_across;
    for (int32_t rows = walk->rows; rows > 0; --rows, delta += d_rest, a += a_rest) {
        int32_t left = columns; /* at least one */
        EFF_ROLLED
        do {
            const uint32_t lower = eff_load_halves(delta), upper = eff_load_halves(delta + 2);
            delta += d_across;
            if (lower | upper) {
                const uint32_t bytes = eff_load_bytes(a);
                const uint32_t even = eff_add_even_bytes(below, bytes), odd = eff_add_odd_bytes(below, bytes);
                s0 = eff_lower_lower(even, lower, s0);
                s1 = eff_lower_upper(odd, lower, s1);
                s2 = eff_upper_lower(even, upper, s2);
                s3 = eff_upper_upper(odd, upper, s3);
            }
            a += a_across;
        } while (--left > 0);
    }
    sums[0] = s0, sums[1] = s1, sums[2] = s2, sums[3] = s3;
}

void eff_depthwise_conv2d_update_i8_dsp(int8_t *w, const int16_t *delta, const int8_t *a, const uint32_t *rate, const uint32_t *step,
                                        const eff_window *window, const eff_step *how, void *scratch)
{
    const int32_t in_w = window->in_w, channels = window->in_c, stride_h = window->stride_h, stride_w = window->stride_w;
    const eff_change change = {*rate, eff_step_key(how->key, *step), how->multiplier, how->shift, how->stochastic};
    const uint32_t below = eff_join(-how->a_zero, -how->a_zero);
    int32_t *sums = scratch;
    eff_walk walk = {0, 0, window->out_w * channels, channels, stride_h * in_w * channels, stride_w * channels};
    for (int32_t ky = 0; ky < window->k_h; ++ky) {
        const int32_t oy = eff_first_position(ky, stride_h, window->pad_h);
        walk.rows = eff_last_position(ky, stride_h, window->pad_h, window->in_h, window->out_h) - oy;
        for (int32_t kx = 0; kx < window->k_w; ++kx) {
            const int32_t ox = eff_first_position(kx, stride_w, window->pad_w);
            walk.columns = eff_last_position(kx, stride_w, window->pad_w, in_w, window->out_w) - ox;
            if (walk.rows <= 0 || walk.columns <= 0) {
                continue;
            }
            const int16_t *d = delta + (oy * window->out_w + ox) * channels;
            const int8_t *p = a + ((oy * stride_h + ky - window->pad_h) * in_w + ox * stride_w + kx - window->pad_w) * channels;
            int32_t c = 0;
            EFF_ROLLED
            for (; c + 4 <= channels; c += 4) {
                eff_sum_fours(sums + c, d + c, p + c, below, &walk);
            }
            EFF_ROLLED
            for (; c < channels; ++c) {
                sums[c] = (int32_t)eff_inner_1_i8(d + c, p + c, how->a_zero, &walk);
            }
            eff_change_run(w, (ky * window->k_w + kx) * channels, channels, sums, &change);
        }
    }
}
