/* SPDX-License-Identifier: Apache-2.0 */
/* Two dense layers, ReLU and softmax, by the public functions of AIfES: stochastic gradient descent on the cross-entropy, batches of one. */
#include <string.h>

#include <aifes.h>

#include "model.h"

static uint16_t input_shape[] = {1, INPUTS}, output_shape[] = {1, OUTPUTS};
static eff_input_t sample[INPUTS];
static float input[INPUTS], output[OUTPUTS], target[OUTPUTS];
static aitensor_t input_tensor, output_tensor, target_tensor;

static aimodel_t model;
static ailayer_input_f32_t input_layer = AILAYER_INPUT_F32_A(2, input_shape);
static ailayer_dense_f32_t hidden_layer = AILAYER_DENSE_F32_A(HIDDEN), output_layer = AILAYER_DENSE_F32_A(OUTPUTS);
static ailayer_relu_f32_t relu_layer = AILAYER_RELU_F32_A();
static ailayer_softmax_f32_t softmax_layer = AILAYER_SOFTMAX_F32_A();
static ailoss_crossentropy_f32_t loss;
static aiopti_sgd_f32_t descent = AIOPTI_SGD_F32(RATE);
static aiopti_t *optimiser;

/* As large as it may ask for: weights and biases; gradients, one gradient on its way to its sum, results and deltas of the layers. */
#define WEIGHTS ((INPUTS + 1) * HIDDEN + (HIDDEN + 1) * OUTPUTS)
static float parameters[WEIGHTS], memory[2 * WEIGHTS + 8 * (INPUTS + 2 * HIDDEN + 2 * OUTPUTS)];
static uint32_t parameter_bytes, memory_bytes;

uint32_t engine_bytes(void) { return parameter_bytes + memory_bytes; }
eff_input_t *eff_input(void) { return sample; }
const float *eff_output(void) { return output; }

void eff_init(void)
{
    input_tensor = (aitensor_t)AITENSOR_2D_F32(input_shape, input);
    output_tensor = (aitensor_t)AITENSOR_2D_F32(output_shape, output);
    target_tensor = (aitensor_t)AITENSOR_2D_F32(output_shape, target);
    model.input_layer = ailayer_input_f32_default(&input_layer);
    ailayer_t *last = ailayer_dense_f32_default(&hidden_layer, model.input_layer);
    last = ailayer_relu_f32_default(&relu_layer, last);
    last = ailayer_dense_f32_default(&output_layer, last);
    model.output_layer = ailayer_softmax_f32_default(&softmax_layer, last);
    model.loss = ailoss_crossentropy_f32_default(&loss, model.output_layer);
    aialgo_compile_model(&model);
    optimiser = aiopti_sgd_f32_default(&descent);
    parameter_bytes = aialgo_sizeof_parameter_memory(&model);
    memory_bytes = aialgo_sizeof_training_memory(&model, optimiser);
    if (parameter_bytes > sizeof parameters || memory_bytes > sizeof memory) {
        for (;;) { /* the line stays silent: the buffers are too small */
        }
    }
    memset(parameters, 0, sizeof parameters);
    aialgo_distribute_parameter_memory(&model, parameters, sizeof parameters);
    memcpy(hidden_layer.weights.data, initial_hidden, sizeof initial_hidden);
    memcpy(output_layer.weights.data, initial_output, sizeof initial_output);
    aialgo_schedule_training_memory(&model, optimiser, memory, sizeof memory);
    aialgo_init_model_for_training(&model, optimiser);
}

int32_t eff_predict(void)
{
    int32_t best = 0;
    real_input(input);
    aialgo_inference_model(&model, &input_tensor, &output_tensor);
    for (int32_t i = 1; i < OUTPUTS; i++) {
        best = output[i] > output[best] ? i : best;
    }
    return best;
}

int eff_learn(int32_t label)
{
    if (label < 0 || label >= OUTPUTS) {
        return -1;
    }
    memset(target, 0, sizeof target);
    target[label] = 1.0f;
    real_input(input);
    aialgo_train_model(&model, &input_tensor, &target_tensor, optimiser, 1);
    return EFF_OK;
}
