/* SPDX-License-Identifier: Apache-2.0 */
/* The gradient of the input: the deltas that reach a pixel are listed once, pairs of zeros left out, and serve all its channels. One group. */
#include "edgeff.h"
#include "eff_windows.h"
#include "eff_dsp.h"

/* Two deltas of neighbouring filters, and how far the weights of the first lie from those of the first filter's first tap. */
typedef struct {
    uint32_t deltas;
    int32_t at;
} eff_reached;

/* Lists the deltas whose windows hold the pixel (iy, ix), an even number in each window. Returns how many pairs those are. */
static int32_t eff_list_deltas(eff_reached *list, const int16_t *delta, const eff_window *window, int32_t iy, int32_t ix)
{
    const int32_t out_c = window->out_c, row = window->k_w * window->in_c, filter = window->k_h * row;
    const int32_t oy0 = (iy + window->pad_h) / window->stride_h, ky0 = iy + window->pad_h - oy0 * window->stride_h;
    int32_t count = 0;
    const int32_t ox0 = (ix + window->pad_w) / window->stride_w, kx0 = ix + window->pad_w - ox0 * window->stride_w;
    for (int32_t ky = ky0, oy = oy0; ky < window->k_h && oy >= 0; ky += window->stride_h, --oy) {
        for (int32_t kx = kx0, ox = ox0; oy < window->out_h && kx < window->k_w && ox >= 0; kx += window->stride_w, --ox) {
            const int16_t *p = delta + (oy * window->out_w + ox) * out_c;
            int32_t at = ky * row + kx * window->in_c;
            EFF_ROLLED
            for (int32_t left = ox < window->out_w ? out_c : 0; left > 0; left -= 2, p += 2, at += 2 * filter) {
                const uint32_t deltas = eff_load_halves(p);
                if (deltas != 0) {
                    list[count].deltas = deltas;
                    list[count++].at = at;
                }
            }
        }
    }
    return count;
}

/* The sums of four channels over the list. */
static void eff_listed_fours(int64_t *sums, const int8_t *w, int32_t filter, const eff_reached *list, int32_t count)
{
    sums[0] = sums[1] = sums[2] = sums[3] = 0;
    for (int32_t run; count > 0; count -= run) {
        run = count < EFF_SAFE_PRODUCTS / 2 ? count : EFF_SAFE_PRODUCTS / 2;
        int32_t s[4] = {0, 0, 0, 0};
        EFF_ROLLED
        for (const eff_reached *stop = list + run; list != stop; ++list) {
            const int8_t *v = w + list->at;
            eff_dot_two_rows(s, v, v + filter, list->deltas);
        }
        sums[0] += s[0], sums[1] += s[1], sums[2] += s[2], sums[3] += s[3];
    }
}

void eff_conv2d_input_gradient_i8_dsp(int16_t *d, const int16_t *delta, const int8_t *w, const eff_window *window, int32_t pre_shift,
                                      const eff_requant *requant, int32_t add, void *scratch)
{
    const int32_t in_c = window->in_c, filter = window->k_h * window->k_w * in_c, multiplier = requant->multiplier, shift = requant->shift;
    for (int32_t iy = 0; iy < window->in_h; ++iy) {
        for (int32_t ix = 0; ix < window->in_w; ++ix, d += in_c) {
            const int32_t count = eff_list_deltas(scratch, delta, window, iy, ix);
            const eff_reached *list = scratch, *end = list + count;
            int32_t c = 0;
            for (; c + 4 <= in_c; c += 4) {
                int64_t sums[4];
                eff_listed_fours(sums, w + c, filter, list, count);
                for (int32_t i = 0; i < 4; ++i) {
                    d[c + i] = eff_onto_i16(d[c + i], eff_gradient_i16(sums[i], pre_shift, multiplier, shift), add);
                }
            }
            for (; c < in_c; ++c) {
                int64_t s = 0;
                for (const eff_reached *one = list; one != end; ++one) {
                    const int8_t *v = w + c + one->at;
                    s += eff_half(one->deltas, 0) * v[0] + eff_half(one->deltas, 1) * v[filter];
                }
                d[c] = eff_onto_i16(d[c], eff_gradient_i16(s, pre_shift, multiplier, shift), add);
            }
        }
    }
}
