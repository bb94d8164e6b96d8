/* SPDX-License-Identifier: Apache-2.0 */
/* Labels written into the input. */
#include "edgeff.h"

void eff_embed_label_f32(float *y, const float *x, const int32_t *label, const eff_label_f32 *entries)
{
    const int32_t places = entries->places, classes = entries->classes, n = entries->n;
    const float on = entries->on, off = entries->off, neutral = entries->neutral;
    for (int32_t place = 0; place < places; ++place) {
        for (int32_t c = 0; c < classes; ++c) {
            *y++ = *label < 0 ? neutral : c == *label ? on : off;
        }
        for (int32_t k = 0; k < n; ++k) {
            *y++ = *x++;
        }
    }
}

void eff_embed_label_i8(int8_t *y, const int8_t *x, const int32_t *label, const eff_label_i8 *entries)
{
    const int32_t places = entries->places, classes = entries->classes, n = entries->n, on = entries->on, off = entries->off,
                  neutral = entries->neutral;
    for (int32_t place = 0; place < places; ++place) {
        for (int32_t c = 0; c < classes; ++c) {
            *y++ = (int8_t)(*label < 0 ? neutral : c == *label ? on : off);
        }
        for (int32_t k = 0; k < n; ++k) {
            *y++ = *x++;
        }
    }
}

void eff_embed_label_i16(int16_t *y, const int16_t *x, const int32_t *label, const eff_label_i16 *entries)
{
    const int32_t places = entries->places, classes = entries->classes, n = entries->n, on = entries->on, off = entries->off,
                  neutral = entries->neutral;
    for (int32_t place = 0; place < places; ++place) {
        for (int32_t c = 0; c < classes; ++c) {
            *y++ = (int16_t)(*label < 0 ? neutral : c == *label ? on : off);
        }
        for (int32_t k = 0; k < n; ++k) {
            *y++ = *x++;
        }
    }
}
