/* SPDX-License-Identifier: Apache-2.0 */
/* A step by the public functions of AIfES: stochastic gradient descent, batches of one. Its dense layers have biases, which begin at zero. */
#include <aifes.h>

#include "model.h"

static const uint16_t width[LAYERS + 1] = WIDTHS;
static uint16_t input_shape[] = {1, INPUTS}, output_shape[] = {1, OUTPUTS};
static float biases[ACTIVATIONS], memory[WEIGHTS + 4 * (INPUTS + 2 * ACTIVATIONS) + LARGEST];
static aitensor_t input_tensor, target_tensor;

static aimodel_t model;
static ailayer_input_f32_t input_layer = AILAYER_INPUT_F32_A(2, input_shape);
static ailayer_dense_f32_t dense[LAYERS];
static ailayer_relu_f32_t relu[LAYERS];
#if SOFTMAX
static ailayer_softmax_f32_t softmax_layer = AILAYER_SOFTMAX_F32_A();
static ailoss_crossentropy_f32_t loss;
static aiopti_sgd_f32_t descent = AIOPTI_SGD_F32(LEARNING_RATE);
#else
static ailoss_mse_f32_t loss;
static aiopti_sgd_f32_t descent = AIOPTI_SGD_F32(LEARNING_RATE * OUTPUTS / 2); /* of the mean squared error */
#endif
static aiopti_t *optimiser;

void prepare(void)
{
    float *weights = eff_arena, *bias = biases;
    input_tensor = (aitensor_t)AITENSOR_2D_F32(input_shape, sample);
    target_tensor = (aitensor_t)AITENSOR_2D_F32(output_shape, target);
    model.input_layer = ailayer_input_f32_default(&input_layer);
    ailayer_t *last = model.input_layer;
    for (int i = 0; i < LAYERS; i++) {
        dense[i] = (ailayer_dense_f32_t)AILAYER_DENSE_F32_M(width[i + 1], weights, bias);
        last = ailayer_dense_f32_default(&dense[i], last);
        if (i < LAYERS - 1) {
            last = ailayer_relu_f32_default(&relu[i], last);
        }
        weights += width[i] * width[i + 1];
        bias += width[i + 1];
    }
#if SOFTMAX
    last = ailayer_softmax_f32_default(&softmax_layer, last);
#endif
    model.output_layer = last;
#if SOFTMAX
    model.loss = ailoss_crossentropy_f32_default(&loss, last);
#else
    model.loss = ailoss_mse_f32_default(&loss, last);
#endif
    aialgo_compile_model(&model);
    optimiser = aiopti_sgd_f32_default(&descent);
    if (aialgo_sizeof_training_memory(&model, optimiser) > sizeof memory) {
        for (;;) { /* the host's time limit ends it: the buffer is too small */
        }
    }
    aialgo_schedule_training_memory(&model, optimiser, memory, sizeof memory);
    aialgo_init_model_for_training(&model, optimiser);
}

void step(void) { aialgo_train_model(&model, &input_tensor, &target_tensor, optimiser, 1); }
