/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inference, a step of back-propagation and a step of PEPITA with a stored F, float32, batch 1: the loops that a textbook has, for peers.py.
 * Dense layers without biases, ReLU between them. The loss is the cross-entropy after a softmax, or half the squared error.
 */
#include <math.h>
#include <string.h>

#include "naive.h"
#include "network.h" /* LAYERS, WIDTHS, INPUTS, OUTPUTS, WEIGHTS, ACTIVATIONS (outputs of all layers), WIDEST, SOFTMAX, LEARNING_RATE */

static const int width[LAYERS + 1] = WIDTHS;
static float first[ACTIVATIONS], second[ACTIVATIONS]; /* the outputs of all layers, one after the other */
static float modulated[INPUTS], delta_a[WIDEST], delta_b[WIDEST];

/* y (outputs) = w (outputs, inputs) x (inputs) */
static void dense(float *y, const float *w, const float *x, int outputs, int inputs)
{
    for (int o = 0; o < outputs; o++) {
        float sum = 0.0f;
        for (int i = 0; i < inputs; i++) {
            sum += w[o * inputs + i] * x[i];
        }
        y[o] = sum;
    }
}

static void relu(float *y, int n)
{
    for (int i = 0; i < n; i++) {
        y[i] = y[i] > 0.0f ? y[i] : 0.0f;
    }
}

static void softmax(float *y, int n)
{
    float largest = y[0], sum = 0.0f;
    for (int i = 1; i < n; i++) {
        largest = y[i] > largest ? y[i] : largest;
    }
    for (int i = 0; i < n; i++) {
        y[i] = expf(y[i] - largest);
        sum += y[i];
    }
    for (int i = 0; i < n; i++) {
        y[i] /= sum;
    }
}

/* h (ACTIVATIONS) from x (INPUTS); returns the network's output */
static float *forward(float *h, const float *w, const float *x)
{
    for (int layer = 0; layer < LAYERS; layer++) {
        const int inputs = width[layer], outputs = width[layer + 1];
        dense(h, w, x, outputs, inputs);
        if (layer < LAYERS - 1) {
            relu(h, outputs);
        }
        w += outputs * inputs;
        x = h;
        h += outputs;
    }
    h -= OUTPUTS;
    if (SOFTMAX) {
        softmax(h, OUTPUTS);
    }
    return h;
}

/* w -= LEARNING_RATE delta x^T */
static void update(float *w, const float *delta, const float *x, int outputs, int inputs)
{
    for (int o = 0; o < outputs; o++) {
        for (int i = 0; i < inputs; i++) {
            w[o * inputs + i] -= LEARNING_RATE * delta[o] * x[i];
        }
    }
}

/* below (inputs) = w^T delta, where the ReLU before the layer let x through */
static void backward(float *below, const float *w, const float *delta, const float *x, int outputs, int inputs)
{
    for (int i = 0; i < inputs; i++) {
        float sum = 0.0f;
        for (int o = 0; o < outputs; o++) {
            sum += w[o * inputs + i] * delta[o];
        }
        below[i] = x[i] > 0.0f ? sum : 0.0f;
    }
}

void naive_infer(float *y, const float *w, const float *x) { memcpy(y, forward(first, w, x), OUTPUTS * sizeof *y); }

void naive_bp_step(float *w, const float *x, const float *target)
{
    const float *h = forward(first, w, x);
    float *delta = delta_a, *below = delta_b;
    for (int o = 0; o < OUTPUTS; o++) {
        delta[o] = h[o] - target[o];
    }
    w += WEIGHTS;
    for (int layer = LAYERS - 1; layer >= 0; layer--) {
        const int inputs = width[layer], outputs = width[layer + 1];
        w -= outputs * inputs;
        h = layer > 0 ? h - inputs : x;
        if (layer > 0) {
            backward(below, w, delta, h, outputs, inputs);
        }
        update(w, delta, h, outputs, inputs);
        float *const done = delta;
        delta = below;
        below = done;
    }
}

void naive_pepita_step(float *w, const float *feedback, const float *x, const float *target)
{
    float *error = delta_a, *delta = delta_b;
    const float *y = forward(first, w, x);
    for (int o = 0; o < OUTPUTS; o++) {
        error[o] = y[o] - target[o];
    }
    for (int i = 0; i < INPUTS; i++) {
        float sum = x[i];
        for (int o = 0; o < OUTPUTS; o++) {
            sum += feedback[i * OUTPUTS + o] * error[o];
        }
        modulated[i] = sum;
    }
    forward(second, w, modulated);
    const float *clean = first, *h = second, *below = modulated;
    for (int layer = 0; layer < LAYERS; layer++) {
        const int inputs = width[layer], outputs = width[layer + 1];
        for (int o = 0; o < outputs; o++) {
            delta[o] = layer < LAYERS - 1 ? clean[o] - h[o] : h[o] - target[o];
        }
        update(w, delta, below, outputs, inputs);
        w += outputs * inputs;
        below = h;
        clean += outputs;
        h += outputs;
    }
}
