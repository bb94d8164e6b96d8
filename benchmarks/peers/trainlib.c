/* SPDX-License-Identifier: Apache-2.0 */
/* A step by the functions of PULP-TrainLib for STM32. It has twelve products of matrices: the host chooses. */
#include <stm32_train.h>

#include "model.h"

int32_t products[3]; /* of the forward pass, of the gradient of weights and of that of inputs */

static const int width[LAYERS + 1] = WIDTHS;
static float gradients[WEIGHTS], sums[ACTIVATIONS], sum_gradients[ACTIVATIONS], outputs[ACTIVATIONS], output_gradients[ACTIVATIONS];
static struct blob w[LAYERS], z[LAYERS], h[LAYERS + 1], y;

void prepare(void)
{
    float *weights = eff_arena, *gradient = gradients;
    products[0] = 0;
    h[0] = (struct blob){sample, NULL, INPUTS, 1, 1, INPUTS};
    for (int i = 0, at = 0; i < LAYERS; i++) {
        const int n = width[i], m = width[i + 1];
        w[i] = (struct blob){weights, gradient, n * m, n, m, 1};
        z[i] = (struct blob){sums + at, sum_gradients + at, m, 1, 1, m};
        h[i + 1] = (struct blob){outputs + at, output_gradients + at, m, 1, 1, m};
        weights += n * m;
        gradient += n * m;
        at += m;
    }
    y = (struct blob){SOFTMAX ? output : z[LAYERS - 1].data, z[LAYERS - 1].diff, OUTPUTS, 1, 1, OUTPUTS};
}

void step(void)
{
    float loss;
    for (int i = 0; i < LAYERS; i++) {
        stm32_linear_fp32_fw(&h[i], &w[i], &z[i], products[0]);
        if (i < LAYERS - 1) {
            stm32_relu_fp32_fw(&z[i], &h[i + 1]);
        }
    }
#if SOFTMAX
    const float rate = LEARNING_RATE;
    stm32_softmax_fp32_fw(&z[LAYERS - 1], &y);
    stm32_CrossEntropyLoss(&y, target, &loss); /* its gradient is that of the scores before the softmax */
#else
    const float rate = LEARNING_RATE * OUTPUTS / 2; /* of the mean squared error */
    stm32_MSELoss(&y, target, &loss);
#endif
    for (int i = LAYERS - 1; i >= 0; i--) {
        stm32_linear_fp32_bw(&h[i], &w[i], &z[i], i == 0, products[1], products[2]);
        if (i > 0) {
            stm32_relu_fp32_bw(&z[i - 1], &h[i]);
        }
    }
    for (int i = 0; i < LAYERS; i++) {
        struct optim_args descent = {&w[i], rate};
        stm32_gradient_descent_fp32(&descent);
    }
}
