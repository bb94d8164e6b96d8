/* SPDX-License-Identifier: Apache-2.0 */
/* The channels of a layer compete for the classes (channel-wise competitive Forward-Forward). */
#include "edgeff.h"

#define EFF_LEAST_ENERGY 0x1p-100f

static int32_t eff_groups(int32_t in_c, int32_t classes) { return in_c < classes ? in_c : classes; }

/* The number of channels of group j: the first in_c % groups have one more. */
static int32_t eff_group_size(int32_t j, int32_t in_c, int32_t groups) { return in_c / groups + (j < in_c % groups); }

static float eff_energy_f32(const float *h, int32_t n, int32_t in_c, int32_t size)
{
    float sum = 0.0f;
    for (int32_t i = 0; i < n; ++i) {
        for (int32_t c = 0; c < size; ++c) {
            sum += h[i * in_c + c] * h[i * in_c + c];
        }
    }
    return sum / (float)(n * size);
}

/* The factor that makes mean squares relative to their mean over the groups; 0 if nothing is active. */
static float eff_relative_f32(float total, int32_t groups) { return total >= EFF_LEAST_ENERGY ? (float)groups / total : 0.0f; }

void eff_channel_goodness_f32(float *scores, const float *h, int32_t n, int32_t in_c, int32_t classes, int32_t add)
{
    const int32_t groups = eff_groups(in_c, classes);
    float total = 0.0f;
    const float *p = h;
    for (int32_t j = 0; j < groups; ++j) {
        const int32_t size = eff_group_size(j, in_c, groups);
        total += eff_energy_f32(p, n, in_c, size);
        p += size;
    }
    const float factor = eff_relative_f32(total, groups);
    p = h;
    for (int32_t j = 0; j < groups; ++j) {
        const int32_t size = eff_group_size(j, in_c, groups);
        const float goodness = factor * eff_energy_f32(p, n, in_c, size);
        for (int32_t c = j; c < classes; c += groups) {
            scores[c] = add ? scores[c] + goodness : goodness;
        }
        p += size;
    }
}

void eff_competitive_delta_f32(float *d, float *scratch, const float *h, const int32_t *label, int32_t n, int32_t in_c,
                               int32_t classes, float sharpness)
{
    const int32_t groups = eff_groups(in_c, classes), right = *label % groups;
    float *restrict goodness = scratch;
    float *restrict error = scratch + groups;
    float total = 0.0f;
    for (int32_t j = 0, first = 0; j < groups; ++j) {
        const int32_t size = eff_group_size(j, in_c, groups);
        goodness[j] = eff_energy_f32(h + first, n, in_c, size);
        total += goodness[j];
        first += size;
    }
    const float factor = eff_relative_f32(total, groups);
    for (int32_t j = 0; j < groups; ++j) {
        goodness[j] = factor * goodness[j];
        error[j] = sharpness * goodness[j];
    }
    eff_softmax_f32(error, error, groups);
    error[right] = error[right] - 1.0f;
    float mean = 0.0f;
    for (int32_t j = 0; j < groups; ++j) {
        mean += error[j] * goodness[j];
    }
    mean = mean / (float)groups;
    const float scale = 2.0f * sharpness * factor;
    for (int32_t j = 0, first = 0; j < groups; ++j) {
        const int32_t size = eff_group_size(j, in_c, groups);
        const float slope = scale * (error[j] - mean) / (float)(n * size);
        for (int32_t i = 0; i < n; ++i) {
            for (int32_t c = first; c < first + size; ++c) {
                d[i * in_c + c] = slope * h[i * in_c + c];
            }
        }
        first += size;
    }
}

/* The mean square of a group in units of 2^-8 squared steps, below 2^24; n * size <= 33,000 keeps the sum in 32 bits. */
static uint32_t eff_energy_i8(const int8_t *h, int32_t n, int32_t in_c, int32_t size, int32_t h_zero)
{
    uint32_t sum = 0;
    for (int32_t i = 0; i < n; ++i) {
        for (int32_t c = 0; c < size; ++c) {
            const int32_t v = h[i * in_c + c] - h_zero;
            sum += (uint32_t)(v * v);
        }
    }
    const uint32_t count = (uint32_t)(n * size), whole = sum / count;
    return (whole << 8) + ((sum - whole * count) << 8) / count;
}

/* v * 2^bits / by, by quotients of 32 bits where v, by and the result allow it: a core has those in hardware. */
static uint64_t eff_long_quotient(uint64_t v, int32_t bits, uint64_t by)
{
    const uint32_t small = (uint32_t)by;
    if (v >> 32 || by >> 28 || (uint32_t)v >> 8 >= small) {
        return (v << bits) / by;
    }
    const int32_t digit = small >> 24 ? 4 : 8;
    uint32_t quotient = (uint32_t)v / small, rest = (uint32_t)v - quotient * small;
    EFF_ROLLED
    while (bits > 0) {
        const int32_t now = bits < digit ? bits : digit;
        rest <<= now;
        const uint32_t next = rest / small;
        quotient = quotient << now | next;
        rest -= next * small;
        bits -= now;
    }
    return quotient;
}

/* v / (2^16 groups) */
static uint64_t eff_share_of(uint64_t v, int32_t groups)
{
    const uint64_t whole = v >> 16;
    return whole >> 32 ? whole / (uint32_t)groups : (uint32_t)whole / (uint32_t)groups;
}

/* An energy relative to the mean over the groups, in units of 2^-16: at most groups. */
static int32_t eff_relative_i8(uint32_t energy, uint64_t total, int32_t groups)
{
    return total == 0 ? 0 : (int32_t)eff_long_quotient((uint64_t)energy * (uint32_t)groups, 16, total);
}

void eff_channel_goodness_i8(int32_t *scores, const int8_t *h, int32_t n, int32_t in_c, int32_t classes, int32_t h_zero,
                             int32_t add)
{
    const int32_t groups = eff_groups(in_c, classes);
    uint64_t total = 0;
    const int8_t *p = h;
    for (int32_t j = 0; j < groups; ++j) {
        const int32_t size = eff_group_size(j, in_c, groups);
        total += eff_energy_i8(p, n, in_c, size, h_zero);
        p += size;
    }
    p = h;
    for (int32_t j = 0; j < groups; ++j) {
        const int32_t size = eff_group_size(j, in_c, groups);
        const int32_t goodness = eff_relative_i8(eff_energy_i8(p, n, in_c, size, h_zero), total, groups);
        for (int32_t c = j; c < classes; c += groups) {
            scores[c] = add ? scores[c] + goodness : goodness;
        }
        p += size;
    }
}

/* error[j] becomes the softmax of sharpness * goodness in Q0.15; differences to the largest are clamped at -32. */
static void eff_shares_q15(int32_t *error, const int32_t *goodness, int32_t groups, int32_t sharpness)
{
    int32_t largest = goodness[0];
    for (int32_t j = 1; j < groups; ++j) {
        largest = goodness[j] > largest ? goodness[j] : largest;
    }
    uint32_t sum = 0;
    for (int32_t j = 0; j < groups; ++j) {
        const int64_t wide = ((int64_t)(goodness[j] - largest) * sharpness) >> 8;
        error[j] = eff_exp_q31((int32_t)(wide < -0x1FFFFF ? -0x1FFFFF : wide) * 1024) >> 16;
        sum += (uint32_t)error[j];
    }
    for (int32_t j = 0; j < groups; ++j) {
        error[j] = (int32_t)(((uint32_t)error[j] * 32768u + sum / 2u) / sum);
    }
}

/* d = error * (h - h_zero) / mean square, where the mean square is in squared steps: the scales of h and d are each other's
 * inverse. Divisions round towards zero; groups <= 2,047 and in_c <= 65,535 keep all in 64 bits. */
void eff_competitive_delta_i8(int16_t *d, int32_t *scratch, const int8_t *h, const int32_t *label, int32_t n, int32_t in_c,
                              int32_t classes, int32_t h_zero, int32_t sharpness)
{
    const int32_t groups = eff_groups(in_c, classes), right = *label % groups;
    int32_t *restrict goodness = scratch;
    int32_t *restrict error = scratch + groups;
    uint64_t total = 0;
    for (int32_t j = 0, first = 0; j < groups; ++j) {
        const int32_t size = eff_group_size(j, in_c, groups);
        goodness[j] = (int32_t)eff_energy_i8(h + first, n, in_c, size, h_zero);
        total += (uint32_t)goodness[j];
        first += size;
    }
    for (int32_t j = 0; j < groups; ++j) {
        goodness[j] = eff_relative_i8((uint32_t)goodness[j], total, groups);
    }
    eff_shares_q15(error, goodness, groups, sharpness);
    error[right] -= 32768;
    int64_t mean = 0;
    for (int32_t j = 0; j < groups; ++j) {
        mean += (int64_t)error[j] * goodness[j];
    }
    mean = mean < 0 ? -(int64_t)eff_share_of((uint64_t)-mean, groups) : (int64_t)eff_share_of((uint64_t)mean, groups);
    for (int32_t j = 0, first = 0; j < groups; ++j) {
        const int32_t size = eff_group_size(j, in_c, groups);
        const int64_t above = (error[j] - mean) * in_c;
        int64_t slope = total == 0 ? 0 : (int64_t)eff_long_quotient((uint64_t)(above < 0 ? -above : above), 20, total * (uint32_t)size);
        slope = above < 0 ? -slope : slope;
        slope = slope > (INT32_C(1) << 22) ? INT32_C(1) << 22 : slope < -(INT32_C(1) << 22) ? -(INT32_C(1) << 22) : slope;
        for (int32_t i = 0; i < n; ++i) {
            for (int32_t c = first; c < first + size; ++c) {
                d[i * in_c + c] = (int16_t)eff_clamp(((int32_t)slope * (h[i * in_c + c] - h_zero) + (INT32_C(1) << 11)) >> 12, -32767,
                32767);
            }
        }
        first += size;
    }
}
