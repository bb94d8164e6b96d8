/* SPDX-License-Identifier: Apache-2.0 */
/* An image in more pixels: each repeated, or others of one value between them. */
#include "edgeff.h"

/* The pixel of the input that one of the output at (row, column) is: its offset in x, or -1 for the value between pixels. */
static inline int32_t eff_origin(const eff_more_pixels *how, int32_t row, int32_t column)
{
    if (how->zeros && (row % how->factor_h != 0 || column % how->factor_w != 0)) {
        return -1;
    }
    return (row / how->factor_h * how->in_w + column / how->factor_w) * how->channels;
}

static inline int32_t eff_more(int32_t size, int32_t factor, int32_t zeros) { return (size - 1) * factor + (zeros ? 1 : factor); }

void eff_upsample2d_f32(float *y, const float *x, const eff_more_pixels *how, float value)
{
    const int32_t rows = eff_more(how->in_h, how->factor_h, how->zeros), columns = eff_more(how->in_w, how->factor_w, how->zeros);
    for (int32_t row = 0; row < rows; ++row) {
        for (int32_t column = 0; column < columns; ++column) {
            const int32_t origin = eff_origin(how, row, column);
            for (int32_t i = 0; i < how->channels; ++i) {
                *y++ = origin < 0 ? value : x[origin + i];
            }
        }
    }
}

/* The same of integers. */
#define EFF_UPSAMPLE(type) \
    const int32_t rows = eff_more(how->in_h, how->factor_h, how->zeros), columns = eff_more(how->in_w, how->factor_w, how->zeros); \
    for (int32_t row = 0; row < rows; ++row) { \
        for (int32_t column = 0; column < columns; ++column) { \
            const int32_t origin = eff_origin(how, row, column); \
            for (int32_t i = 0; i < how->channels; ++i) { \
                *y++ = origin < 0 ? (type)value : x[origin + i]; \
            } \
        } \
    }

void eff_upsample2d_i8(int8_t *y, const int8_t *x, const eff_more_pixels *how, int32_t value)
{
    EFF_UPSAMPLE(int8_t)
}

void eff_upsample2d_i16(int16_t *y, const int16_t *x, const eff_more_pixels *how, int32_t value)
{
    EFF_UPSAMPLE(int16_t)
}
