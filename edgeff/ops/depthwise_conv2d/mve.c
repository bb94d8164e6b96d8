/* SPDX-License-Identifier: Apache-2.0 */
/* Eight channels at a time with Helium, one output per channel and a multiple of eight of them. */
#include "edgeff.h"
#include "eff_windows.h"
#include "eff_mve.h"

#define EFF_MOST_TAPS 25

#if defined(__ARM_FEATURE_MVE)

/* In assembly, because compilers spill vectors: 15 instructions for two taps. The products of two taps fit 16 bits. VMOVLB and VMOVLT leave even
 * and odd channels, as VLD2 loads their constants, and VMOVNT brings them together. r0 y, r1 and r2 inputs, r3 w,
 * r4 b, r5 and r6 the factors, r7 eights, r8 pairs, r9 the zero point, r10 and r11 the list of inputs, r12 their offset, q4 and q5 the
 * sums, q6 and q7 the limits. */
/* clang-format off */
__asm__(
    ".syntax unified\n .section .text.eff_pixel_outputs,\"ax\",%progbits\n .balign 4\n .global eff_pixel_outputs\n .thumb_func\n"
    ".type eff_pixel_outputs, %function\n eff_pixel_outputs:\n"
    "push {r3-r11, lr}\n vpush {d8-d15}\n mov r11, r1\n mov lr, r3\n ldmia r2!, {r3, r4, r5, r6, r7, r8, r9}\n ldrd r10, r12, [r2]\n ldr r1, [r2, #8]\n str r1, [sp, #64]\n"
    "vdup.32 q7, r10\n vdup.32 q6, r12\n mov r12, lr\n"
    "1: vld20.32 {q4, q5}, [r4]\n vld21.32 {q4, q5}, [r4]!\n mov r10, r11\n dls lr, r8\n"
    "2: ldrd r1, r2, [r10], #8\n add r1, r12\n add r2, r12\n vldrb.s16 q0, [r1]\n vldrb.s16 q1, [r3], #8\n vldrb.s16 q2, [r2]\n"
    "vldrb.s16 q3, [r3], #8\n vmul.i16 q0, q0, q1\n vmul.i16 q2, q2, q3\n vadd.i16 q0, q0, q2\n vmovlb.s16 q1, q0\n vmovlt.s16 q0, q0\n"
    "vadd.i32 q4, q4, q1\n vadd.i32 q5, q5, q0\n le lr, 2b\n ldr r1, [sp, #64]\n cbz r1, 3f\n"
    "ldr r1, [r10]\n add r1, r12\n vldrb.s16 q0, [r1]\n vldrb.s16 q1, [r3], #8\n vmul.i16 q0, q0, q1\n vmovlb.s16 q1, q0\n"
    "vmovlt.s16 q0, q0\n vadd.i32 q4, q4, q1\n vadd.i32 q5, q5, q0\n 3:\n"
    "vld20.32 {q0, q1}, [r5]\n vld21.32 {q0, q1}, [r5]!\n vld20.32 {q2, q3}, [r6]\n vld21.32 {q2, q3}, [r6]!\n"
    "vqrdmulh.s32 q4, q4, q0\n vqrdmulh.s32 q5, q5, q1\n vshr.s32 q0, q4, #31\n vshr.s32 q1, q5, #31\n vadd.i32 q4, q4, q0\n"
    "vadd.i32 q5, q5, q1\n vrshl.s32 q4, q4, q2\n vrshl.s32 q5, q5, q3\n vadd.i32 q4, q4, r9\n vadd.i32 q5, q5, r9\n"
    "vmin.s32 q4, q4, q6\n vmin.s32 q5, q5, q6\n vmax.s32 q4, q4, q7\n vmax.s32 q5, q5, q7\n vmovnt.i32 q4, q5\n"
    "vstrb.16 q4, [r0], #8\n add r12, #8\n subs r7, #1\n bne 1b\n vpop {d8-d15}\n pop {r3-r11, pc}\n"
    ".size eff_pixel_outputs, . - eff_pixel_outputs\n .text\n");
/* clang-format on */

#else

void eff_pixel_outputs(int8_t *y, const int8_t *const *inputs, const eff_pixel *of, int32_t offset)
{
    for (int32_t c = 0; c < 8 * of->eights; ++c) {
        const int32_t taps = 2 * of->pairs + of->alone;
        const int8_t *w = of->w + (c & ~7) * taps + (c & 7);
        int32_t s = of->b[c];
        for (int32_t i = 0; i < taps; ++i) {
            s += w[8 * i] * inputs[i][offset + c];
        }
        y[c] = eff_to_i8(eff_requantise(s, of->multiplier[c], of->shift[c]), of->y_zero, of->y_min, of->y_max);
    }
}

#endif

/* Lists the inputs of the window whose first tap is (top, left); a tap outside the image reads `outside`. */
static void eff_list_inputs(const int8_t **to, const int8_t *x, const eff_window *window, int32_t top, int32_t left, const int8_t *outside)
{
    const int32_t k_w = window->k_w, in_h = window->in_h, in_w = window->in_w, channels = window->in_c;
    const int8_t *row = x + (top * in_w + left) * channels;
    for (int32_t iy = top; iy < top + window->k_h; ++iy, row += in_w * channels) {
        const int8_t *from = row, **end = to + k_w;
        if (iy < 0 || iy >= in_h) {
            EFF_ROLLED
            while (to < end) {
                *to++ = outside;
            }
            continue;
        }
        uint32_t ix = (uint32_t)left;
        EFF_ROLLED
        for (; to < end; from += channels) {
            *to++ = ix++ < (uint32_t)in_w ? from : outside;
        }
    }
}

/* `w` holds for each eight channels the weights of all taps; b, multiplier and shift are those of each
 * channel, with the zero point in the bias. The inputs of a window inside the image are listed once; others lie at an offset from them. A tap
 * outside reads a pixel of zero points in the scratch memory. */
void eff_depthwise_conv2d_i8_mve(int8_t *y, const int8_t *x, const int8_t *w, const int32_t *b, const int32_t *multiplier,
                                 const int32_t *shift, const eff_window *window, const eff_output_i8 *output, void *scratch)
{
    const int32_t channels = window->in_c, out_w = window->out_w, pixels = window->out_h * out_w, backwards = eff_backwards(y, x);
    const int32_t taps = window->k_h * window->k_w, last_top = window->in_h - window->k_h, last_left = window->in_w - window->k_w;
    const eff_pixel of = {w, b, multiplier, shift, channels / 8, taps / 2, output->y_zero, output->y_min, output->y_max, taps & 1};
    const int8_t *inside[EFF_MOST_TAPS], *across[EFF_MOST_TAPS];
    int8_t *outside = scratch;
    for (int32_t i = 0; i < channels; ++i) {
        outside[i] = (int8_t)output->x_zero;
    }
    eff_list_inputs(inside, x, window, 0, 0, outside);
    for (int32_t done = 0; done < pixels; ++done) {
        const int32_t pixel = eff_visited(done, pixels, backwards), oy = pixel / out_w, ox = pixel - oy * out_w;
        const int32_t top = oy * window->stride_h - window->pad_h, left = ox * window->stride_w - window->pad_w;
        if (top >= 0 && top <= last_top && left >= 0 && left <= last_left) {
            eff_pixel_outputs(y + pixel * channels, inside, &of, (top * window->in_w + left) * channels);
        } else {
            eff_list_inputs(across, x, window, top, left, outside);
            eff_pixel_outputs(y + pixel * channels, across, &of, 0);
        }
    }
}
