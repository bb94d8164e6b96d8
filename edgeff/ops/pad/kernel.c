/* SPDX-License-Identifier: Apache-2.0 */
/* A number around a tensor of three axes. */
#include "edgeff.h"

void eff_pad_f32(float *y, const float *x, const eff_around *around, float value)
{
    const int32_t rows = around->before0 + around->n0 + around->after0, columns = around->before1 + around->n1 + around->after1;
    for (int32_t i0 = 0; i0 < rows; ++i0) {
        for (int32_t i1 = 0; i1 < columns; ++i1) {
            const int32_t row = i0 - around->before0, column = i1 - around->before1;
            const int inside = row >= 0 && row < around->n0 && column >= 0 && column < around->n1;
            for (int32_t i = 0; i < around->before2; ++i) {
                *y++ = value;
            }
            for (int32_t i = 0; i < around->n2; ++i) {
                *y++ = inside ? *x++ : value;
            }
            for (int32_t i = 0; i < around->after2; ++i) {
                *y++ = value;
            }
        }
    }
}

/* The number around integers. */
#define EFF_PAD(type) \
    const int32_t rows = around->before0 + around->n0 + around->after0, columns = around->before1 + around->n1 + around->after1; \
    for (int32_t i0 = 0; i0 < rows; ++i0) { \
        for (int32_t i1 = 0; i1 < columns; ++i1) { \
            const int32_t row = i0 - around->before0, column = i1 - around->before1; \
            const int inside = row >= 0 && row < around->n0 && column >= 0 && column < around->n1; \
            for (int32_t i = 0; i < around->before2; ++i) { \
                *y++ = (type)value; \
            } \
            for (int32_t i = 0; i < around->n2; ++i) { \
                *y++ = inside ? *x++ : (type)value; \
            } \
            for (int32_t i = 0; i < around->after2; ++i) { \
                *y++ = (type)value; \
            } \
        } \
    }

void eff_pad_i8(int8_t *y, const int8_t *x, const eff_around *around, int32_t value)
{
    EFF_PAD(int8_t)
}

void eff_pad_i16(int16_t *y, const int16_t *x, const eff_around *around, int32_t value)
{
    EFF_PAD(int16_t)
}
