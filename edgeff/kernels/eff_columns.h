/* SPDX-License-Identifier: Apache-2.0 */
/* The window of one pixel, copied out. */
#ifndef EFF_COLUMNS_H
#define EFF_COLUMNS_H

#include "eff_dsp.h"
#include "eff_windows.h"

/* The window as a row of bytes, with the zero point where it leaves the image. */
static inline void eff_window_column(int8_t *to, const int8_t *x, const eff_window *window, int32_t top, int32_t left, int32_t x_zero)
{
    const int32_t in_c = window->in_c, row = window->k_w * in_c, line = window->in_w * in_c;
    const eff_taps taps = eff_taps_at(top, left, window->in_h, window->in_w, window->k_h, window->k_w);
    const int32_t first = (taps.x0 - left) * in_c, last = (taps.x1 - left) * in_c;
    for (int32_t y = top; y < top + window->k_h; ++y, to += row) {
        const int8_t *from = x + y * line + left * in_c;
        const int32_t inside = y >= taps.y0 && y < taps.y1;
        int32_t i = inside ? first : 0;
        EFF_ROLLED
        for (; inside && i + 4 <= last; i += 4) {
            eff_store_bytes(to + i, eff_load_bytes(from + i));
        }
        EFF_ROLLED
        for (; inside && i < last; ++i) {
            to[i] = from[i];
        }
        EFF_ROLLED
        for (; i < row; ++i) {
            to[i] = (int8_t)x_zero;
        }
        EFF_ROLLED
        for (i = 0; inside && i < first; ++i) {
            to[i] = (int8_t)x_zero;
        }
    }
}

#endif
