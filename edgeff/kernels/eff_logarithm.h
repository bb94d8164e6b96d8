/* SPDX-License-Identifier: Apache-2.0 */
/* The natural logarithm. */
#ifndef EFF_LOGARITHM_H
#define EFF_LOGARITHM_H

#include "edgeff.h"

/* The natural logarithm of a normal number > 0 (the polynomial of Cephes' logf); |relative error| < 2^-22. */
static inline float eff_ln_f32(float x)
{
    union {
        float value;
        uint32_t bits;
    } v = {x};
    int32_t exponent = (int32_t)(v.bits >> 23) - 126;
    v.bits = (v.bits & UINT32_C(0x7FFFFF)) | UINT32_C(0x3F000000);
    float m = v.value;
    if (m < 0.707106781f) {
        exponent -= 1;
        m = m + m;
    }
    m -= 1.0f;
    const float e = (float)exponent;
    const float z = m * m;
    float p = 7.0376836292e-2f;
    p = p * m - 1.1514610310e-1f;
    p = p * m + 1.1676998740e-1f;
    p = p * m - 1.2420140846e-1f;
    p = p * m + 1.4249322787e-1f;
    p = p * m - 1.6668057665e-1f;
    p = p * m + 2.0000714765e-1f;
    p = p * m - 2.4999993993e-1f;
    p = p * m + 3.3333331174e-1f;
    p = p * m * z;
    p = p + e * -2.12194440e-4f;
    p = p - 0.5f * z;
    return (m + p) + e * 0.693359375f;
}

#endif
