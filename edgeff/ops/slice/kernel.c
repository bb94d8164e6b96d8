/* SPDX-License-Identifier: Apache-2.0 */
/* A part of a tensor, in steps. */
#include "edgeff.h"

void eff_slice_f32(float *y, const float *x, const eff_part *part)
{
    for (int32_t i0 = 0; i0 < part->n0; ++i0) {
        for (int32_t i1 = 0; i1 < part->n1; ++i1) {
            for (int32_t i2 = 0; i2 < part->n2; ++i2) {
                const float *from = x + (part->first + i0 * part->s0 + i1 * part->s1 + i2 * part->s2);
                for (int32_t i3 = 0; i3 < part->n3; ++i3) {
                    *y++ = from[i3 * part->s3];
                }
            }
        }
    }
}

void eff_slice_i8(int8_t *y, const int8_t *x, const eff_part *part)
{
    for (int32_t i0 = 0; i0 < part->n0; ++i0) {
        for (int32_t i1 = 0; i1 < part->n1; ++i1) {
            for (int32_t i2 = 0; i2 < part->n2; ++i2) {
                const int8_t *from = x + (part->first + i0 * part->s0 + i1 * part->s1 + i2 * part->s2);
                for (int32_t i3 = 0; i3 < part->n3; ++i3) {
                    *y++ = from[i3 * part->s3];
                }
            }
        }
    }
}

void eff_slice_i16(int16_t *y, const int16_t *x, const eff_part *part)
{
    for (int32_t i0 = 0; i0 < part->n0; ++i0) {
        for (int32_t i1 = 0; i1 < part->n1; ++i1) {
            for (int32_t i2 = 0; i2 < part->n2; ++i2) {
                const int16_t *from = x + (part->first + i0 * part->s0 + i1 * part->s1 + i2 * part->s2);
                for (int32_t i3 = 0; i3 < part->n3; ++i3) {
                    *y++ = from[i3 * part->s3];
                }
            }
        }
    }
}
