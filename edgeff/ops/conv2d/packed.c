/* SPDX-License-Identifier: Apache-2.0 */
/* Two packed filters by four pixels by two taps in twelve instructions. One group only. */
#include "edgeff.h"
#include "eff_windows.h"
#include "eff_packed.h"

#if defined(__ARM_FEATURE_DSP) && __ARM_FEATURE_DSP

/* In assembly, because eight sums need every register: both compilers spill, and need a third more instructions (docs/adr/0037).
 * r0 x, r1 w, r4 to r7 A of the four pixels, r8 to r11 T, r12 the row's weights, lr the packed ones; the frame holds x and its end, y and
 * its end, the bytes to the next pixel and to the third, y_zero, and whether the taps are an odd number of eights: then the loop begins in
 * its middle. The first products are added to the bias, which is in r11 until T of the last pixel takes its place. */
/* clang-format off */
#define EFF_PRODUCTS(a0, a1, a2, a3, t0, t1, t2, t3) \
    "ldr lr, [r1], #4\n ldrd r2, r3, [r0], #8\n sxtb16 r12, lr\n smlad r4, r2, r12, " a0 "\n smlad r5, r3, r12, " a1 "\n" \
    "smlad r8, r2, lr, " t0 "\n smlad r9, r3, lr, " t1 "\n ldrd r2, r3, [r0], #8\n smlad r6, r2, r12, " a2 "\n" \
    "smlad r7, r3, r12, " a3 "\n smlad r10, r2, lr, " t2 "\n smlad r11, r3, lr, " t3 "\n"
#define EFF_FIRST_PRODUCTS EFF_PRODUCTS("r11", "r11", "r11", "r11", "r11", "r11", "r11", "r11")
#define EFF_FOUR_PIXELS EFF_PRODUCTS("r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11")
#define EFF_REQUANTISE(v) \
    "smmlar " v ", " v ", r2, " v "\n add " v ", " v ", " v ", asr #31\n smmlar " v ", " v ", r3, r12\n ssat " v ", #8, " v "\n"
__asm__(
    ".syntax unified\n .section .text.eff_packed_columns,\"ax\",%progbits\n .balign 4\n .global eff_packed_columns\n .thumb_func\n"
    ".type eff_packed_columns, %function\n eff_packed_columns:\n"
    "push {r4-r11, lr}\n sub sp, #32\n ldmia r2, {r3, r4, r5, r6, r7}\n strd r3, r4, [sp]\n add r5, r0, r5, lsl #1\n strd r0, r5, [sp, #8]\n"
    "add r8, r7, r7, lsl #1\n strd r7, r8, [sp, #16]\n subs r4, r4, r3\n and r4, r4, #64\n strd r6, r4, [sp, #24]\n"
    "1: ldr r2, [sp, #28]\n ldr r0, [sp]\n ldr r11, [r1], #4\n cmp r2, #0\n" EFF_FIRST_PRODUCTS "bne 5f\n b 3f\n"
    "2:\n" EFF_FOUR_PIXELS "3:\n" EFF_FOUR_PIXELS EFF_FOUR_PIXELS EFF_FOUR_PIXELS
    EFF_FOUR_PIXELS "5:\n" EFF_FOUR_PIXELS EFF_FOUR_PIXELS EFF_FOUR_PIXELS
    "ldr r12, [sp, #4]\n cmp r0, r12\n bne 2b\n"
    "ldmia r1!, {r0, r2, r3}\n ldr r12, [sp, #24]\n sub r8, r8, r4\n sub r9, r9, r5\n sub r10, r10, r6\n sub r11, r11, r7\n"
    "add r8, r0, r8, asr #8\n add r9, r0, r9, asr #8\n add r10, r0, r10, asr #8\n add r11, r0, r11, asr #8\n"
    EFF_REQUANTISE("r4") EFF_REQUANTISE("r5") EFF_REQUANTISE("r6") EFF_REQUANTISE("r7")
    "ldrd r2, r3, [r1], #8\n"
    EFF_REQUANTISE("r8") EFF_REQUANTISE("r9") EFF_REQUANTISE("r10") EFF_REQUANTISE("r11")
    "ldrd r0, lr, [sp, #8]\n ldrd r2, r3, [sp, #16]\n"
    "strb r4, [r0]\n strb r5, [r0, r2]\n strb r6, [r0, r2, lsl #1]\n strb r7, [r0, r3]\n adds r0, #1\n"
    "strb r8, [r0]\n strb r9, [r0, r2]\n strb r10, [r0, r2, lsl #1]\n strb r11, [r0, r3]\n adds r0, #1\n"
    "str r0, [sp, #8]\n cmp r0, lr\n bne 1b\n add sp, #32\n pop {r4-r11, pc}\n"
    ".size eff_packed_columns, . - eff_packed_columns\n .text\n");

/* r0 x, r1 w, r4 A, r5 T, r6 the end of x, r7 y, r8 pairs, r10 the start of x, r12 the row's weights and then y_zero, which is r9. */
#define EFF_ONE_PIXEL "ldr lr, [r1], #4\n ldr r2, [r0], #16\n sxtb16 r12, lr\n smlad r4, r2, r12, r4\n smlad r5, r2, lr, r5\n"
__asm__(
    ".syntax unified\n .section .text.eff_packed_column,\"ax\",%progbits\n .balign 4\n .global eff_packed_column\n .thumb_func\n"
    ".type eff_packed_column, %function\n eff_packed_column:\n"
    "push {r4-r10, lr}\n mov r7, r0\n ldr r10, [r2]\n ldr r6, [r2, #4]\n ldr r8, [r2, #8]\n ldr r9, [r2, #12]\n"
    "1: mov r0, r10\n ldr r4, [r1], #4\n mov r5, r4\n"
    "2:\n" EFF_ONE_PIXEL EFF_ONE_PIXEL EFF_ONE_PIXEL EFF_ONE_PIXEL
    "cmp r0, r6\n bne 2b\n ldr lr, [r1], #4\n ldrd r2, r3, [r1], #8\n sub r5, r5, r4\n add r5, lr, r5, asr #8\n mov r12, r9\n"
    EFF_REQUANTISE("r4") "ldrd r2, r3, [r1], #8\n" EFF_REQUANTISE("r5")
    "strb r4, [r7], #1\n strb r5, [r7], #1\n subs r8, #1\n bne 1b\n pop {r4-r10, pc}\n"
    ".size eff_packed_column, . - eff_packed_column\n .text\n");
/* clang-format on */

#else

static void eff_pixels(int8_t *y, const uint32_t *w, const eff_packed_block *block, int32_t pixels)
{
    for (int32_t pairs = block->pairs; pairs > 0; --pairs, y += 2) {
        int32_t even[4];
        uint32_t whole[4];
        for (int32_t column = 0; column < pixels; ++column) {
            even[column] = (int32_t)w[0];
            whole[column] = w[0];
        }
        ++w;
        for (const uint32_t *x = block->x; x != block->x_end; ++w, x += 4) {
            for (int32_t column = 0; column < pixels; ++column) {
                even[column] = eff_dot_halves(eff_even_bytes(*w), x[column], even[column]);
                whole[column] += (uint32_t)eff_dot_halves(*w, x[column], 0);
            }
        }
        int8_t *to = y;
        for (int32_t column = 0; column < pixels; ++column) {
            const int32_t odd = ((int32_t)(whole[column] - (uint32_t)even[column]) >> 8) + (int32_t)w[0];
            to[0] = (int8_t)eff_requantise_i8(even[column], (int32_t)w[1], (int32_t)w[2], block->y_zero);
            to[1] = (int8_t)eff_requantise_i8(odd, (int32_t)w[3], (int32_t)w[4], block->y_zero);
            to += block->step;
        }
        w += 5;
    }
}

void eff_packed_columns(int8_t *y, const uint32_t *w, const eff_packed_block *block) { eff_pixels(y, w, block, 4); }

void eff_packed_column(int8_t *y, const uint32_t *w, const eff_packed_block *block) { eff_pixels(y, w, block, 1); }

#endif

/* The window of one pixel as a row of `taps` bytes, filled up with the zero point where it leaves the image. */
static void eff_gather(int8_t *to, const int8_t *x, const eff_window *window, int32_t top, int32_t left, int32_t taps, int32_t x_zero)
{
    const int32_t row = window->k_w * window->in_c;
    const int32_t kx0 = eff_first_tap(left), kx1 = eff_last_tap(left, window->k_w, window->in_w);
    const int32_t first = kx0 * window->in_c, last = kx1 * window->in_c;
    const int8_t *from = x + (top * window->in_w + left) * window->in_c;
    int8_t *const end = to + taps;
    for (int32_t ky = 0; ky < window->k_h; ++ky, from += window->in_w * window->in_c) {
        const int32_t inside = top + ky >= 0 && top + ky < window->in_h;
        int32_t i = 0;
        for (; i < (inside ? first : row); ++i) {
            *to++ = (int8_t)x_zero;
        }
        for (; i + 4 <= last; i += 4, to += 4) {
            eff_store_bytes(to, eff_load_bytes(from + i));
        }
        for (; i < last; ++i) {
            *to++ = from[i];
        }
        for (; i < row; ++i) {
            *to++ = (int8_t)x_zero;
        }
    }
    while (to != end) {
        *to++ = 0;
    }
}

/* The same for a window inside the image. Up to three bytes after each row of taps are copied along; their weights are zero, or the next
 * row overwrites them. */
static inline void eff_copy_window(int8_t *to, const int8_t *from, int32_t rows, int32_t row, int32_t line)
{
    for (; row == 9 && rows > 0; --rows, to += 9, from += line) { /* three taps of three colours */
        const uint32_t first = eff_load_bytes(from), second = eff_load_bytes(from + 4), third = eff_load_bytes(from + 8);
        eff_store_bytes(to, first), eff_store_bytes(to + 4, second), eff_store_bytes(to + 8, third);
    }
    for (; rows > 0; --rows, to += row, from += line) {
        for (int32_t i = 0; i < row; i += 4) {
            eff_store_bytes(to + i, eff_load_bytes(from + i));
        }
    }
}

/* One of the four columns: `taps` bytes, a multiple of 8. */
static inline void eff_expand_column(uint32_t *to, const int8_t *from, int32_t taps)
{
    for (; taps > 0; taps -= 8, from += 8, to += 16) {
        const uint32_t first = eff_load_bytes(from), second = eff_load_bytes(from + 4);
        to[0] = eff_even_bytes(first), to[4] = eff_odd_bytes(first);
        to[8] = eff_even_bytes(second), to[12] = eff_odd_bytes(second);
    }
}

/* n bytes, a multiple of 4, of each of four windows `across` bytes apart. */
static void eff_expand_4(uint32_t *to, const int8_t *from, int32_t across, int32_t n)
{
    const int8_t *p1 = from + across, *p2 = p1 + across, *p3 = p2 + across;
    for (; n > 0; n -= 4, from += 4, p1 += 4, p2 += 4, p3 += 4, to += 8) {
        const uint32_t x0 = eff_load_bytes(from), x1 = eff_load_bytes(p1), x2 = eff_load_bytes(p2), x3 = eff_load_bytes(p3);
        to[0] = eff_even_bytes(x0), to[1] = eff_even_bytes(x1), to[2] = eff_even_bytes(x2), to[3] = eff_even_bytes(x3);
        to[4] = eff_odd_bytes(x0), to[5] = eff_odd_bytes(x1), to[6] = eff_odd_bytes(x2), to[7] = eff_odd_bytes(x3);
    }
}

/* Four neighbours of a 1x1 convolution of stride 1 at a time: the image is one row of pixels. Returns how many pixels are left. */
static int32_t eff_pointwise(int8_t *y, const int8_t *x, const uint32_t *w, uint32_t *xs, const eff_packed_block *block, int32_t pixels,
                             int32_t in_c, int32_t y_step)
{
    const int32_t x_step = y_step < 0 ? -in_c : in_c;
    for (; pixels >= 4; pixels -= 4, x += 4 * x_step, y += 4 * y_step) {
        eff_expand_4(xs, x, x_step, in_c);
        eff_packed_columns(y, w, block);
    }
    return pixels;
}

/* `w` holds the packed filters with their biases and factors; b, multiplier and shift are NULL. Pixels go four at a time, in the order
 * of the plain loop; each four are read before any of them is written. */
void eff_conv2d_i8_packed(int8_t *y, const int8_t *x, const int8_t *w, const int32_t *b, const int32_t *multiplier,
                          const int32_t *shift, const eff_window *window, const eff_output_i8 *output, void *scratch)
{
    eff_window of = *window;
    const int32_t pixels = of.out_h * of.out_w, backwards = eff_backwards(y, x), direction = backwards ? -1 : 1;
    const int32_t one_row = of.k_h * of.k_w * of.stride_h * of.stride_w == 1 && of.in_h * of.in_w == pixels;
    if (one_row) {
        of.in_h = of.out_h = 1;
        of.in_w = of.out_w = pixels;
    }
    const int32_t out_w = of.out_w, out_c = of.out_c, row = of.k_w * of.in_c, filled = of.k_h * row, taps = (filled + 7) / 8 * 8;
    const int32_t line = of.in_w * of.in_c, step = direction * out_c, across = direction * of.stride_w * of.in_c;
    const int32_t last_top = of.in_h - of.k_h, last_left = of.in_w - of.k_w, by_words = row % 4 == 0, bytes = of.in_h * line;
    const int32_t padded = (of.k_h - 1) * line + (row + 3) / 4 * 4; /* what eff_copy_window reads from its start on */
    const uint32_t *packed = (const uint32_t *)(const void *)w;
    uint32_t *xs = scratch;
    int8_t *column = (int8_t *)(xs + 2 * taps);
    eff_packed_block block = {xs, xs + 2 * taps, out_c / 2, output->y_zero, step};
    int32_t oy = backwards ? of.out_h - 1 : 0, ox = backwards ? out_w - 1 : 0, rest = pixels;
    for (int32_t i = 2 * filled; by_words && i < 2 * taps; ++i) {
        xs[i] = 0;
    }
    (void)b, (void)multiplier, (void)shift;
    if (one_row && by_words) {
        rest = eff_pointwise(y + ox * out_c, x + ox * of.in_c, packed, xs, &block, pixels, of.in_c, step);
        ox += direction * (pixels - rest);
    }
    for (; rest > 0; rest -= 4) {
        const int32_t count = rest < 4 ? rest : 4;
        const int32_t end = ox + 3 * direction, top = oy * of.stride_h - of.pad_h, left = ox * of.stride_w - of.pad_w;
        const int32_t last = left + 3 * direction * of.stride_w, low = backwards ? last : left, high = backwards ? left : last;
        int8_t *to = y + (oy * out_w + ox) * out_c;
        if (by_words && count == 4 && end >= 0 && end < out_w && top >= 0 && top <= last_top && low >= 0 && high <= last_left) {
            const int8_t *from = x + top * line + left * of.in_c;
            uint32_t *part = xs;
            for (int32_t ky = 0; ky < of.k_h; ++ky, from += line, part += 2 * row) {
                eff_expand_4(part, from, across, row);
            }
            ox += 4 * direction;
            if (ox < 0 || ox == out_w) {
                ox = backwards ? out_w - 1 : 0;
                oy += direction;
            }
        } else {
            for (int32_t i = 0; i < count; ++i) {
                const int32_t y0 = oy * of.stride_h - of.pad_h, x0 = ox * of.stride_w - of.pad_w, at = y0 * line + x0 * of.in_c;
                if (y0 >= 0 && y0 <= last_top && x0 >= 0 && x0 <= last_left && at + padded <= bytes) {
                    eff_copy_window(column, x + at, of.k_h, row, line);
                } else {
                    eff_gather(column, x, &of, y0, x0, taps, output->x_zero);
                }
                ox += direction;
                if (ox < 0 || ox == out_w) {
                    ox = backwards ? out_w - 1 : 0;
                    oy += direction;
                }
                eff_expand_column(xs + i, column, taps);
            }
        }
        if (count == 4) {
            eff_packed_columns(to, packed, &block);
        } else {
            for (int32_t i = 0; i < count; ++i, ++block.x, ++block.x_end) {
                eff_packed_column(to + i * step, packed, &block);
            }
        }
    }
    eff_limit_i8(y, pixels * out_c, output->y_min, output->y_max);
}
