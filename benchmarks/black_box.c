/* A sensor behind an analogue network, read by an ADC, as a black box for PhyLL (benchmarks/black_box.py): a staircase that nobody
   differentiates. */
#include <math.h>
#include <stddef.h>
#include <stdint.h>

/* A conductance from a counter, in -1 .. 1: the network is never stored. */
static float conductance(uint32_t seed, uint32_t place)
{
    uint32_t v = place * 2654435761u + seed * 2246822519u + 374761393u;
    v = (v ^ (v >> 15)) * 2246822519u;
    v = (v ^ (v >> 13)) * 3266489917u;
    v ^= v >> 16;
    return (float)(v >> 8) * (1.0f / 8388608.0f) - 1.0f;
}

/* y (rows, outputs) from x (rows, inputs): the current of each output node; a diode that conducts little below 0 and saturates above;
   an amplifier whose last output of the row pulls on the next; an ADC of so many bits over 0 .. 1. weights (inputs, outputs) is scratch. */
void black_box(float *restrict y, float *restrict weights, const float *restrict x, int32_t rows, int32_t inputs, int32_t outputs, int32_t bits, uint32_t seed)
{
    const float steps = (float)((1 << bits) - 1);
    const float gain = 1.7f / sqrtf((float)inputs);
    for (int32_t place = 0; place < inputs * outputs; place++) {
        weights[place] = conductance(seed, (uint32_t)place);
    }
    for (int32_t row = 0; row < rows; row++) {
        float *current = y + (size_t)row * (size_t)outputs;
        for (int32_t o = 0; o < outputs; o++) {
            current[o] = 0.0f;
        }
        for (int32_t i = 0; i < inputs; i++) {
            const float input = x[(size_t)row * (size_t)inputs + (size_t)i];
            for (int32_t o = 0; o < outputs; o++) {
                current[o] += weights[(size_t)i * (size_t)outputs + (size_t)o] * input;
            }
        }
    }
    for (int32_t row = 0; row < rows; row++) {
        float last = 0.0f;
        for (int32_t o = 0; o < outputs; o++) {
            const size_t place = (size_t)row * (size_t)outputs + (size_t)o;
            const float current = y[place] * gain + 0.1f * last;
            const float open = current > 0.0f ? current : 0.05f * current;
            const float sensed = 0.1f + open / (1.0f + fabsf(open));
            const float code = floorf((sensed < 0.0f ? 0.0f : sensed > 1.0f ? 1.0f : sensed) * steps + 0.5f);
            last = code / steps;
            y[place] = last;
        }
    }
}
