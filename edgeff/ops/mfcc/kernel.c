/* SPDX-License-Identifier: Apache-2.0 */
/* Mel-frequency cepstral coefficients, so that a board can start from audio. Frame by frame: window, real FFT through a complex one
 * of half the length, magnitudes, mel bands, logarithm, cosine transform. The working memory is that of one frame. */
#include "edgeff.h"
#include "eff_logarithm.h"

typedef struct {
    const float *window, *sine, *mel, *dct;
    const int32_t *spans;
    int32_t frame, fft, bins, bands, coefficients;
    float gain, eps;
} eff_mfcc_tables;

/* z[fft]: the windowed frame as fft / 2 complex numbers (even sample, odd sample), in bit-reversed order. */
static void eff_load_frame(float *z, const int16_t *x, const float *window, int32_t frame, int32_t fft)
{
    int32_t reversed = 0;
    for (int32_t k = 0; k < fft; k += 2) {
        z[2 * reversed] = k < frame ? (float)x[k] * window[k] : 0.0f;
        z[2 * reversed + 1] = k + 1 < frame ? (float)x[k + 1] * window[k + 1] : 0.0f;
        int32_t bit = fft >> 2;
        for (; reversed & bit; bit >>= 1) {
            reversed ^= bit;
        }
        reversed |= bit;
    }
}

/* The complex FFT of fft / 2 numbers in place, radix 2, decimation in time; sine[k] = sin(2 pi k / fft), k < 3/4 fft. */
static void eff_complex_fft(float *z, const float *sine, int32_t fft)
{
    const float *cosine = sine + fft / 4;
    for (int32_t half = 2; half < fft; half *= 2) {
        for (int32_t i = 0; i < fft; i += 2 * half) {
            float *a = z + i;
            float *b = a + half;
            const float re = b[0], im = b[1];
            b[0] = a[0] - re;
            b[1] = a[1] - im;
            a[0] = a[0] + re;
            a[1] = a[1] + im;
        }
        for (int32_t j = 2; j < half; j += 2) {
            const float c = cosine[j * (fft / (2 * half))], s = sine[j * (fft / (2 * half))];
            for (int32_t i = j; i < fft; i += 2 * half) {
                float *a = z + i;
                float *b = a + half;
                const float re = b[0] * c + b[1] * s, im = b[1] * c - b[0] * s;
                b[0] = a[0] - re;
                b[1] = a[1] - im;
                a[0] = a[0] + re;
                a[1] = a[1] + im;
            }
        }
    }
}

/* Twice the magnitudes of the real FFT's bins 1 .. bins - 1 (bins <= fft / 2), bin k at z[2 k]: bins k and fft / 2 - k come from the same
 * two numbers. The other entries of z keep their values. */
static void eff_magnitudes(float *z, const float *sine, int32_t fft, int32_t bins)
{
    for (int32_t k = 1; k <= fft / 4; ++k) {
        const int32_t m = fft / 2 - k;
        const float c = sine[k + fft / 4], s = sine[k];
        const float even_re = z[2 * k] + z[2 * m], even_im = z[2 * k + 1] - z[2 * m + 1];
        const float odd_re = z[2 * k + 1] + z[2 * m + 1], odd_im = z[2 * m] - z[2 * k];
        const float re = c * odd_re + s * odd_im, im = c * odd_im - s * odd_re;
        if (m < bins) {
            z[2 * m] = eff_sqrt_f32((even_re - re) * (even_re - re) + (even_im - im) * (even_im - im));
        }
        if (k < bins) {
            z[2 * k] = eff_sqrt_f32((even_re + re) * (even_re + re) + (even_im + im) * (even_im + im));
        }
    }
}

/* The sums of a frame's mel bands, of twice the magnitudes. */
static inline void eff_mel_sums(float *sums, float *scratch, const int16_t *x, const eff_mfcc_tables *t)
{
    eff_load_frame(scratch, x, t->window, t->frame, t->fft);
    eff_complex_fft(scratch, t->sine, t->fft);
    eff_magnitudes(scratch, t->sine, t->fft, t->bins);
    const float *weight = t->mel;
    for (int32_t b = 0; b < t->bands; ++b) {
        const float *bin = scratch + 2 * t->spans[2 * b];
        float sum = 0.0f;
        for (int32_t k = 0; k < t->spans[2 * b + 1]; ++k) {
            sum += bin[2 * k] * *weight++;
        }
        sums[b] = sum;
    }
}

/* The coefficients y of a frame from the sums of its bands; logs is working memory, and may be where the sums lie. */
static inline void eff_mel_cosines(float *y, float *logs, const float *sums, const eff_mfcc_tables *t)
{
    for (int32_t b = 0; b < t->bands; ++b) {
        logs[b] = eff_ln_f32(sums[b] * t->gain + t->eps);
    }
    float first = 0.0f;
    for (int32_t b = 0; b < t->bands; ++b) {
        first += logs[b] * t->dct[b];
    }
    y[0] = first;
    /* Each further row of cosines sums to zero: taking the differences to one band changes nothing but the rounding, and makes the
     * coefficients of a silent frame exactly zero. */
    const float base = logs[0];
    for (int32_t b = 0; b < t->bands; ++b) {
        logs[b] -= base;
    }
    for (int32_t c = 1; c < t->coefficients; ++c) {
        float sum = 0.0f;
        for (int32_t b = 0; b < t->bands; ++b) {
            sum += logs[b] * t->dct[c * t->bands + b];
        }
        y[c] = sum;
    }
}

static EFF_NOINLINE void eff_mfcc_frame(float *y, float *scratch, const int16_t *x, const eff_mfcc_tables *t)
{
    float *logs = scratch + t->fft;
    eff_mel_sums(logs, scratch, x, t);
    eff_mel_cosines(y, logs, logs, t);
}

/* What brings the largest sample (at least 1) to 1, and twice a magnitude to a magnitude. */
static float eff_peak_gain(const int16_t *x, int32_t n)
{
    int32_t largest = 1;
    for (int32_t k = 0; k < n; ++k) {
        largest = x[k] > largest ? x[k] : largest;
    }
    return 0.5f / (float)largest;
}

static int32_t eff_mfcc_step(float v, float scale, int32_t zero, int32_t truncate)
{
    float t = v / scale + (float)zero;
    if (!truncate) {
        t += t < 0.0f ? -0.5f : 0.5f;
    }
    return (int32_t)(t < 1.0e9f ? t > -1.0e9f ? t : -1.0e9f : 1.0e9f); /* of NaN too */
}

/* A frame's coefficients as int8 features. */
static inline void eff_mfcc_store_i8(int8_t *y, const float *row, int32_t coefficients, const eff_feature_steps *steps)
{
    for (int32_t c = 0; c < coefficients; ++c) {
        const int32_t v = eff_mfcc_step(row[c], steps->y_scale, steps->y_zero, steps->truncate);
        y[c] = (int8_t)(steps->wrap ? ((v + 128) & 255) - 128 : eff_clamp(v, -128, 127));
    }
}

/* The same as int16 features. */
static inline void eff_mfcc_store_i16(int16_t *y, const float *row, int32_t coefficients, float y_scale)
{
    for (int32_t c = 0; c < coefficients; ++c) {
        y[c] = (int16_t)eff_clamp(eff_mfcc_step(row[c], y_scale, 0, 0), -32767, 32767);
    }
}

void eff_mfcc_f32(float *y, float *scratch, const int16_t *x, const float *window, const float *sine, const float *mel,
                  const int32_t *spans, const float *dct, const eff_frames *sizes)
{
    const int32_t n = sizes->n, frames = sizes->frames, frame = sizes->frame, hop = sizes->hop, fft = sizes->fft,
                  bins = sizes->bins, bands = sizes->bands, coefficients = sizes->coefficients;
    const float eps = sizes->eps;
    const eff_mfcc_tables t = {window, sine, mel, dct, spans, frame, fft, bins, bands, coefficients, eff_peak_gain(x, n), eps};
    for (int32_t f = 0; f < frames; ++f) {
        eff_mfcc_frame(y + f * coefficients, scratch, x + f * hop, &t);
    }
}

void eff_mfcc_i8(int8_t *y, float *scratch, const int16_t *x, const float *window, const float *sine, const float *mel,
                 const int32_t *spans, const float *dct, const eff_frames *sizes, const eff_feature_steps *steps)
{
    const int32_t n = sizes->n, frames = sizes->frames, frame = sizes->frame, hop = sizes->hop, fft = sizes->fft,
                  bins = sizes->bins, bands = sizes->bands, coefficients = sizes->coefficients;
    const float eps = sizes->eps;
    const eff_mfcc_tables t = {window, sine, mel, dct, spans, frame, fft, bins, bands, coefficients, eff_peak_gain(x, n), eps};
    float *row = scratch + fft + bands;
    for (int32_t f = 0; f < frames; ++f) {
        eff_mfcc_frame(row, scratch, x + f * hop, &t);
        eff_mfcc_store_i8(y + f * coefficients, row, coefficients, steps);
    }
}

void eff_mfcc_i16(int16_t *y, float *scratch, const int16_t *x, const float *window, const float *sine, const float *mel,
                  const int32_t *spans, const float *dct, const eff_frames *sizes, float y_scale)
{
    const int32_t n = sizes->n, frames = sizes->frames, frame = sizes->frame, hop = sizes->hop, fft = sizes->fft,
                  bins = sizes->bins, bands = sizes->bands, coefficients = sizes->coefficients;
    const float eps = sizes->eps;
    const eff_mfcc_tables t = {window, sine, mel, dct, spans, frame, fft, bins, bands, coefficients, eff_peak_gain(x, n), eps};
    float *row = scratch + fft + bands;
    for (int32_t f = 0; f < frames; ++f) {
        eff_mfcc_frame(row, scratch, x + f * hop, &t);
        eff_mfcc_store_i16(y + f * coefficients, row, coefficients, y_scale);
    }
}

void eff_mel_push(float *mels, int16_t *peaks, int16_t *recent, int32_t *at, float *scratch, const int16_t *x, const float *window,
                  const float *sine, const float *mel, const int32_t *spans, const eff_frames *sizes)
{
    const int32_t hop = sizes->hop, kept = (sizes->frame + hop - 1) / hop * hop - hop, hops = sizes->n / hop;
    const eff_mfcc_tables t = {window, sine, mel, 0, spans, sizes->frame, sizes->fft, sizes->bins, sizes->bands, 0, 0.0f, 0.0f};
    for (int32_t k = 0; k < kept; ++k) {
        recent[k] = recent[k + hop];
    }
    int16_t peak = x[0];
    for (int32_t k = 0; k < hop; ++k) {
        recent[kept + k] = x[k];
        peak = x[k] > peak ? x[k] : peak;
    }
    eff_mel_sums(mels + at[0] * sizes->bands, scratch, recent, &t);
    peaks[at[1]] = peak;
    at[0] = at[0] + 1 < sizes->frames ? at[0] + 1 : 0;
    at[1] = at[1] + 1 < hops ? at[1] + 1 : 0;
}

/* The row of frame f of the window: the oldest one is the next that is written over. */
static inline const float *eff_mel_row(const float *mels, const int32_t *at, int32_t f, const eff_frames *sizes)
{
    const int32_t row = at[0] + f;
    return mels + (row < sizes->frames ? row : row - sizes->frames) * sizes->bands;
}

static inline eff_mfcc_tables eff_mel_tables(const int16_t *peaks, const float *dct, const eff_frames *sizes)
{
    const eff_mfcc_tables t = {0, 0, 0, dct, 0, sizes->frame, sizes->fft, sizes->bins, sizes->bands, sizes->coefficients,
                               eff_peak_gain(peaks, sizes->n / sizes->hop), sizes->eps};
    return t;
}

void eff_mel_mfcc_f32(float *y, float *scratch, const float *mels, const int16_t *peaks, const int32_t *at, const float *dct,
                      const eff_frames *sizes)
{
    const eff_mfcc_tables t = eff_mel_tables(peaks, dct, sizes);
    for (int32_t f = 0; f < sizes->frames; ++f) {
        eff_mel_cosines(y + f * sizes->coefficients, scratch, eff_mel_row(mels, at, f, sizes), &t);
    }
}

void eff_mel_mfcc_i8(int8_t *y, float *scratch, const float *mels, const int16_t *peaks, const int32_t *at, const float *dct,
                     const eff_frames *sizes, const eff_feature_steps *steps)
{
    const eff_mfcc_tables t = eff_mel_tables(peaks, dct, sizes);
    float *row = scratch + sizes->bands;
    for (int32_t f = 0; f < sizes->frames; ++f) {
        eff_mel_cosines(row, scratch, eff_mel_row(mels, at, f, sizes), &t);
        eff_mfcc_store_i8(y + f * sizes->coefficients, row, sizes->coefficients, steps);
    }
}

void eff_mel_mfcc_i16(int16_t *y, float *scratch, const float *mels, const int16_t *peaks, const int32_t *at, const float *dct,
                      const eff_frames *sizes, float y_scale)
{
    const eff_mfcc_tables t = eff_mel_tables(peaks, dct, sizes);
    float *row = scratch + sizes->bands;
    for (int32_t f = 0; f < sizes->frames; ++f) {
        eff_mel_cosines(row, scratch, eff_mel_row(mels, at, f, sizes), &t);
        eff_mfcc_store_i16(y + f * sizes->coefficients, row, sizes->coefficients, y_scale);
    }
}
