/* SPDX-License-Identifier: Apache-2.0 */
/* Helium: requantisation of four sums at a time, with the double rounding of eff_requantise for shifts of -31 to -1, and what is in assembly. */
#ifndef EFF_MVE_H
#define EFF_MVE_H

#include "edgeff.h"

/* Fours of rows of 64 inputs, with a factor each. */
void eff_rows_of_64(int8_t *y, const int8_t *x, const int8_t *w, const int32_t *b, const int32_t *multiplier, const int32_t *shift,
                    int32_t fours, const eff_output_i8 *output);

/* A pixel of a depthwise convolution, eight channels at a time: the packed weights, what the outputs need, how many eights and pairs of taps
 * there are, and whether a tap is alone. */
typedef struct {
    const int8_t *w;
    const int32_t *b, *multiplier, *shift;
    int32_t eights, pairs, y_zero, y_min, y_max, alone;
} eff_pixel;

/* Its outputs: the inputs of each tap lie `offset` bytes after inputs[tap]. */
void eff_pixel_outputs(int8_t *y, const int8_t *const *inputs, const eff_pixel *of, int32_t offset);

#if defined(__ARM_FEATURE_MVE)
#include <arm_mve.h>

static inline int32x4_t eff_vector(int32_t s0, int32_t s1, int32_t s2, int32_t s3)
{
    int32x4_t v = vdupq_n_s32(s0);
    v = vsetq_lane_s32(s1, v, 1);
    v = vsetq_lane_s32(s2, v, 2);
    return vsetq_lane_s32(s3, v, 3);
}

/* v * factor / 2^31, then by the rounding shift, ties away from zero. */
static inline int32x4_t eff_scaled(int32x4_t v, int32x4_t factors, int32x4_t shifts)
{
    v = vqrdmulhq_s32(v, factors);
    return vrshlq_s32(vaddq_s32(v, vshrq_n_s32(v, 31)), shifts);
}

/* The zero point added, within the limits. No sum overflows: a shift of -1 leaves 30 bits. */
static inline int32x4_t eff_limited(int32x4_t v, const eff_output_i8 *output)
{
    v = vaddq_n_s32(v, output->y_zero);
    return vmaxq_s32(vminq_s32(v, vdupq_n_s32(output->y_max)), vdupq_n_s32(output->y_min));
}

#endif

#endif
