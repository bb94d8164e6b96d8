/* Int8 values in another scale. */
#include "edgeff.h"

void eff_rescale_i8(int8_t *y, const int8_t *x, int32_t n, int32_t x_zero, int32_t y_zero, int32_t multiplier, int32_t shift,
                    int32_t y_min, int32_t y_max)
{
    for (int32_t i = 0; i < n; ++i) {
        const int32_t s = eff_requantise(x[i] - x_zero, multiplier, shift);
        y[i] = (int8_t)eff_clamp(eff_clamp(s, -1024, 1024) + y_zero, y_min, y_max);
    }
}
