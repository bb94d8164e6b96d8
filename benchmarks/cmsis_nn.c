/* SPDX-License-Identifier: Apache-2.0 */
/* edgeff's int8 kernels by CMSIS-NN's functions: a generated model that is linked with this in their place runs on CMSIS-NN, layer by layer.
 *
 * The numbers are those of the TFLite 8-bit specification in both, and so are the layouts of weights. CMSIS-NN wants inputs and outputs
 * apart, and scratch memory, which lies in one place for all layers. HAS_... is defined for each kernel that the model has.
 */
#include <stdint.h>

#include "arm_nnfunctions.h"
#include "model/eff_kernels.h"

#define EFF_ADD_BITS 20

static uint64_t scratch[6144];

/* The scratch memory, of which a layer needs so many bytes; a layer that needs more ends the run. */
static cmsis_nn_context context(int32_t bytes)
{
    if (bytes > (int32_t)sizeof scratch) {
        __builtin_trap();
    }
    return (cmsis_nn_context){scratch, bytes};
}

static void check(arm_cmsis_nn_status status)
{
    if (status != ARM_CMSIS_NN_SUCCESS) {
        __builtin_trap();
    }
}

static cmsis_nn_dims dims(int32_t h, int32_t w, int32_t c) { return (cmsis_nn_dims){1, h, w, c}; }

#if defined HAS_eff_conv2d_i8 || defined HAS_eff_conv2d_i8_x4
static void convolve(int8_t *y, const int8_t *x, const int8_t *w, const int32_t *b, const int32_t *multiplier, const int32_t *shift,
                     const eff_window *a, const eff_output_i8 *output)
{
    const cmsis_nn_conv_params how = {-output->x_zero, output->y_zero, {a->stride_w, a->stride_h}, {a->pad_w, a->pad_h}, {1, 1},
                                      {output->y_min, output->y_max}};
    const cmsis_nn_per_channel_quant_params factors = {(int32_t *)multiplier, (int32_t *)shift};
    const cmsis_nn_dims in = dims(a->in_h, a->in_w, a->in_c), out = dims(a->out_h, a->out_w, a->out_c), bias = dims(1, 1, a->out_c);
    const cmsis_nn_dims filter = {a->out_c, a->k_h, a->k_w, a->in_c};
    const cmsis_nn_context memory = context(arm_convolve_wrapper_s8_get_buffer_size(&how, &in, &filter, &out));
    check(arm_convolve_wrapper_s8(&memory, &how, &factors, &in, x, &filter, w, &bias, b, &out, y));
}
#endif

#ifdef HAS_eff_conv2d_i8
void eff_conv2d_i8(int8_t *y, const int8_t *x, const int8_t *w, const int32_t *b, const int32_t *multiplier, const int32_t *shift,
                   const eff_window *window, const eff_output_i8 *output)
{
    convolve(y, x, w, b, multiplier, shift, window, output);
}
#endif

#ifdef HAS_eff_conv2d_i8_x4
void eff_conv2d_i8_x4(int8_t *y, const int8_t *x, const int8_t *w, const int32_t *b, const int32_t *multiplier, const int32_t *shift,
                      const eff_window *window, const eff_output_i8 *output)
{
    convolve(y, x, w, b, multiplier, shift, window, output);
}
#endif

#ifdef HAS_eff_depthwise_conv2d_i8
void eff_depthwise_conv2d_i8(int8_t *y, const int8_t *x, const int8_t *w, const int32_t *b, const int32_t *multiplier,
                             const int32_t *shift, const eff_window *a, const eff_output_i8 *output)
{
    const cmsis_nn_dw_conv_params how = {-output->x_zero, output->y_zero, a->out_c / a->in_c, {a->stride_w, a->stride_h},
                                         {a->pad_w, a->pad_h}, {1, 1}, {output->y_min, output->y_max}};
    const cmsis_nn_per_channel_quant_params factors = {(int32_t *)multiplier, (int32_t *)shift};
    const cmsis_nn_dims in = dims(a->in_h, a->in_w, a->in_c), out = dims(a->out_h, a->out_w, a->out_c), bias = dims(1, 1, a->out_c);
    const cmsis_nn_dims filter = dims(a->k_h, a->k_w, a->out_c);
    const cmsis_nn_context memory = context(arm_depthwise_conv_wrapper_s8_get_buffer_size(&how, &in, &filter, &out));
    check(arm_depthwise_conv_wrapper_s8(&memory, &how, &factors, &in, x, &filter, w, &bias, b, &out, y));
}
#endif

#if defined HAS_eff_dense_i8 || defined HAS_eff_dense_i8_x4
static void connect(int8_t *y, const int8_t *x, const int8_t *w, const int32_t *b, const int32_t *multiplier, const int32_t *shift,
                    const eff_matrix *size, const eff_output_i8 *output)
{
    const cmsis_nn_fc_params how = {-output->x_zero, 0, output->y_zero, {output->y_min, output->y_max}};
    const cmsis_nn_per_tensor_quant_params factor = {*multiplier, *shift};
    const cmsis_nn_dims in = dims(1, 1, size->n_in), out = dims(1, 1, size->n_out), filter = {size->n_in, 1, 1, size->n_out};
    const cmsis_nn_context memory = context(arm_fully_connected_s8_get_buffer_size(&filter));
    check(arm_fully_connected_s8(&memory, &how, &factor, &in, x, &filter, w, &out, b, &out, y));
}
#endif

#ifdef HAS_eff_dense_i8
void eff_dense_i8(int8_t *y, const int8_t *x, const int8_t *w, const int32_t *b, const int32_t *multiplier, const int32_t *shift,
                  const eff_matrix *size, const eff_output_i8 *output)
{
    connect(y, x, w, b, multiplier, shift, size, output);
}
#endif

#ifdef HAS_eff_dense_i8_x4
void eff_dense_i8_x4(int8_t *y, const int8_t *x, const int8_t *w, const int32_t *b, const int32_t *multiplier, const int32_t *shift,
                     const eff_matrix *size, const eff_output_i8 *output)
{
    connect(y, x, w, b, multiplier, shift, size, output);
}
#endif

#ifdef HAS_eff_average_pool2d_i8
void eff_average_pool2d_i8(int8_t *y, const int8_t *x, const eff_window *a, int32_t y_min, int32_t y_max)
{
    const cmsis_nn_pool_params how = {{a->stride_w, a->stride_h}, {a->pad_w, a->pad_h}, {y_min, y_max}};
    const cmsis_nn_dims in = dims(a->in_h, a->in_w, a->in_c), out = dims(a->out_h, a->out_w, a->out_c), filter = dims(a->k_h, a->k_w, 1);
    const cmsis_nn_context memory = context(arm_avgpool_s8_get_buffer_size(a->out_w, a->in_c));
    check(arm_avgpool_s8(&memory, &how, &in, x, &filter, &out, y));
}
#endif

#ifdef HAS_eff_softmax_i8
void eff_softmax_i8(int8_t *y, const int8_t *x, int32_t n, const eff_logits *logits)
{
    arm_softmax_s8(x, 1, n, logits->multiplier, logits->shift, logits->diff_min, y);
}
#endif

#ifdef HAS_eff_add_i8
void eff_add_i8(int8_t *y, const int8_t *a, const int8_t *c, int32_t n, const eff_sides *sides, const eff_rescale *total)
{
    check(arm_elementwise_add_s8(a, c, -sides->a_zero, sides->a_multiplier, sides->a_shift, -sides->c_zero, sides->c_multiplier,
                                 sides->c_shift, EFF_ADD_BITS, y, total->y_zero, total->multiplier, total->shift, total->y_min,
                                 total->y_max, n));
}
#endif
