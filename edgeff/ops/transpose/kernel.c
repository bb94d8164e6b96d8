/* SPDX-License-Identifier: Apache-2.0 */
/* The axes in another order. */
#include "edgeff.h"

#define EFF_TRANSPOSE \
    const int32_t sizes[3] = {axes->d0, axes->d1, axes->d2}, strides[3] = {axes->d1 * axes->d2, axes->d2, 1}; \
    const int32_t p0 = axes->p0, p1 = axes->p1, p2 = axes->p2; \
    for (int32_t i = 0; i < sizes[p0]; ++i) { \
        for (int32_t j = 0; j < sizes[p1]; ++j) { \
            for (int32_t k = 0; k < sizes[p2]; ++k) { \
                *y++ = x[i * strides[p0] + j * strides[p1] + k * strides[p2]]; \
            } \
        } \
    }

void eff_transpose_f32(float *y, const float *x, const eff_axes *axes)
{
    EFF_TRANSPOSE
}

void eff_transpose_i8(int8_t *y, const int8_t *x, const eff_axes *axes)
{
    EFF_TRANSPOSE
}

void eff_transpose_i16(int16_t *y, const int16_t *x, const eff_axes *axes)
{
    EFF_TRANSPOSE
}
