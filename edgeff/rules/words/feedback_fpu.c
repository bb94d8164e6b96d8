/* SPDX-License-Identifier: Apache-2.0 */
/* Generated float32 feedback by an FPU: a row's eight look-ups in a block of 32 errors take three instructions each. */
#include "edgeff.h"
#include "eff_fpu.h"
#include "eff_signed.h"

#ifdef EFF_FPU

/* In assembly, because both compilers take four instructions and more for a look-up. r0 y, r1 the tables, r2 the rows left, r3 the counter,
 * r4 its stride, r5 and r6 the generator's constants, r7 a mask, r8 the draw, r9 and r10 four times the even and the odd groups' bits, a byte
 * each; r11 and r12 addresses. */
/* clang-format off */
#define EFF_TWO_GROUPS(turn, even, odd) \
    "uxtab r11, r1, r9" turn "\n vldr s1, [r11, #" even "]\n uxtab r12, r1, r10" turn "\n vadd.f32 s0, s0, s1\n" \
    "vldr s2, [r12, #" odd "]\n vadd.f32 s0, s0, s2\n"
__asm__(
    ".syntax unified\n .section .text.eff_float_chosen,\"ax\",%progbits\n .balign 4\n .global eff_float_chosen\n .thumb_func\n"
    ".type eff_float_chosen, %function\n eff_float_chosen:\n"
    "push {r4-r11}\n ldr r4, [sp, #32]\n"
    "movw r5, #0x352D\n movt r5, #0x7FEB\n movw r6, #0xA68B\n movt r6, #0x846C\n mov r7, #0x3C3C3C3C\n"
    "1:\n eor r8, r3, r3, lsr #16\n add r3, r4\n mul r8, r8, r5\n eor r8, r8, r8, lsr #15\n mul r8, r8, r6\n eor r8, r8, r8, lsr #16\n"
    "vldr s0, [r0]\n and r9, r7, r8, lsl #2\n and r10, r7, r8, lsr #2\n"
    EFF_TWO_GROUPS("", "0", "64") EFF_TWO_GROUPS(", ror #8", "128", "192") EFF_TWO_GROUPS(", ror #16", "256", "320")
    EFF_TWO_GROUPS(", ror #24", "384", "448")
    "vstmia r0!, {s0}\n subs r2, r2, #1\n bne 1b\n pop {r4-r11}\n bx lr\n"
    ".size eff_float_chosen, . - eff_float_chosen\n .text\n");
/* clang-format on */

#else

void eff_float_chosen(float *y, const float *sums, int32_t n, uint32_t counter, uint32_t stride)
{
    for (int32_t d = 0; d < n; ++d, counter += stride) {
        const uint32_t signs = eff_mix(counter);
        for (int32_t g = 0; g < 8; ++g) {
            y[d] += sums[16 * g + (int32_t)(signs >> (4 * g) & 15u)];
        }
    }
}

#endif

/* Order of summation: that of eff_feedback_f32. */
void eff_feedback_f32_fpu(float *y, const float *e, int32_t n, int32_t n_e, int32_t add, uint32_t key, float scale)
{
    float sums[8][16];
    const int32_t blocks = (n_e + 31) / 32;
    for (int32_t d = 0; !add && d < n; ++d) {
        y[d] = 0.0f;
    }
    for (int32_t block = 0; block < blocks; ++block) {
        const int32_t groups = eff_signed_groups(sums, e, block * 32, n_e, scale);
        uint32_t counter = key + (uint32_t)block * EFF_GOLDEN;
        const uint32_t stride = (uint32_t)blocks * EFF_GOLDEN;
        if (groups == 8) {
            eff_float_chosen(y, sums[0], n, counter, stride);
            continue;
        }
        for (int32_t d = 0; d < n; ++d, counter += stride) {
            uint32_t signs = eff_mix(counter);
            for (int32_t g = 0; g < groups; ++g, signs >>= 4) {
                y[d] += sums[g][signs & 15u];
            }
        }
    }
}
