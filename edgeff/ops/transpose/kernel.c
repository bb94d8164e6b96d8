/* The axes in another order. */
#include "edgeff.h"

#define EFF_TRANSPOSE \
    const int32_t sizes[3] = {d0, d1, d2}, strides[3] = {d1 * d2, d2, 1}; \
    for (int32_t i = 0; i < sizes[p0]; ++i) { \
        for (int32_t j = 0; j < sizes[p1]; ++j) { \
            for (int32_t k = 0; k < sizes[p2]; ++k) { \
                *y++ = x[i * strides[p0] + j * strides[p1] + k * strides[p2]]; \
            } \
        } \
    }

void eff_transpose_f32(float *y, const float *x, int32_t d0, int32_t d1, int32_t d2, int32_t p0, int32_t p1, int32_t p2)
{
    EFF_TRANSPOSE
}

void eff_transpose_i8(int8_t *y, const int8_t *x, int32_t d0, int32_t d1, int32_t d2, int32_t p0, int32_t p1, int32_t p2)
{
    EFF_TRANSPOSE
}
