/* SPDX-License-Identifier: Apache-2.0 */
/* Four filters by four taps per turn, two products per instruction. One group only. */
#include "edgeff.h"
#include "eff_windows.h"
#include "eff_dsp.h"

void eff_conv2d_i8_dsp(int8_t *y, const int8_t *x, const int8_t *w, const int32_t *b, const int32_t *multiplier,
                      const int32_t *shift, const eff_window *window, const eff_output_i8 *output)
{
    const int32_t in_h = window->in_h, in_w = window->in_w, in_c = window->in_c, out_h = window->out_h, out_w = window->out_w,
                  out_c = window->out_c, k_h = window->k_h, k_w = window->k_w, stride_h = window->stride_h,
                  stride_w = window->stride_w, pad_h = window->pad_h, pad_w = window->pad_w, x_zero = output->x_zero;
    const int32_t row = k_w * in_c, filter = k_h * row;
    const int32_t backwards = eff_backwards(y, x);
    for (int32_t down = 0; down < out_h; ++down) {
        const int32_t oy = eff_visited(down, out_h, backwards);
        const int32_t top = oy * stride_h - pad_h, ky0 = eff_first_tap(top), ky1 = eff_last_tap(top, k_h, in_h);
        for (int32_t across = 0; across < out_w; ++across) {
            const int32_t ox = eff_visited(across, out_w, backwards);
            const int32_t left = ox * stride_w - pad_w, kx0 = eff_first_tap(left), kx1 = eff_last_tap(left, k_w, in_w);
            int8_t *to = y + (oy * out_w + ox) * out_c;
            const int32_t run = (kx1 - kx0) * in_c;
            for (int32_t oc = 0; oc < out_c; oc += 4) {
                const int32_t lanes = out_c - oc < 4 ? out_c - oc : 4;
                int32_t sums[4] = {0, 0, 0, 0};
                for (int32_t ky = ky0; ky < ky1; ++ky) {
                    const int8_t *p = x + ((top + ky) * in_w + left + kx0) * in_c;
                    const int8_t *v = w + oc * filter + ky * row + kx0 * in_c;
                    if (lanes == 4) {
                        eff_dot_4_rows(sums, v, filter, p, run, x_zero);
                        continue;
                    }
                    for (int32_t lane = 0; lane < lanes; ++lane, v += filter) {
                        for (int32_t i = 0; i < run; ++i) {
                            sums[lane] += v[i] * (p[i] - x_zero);
                        }
                    }
                }
                for (int32_t lane = 0; lane < lanes; ++lane) {
                    const int32_t channel = output->per_channel ? oc + lane : 0;
                    const int32_t s = eff_requantise(sums[lane] + (b ? b[oc + lane] : 0), multiplier[channel], shift[channel]);
                    *to++ = eff_to_i8(s, output->y_zero, output->y_min, output->y_max);
                }
            }
        }
    }
}
