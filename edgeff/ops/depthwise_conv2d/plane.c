/* SPDX-License-Identifier: Apache-2.0 */
/* 3x3 windows, stride 1 or 2, one output per channel. A channel's plane is copied out first, two rows in a word, column by column, filled up
 * with the zero point around the image: then every tap is inside, and one instruction takes two of them. */
#include "edgeff.h"
#include "eff_plane.h"

#define EFF_CHANNEL_WORDS 9

#if defined(__ARM_FEATURE_DSP) && __ARM_FEATURE_DSP

/* In assembly, because six weights, two sums and four addresses need every register (docs/adr/0037). */
/* clang-format off */
#define EFF_FUNCTION(name) ".syntax unified\n .section .text." name ",\"ax\",%progbits\n .balign 4\n .global " name "\n .thumb_func\n" \
    ".type " name ", %function\n " name ":\n"
#define EFF_END(name) ".size " name ", . - " name "\n .text\n"

/* r0 to, r1 from, r2 pairs, r3 bytes between rows, r5 twice that, r6 fours of rows, r8 columns, r9 and r10 bytes between columns, r11 from
 * and lr to of a column. */
__asm__(EFF_FUNCTION("eff_plane_pack")
    "push {r4-r11, lr}\n add r4, sp, #36\n ldmia r4, {r8, r9, r10}\n lsl r5, r3, #1\n"
    "0: mov r11, r1\n mov lr, r0\n lsrs r6, r2, #1\n beq 2f\n"
    "1: ldrsb r4, [r1, r3]\n ldrsb r12, [r1]\n add r1, r5\n pkhbt r12, r12, r4, lsl #16\n ldrsb r4, [r1, r3]\n ldrsb r7, [r1]\n add r1, r5\n"
    "pkhbt r7, r7, r4, lsl #16\n strd r12, r7, [r0], #8\n subs r6, #1\n bne 1b\n"
    "2: lsls r6, r2, #31\n beq 3f\n ldrsb r4, [r1, r3]\n ldrsb r12, [r1]\n pkhbt r12, r12, r4, lsl #16\n str r12, [r0]\n"
    "3: add r1, r11, r9\n add r0, lr, r10\n subs r8, #1\n bne 0b\n pop {r4-r11, pc}\n" EFF_END("eff_plane_pack"));

#define EFF_REQUANTISE_2 \
    "smmlar r8, r8, r10, r8\n smmlar r9, r9, r10, r9\n ldr r10, [sp, #36]\n add r8, r8, r8, asr #31\n add r9, r9, r9, asr #31\n" \
    "smmlar r8, r8, r11, r10\n smmlar r9, r9, r11, r10\n"
#define EFF_TAPS_2(a, b) "smlad r8, r10, " a ", r8\n smlatb r9, r10, " a ", r9\n smlabt r8, r11, " b ", r8\n smlad r9, r11, " b ", r9\n"
/* r0 y, r1 plane, r2 to r7 weights, r8 and r9 the sums of two rows, r10 and r11 two pairs, r12 bytes of a column, lr columns. The frame:
 * y, plane, columns, then of the output the bytes between pixels and between rows (12, 16), then bias, both factors and y_zero (24 to 36),
 * and how many passes are left (20). */
__asm__(EFF_FUNCTION("eff_plane_rows")
    "push {r4-r11, lr}\n sub sp, #44\n ldmia r3, {r4, r5, r6, r7, r8, r9}\n"
    "str r0, [sp]\n str r1, [sp, #4]\n str r4, [sp, #8]\n str r6, [sp, #12]\n str r7, [sp, #16]\n str r8, [sp, #36]\n str r9, [sp, #20]\n"
    "mov r12, r5\n mov lr, r2\n ldmia lr!, {r2, r3, r4, r5, r6, r7}\n ldmia lr, {r8, r9, r10}\n"
    "str r8, [sp, #24]\n strd r9, r10, [sp, #28]\n"
    "1: ldr lr, [sp, #8]\n"
    "2: ldr r8, [sp, #24]\n ldrd r10, r11, [r1]\n mov r9, r8\n" EFF_TAPS_2("r2", "r3")
    "add r1, r12\n ldrd r10, r11, [r1]\n" EFF_TAPS_2("r4", "r5")
    "add r11, r1, r12\n ldrd r10, r11, [r11]\n" EFF_TAPS_2("r6", "r7")
    "ldrd r10, r11, [sp, #28]\n" EFF_REQUANTISE_2
    "ldrd r10, r11, [sp, #12]\n ssat r8, #8, r8\n ssat r9, #8, r9\n strb r9, [r0, r11]\n strb r8, [r0]\n add r0, r10\n subs lr, #1\n bne 2b\n"
    "ldrd r0, r1, [sp]\n add r0, r0, r11, lsl #1\n adds r1, #4\n strd r0, r1, [sp]\n ldr r10, [sp, #20]\n subs r10, #1\n"
    "str r10, [sp, #20]\n bne 1b\n add sp, #44\n pop {r4-r11, pc}\n" EFF_END("eff_plane_rows"));

#define EFF_TAPS_1(a, b) "smlad r8, r10, " a ", r8\n smlabt r8, r11, " b ", r8\n"
/* The same with every second row and column: one row a pass. */
__asm__(EFF_FUNCTION("eff_plane_rows_2")
    "push {r4-r11, lr}\n sub sp, #44\n ldmia r3, {r4, r5, r6, r7, r8, r9}\n"
    "str r0, [sp]\n str r1, [sp, #4]\n str r4, [sp, #8]\n str r6, [sp, #12]\n str r7, [sp, #16]\n str r8, [sp, #36]\n str r9, [sp, #20]\n"
    "mov r12, r5\n mov lr, r2\n ldmia lr!, {r2, r3, r4, r5, r6, r7}\n ldmia lr, {r8, r9, r10}\n"
    "str r8, [sp, #24]\n strd r9, r10, [sp, #28]\n"
    "1: ldr lr, [sp, #8]\n ldr r9, [sp, #12]\n"
    "2: ldr r8, [sp, #24]\n ldrd r10, r11, [r1]\n" EFF_TAPS_1("r2", "r3")
    "add r1, r12\n ldrd r10, r11, [r1]\n" EFF_TAPS_1("r4", "r5")
    "add r1, r12\n ldrd r10, r11, [r1]\n" EFF_TAPS_1("r6", "r7")
    "ldrd r10, r11, [sp, #28]\n smmlar r8, r8, r10, r8\n ldr r10, [sp, #36]\n add r8, r8, r8, asr #31\n smmlar r8, r8, r11, r10\n"
    "ssat r8, #8, r8\n strb r8, [r0]\n add r0, r9\n subs lr, #1\n bne 2b\n"
    "ldrd r0, r1, [sp]\n ldr r11, [sp, #16]\n add r0, r11\n adds r1, #4\n strd r0, r1, [sp]\n ldr r10, [sp, #20]\n subs r10, #1\n"
    "str r10, [sp, #20]\n bne 1b\n add sp, #44\n pop {r4-r11, pc}\n" EFF_END("eff_plane_rows_2"));
/* clang-format on */

#else

void eff_plane_pack(uint32_t *to, const int8_t *from, int32_t pairs, int32_t step, int32_t columns, int32_t across, int32_t column)
{
    for (; columns > 0; --columns, from += across, to += column / 4) {
        for (int32_t i = 0; i < pairs; ++i) {
            to[i] = eff_join(from[2 * i * step], from[(2 * i + 1) * step]);
        }
    }
}

/* The sum of a window from its three columns of two pairs each. */
static int32_t eff_plane_sum(const uint32_t *p, const uint32_t *w, int32_t column, int32_t second)
{
    int32_t s = (int32_t)w[6];
    for (int32_t i = 0; i < 3; ++i, p += column, w += 2) {
        s = second ? eff_dot_halves(p[1], w[1], eff_upper_lower(p[0], w[0], s)) : eff_lower_upper(p[1], w[1], eff_dot_halves(p[0], w[0], s));
    }
    return s;
}

void eff_plane_rows(int8_t *y, const uint32_t *plane, const uint32_t *w, const eff_plane *how)
{
    const int32_t column = how->column / 4;
    for (int32_t pass = 0; pass < how->passes; ++pass, y += 2 * how->row) {
        for (int32_t i = 0; i < how->columns; ++i) {
            const uint32_t *p = plane + i * column + pass;
            const int32_t first = eff_plane_sum(p, w, column, 0), second = eff_plane_sum(p, w, column, 1);
            y[i * how->pixel + how->row] = (int8_t)eff_requantise_i8(second, (int32_t)w[7], (int32_t)w[8], how->y_zero);
            y[i * how->pixel] = (int8_t)eff_requantise_i8(first, (int32_t)w[7], (int32_t)w[8], how->y_zero);
        }
    }
}

void eff_plane_rows_2(int8_t *y, const uint32_t *plane, const uint32_t *w, const eff_plane *how)
{
    const int32_t column = how->column / 4;
    for (int32_t pass = 0; pass < how->passes; ++pass, y += how->row) {
        for (int32_t i = 0; i < how->columns; ++i) {
            const int32_t s = eff_plane_sum(plane + 2 * i * column + pass, w, column, 0);
            y[i * how->pixel] = (int8_t)eff_requantise_i8(s, (int32_t)w[7], (int32_t)w[8], how->y_zero);
        }
    }
}

#endif

/* `w` holds nine words a channel: (w[0][x], w[1][x]) and (w[1][x], w[2][x]) for x = 0, 1, 2, the bias with the zero point folded in and both
 * factors of the requantisation; b, multiplier and shift are NULL. A channel is read before any of it is written. */
void eff_depthwise_conv2d_i8_plane(int8_t *y, const int8_t *x, const int8_t *w, const int32_t *b, const int32_t *multiplier,
                                   const int32_t *shift, const eff_window *window, const eff_output_i8 *output, void *scratch)
{
    const int32_t in_h = window->in_h, in_w = window->in_w, channels = window->in_c, out_h = window->out_h, out_w = window->out_w,
                  pad_h = window->pad_h, pad_w = window->pad_w, stride = window->stride_h, zero = output->x_zero;
    const int32_t columns = (out_w - 1) * stride + 3, pairs = stride == 1 ? (out_h + 1) / 2 + 1 : out_h + 1;
    const int32_t line = in_w * channels, down = out_w * channels, last = columns < in_w + pad_w ? columns : in_w + pad_w;
    /* The plane's word i holds rows 2 i - pad_h and 2 i + 1 - pad_h: `first` words reach above the image, the next `whole` lie inside. */
    const int32_t odd = pad_h & 1, first = (pad_h + 1) / 2, inside = (in_h - odd) / 2;
    const int32_t whole = pairs - first < inside ? pairs - first : inside, next = first + whole, row = 2 * next - pad_h;
    const int32_t head = first > 0 && odd, tail = next < pairs && row < in_h;
    eff_plane how = {out_w, 4 * pairs, channels, down, output->y_zero, stride == 1 ? out_h / 2 : out_h};
    const uint32_t *v = (const uint32_t *)(const void *)w;
    uint32_t *plane = scratch;
    (void)b, (void)multiplier, (void)shift;
    for (int32_t i = 0; i < columns * pairs; ++i) {
        plane[i] = eff_join(zero, zero);
    }
    for (int32_t c = 0; c < channels; ++c, ++x, ++y, v += EFF_CHANNEL_WORDS) {
        uint32_t *to = plane + pad_w * pairs;
        for (int32_t i = 0; head && i < last - pad_w; ++i) {
            to[i * pairs + first - 1] = eff_join(zero, x[i * channels]);
        }
        for (int32_t i = 0; tail && i < last - pad_w; ++i) {
            to[i * pairs + next] = eff_join(x[row * line + i * channels], zero);
        }
        eff_plane_pack(to + first, x + odd * line, whole, line, last - pad_w, channels, 4 * pairs);
        if (stride == 2) {
            eff_plane_rows_2(y, plane, v, &how);
            continue;
        }
        if (how.passes) {
            eff_plane_rows(y, plane, v, &how);
        }
        if (out_h & 1) { /* the last row alone: the second of its pass is written first, to the same place */
            const eff_plane alone = {out_w, 4 * pairs, channels, 0, output->y_zero, 1};
            eff_plane_rows(y + (out_h - 1) * down, plane + out_h / 2, v, &alone);
        }
    }
    eff_limit_i8(y - channels, out_h * down, output->y_min, output->y_max);
}
