/* SPDX-License-Identifier: Apache-2.0 */
/* Mel features of audio, less its noise: frame by frame window, FFT in 16 bits, energies of mel channels, noise, gain, logarithm. */
#include "edgeff.h"

typedef struct {
    int32_t re, im;
} eff_complex;

static int16_t eff_to16(int32_t v)
{
    return (int16_t)(uint16_t)((uint32_t)v & 0xFFFFu);
}

/* Rounded to 15 fractional bits fewer. */
static int16_t eff_rounded(int32_t v)
{
    return eff_to16((v + (1 << 14)) >> 15);
}

static eff_complex eff_divided(const int16_t *z, int32_t factor)
{
    const eff_complex made = {eff_rounded(z[0] * factor), eff_rounded(z[1] * factor)};
    return made;
}

static eff_complex eff_rotated(eff_complex a, const int16_t *turn)
{
    const eff_complex made = {eff_rounded((int32_t)((uint32_t)(a.re * turn[0]) - (uint32_t)(a.im * turn[1]))),
                           eff_rounded((int32_t)((uint32_t)(a.re * turn[1]) + (uint32_t)(a.im * turn[0])))};
    return made;
}

static eff_complex eff_sum(eff_complex a, eff_complex b)
{
    const eff_complex made = {eff_to16(a.re + b.re), eff_to16(a.im + b.im)};
    return made;
}

static eff_complex eff_difference(eff_complex a, eff_complex b)
{
    const eff_complex made = {eff_to16(a.re - b.re), eff_to16(a.im - b.im)};
    return made;
}

static void eff_put_complex(int16_t *z, int32_t re, int32_t im)
{
    z[0] = eff_to16(re);
    z[1] = eff_to16(im);
}

static int32_t eff_windowed(const int16_t *x, const int16_t *window, int32_t i)
{
    const int32_t v = ((int32_t)x[i] * window[i]) >> 12;
    return v < -32768 ? -32768 : v > 32767 ? 32767 : v;
}

/* How many bits of 15 the windowed frame leaves free; the size of -32768 is that of the number after it. */
static int32_t eff_free_bits(const int16_t *x, const int16_t *window, int32_t frame)
{
    int32_t largest = 0, bits = 0;
    for (int32_t i = 0; i < frame; ++i) {
        const int32_t v = eff_windowed(x, window, i);
        if (v > largest) {
            largest = v;
        } else if (-v > largest) {
            largest = eff_to16(-v);
        }
    }
    if (largest <= 0) {
        return 0;
    }
    while (largest < 1 << 14) {
        largest *= 2;
        ++bits;
    }
    return bits;
}

/* z[fft]: the windowed frame as fft / 2 pairs, the digits of their numbers in base four reversed. */
static void eff_load_audio(int16_t *z, const int16_t *x, const int16_t *window, int32_t frame, int32_t fft, int32_t bits)
{
    const int32_t half = fft / 2;
    int32_t reversed = 0;
    for (int32_t k = 0; k < half; ++k) {
        for (int32_t part = 0; part < 2; ++part) {
            const int32_t i = 2 * k + part;
            z[2 * reversed + part] = i < frame ? eff_to16((int32_t)((uint32_t)eff_windowed(x, window, i) << bits)) : 0;
        }
        int32_t digit = half / 4;
        while (digit > 0 && (reversed / digit) % 4 == 3) {
            reversed -= 3 * digit;
            digit /= 4;
        }
        reversed += digit;
    }
}

/* The complex FFT of half points in place, radix 4, decimation in time. */
static void eff_fft_i16(int16_t *z, const int16_t *turns, int32_t half)
{
    for (int32_t size = 1; size < half; size *= 4) {
        const int32_t step = half / (4 * size);
        for (int32_t first = 0; first < half; first += 4 * size) {
            for (int32_t j = 0; j < size; ++j) {
                int16_t *p = z + 2 * (first + j), *q = p + 2 * size, *r = q + 2 * size, *s = r + 2 * size;
                const eff_complex a = eff_divided(p, 8191);
                const eff_complex b = eff_rotated(eff_divided(q, 8191), turns + 2 * j * step);
                const eff_complex c = eff_rotated(eff_divided(r, 8191), turns + 4 * j * step);
                const eff_complex d = eff_rotated(eff_divided(s, 8191), turns + 6 * j * step);
                const eff_complex sums = eff_sum(a, c), differences = eff_difference(a, c), plus = eff_sum(b, d), minus = eff_difference(b, d);
                eff_put_complex(p, sums.re + plus.re, sums.im + plus.im);
                eff_put_complex(q, differences.re + minus.im, differences.im - minus.re);
                eff_put_complex(r, sums.re - plus.re, sums.im - plus.im);
                eff_put_complex(s, differences.re - minus.im, differences.im + minus.re);
            }
        }
    }
}

/* Bins 1 .. half - 1 of the real FFT from the complex one, in place: bins k and half - k come from the same two numbers. */
static void eff_split_i16(int16_t *z, const int16_t *turns, int32_t half)
{
    for (int32_t k = 1; k <= half / 2; ++k) {
        int16_t *p = z + 2 * k, *q = z + 2 * (half - k);
        const int16_t mirrored[2] = {q[0], eff_to16(-(int32_t)q[1])};
        const eff_complex near = eff_divided(p, 16383), far = eff_divided(mirrored, 16383);
        const eff_complex even = eff_sum(near, far), odd = eff_rotated(eff_difference(near, far), turns + 2 * (k - 1));
        eff_put_complex(p, (even.re + odd.re) >> 1, (even.im + odd.im) >> 1);
        eff_put_complex(q, (even.re - odd.re) >> 1, (odd.im - even.im) >> 1);
    }
}

static int32_t eff_bits_u32(uint32_t v)
{
    int32_t bits = 0;
    for (; v != 0u; v >>= 1) {
        ++bits;
    }
    return bits;
}

static uint32_t eff_rounded_root(uint64_t v)
{
    const uint32_t root = eff_sqrt_u64(v);
    const int up = v - (uint64_t)root * root > root && (v >> 32 != 0u || root != 0xFFFFu);
    return root + (up ? 1u : 0u);
}

/* The gain at an estimate of the noise, by a quadratic on its octave. */
static uint32_t eff_gain_of(uint32_t noise, const int16_t *gains)
{
    if (noise <= 2u) {
        return (uint32_t)(int32_t)gains[noise];
    }
    const int32_t octave = eff_bits_u32(noise);
    const int16_t *row = gains + 4 * octave - 6;
    const int32_t part = (int32_t)((octave < 11 ? noise << (11 - octave) : noise >> (octave - 11)) & 0x3FFu);
    const int32_t slope = (((row[2] * part) >> 5) + (int32_t)row[1] * 32) * part;
    return (uint32_t)(int32_t)eff_to16(((slope + (1 << 14)) >> 15) + row[0]);
}

static uint32_t eff_shrunk(uint32_t ratio)
{
    return ratio < 8192u ? (ratio * ratio) >> 20 : (ratio >> 6) - 64u;
}

/* 64 ln(v), at most 32767; 0 of 0 and 1. */
static int32_t eff_log_i16(uint32_t v, const int16_t *logs)
{
    if (v <= 1u) {
        return 0;
    }
    const int32_t log2 = eff_bits_u32(v) - 1;
    const uint32_t rest = v - ((uint32_t)1 << log2);
    const int32_t part = (int32_t)(log2 < 16 ? rest << (16 - log2) : rest >> (log2 - 16));
    const int32_t segment = part >> 9;
    const int32_t curved = part + logs[segment] + ((((int32_t)logs[segment + 1] - logs[segment]) * (part - (segment << 9))) >> 16);
    const uint32_t ln = (uint32_t)((45426u * (uint64_t)(uint32_t)((log2 << 16) + curved) + 32768u) >> 16);
    const uint32_t made = (64u * ln + 32768u) >> 16;
    return made < 32767u ? (int32_t)made : 32767;
}

typedef struct {
    const int16_t *window, *twiddles, *weights, *gains, *logs;
    const int32_t *bounds;
} eff_audio_tables;

/* z[fft] becomes the spectrum of the frame at x. Returns by how many bits its roots are too large. */
static int32_t eff_audio_spectrum(int16_t *z, const int16_t *x, const eff_audio_tables *t, const eff_audio_frames *sizes)
{
    const int32_t bits = eff_free_bits(x, t->window, sizes->frame), half = sizes->fft / 2;
    eff_load_audio(z, x, t->window, sizes->frame, sizes->fft, bits);
    eff_fft_i16(z, t->twiddles, half);
    eff_split_i16(z, t->twiddles + 2 * half, half);
    return bits;
}

/* The feature of a channel's root and its estimate of the noise, which takes the frame in. */
static int32_t eff_audio_feature(uint32_t v, int32_t *noise, int32_t band, const eff_audio_tables *t, const eff_audio_frames *sizes)
{
    const uint32_t share = (uint32_t)(band % 2 ? sizes->odd_share : sizes->share), wide = v << 10;
    const uint32_t estimate = (uint32_t)(((uint64_t)wide * share + (uint64_t)(uint32_t)noise[band] * (16384u - share)) >> 14);
    const uint32_t least = (uint32_t)(((uint64_t)v * (uint32_t)sizes->least) >> 14);
    const uint32_t signal = (wide - (estimate < wide ? estimate : wide)) >> 10;
    const int32_t correction = eff_bits_u32((uint32_t)sizes->fft) - 7;
    const uint64_t ratio = (uint64_t)(signal > least ? signal : least) * eff_gain_of(estimate, t->gains);
    noise[band] = (int32_t)estimate;
    return eff_log_i16(eff_shrunk((uint32_t)(ratio >> (9 - correction))) << correction, t->logs);
}

static void eff_audio_frame(void *y, int32_t *noise, int16_t *z, const int16_t *x, const eff_audio_tables *t,
                            const eff_audio_frames *sizes, void (*put)(void *y, int32_t band, int32_t feature, float gain), float gain)
{
    const int32_t bits = eff_audio_spectrum(z, x, t, sizes);
    const int16_t *weights = t->weights;
    uint64_t sum = 0;
    for (int32_t channel = 0; channel <= sizes->bands; ++channel) {
        uint64_t next = 0;
        for (int32_t bin = t->bounds[channel]; bin < t->bounds[channel + 1]; ++bin, weights += 2) {
            const int16_t *p = z + 2 * bin;
            const uint32_t energy = (uint32_t)((int32_t)p[0] * p[0]) + (uint32_t)((int32_t)p[1] * p[1]);
            sum += (uint64_t)energy * (uint16_t)weights[0];
            next += (uint64_t)energy * (uint16_t)weights[1];
        }
        if (channel > 0) {
            put(y, channel - 1, eff_audio_feature(eff_rounded_root(sum) >> bits, noise, channel - 1, t, sizes), gain);
        }
        sum = next;
    }
}

static void eff_put_feature_f32(void *y, int32_t band, int32_t feature, float gain)
{
    ((float *)y)[band] = (float)feature * gain;
}

static void eff_put_feature_i8(void *y, int32_t band, int32_t feature, float gain)
{
    const int32_t q = (feature * 256 + 333) / 666 - 128;
    (void)gain;
    ((int8_t *)y)[band] = (int8_t)(q < 127 ? q : 127);
}

void eff_audio_frontend_f32(float *y, int32_t *noise, int16_t *scratch, const int16_t *x, const int16_t *window, const int16_t *twiddles,
                            const int16_t *weights, const int32_t *bounds, const int16_t *gains, const int16_t *logs,
                            const eff_audio_frames *sizes, float gain)
{
    const eff_audio_tables t = {window, twiddles, weights, gains, logs, bounds};
    for (int32_t f = 0; f < sizes->frames; ++f) {
        eff_audio_frame(y + f * sizes->bands, noise, scratch, x + f * sizes->hop, &t, sizes, eff_put_feature_f32, gain);
    }
}

void eff_audio_frontend_i8(int8_t *y, int32_t *noise, int16_t *scratch, const int16_t *x, const int16_t *window, const int16_t *twiddles,
                           const int16_t *weights, const int32_t *bounds, const int16_t *gains, const int16_t *logs,
                           const eff_audio_frames *sizes)
{
    const eff_audio_tables t = {window, twiddles, weights, gains, logs, bounds};
    for (int32_t f = 0; f < sizes->frames; ++f) {
        eff_audio_frame(y + f * sizes->bands, noise, scratch, x + f * sizes->hop, &t, sizes, eff_put_feature_i8, 0.0f);
    }
}
