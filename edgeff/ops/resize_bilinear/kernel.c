/* SPDX-License-Identifier: Apache-2.0 */
/* An image in another size, bilinear: each pixel lies between four. */
#include "edgeff.h"

#define EFF_ONE (INT32_C(1) << 10)

typedef struct {
    int32_t low, high;
    float share;
} eff_between_f32;

static eff_between_f32 eff_place_f32(int32_t i, int32_t size, int32_t made, const eff_resized *how)
{
    const int32_t corners = how->align_corners && made > 1;
    const float step = corners ? (float)(size - 1) / (float)(made - 1) : (float)size / (float)made;
    const float at = how->half_pixel ? ((float)i + 0.5f) * step - 0.5f : (float)i * step;
    eff_between_f32 place;
    place.low = at < 0.0f ? 0 : (int32_t)at;
    place.low = place.low < size ? place.low : size - 1;
    place.high = at <= 0.0f ? 0 : (int32_t)at + ((float)(int32_t)at < at);
    place.high = place.high < size ? place.high : size - 1;
    place.share = at - (float)place.low;
    return place;
}

void eff_resize_bilinear_f32(float *y, const float *x, const eff_resized *how)
{
    const int32_t channels = how->channels;
    for (int32_t i = 0; i < how->out_h; ++i) {
        const eff_between_f32 d = eff_place_f32(i, how->in_h, how->out_h, how);
        const float *above = x + d.low * how->in_w * channels, *below = x + d.high * how->in_w * channels;
        for (int32_t j = 0; j < how->out_w; ++j) {
            const eff_between_f32 a = eff_place_f32(j, how->in_w, how->out_w, how);
            const int32_t left = a.low * channels, right = a.high * channels;
            for (int32_t c = 0; c < channels; ++c) {
                float part = above[left + c] * (1.0f - d.share) * (1.0f - a.share) + below[left + c] * d.share * (1.0f - a.share);
                part = part + above[right + c] * (1.0f - d.share) * a.share;
                *y++ = part + below[right + c] * d.share * a.share;
            }
        }
    }
}

typedef struct {
    int32_t low, high, share;
} eff_between_i8;

static eff_between_i8 eff_place_i8(int32_t i, int32_t size, int32_t made, const eff_resized *how)
{
    int32_t step = (EFF_ONE * size + made / 2) / made;
    if (how->align_corners && made > 1) {
        step = (EFF_ONE * (size - 1) + (made - 1) / 2) / (made - 1);
    }
    const int32_t at = how->half_pixel ? i * step + step / 2 - EFF_ONE / 2 : i * step;
    eff_between_i8 place;
    place.low = at < 0 ? 0 : at / EFF_ONE;
    place.low = place.low < size ? place.low : size - 1;
    place.high = at <= 0 ? 0 : (at + EFF_ONE - 1) / EFF_ONE;
    place.high = place.high < size ? place.high : size - 1;
    place.share = at - place.low * EFF_ONE;
    return place;
}

void eff_resize_bilinear_i8(int8_t *y, const int8_t *x, const eff_resized *how)
{
    const int32_t channels = how->channels;
    for (int32_t i = 0; i < how->out_h; ++i) {
        const eff_between_i8 d = eff_place_i8(i, how->in_h, how->out_h, how);
        const int8_t *above = x + d.low * how->in_w * channels, *below = x + d.high * how->in_w * channels;
        for (int32_t j = 0; j < how->out_w; ++j) {
            const eff_between_i8 a = eff_place_i8(j, how->in_w, how->out_w, how);
            const int32_t left = a.low * channels, right = a.high * channels;
            for (int32_t c = 0; c < channels; ++c) {
                const int32_t upper = above[left + c] * (EFF_ONE - a.share) + above[right + c] * a.share;
                const int32_t lower = below[left + c] * (EFF_ONE - a.share) + below[right + c] * a.share;
                const int32_t sum = upper * (EFF_ONE - d.share) + lower * d.share;
                const int32_t size = ((sum < 0 ? -sum : sum) + (INT32_C(1) << 19)) >> 20;
                *y++ = (int8_t)eff_clamp(sum < 0 ? -size : size, -128, 127);
            }
        }
    }
}
