/* SPDX-License-Identifier: Apache-2.0 */
/* The average of each window: four channels at a time in halfwords, which hold the sums of a row of at most 255 taps. */
#include "edgeff.h"
#include "eff_windows.h"
#include "eff_dsp.h"

static int8_t eff_average(int32_t s, int32_t count, int32_t y_min, int32_t y_max)
{
    s = s > 0 ? (s + count / 2) / count : (s - count / 2) / count;
    return (int8_t)eff_clamp(s, y_min, y_max);
}

void eff_average_pool2d_i8_dsp(int8_t *y, const int8_t *x, const eff_window *window, int32_t y_min, int32_t y_max)
{
    const int32_t in_w = window->in_w, in_c = window->in_c, backwards = eff_backwards(y, x);
    for (int32_t down = 0; down < window->out_h; ++down) {
        const int32_t oy = eff_visited(down, window->out_h, backwards);
        for (int32_t across = 0; across < window->out_w; ++across) {
            const int32_t ox = eff_visited(across, window->out_w, backwards);
            const eff_tap_run at = eff_window_at(window, oy, ox);
            int8_t *to = y + (oy * window->out_w + ox) * in_c;
            const int32_t count = at.rows * at.columns;
            int32_t c = 0;
            for (; c + 4 <= in_c; c += 4, to += 4) {
                int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
                for (int32_t ky = 0; ky < at.rows; ++ky) {
                    const int8_t *p = x + (at.first + ky * in_w) * in_c + c;
                    uint32_t even = 0, odd = 0;
                    for (int32_t taps = at.columns; taps > 0; --taps, p += in_c) {
                        const uint32_t bytes = eff_load_bytes(p);
                        even = eff_add_even_bytes(even, bytes);
                        odd = eff_add_odd_bytes(odd, bytes);
                    }
                    s0 += eff_half(even, 0), s1 += eff_half(odd, 0), s2 += eff_half(even, 1), s3 += eff_half(odd, 1);
                }
                to[0] = eff_average(s0, count, y_min, y_max);
                to[1] = eff_average(s1, count, y_min, y_max);
                to[2] = eff_average(s2, count, y_min, y_max);
                to[3] = eff_average(s3, count, y_min, y_max);
            }
            for (; c < in_c; ++c) {
                int32_t s = 0;
                for (int32_t ky = 0; ky < at.rows; ++ky) {
                    const int8_t *p = x + (at.first + ky * in_w) * in_c + c;
                    for (int32_t taps = at.columns; taps > 0; --taps, p += in_c) {
                        s += *p;
                    }
                }
                *to++ = eff_average(s, count, y_min, y_max);
            }
        }
    }
}
