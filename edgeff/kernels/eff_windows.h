/* SPDX-License-Identifier: Apache-2.0 */
/* Windows over [h][w][c] images: the order in which they are visited, and which taps lie inside. */
#ifndef EFF_WINDOWS_H
#define EFF_WINDOWS_H

#include "edgeff.h"

/* Whether a kernel visits its output's pixels from the last to the first: if the output begins above the input, as memmove does. So the
 * two may share memory on either side; the kernel's `overlap` in kernel.py says how far apart they must begin. */
static inline int32_t eff_backwards(const void *y, const void *x) { return (uintptr_t)y > (uintptr_t)x; }

/* The item visited after i others, of n. */
static inline int32_t eff_visited(int32_t i, int32_t n, int32_t backwards) { return backwards ? n - 1 - i : i; }

/* The taps first..last - 1 of a window that lie inside an image of `size`, when tap 0 lies at `start`. */
static inline int32_t eff_first_tap(int32_t start) { return start < 0 ? -start : 0; }

static inline int32_t eff_last_tap(int32_t start, int32_t taps, int32_t size) { return start + taps > size ? size - start : taps; }

/* Input i times its weight of each of the four output channels; `value` is a float or an integer without its zero point. */
#define EFF_TAP(type, i, value) \
    do { \
        const type v = (value); \
        s0 += w0[i] * v; \
        s1 += w1[i] * v; \
        s2 += w2[i] * v; \
        s3 += w3[i] * v; \
    } while (0)

#define EFF_SAFE_PRODUCTS 512 /* 512 * 32767 * 127 < 2^31: this many products of an int16 delta and an int8 weight fit 32 bits */

/* A gradient alone, or added onto what its place holds. */
static inline int16_t eff_onto_i16(int16_t held, int16_t gradient, int32_t add)
{
    return add ? eff_saturate_i16((int32_t)held + gradient) : gradient;
}

/* One window: its first tap inside the image and how many rows and columns of taps lie there. */
typedef struct {
    int32_t first, rows, columns;
} eff_tap_run;

static inline eff_tap_run eff_window_at(const eff_window *w, int32_t oy, int32_t ox)
{
    const int32_t top = oy * w->stride_h - w->pad_h, left = ox * w->stride_w - w->pad_w;
    const int32_t y0 = top < 0 ? 0 : top, y1 = top + w->k_h > w->in_h ? w->in_h : top + w->k_h;
    const int32_t x0 = left < 0 ? 0 : left, x1 = left + w->k_w > w->in_w ? w->in_w : left + w->k_w;
    const eff_tap_run run = {y0 * w->in_w + x0, y1 - y0, x1 - x0};
    return run;
}

/* The taps of a window that lie inside the image: the first and the one past the last, in rows and in columns of the image. */
typedef struct {
    int32_t y0, y1, x0, x1;
} eff_taps;

static inline eff_taps eff_taps_at(int32_t top, int32_t left, int32_t in_h, int32_t in_w, int32_t k_h, int32_t k_w)
{
    const int32_t bottom = top + k_h > in_h ? in_h : top + k_h, right = left + k_w > in_w ? in_w : left + k_w;
    const eff_taps taps = {top < 0 ? 0 : top, bottom, left < 0 ? 0 : left, right};
    return taps;
}

#endif
