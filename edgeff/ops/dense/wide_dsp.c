/* SPDX-License-Identifier: Apache-2.0 */
/* int16 with two products per instruction, summed in 64 bits: two rows by four inputs at a time. */
#include "edgeff.h"
#include "eff_dsp.h"

static EFF_NOINLINE int32_t eff_slowly(int32_t s, int32_t multiplier, int32_t shift) { return eff_requantise(s, multiplier, shift); }

void eff_dense_i16_dsp(int16_t *y, const int16_t *x, const int16_t *w, const int32_t *b, const int32_t *multiplier, const int32_t *shift,
                       const eff_matrix *size, int32_t per_channel, int32_t pre_shift, int32_t y_min)
{
    const int32_t n_out = size->n_out, n_in = size->n_in, step = per_channel ? 1 : 0;
    eff_factor by = eff_factor_of(multiplier[0], shift[0], INT32_MAX);
    by.fits = by.fits && !per_channel;
    const int64_t half = (INT64_C(1) << pre_shift) >> 1;
    for (int32_t j = 0; n_out >= 2 && j < n_out; j += 2) {
        j = j < n_out - 2 ? j : n_out - 2; /* the last two, one of them perhaps again */
        const int16_t *first = w + (size_t)j * (size_t)n_in, *second = first + n_in, *p = x;
        int64_t s = 0, t = 0;
        int32_t left = n_in;
        EFF_ROLLED
        for (; left >= 4; left -= 4, p += 4, first += 4, second += 4) {
            const uint32_t a = eff_load_halves(p), c = eff_load_halves(p + 2);
            s = eff_dot_halves_i64(eff_load_halves(first), a, s);
            t = eff_dot_halves_i64(eff_load_halves(second), a, t);
            s = eff_dot_halves_i64(eff_load_halves(first + 2), c, s);
            t = eff_dot_halves_i64(eff_load_halves(second + 2), c, t);
        }
        EFF_ROLLED
        for (int32_t k = 0; k < left; ++k) {
            s += (int32_t)first[k] * p[k];
            t += (int32_t)second[k] * p[k];
        }
        int32_t v = (int32_t)((s + half) >> pre_shift) + (b ? b[j] : 0), u = (int32_t)((t + half) >> pre_shift) + (b ? b[j + 1] : 0);
        v = by.fits ? eff_scaled(v, &by) : eff_slowly(v, multiplier[j * step], shift[j * step]);
        u = by.fits ? eff_scaled(u, &by) : eff_slowly(u, multiplier[(j + 1) * step], shift[(j + 1) * step]);
        y[j] = (int16_t)eff_clamp(v, y_min, 32767);
        y[j + 1] = (int16_t)eff_clamp(u, y_min, 32767);
    }
}
