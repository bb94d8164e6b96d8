/* SPDX-License-Identifier: Apache-2.0 */
/* Two tensors one after the other along an axis. */
#include "edgeff.h"

void eff_concat_f32(float *y, const float *a, const float *c, int32_t rows, int32_t a_n, int32_t c_n)
{
    for (int32_t row = 0; row < rows; ++row) {
        for (int32_t i = 0; i < a_n; ++i) {
            *y++ = *a++;
        }
        for (int32_t i = 0; i < c_n; ++i) {
            *y++ = *c++;
        }
    }
}

/* The same of integers in one scale. */
#define EFF_CONCAT(type) \
    for (int32_t row = 0; row < rows; ++row) { \
        for (int32_t i = 0; i < a_n; ++i) { \
            *y++ = *a++; \
        } \
        for (int32_t i = 0; i < c_n; ++i) { \
            *y++ = *c++; \
        } \
    }

void eff_concat_i8(int8_t *y, const int8_t *a, const int8_t *c, int32_t rows, int32_t a_n, int32_t c_n)
{
    EFF_CONCAT(int8_t)
}

void eff_concat_i16(int16_t *y, const int16_t *a, const int16_t *c, int32_t rows, int32_t a_n, int32_t c_n)
{
    EFF_CONCAT(int16_t)
}
