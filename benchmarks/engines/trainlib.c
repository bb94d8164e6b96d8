/* SPDX-License-Identifier: Apache-2.0 */
/* Two dense layers, ReLU and softmax, by the functions of PULP-TrainLib for STM32: gradient descent on the cross-entropy. */
#include <string.h>

#include <stm32_train.h>

#include "model.h"

static eff_input_t sample[INPUTS];
static float input[INPUTS], output[OUTPUTS], target[OUTPUTS];
static float hidden_weights[HIDDEN * INPUTS], hidden_steps[HIDDEN * INPUTS];
static float output_weights[OUTPUTS * HIDDEN], output_steps[OUTPUTS * HIDDEN];
static float sum[HIDDEN], sum_step[HIDDEN], hidden[HIDDEN], hidden_step[HIDDEN], score[OUTPUTS], score_step[OUTPUTS];

static struct blob x = {input, NULL, INPUTS, 1, 1, INPUTS};
static struct blob w1 = {hidden_weights, hidden_steps, HIDDEN * INPUTS, INPUTS, HIDDEN, 1};
static struct blob z1 = {sum, sum_step, HIDDEN, 1, 1, HIDDEN};
static struct blob h1 = {hidden, hidden_step, HIDDEN, 1, 1, HIDDEN};
static struct blob w2 = {output_weights, output_steps, OUTPUTS * HIDDEN, HIDDEN, OUTPUTS, 1};
static struct blob z2 = {score, score_step, OUTPUTS, 1, 1, OUTPUTS};
static struct blob y = {output, score_step, OUTPUTS, 1, 1, OUTPUTS}; /* of softmax with cross-entropy, the step is that of the scores */

uint32_t engine_bytes(void) { return sizeof hidden_weights + sizeof hidden_steps + sizeof output_weights + sizeof output_steps; }
eff_input_t *eff_input(void) { return sample; }
const float *eff_output(void) { return output; }

void eff_init(void)
{
    memcpy(hidden_weights, initial_hidden, sizeof initial_hidden);
    memcpy(output_weights, initial_output, sizeof initial_output);
}

static void forward(void)
{
    real_input(input);
    stm32_linear_fp32_fw(&x, &w1, &z1, MATMUL);
    stm32_relu_fp32_fw(&z1, &h1);
    stm32_linear_fp32_fw(&h1, &w2, &z2, MATMUL);
    stm32_softmax_fp32_fw(&z2, &y);
}

int32_t eff_predict(void)
{
    int32_t best = 0;
    forward();
    for (int32_t i = 1; i < OUTPUTS; i++) {
        best = output[i] > output[best] ? i : best;
    }
    return best;
}

int eff_learn(int32_t label)
{
    float loss;
    struct optim_args first = {&w1, RATE}, second = {&w2, RATE};
    if (label < 0 || label >= OUTPUTS) {
        return -1;
    }
    memset(target, 0, sizeof target);
    target[label] = 1.0f;
    forward();
    stm32_CrossEntropyLoss(&y, target, &loss);
    stm32_linear_fp32_bw(&h1, &w2, &z2, 0, MATMUL, MATMUL);
    stm32_relu_fp32_bw(&z1, &h1);
    stm32_linear_fp32_bw(&x, &w1, &z1, 1, MATMUL, MATMUL);
    stm32_gradient_descent_fp32(&first);
    stm32_gradient_descent_fp32(&second);
    return EFF_OK;
}
