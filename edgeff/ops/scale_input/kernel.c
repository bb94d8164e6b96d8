/* SPDX-License-Identifier: Apache-2.0 */
/* Inputs less a mean, times a factor, one pair for each channel. */
#include "edgeff.h"

void eff_scale_input_f32(float *y, const float *x, const float *mean, const float *factor, int32_t rows, int32_t channels)
{
    for (int32_t r = 0; r < rows; ++r) {
        for (int32_t c = 0; c < channels; ++c) {
            *y++ = (*x++ - mean[c]) * factor[c];
        }
    }
}
